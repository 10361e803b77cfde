// What the gateway's interfaces fix (gateway/src/bridge/constants.ts says the same).

/** Readings: the gateway's default topic. Its first level is the root of everything that the gateway publishes. */
export const DEFAULT_TEMPLATE = 'fieldwhisper/{site}/{agent}/{name}'
export const GATEWAY_LEVEL = '$gateway'
export const EVENTS_LEVEL = '$events'
export const AGENTS_LEVEL = '$agents'
export const STATUS_LEVEL = 'status'
export const COMMAND_LEVEL = 'command'
export const REPLY_LEVEL = 'reply'
/** Names of sites, agents and readings, in bytes before they are escaped. */
export const MAX_NAME_BYTES = 128
export const MAX_TEMPLATE_BYTES = 512
export const MAX_TEMPLATE_LEVELS = 16
/** Longest time to live of a command. */
export const MAX_TTL_MS = 600_000
/** Command names have at most 64 characters, arguments at most 2 KiB as CBOR; as JSON the same may take six times as much. */
export const MAX_COMMAND_CHARS = 64
export const MAX_ARGS_CHARS = 12 * 1024
/** MQTT 3.1.1, section 3.2.2.3: return codes of CONNACK. */
export const CONNACK_UNAVAILABLE = 3
export const CONNACK_BAD_CREDENTIALS = 4
export const CONNACK_NOT_AUTHORIZED = 5
/** MQTT 3.1.1, section 3.9.3: the broker refuses a subscription. */
export const SUBACK_FAILURE = 128

// What this implementation chooses.

/**
 * Reconnecting: full jitter above the floor, doubling from base to cap, for ever. The cap stays below the 16 s for which a
 * restarted embedded broker waits for its readers.
 */
export const RECONNECT_FLOOR_MS = 100
export const RECONNECT_BASE_MS = 500
export const RECONNECT_CAP_MS = 10_000
/** A connection that lived this long starts the doubling anew; one that dies sooner does not. */
export const CONNECTION_PROVEN_MS = 10_000
/** From the dial to CONNACK. */
export const CONNECT_TIMEOUT_MS = 10_000
/** A gateway that went without a word is noticed after one and a half of this. */
export const KEEPALIVE_SECONDS = 30
/** A deploy waits so long for the farewell to the broker; then the socket is destroyed. */
export const STOP_TIMEOUT_MS = 400

/** Answer time that a command has beyond its time to live: the gateway itself says "expired" when that is over. */
export const REPLY_GRACE_MS = 5_000
export const DEFAULT_TTL_MS = 30_000
export const MIN_TTL_MS = 1_000
/** Commands without an answer, all nodes of one gateway together. Raised: a flow in a loop floods the site for longer. */
export const MAX_OPEN_COMMANDS = 200

/** The editor's list: read from retained topics until nothing more came for a while. */
export const DIRECTORY_QUIET_MS = 300
export const DIRECTORY_LIMIT_MS = 4_000
export const MAX_DIRECTORY_TOPICS = 20_000
/** Sites that are told apart while the gateway node names none. */
export const MAX_SITES = 100
/** A command without a named site waits so long after the connection began: a second site may be just behind the first. */
export const SITES_SETTLE_MS = 500
/** And so long for the first one. */
export const SITES_WAIT_MS = 2_000
export const SITES_LOOK_MS = 50

/** Ids of readings that a node remembers, so that a repeat is not sent twice: some minutes of a busy site. */
export const MAX_REMEMBERED_IDS = 8_192
/** Topics without ids (payload `value`) whose last text is remembered. */
export const MAX_REMEMBERED_TEXTS = 4_096
export const MAX_REMEMBERED_TEXT_CHARS = 1_024
/** Agents that one node counts for its status. */
export const MAX_COUNTED_AGENTS = 10_000
/** Characters of a pattern with `*`. */
export const MAX_PATTERN_CHARS = 128

/** Messages of one agent that wait while it opens; it takes a moment, and 5 s on a slow disk. */
export const MAX_WAITING_FOR_AGENT = 1_000
export const AGENT_OPEN_WAIT_MS = 5_000
/** An agent that could not be opened, because another process has its folder for instance, is tried again. */
export const AGENT_RETRY_MS = 5_000
/** A deploy waits so long for an agent that ends; on a disk that hangs it goes on without. */
export const AGENT_STOP_MS = 3_000
/** And so long for readings that the disk has not taken yet. */
export const KEEP_STOP_MS = 800
/** How often the status is looked at. */
export const AGENT_LOOK_MS = 500
/** With readings waiting, the gateway should have answered within this time. */
export const HEARD_WITHIN_MS = 30_000
/** Readings of one message. */
export const MAX_READINGS_A_MESSAGE = 1_000
