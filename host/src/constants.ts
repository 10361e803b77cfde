// What the layout on disk fixes. A change needs a new record or store version and a reader for the old one.

/** First byte of every stored value. */
export const RECORD_VERSION = 1
/** Version u8 ‖ CRC-32 of key ‖ value, u32 big-endian. */
export const RECORD_HEADER_BYTES = 5
/** Number of the store layout; a store with a higher one is refused and left as it is. */
export const STORE_VERSION = 1
/** LMDB's portable limit for keys. */
export const MAX_KEY_BYTES = 511
/** Where records that fail their check are kept for the person who repairs. */
export const QUARANTINE_TABLE = 'quarantine'

// What this implementation chooses.

/** No record is larger than a relay's largest mailbox dump by far; a bigger one is a bug of the caller. */
export const MAX_VALUE_BYTES = 16 * 1024 * 1024
/** One caller's commit. More would hold the writer for longer than an SD card may take for one flush. */
export const MAX_COMMIT_WRITES = 100_000
/** One transaction covers so much of several callers; raised, a slow card makes everybody wait for everybody. */
export const MAX_GROUP_BYTES = 4 * 1024 * 1024
export const MAX_GROUP_WRITES = 20_000
/** Commits waiting for the disk; beyond that the caller does not wait for its promises, which is a bug. */
export const MAX_QUEUED_COMMITS = 100_000
/** A flush this late is reported: a worn card, a full one, or a busy machine. */
export const COMMIT_SLOW_MS = 10_000
/** A flush this late will not come; the process ends and its supervisor starts it on what was flushed. */
export const COMMIT_FAILED_MS = 120_000
/** Deadlines are counted in such steps, so that a suspended process does not find them expired on waking. */
export const COMMIT_TICK_MS = 1_000
/** Quarantine keeps so much; later bad records are reported and dropped. */
export const MAX_QUARANTINE_RECORDS = 1_000
export const MAX_QUARANTINE_BYTES = 16 * 1024 * 1024
/** Entries read per visit to the engine while ranging: bounds memory and how long a page stays pinned. */
export const RANGE_CHUNK_ENTRIES = 128
/**
 * With less room than this on the disk, and twice the group's size, nothing is added: the engine must never meet a full disk
 * itself. Others write there too between the look and the write, and a transaction copies pages that it changes.
 */
export const ADD_NEEDS_BYTES = 4 * 1024 * 1024
/** With so much free on the disk nobody looks at what the file has in advance. */
export const PLENTY_BYTES = 64 * 1024 * 1024
/** What deletes as much as it adds works longer: it may be what makes room. */
export const REPLACE_NEEDS_BYTES = 1024 * 1024
/** How long a failed transaction waits to learn its particular error. */
export const ENGINE_ERROR_MS = 1_000
/**
 * A store that was not closed in order is walked so long by a process of its own before it is opened: every start after a
 * power cut waits for that. Each further time in a row it is twice as long, so that no page can kill for ever.
 */
export const PROBE_WALK_MS = 4_000
export const PROBE_DOUBLINGS = 6
/** So much later that process is ended; the store then counts as usable. */
export const PROBE_LIMIT_MS = 60_000
/** After so long with an open store the count starts anew. */
export const STORE_LASTING_MS = 600_000
export const PROBE_EXIT = { usable: 0, undecided: 3, corrupt: 4 } as const
/** State files are identities and small lists. */
export const MAX_JSON_FILE_BYTES = 16 * 1024 * 1024

/** Asking the time service starts a process: not more often than this, and not longer than the limit. */
export const CLOCK_CHECK_MS = 60_000
export const CLOCK_CHECK_LIMIT_MS = 2_000
/** A clock that shows less was never set: 2024-01-01T00:00:00Z. */
export const CLOCK_UNSET_BEFORE_MS = 1_704_067_200_000
/** What a crash may forget of a lifetime (DESIGN 3); a write this often does not wear a card. */
export const RUNNING_TIME_SAVE_MS = 600_000

/** One code may write so many lines in one window; the rest is counted. */
export const EVENTS_PER_WINDOW = 20
export const EVENT_WINDOW_MS = 60_000
/** For `status`. */
export const EVENTS_KEPT = 200
/** More different codes than the documentation has: later ones are not written at all. */
export const MAX_EVENT_CODES = 500
export const MAX_EVENT_FIELDS = 32
/** Characters of one message or field. */
export const MAX_EVENT_TEXT = 1_000

/** A configuration is written by a person; beyond this it is a mistake or an attack. */
export const MAX_CONFIG_BYTES = 1024 * 1024
/** Nested aliases grow exponentially ("billion laughs"). */
export const MAX_CONFIG_ALIASES = 50
/** Problems told at once. */
export const MAX_CONFIG_PROBLEMS = 50

/** The system allows 107 bytes; the claim of a socket adds 5. */
export const MAX_SOCKET_PATH_BYTES = 100
export const MAX_CONTROL_REQUEST_BYTES = 64 * 1024
export const MAX_CONTROL_REPLY_BYTES = 16 * 1024 * 1024
/** Commands are asked by people and their scripts on this machine. */
export const MAX_CONTROL_CONNECTIONS = 32
/** A client that sends or reads nothing for so long is cut. */
export const CONTROL_REQUEST_MS = 10_000
/** How long a client waits for an answer: the longest command waits for a disk. */
export const CONTROL_REPLY_MS = 60_000
/** A socket that is neither refused nor accepted within this has an owner. */
export const CONTROL_PROBE_MS = 2_000
