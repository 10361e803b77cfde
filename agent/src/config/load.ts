import { dirname, resolve } from 'node:path'
import { loadConfig, parseConfig } from '@fieldwhisper/host'
import { agentConfigSchema, type AgentConfig } from './schema.js'

/**
 * The configuration in a file, or the defaults without one. Paths in it start at the file's folder. Throws HostError
 * `FW_CONFIG_UNREADABLE` or `FW_CONFIG_INVALID` with line and path of every problem.
 */
export function loadAgentConfig(path?: string): AgentConfig {
  if (path === undefined) return parseConfig('', agentConfigSchema, 'defaults')
  const config = loadConfig(path, agentConfigSchema)
  return config.state === undefined ? config : { ...config, state: resolve(dirname(path), config.state) }
}
