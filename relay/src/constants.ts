import { MAX_MESSAGE_BYTES } from '@fieldwhisper/mesh/relay-frames'

const KIB = 1024
const MIB = 1024 * KIB
const MINUTE_MS = 60_000
const DAY_MS = 24 * 60 * MINUTE_MS

/*
 * What the layout on disk fixes. A change needs a new record version and a reader for the old one.
 */

/** Tables of the relay's store. */
export const TABLE = {
  mailboxes: 'mailboxes',
  packets: 'packets',
  held: 'held',
  directory: 'directory',
  state: 'state',
} as const
export const TABLES = Object.values(TABLE)
/** First byte of every value the relay writes. */
export const RECORD_VERSION = 1
/** Bytes of a packet's sequence number within its mailbox, and of a stored time. */
export const SEQUENCE_BYTES = 6
export const TIME_BYTES = 6

/*
 * What the design fixes and no operator sets; what one may set stands in limits.ts.
 */

/** Hellos from one connection: so many at once, then one every 6 s. */
export const HELLO_BUDGET = { burst: 16, perSecond: 10 / 60 } as const
/** From the connection to the end of the upgrade, and from the challenge to the first frame. */
export const HANDSHAKE_MS = 5_000

/*
 * What this implementation chooses.
 */

/** What a packet costs on disk beside its own bytes (keys, index, B-tree); counted in the total, not in the mailbox. */
export const PACKET_OVERHEAD_BYTES = 256
/**
 * A packet that was handed over at once is written only when its recipient has not deleted it in this time: a relay
 * whose recipients are all connected hardly writes, and its card lives longer. Raised, "stored" is said later.
 */
export const LIVE_LINGER_MS = 500
/** Deletions wait this long for others, or for the next packet to be written. */
export const DELETE_LINGER_MS = 500
export const DELETE_GROUP = 1_024
/** Packets accepted and not yet flushed; beyond it the disk is too slow and deposits are answered "rate". */
export const MAX_PENDING_BYTES = 16 * MIB
export const MAX_PENDING_PACKETS = 16_384
/** Packets that came again while the disk deletes them, in all; each may keep a message of 64 KiB in memory. */
export const MAX_WAITING_COPIES = 256
/** Packets read from one mailbox before the next one of the same connection gets its turn. */
export const PUMP_PACKETS = 32
/** Largest part of one mailbox whose expired packets are dropped in one sweep. */
export const EXPIRE_PACKETS = 1_024
export const SWEEP_MS = MINUTE_MS
/** The time a mailbox was last used is written again only when it is this much newer. */
export const USED_STEP_MS = DAY_MS

/** Wrong proofs on one connection; the one after it ends the connection. */
export const BAD_PROOFS = 3
export const MAX_NAMES = 32
/** Addresses one connection may prove, or as many as there may be mailboxes: a gateway proves about three an agent. */
export const MEMBER_ADDRESSES = 65_536
export const STRANGER_ADDRESSES = 256
/** Prekey records from one connection: so many at once, then one a second. */
export const PUBLISH_BUDGET = { burst: 16, perSecond: 1 } as const

/** Sockets that are only answering /healthz or still on their way to an upgrade. */
export const SPARE_SOCKETS = 64

/**
 * What one connection may send. Above it the relay stops reading the socket for a while; nothing is lost. A gateway of
 * 5,000 agents acknowledges 5,000 times a second at most; what more a member could do is keep one core busy.
 */
export const MEMBER_FRAMES_PER_S = 10_000
export const MEMBER_BYTES_PER_S = 16 * MIB
export const STRANGER_FRAMES_PER_S = 200
export const STRANGER_BYTES_PER_S = 256 * KIB
/** A bucket holds two seconds of it, and never less than a message. */
export const BURST_S = 2
export const MIN_BURST_BYTES = MAX_MESSAGE_BYTES

/** Bytes queued for a socket above which no more packets are handed over, and above which it is not read either. */
export const HIGH_WATER_BYTES = 256 * KIB
export const STOP_READING_BYTES = 1 * MIB
/** Bytes queued for all sockets together; above it each socket gets a packet at a time. */
export const MAX_OUTBOUND_BYTES = 64 * MIB
/** Proofs checked before other connections get their turn: about 30 ms on a Pi. */
export const PROOFS_PER_TURN = 32
/** Fragments of one message; our clients send one. */
export const MAX_FRAGMENTS = 64
/** A client pings every 20 s; without any sign for this long the connection is ended. */
export const SILENT_MS = 90_000
/** Silence, slowness and unanswered challenges are looked for this often. */
export const WATCH_MS = 1_000
export const CLOSE_MS = 2_000

/** Directory requests by HTTP from one source: an agent asks once when it joins. */
export const HTTP_BUDGET = { burst: 20, perSecond: 5 } as const
export const MAX_HTTP_SOURCES = 4_096
export const MAX_HTTP_HEADER_BYTES = 8 * KIB
/** /healthz says "not ok" for this long after the disk refused a write. */
export const DISK_MEMORY_MS = MINUTE_MS
/** Names of this machine are looked up again this often: addresses come and go with DHCP. */
export const NAMES_MS = 10_000
