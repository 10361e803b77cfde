export {
  loadRelayConfig,
  parseListen,
  relayConfigJsonSchema,
  relayConfigSchema,
  relayProgramSchema,
} from './config.js'
export type { ListenAddress, RelayConfig, RelayConfigInput, RelayProgramConfig } from './config.js'
export { RelayError } from './errors.js'
export type { RelayErrorCode } from './errors.js'
export { DEFAULT_LIMITS, RELAY_LIMITS } from './limits.js'
export type { RelayLimits } from './limits.js'
export { startRelay } from './relay.js'
export type { RelayOptions, RelayStatus, RunningRelay } from './relay.js'

// The core, for tests and the simulation: no sockets, no clock, any Store.
export * as relayConstants from './constants.js'
export { Conversation } from './core/conversation.js'
export type { Link, Shared } from './core/conversation.js'
export { Directory } from './core/directory.js'
export type { Subscriber } from './core/handover.js'
export { proofBudgets } from './core/proofs.js'
export { Mailboxes } from './core/mailboxes.js'
export type { Deposit, DepositAnswer } from './core/mailboxes.js'
export { Admission, admissions, sourceOf } from './server/admission.js'
export { relayNames } from './server/names.js'
export { RelayServer } from './server/server.js'
export type { RelayServerOptions } from './server/server.js'
export { accessToken, tokenCheck } from './server/token.js'
