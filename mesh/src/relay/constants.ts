import { ADDRESS_BYTES, MAX_PACKET_BYTES } from '@fieldwhisper/protocol/packet'

/*
 * What the protocol fixes (docs/protocol.md, relay). A change here is another wire version.
 */

/** Path of the WebSocket on a relay. */
export const RELAY_PATH = '/v1'
export const DEFAULT_RELAY_PORT = 24_780

/** First byte of a frame. Below 0x80 from client to relay, above from relay to client. */
export const FRAME = {
  prove: 0x01,
  deposit: 0x02,
  delete: 0x03,
  remove: 0x04,
  publish: 0x05,
  lookup: 0x06,
  challenge: 0x81,
  proved: 0x82,
  stored: 0x83,
  packet: 0x84,
  record: 0x85,
  closing: 0x86,
} as const

/** What a relay answers to a request. */
export const STATUS = {
  done: 0,
  noMailbox: 1,
  full: 2,
  rate: 3,
  proofInvalid: 4,
  notProven: 5,
  malformed: 6,
  disk: 7,
} as const

export type Status = (typeof STATUS)[keyof typeof STATUS]

/** Why a relay ends a connection. */
export const CLOSING = {
  malformed: 1,
  rate: 2,
  proofs: 3,
  silent: 4,
  slow: 5,
  shutdown: 6,
  busy: 7,
} as const

export const PROVE_CREATE = 1
export const PROVE_SUBSCRIBE = 2

export const NONCE_BYTES = 32
export const PUBLIC_KEY_BYTES = 32
export const SIGNATURE_BYTES = 64
export const HASH_BYTES = 32
/** Two bytes of length before every frame. */
export const LENGTH_BYTES = 2

/** Largest WebSocket message either side accepts; a sender splits above it. */
export const MAX_MESSAGE_BYTES = 64 * 1024
/** Largest record in the directory. */
export const MAX_RECORD_BYTES = 4_096
/** Hashes in one DELETE frame, so that it is no larger than a frame with a packet. */
export const MAX_DELETE_HASHES = 512
export const MAX_CLOSING_TEXT_BYTES = 256
/** Largest frame without its two bytes of length: a DELETE with all its hashes. */
export const MAX_FRAME_BYTES = Math.max(
  1 + 4 + MAX_PACKET_BYTES,
  1 + ADDRESS_BYTES + MAX_DELETE_HASHES * HASH_BYTES,
)

/*
 * What this implementation of the client chooses.
 */

/** A relay that does not accept and challenge within this time is tried again later. */
export const CONNECT_TIMEOUT_MS = 10_000
/** Waits between attempts: anything from 0 to base doubled per failure, at most a cap ("full jitter"), so that a hundred
 * agents do not come back in the same instant. A relay that is not there costs a packet or two per attempt and may return
 * when the LAN goes next; one that answers and ends it costs both sides a handshake each time. */
export const RECONNECT_BASE_MS = 500
export const ABSENT_CAP_MS = 5_000
export const REFUSED_CAP_MS = 30_000
/** A connection that lasted this long counts as a success and the next wait is short again. */
export const STABLE_MS = 10_000
/** Pings keep address translators awake; silence is noticed after DEAD_MS plus at most one check, that is 45 s. */
export const PING_MS = 20_000
export const DEAD_MS = 40_000
export const CHECK_MS = 5_000
/** Proofs on their way at once: enough to keep a distant relay busy, few enough not to fill its queue. */
export const MAX_OPEN_PROOFS = 256
/** Signatures made before other work gets its turn: about 3 ms on a PC, 15 ms on a Pi. */
export const PROOFS_PER_TURN = 64
/** Wait after "too fast" before the next proof, and before a proof refused for another reason is tried again. */
export const PROOF_RATE_PAUSE_MS = 1_000
export const PROOF_RETRY_MS = 60_000
/** Bytes waiting for the socket above which a deposit is answered "unsent": the courier has other paths. */
export const MAX_BUFFERED_BYTES = 1024 * 1024
/** Requests on their way at once, and how long each is waited for; afterwards they count as unsent. */
export const MAX_OPEN_REQUESTS = 8_192
export const REQUEST_TIMEOUT_MS = 60_000
/** The times of one connection, together so that tests can shorten them. */
export interface RelayTiming {
  readonly connectMs: number
  readonly pingMs: number
  readonly deadMs: number
  readonly checkMs: number
  readonly requestMs: number
}

export const RELAY_TIMING: RelayTiming = {
  connectMs: CONNECT_TIMEOUT_MS,
  pingMs: PING_MS,
  deadMs: DEAD_MS,
  checkMs: CHECK_MS,
  requestMs: REQUEST_TIMEOUT_MS,
}
/** How long a stopping client waits for the relay's goodbye. */
export const STOP_MS = 1_000
