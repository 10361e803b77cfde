/*
 * What the protocol fixes (docs/protocol.md, "The LAN").
 */

/** "FWB1", the first four bytes of every beacon. */
export const BEACON_MAGIC = Uint8Array.of(0x46, 0x57, 0x42, 0x31)
export const BEACON_VERSION = 1
export const BEACON_ID_BYTES = 8
export const BEACON_RESERVED_BYTES = 16
/** magic 4 ‖ version 1 ‖ id 8 ‖ TCP port 2 ‖ reserved 16 */
export const BEACON_BYTES = 31

export const DEFAULT_BEACON_PORT = 24_707
export const DEFAULT_LINK_PORT = 24_708
export const DEFAULT_GROUPS: { readonly ipv4: string; readonly ipv6: string } = {
  ipv4: '239.255.70.87',
  ipv6: 'ff02::4657:1',
}

/** Frame types of a link. Unknown ones are skipped, so that a newer release may add some. */
export const FRAME_PING = 0
export const FRAME_PACKET = 1
export const FRAME_QUESTION = 2
export const FRAME_RECORD = 3
export const FRAME_PONG = 4

/** Bytes of the length that precedes every frame, and of the type that the length already counts. */
export const FRAME_LENGTH_BYTES = 2
export const FRAME_TYPE_BYTES = 1
/** Largest value of the length: type and body. */
export const MAX_FRAME_BYTES = 20_480
export const SLOT_BYTES = 16
/** Addresses that a record frame may name. */
export const MAX_HINTS = 4

/** DESIGN 7: an open link is silent about the gateway when it brought no ACK for this long. */
export const ACK_SILENCE_MS = 60_000
/** How long an address counts as one "from which its sender had ACKs". */
export const HINT_AGE_MS = 600_000

/*
 * What this implementation chooses: the beacon.
 */

export const BEACON_INTERVAL_CROWDED_MS = 30_000
/** Devices heard above which the long interval is used. */
export const BEACON_CROWD = 20
/** Beacons at a start and when an interface changes, and the time between them: the third outlasts IPv6 address detection. */
export const BEACON_BURST = 3
export const BEACON_BURST_MS = 1_000
/** Every wait is drawn from its nominal length ± this share, so that devices switched on together drift apart. */
export const BEACON_JITTER = 0.2
export const BEACON_ID_LIFE_MS = 900_000
/** Datagrams looked at per second; more cost one comparison each. Raised, a flood costs more processor time. */
export const BEACONS_PER_SECOND = 200
/** How often the machine's interfaces are read; an interface that came back is announced on at most this much later. */
export const INTERFACE_POLL_MS = 3_000

/*
 * What this implementation chooses: whom to dial (neighbours.ts).
 */

/** Addresses remembered from beacons, the longest unheard leaves first. Raised, a flood of forged ones costs more memory. */
export const HEARD_MAX = 256
/** Three missed beacons at the long interval with its jitter. */
export const HEARD_EXPIRY_MS = 3 * BEACON_INTERVAL_CROWDED_MS * (1 + BEACON_JITTER)
export const DIAL_BUDGET_MS = 60_000
/** An address that fails again and again is dialled less and less often, down to once in this time. */
export const DIAL_BACKOFF_MAX_MS = 600_000
/** Addresses whose last dial is remembered; dials are at most 20/s, so that this holds every one of the last 10 min. */
export const DIALLED_MAX = 16_384
/** The first dial after a beacon waits a random part of this: fifty devices that hear a new one do not dial it together. */
export const DIAL_DELAY_MS = 500
export const OUTGOING_PER_ADDRESS = 2
/** While searching, one link gives its slot away this often. */
export const ROTATION_MS = 10_000
/** While searching, links are asked for the record (and hints) this often in the first minute, then once a minute. */
export const ASK_MS = 5_000
export const ASK_SLOW_MS = 60_000
/** Addresses that brought ACKs: redialled when they break, kept on disk, named as hints. */
export const KEPT_MAX = 4
export const REDIAL_MIN_MS = 1_000
export const REDIAL_MAX_MS = 10_000
/** A configured peer that never answers is tried again after at most this. */
export const PEER_RETRY_MAX_MS = 60_000
/** `peers:` entries; each is dialled for ever. */
export const PEERS_MAX = 64

/*
 * What this implementation chooses: links.
 */

/** Links from one foreign address that have delivered nothing that opened. */
export const INBOUND_PER_ADDRESS = 4
/**
 * Of all inbound places one foreign address may have this share, however useful its links: 64 on a gateway (devices behind
 * one address translation), 4 on an agent. Raised, one hostile device of the site can lock out the others.
 */
export const INBOUND_SHARE_PER_ADDRESS = 1 / 16
/** A stranger's link has had its chance after this (a searching device offers on opening and once a minute). */
export const STRANGER_CHANCE_MS = 60_000
/** Bytes that wait for one link; above, `send` refuses. Raised, 1,024 slow readers cost more memory. */
export const MAX_BUFFERED_BYTES = 262_144
/** Bytes handed to the socket in one go; progress of a slow link is seen in steps of this. */
export const WRITE_SLICE_BYTES = 65_536
/** Two SYNs. Raised, fifty devices behind firewalls that drop instead of refusing cannot be tried within a minute. */
export const CONNECT_TIMEOUT_MS = 3_000
/** An operating system's own probe, behind ours. */
export const TCP_KEEPALIVE_MS = 30_000
/** Questions of one link that are passed on: a burst, then one a second. An answer is thirty times a question. */
export const QUESTION_BURST = 4
export const QUESTIONS_PER_SECOND = 1
/** How often links and neighbours are looked after. */
export const LINK_TICK_MS = 1_000
export const NEIGHBOUR_TICK_MS = 250
/** A listener that could not open tries again. */
export const LISTEN_RETRY_MS = 10_000

/** Deadlines of one link, in milliseconds. */
export interface LinkTiming {
  /** A link that has not brought a whole frame after this is no link. */
  readonly firstFrameMs: number
  /** From a frame's first byte to its last. */
  readonly frameMs: number
  /** Whoever received and had nothing to say says PONG after this, which proves a one-way stream alive. */
  readonly lifeSignMs: number
  /** Nothing received for this long: PING. */
  readonly idleMs: number
  /** Something was sent and nothing came back for this long: the other end is gone. */
  readonly answerMs: number
  /** Bytes wait and none left for this long: a reader that does not read. */
  readonly drainMs: number
}

/** A vanished peer is noticed after about 10 s while something is sent to it, else after 30 s. */
export const LINK_TIMING: LinkTiming = {
  firstFrameMs: 5_000,
  frameMs: 10_000,
  lifeSignMs: 3_000,
  idleMs: 20_000,
  answerMs: 10_000,
  drainMs: 30_000,
}
