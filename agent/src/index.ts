export { Agent, type AgentOptions } from './app.js'
export {
  EmbeddedAgent,
  type EmbeddedAgentConfig,
  type EmbeddedAgentOptions,
  type EmbeddedAgentStatus,
  type ProgramReading,
} from './embedded.js'
export { AgentError } from './errors.js'
export { type AgentStatus } from './status.js'
export { loadAgentConfig } from './config/load.js'
export { AGENT_LIMITS } from './limits.js'
export { agentConfigSchema, type AgentConfig } from './config/schema.js'
