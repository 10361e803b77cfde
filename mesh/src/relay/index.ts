export type {
  RelayClient,
  RelayClientOptions,
  RelayDepositResult,
  RelayRequestResult,
  RelayRoom,
} from './api.js'
export { createRelayClient } from './client.js'
export type { ProveOptions } from './proofs.js'
export { relayTarget } from './url.js'
export type { RelayTarget } from './url.js'
export { reconnectDelayMs } from './backoff.js'
