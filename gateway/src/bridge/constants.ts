// What the interfaces fix. A change here breaks subscribers or state on disk.

/** Readings: the default topic. Its first level is the root under which only the gateway publishes. */
export const DEFAULT_TOPIC_TEMPLATE = 'fieldwhisper/{site}/{agent}/{name}'
/** Levels of the gateway's own topics. An escaped name never begins with `$`. */
export const GATEWAY_LEVEL = '$gateway'
export const EVENTS_LEVEL = '$events'
export const AGENTS_LEVEL = '$agents'
export const STATUS_LEVEL = 'status'
/** Below the topic of a reading: what was taken long ago, where a payload cannot say so. */
export const HISTORY_LEVEL = '$history'
/** In the place of a label that an agent has not. */
export const NO_LABEL = 'unassigned'
/** Reason codes of MQTT 5.0, section 2.4, and (`connack...`) the return codes of CONNACK in 3.1.1, section 3.2.2.3. */
export const REASON = {
  connackVersion: 1,
  connackIdentifier: 2,
  connackUnavailable: 3,
  connackCredentials: 4,
  connackNotAuthorised: 5,
  unspecified: 128,
  malformed: 129,
  protocolError: 130,
  implementation: 131,
  versionUnsupported: 132,
  clientIdInvalid: 133,
  credentials: 134,
  notAuthorised: 135,
  unavailable: 136,
  busy: 137,
  banned: 138,
  shuttingDown: 139,
  authenticationMethod: 140,
  keepAliveTimeout: 141,
  takenOver: 142,
  topicFilterInvalid: 143,
  topicNameInvalid: 144,
  receiveMaximum: 147,
  packetTooLarge: 149,
  rateTooHigh: 150,
  quotaExceeded: 151,
  administrative: 152,
  payloadInvalid: 153,
  retainUnsupported: 154,
  qosUnsupported: 155,
  useAnother: 156,
  moved: 157,
  connectionRate: 159,
  maximumConnectTime: 160,
} as const
/** A user may send a gateway commands, if the rules of that user say so; nothing else under the root. */
export const COMMAND_LEVEL = 'command'
/** Messages that prove to the Sparkplug edge node what its broker has; nobody else needs them. */
export const FENCE_TOPIC = 'fieldwhisper-fence'
export const REPLY_LEVEL = 'reply'
/** A request of a command: what fits a command, written generously. */
export const MAX_COMMAND_REQUEST_BYTES = 16_384
export const MAX_CORRELATION_BYTES = 256
/** Requests whose repeats are known. At 16 KiB for the largest reply: some 16 MiB at worst. */
export const MAX_KNOWN_REQUESTS = 1_000
/** File in the state folder with the users of the embedded broker. */
export const BROKER_USERS_FILE = 'broker-users.json'
/** Version of every record that the bridge stores. */
export const BRIDGE_RECORD_VERSION = 1

// What this implementation chooses.

/**
 * Names of sites, agents and readings before escaping. Protocol bounds readings to 128 bytes and devices to 64; this is
 * the same bound once more, because a topic is built from whatever the outbox holds.
 */
export const MAX_LEVEL_BYTES = 128
/** A template longer than this is a mistake; together with escaped names the topic stays far below 64 KiB. */
export const MAX_TEMPLATE_BYTES = 512
export const MAX_TEMPLATE_LEVELS = 16

/** A template's fixed text and in each level an escaped name of 128 bytes. */
export const MAX_TOPIC_BYTES = MAX_TEMPLATE_BYTES + MAX_TEMPLATE_LEVELS * 3 * MAX_LEVEL_BYTES
/** A reading has at most 8 KiB; as JSON each byte may take six. */
export const MAX_PAYLOAD_BYTES = 64 * 1024

/** Publishes that wait for the broker at one time. Raised: more memory and more repeats after a lost connection. */
export const WINDOW_MESSAGES = 512
/** The same bound in bytes of payload, for large values. */
export const WINDOW_BYTES = 4 * 1024 * 1024
/** Entries read from the store in one go: at most about 1 MiB. */
export const PAGE_ENTRIES = 64
/** No acknowledgement for so long although some are due: the connection is given up and made anew. */
export const PUBLISH_DEADLINE_MS = 20_000
/** A broker that refuses a publish and stays connected is asked again after this. */
export const PUBLISH_RETRY_MS = 1_000
/** The same message lost its connection so often in a row: say so, since one message may be the cause. */
export const STUCK_AFTER_FAILURES = 5
/** What was acknowledged is recorded at most this often: each is one flush of the disk. Raised: more repeats after a crash. */
export const MARK_INTERVAL_MS = 250
/** A record of what was acknowledged that failed (disk full) is tried again after this. */
export const MARK_RETRY_MS = 2_000
/** Without anything to publish, what is old is looked for so often. */
export const MAINTAIN_INTERVAL_MS = 60_000
/** Fewer items than this that waited for the broker are published in order whatever the configuration says: they are no outage. */
export const REPLAY_FROM_ITEMS = 100
export const DEFAULT_REPLAY_RATE = 2_000
/** Items opened in one turn of the event loop; the rest follows in the next. */
export const MAX_ITEMS_PER_TURN = 256
/** Entries deleted in one commit once their time is over. */
export const DELETE_ENTRIES = 1_000
/** Resolution of "sent a day ago": one small record each. */
export const AGE_MARK_MS = 10 * 60_000

export const DEFAULT_OUTBOX_BYTES = 2 * 1024 ** 3
export const DEFAULT_KEEP_SENT_MS = 24 * 3_600_000
/** The core is told that there is room again below this share of the limit, so that it does not flap. */
export const ROOM_SHARE = 0.9
/** Entries that nobody can read are kept for the person who repairs, the newest of them. */
export const MAX_REJECTED_ENTRIES = 1_000
/** An agent's id is its key in hex. */
export const MAX_AGENT_ID_BYTES = 128
/** Text and fields of an event. */
export const MAX_EVENT_TEXT_BYTES = 4 * 1024

/** Current values kept for new subscribers: DESIGN section 9. */
export const MAX_RETAINED_NAMES_PER_AGENT = 1_000
/** All agents together, about 100 MB at the broker. */
export const MAX_RETAINED_NAMES = 200_000

/** Reconnecting: full jitter between the first two, doubling from BASE to CAP, for ever. */
export const RECONNECT_FLOOR_MS = 100
export const RECONNECT_BASE_MS = 500
export const RECONNECT_CAP_MS = 10_000
/** A connection that lived this long starts the doubling anew; one that dies sooner does not. */
export const CONNECTION_PROVEN_MS = 10_000
/** From the dial to CONNACK. */
export const CONNECT_TIMEOUT_MS = 10_000
export const KEEPALIVE_SECONDS = 30
/** The largest message that an external broker may send here. A command has at most 2 KiB of arguments. */
export const MAX_RECEIVED_BYTES = 256 * 1024
/** The same trouble is told at most this often. */
export const REPORT_INTERVAL_MS = 60_000
/** Time for the last acknowledgements and the farewell when the gateway stops. */
export const STOP_TIMEOUT_MS = 2_000
/** Own messages of the gateway (state, events) wait for their broker in memory, at most so many; older ones go first. */
export const MAX_WAITING_NOTES = 100

/** Embedded broker: the port everybody expects, and where to go when somebody else has it. */
export const EMBEDDED_PORT = 1883
export const EMBEDDED_FALLBACK_PORTS = 10
export const EMBEDDED_RETRY_MS = 10_000
export const EMBEDDED_USER = 'fieldwhisper'
/** Clients at one time. A Node-RED, a dashboard, a database and a few shells are ten. */
export const MAX_CLIENTS = 200
/** Of these, connections that have not logged in yet: strangers cannot take the places of those who may. */
export const MAX_STRANGERS = 40
/** Before CONNECT was accepted a packet may be this large, so that strangers cost no memory. */
export const MAX_CONNECT_PACKET_BYTES = 4 * 1024
/** Largest packet of a client that logged in. aedes itself has no limit; the parser would buffer 256 MiB. */
export const MAX_CLIENT_PACKET_BYTES = 256 * 1024
export const MAX_CLIENT_ID_BYTES = 128
export const MAX_TOPIC_LEVELS = 32
export const MAX_SUBSCRIPTIONS_PER_CLIENT = 500
/** From the TCP connection to a whole CONNECT. */
export const CLIENT_CONNECT_TIMEOUT_MS = 10_000
/** A subscriber that does not read holds up all others so long, then it is cut; less than PUBLISH_DEADLINE_MS. */
export const CLIENT_DRAIN_TIMEOUT_MS = 5_000
/** What may wait in memory for one subscriber's socket before that clock starts. Raised: more dies with the process. */
export const CLIENT_WRITE_BUFFER_BYTES = 256 * 1024
/** QoS 2 publishes of one client between PUBLISH and PUBREL. */
export const MAX_INBOUND_INFLIGHT = 100
/** Packets between CONNECT and CONNACK. */
export const MAX_EARLY_PACKETS = 8
/** A password file that was written by hand must lie between these; a generated one has 32 characters. */
export const MIN_PASSWORD_LENGTH = 12
export const MAX_PASSWORD_LENGTH = 256
export const PASSWORD_BYTES = 24
/** Persistent sessions (clean = false) and what waits in memory for them. */
export const MAX_SESSIONS = 100
export const MAX_SESSION_MESSAGES = 10_000
export const MAX_SESSION_BYTES = 32 * 1024 * 1024
/** Retained messages that other clients may leave outside the gateway's topics. */
export const MAX_FOREIGN_RETAINED = 1_000
export const MAX_FOREIGN_RETAINED_BYTES = 8 * 1024 * 1024
/** A change of their number is recorded after this. */
export const READERS_SAVE_MS = 1_000
/** After a restart readings wait so long for the subscribers that were there before it. Node-RED redials every 15 s. */
export const READERS_RETURN_MS = 16_000

/** Further listeners of the embedded broker, where they are asked for. */
export const EMBEDDED_TLS_PORT = 8883
export const EMBEDDED_WEBSOCKET_PORT = 9001
/** Head of the request for a WebSocket. */
export const MAX_UPGRADE_BYTES = 8 * 1024
/** Parts of one WebSocket message: each costs memory. */
export const MAX_FRAGMENTS = 256
/** Users of the embedded broker beside the gateway's own. */
export const MAX_BROKER_USERS = 100
export const MAX_USER_NAME_BYTES = 64
/** Filters of one user, for reading and for writing each. */
export const MAX_USER_FILTERS = 32
export const MAX_FILTER_BYTES = 512
/**
 * Cost of scrypt (RFC 7914): 16 MiB and about 50 ms for each try, one at a time. Raised: logging in takes longer on a Pi,
 * and a stolen file of users withstands longer.
 */
export const SCRYPT = { N: 2 ** 14, r: 8, p: 1, saltBytes: 16, hashBytes: 32 } as const
/** Passwords longer than this are not looked at. */
export const MAX_GIVEN_PASSWORD_BYTES = 1_024
