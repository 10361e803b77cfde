import { loadConfig, parseConfig } from '@fieldwhisper/host'
import { dirname, resolve } from 'node:path'
import { gatewayConfigSchema, type GatewayConfig } from './schema.js'

/**
 * The configuration in a file, or the defaults without one. Paths in it start at the file's folder. Throws HostError
 * `FW_CONFIG_UNREADABLE` or `FW_CONFIG_INVALID` with line and path of every problem.
 */
export function loadGatewayConfig(path?: string): GatewayConfig {
  if (path === undefined) return parseConfig('', gatewayConfigSchema, 'defaults')
  const { state, mqtt, relay, ...rest } = loadConfig(path, gatewayConfigSchema)
  const at = (file: string): string => resolve(dirname(path), file)
  return {
    ...rest,
    ...(state !== undefined && { state: at(state) }),
    mqtt:
      'passwordFile' in mqtt && mqtt.passwordFile !== undefined
        ? { ...mqtt, passwordFile: at(mqtt.passwordFile) }
        : mqtt,
    relay: relay.tls ? { ...relay, tls: { cert: at(relay.tls.cert), key: at(relay.tls.key) } } : relay,
  }
}
