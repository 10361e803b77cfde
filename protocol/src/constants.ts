/*
 * What the protocol fixes (docs/protocol.md). A change here is another wire version.
 */

export const PROTOCOL_VERSION = 1

/** Packet types, the low four bits of the first byte. */
export const PACKET_HELLO = 1
export const PACKET_DATA = 2

export const HEADER_BYTES = 30
export const ADDRESS_OFFSET = 2
export const ADDRESS_BYTES = 16
export const COUNTER_OFFSET = 18
export const NONCE_BYTES = 12
export const TAG_BYTES = 16

/** Largest packet on any path, header and tag included. */
export const MAX_PACKET_BYTES = 16_384
/** Largest hello, first data included. */
export const MAX_HELLO_BYTES = 8_192

/** Plaintexts are padded to this, above it with Padmé. */
export const MIN_PLAINTEXT_BYTES = 256
/** Largest padded plaintext: the largest Padmé size whose packet fits MAX_PACKET_BYTES. */
export const MAX_PLAINTEXT_BYTES = 15_872
/** Two bytes of the plaintext hold the length of the content. */
export const MAX_CONTENT_BYTES = MAX_PLAINTEXT_BYTES - 2

/** Largest content that rides along in a hello: the largest Padmé size whose hello fits MAX_HELLO_BYTES, less its length. */
export const MAX_HELLO_CONTENT_BYTES = 6_398

export const KEY_BYTES = 32
export const SIGNATURE_BYTES = 64
export const KEM_PUBLIC_BYTES = 1_184
export const KEM_CIPHERTEXT_BYTES = 1_088
export const KEM_SEED_BYTES = 64
export const SESSION_ID_BYTES = 8
export const STREAM_BYTES = 12
export const FINGERPRINT_BYTES = 16
export const BOOT_ID_BYTES = 8

/** box1's plaintext has this size whatever it holds, so that it tells neither the kind nor the length of a name. */
export const BOX1_PLAINTEXT_BYTES = 384
export const KNOCK_BYTES = 20

/** Leaves of a key tree: packets of one direction of one session. */
export const TREE_DEPTH = 16
export const TREE_LEAVES = 1 << TREE_DEPTH

/** Names of devices: UTF-8, what fits box1 with room to spare. */
export const MAX_DEVICE_NAME_BYTES = 64
export const MAX_READING_NAME_BYTES = 128
export const MAX_UNIT_BYTES = 32
/** Largest encoded reading, and largest encoded batch (which must leave room for floors in its packet). */
export const MAX_READING_BYTES = 8_192
export const MAX_BATCH_BYTES = 12_288
export const MAX_BATCH_READINGS = 4_096

/**
 * Times in milliseconds: years 1 to 9999 of RFC 3339 on the wall, nothing before its boot and as long on the monotonic clock.
 * The last second is left to rounding.
 */
export const MIN_WALL_MS = -62_135_596_800_000
export const MAX_WALL_MS = 253_402_300_799_000
export const MAX_MONO_MS = MAX_WALL_MS

export const MAX_FLOORS = 33
export const MAX_ACK_BYTES = 8_192
export const MAX_ACK_RANGES = 64
export const MAX_GAP_RANGES = 64
export const MAX_RELAYS = 8

/** Largest body of a COMMAND or a REPLY: arguments and results are settings and values, no files. */
export const MAX_COMMAND_BYTES = 2_048
export const MAX_COMMAND_NAME_BYTES = 64
/** A command that is older than this is never carried out. */
export const MAX_COMMAND_TTL_MS = 600_000
/** Arguments of a COMMAND, values in the result of a REPLY; and their names. */
export const MAX_FIELDS = 64
export const MAX_FIELD_NAME_BYTES = 128
export const MAX_REPLY_CODE_BYTES = 64
export const MAX_REPLY_TEXT_BYTES = 256

/** Labels of hashes, signatures and key derivations: each is used in one place only. */
export const LABEL = {
  address: 'fw1 address',
  agentSignature: 'fw1 agent',
  certificate: 'fw1 certificate',
  deviceKey: 'fw1 device key',
  directoryAddress: 'fw1 directory',
  doorbellSecret: 'fw1 doorbell',
  hello: 'fw1 hello',
  helloKeys: 'fw1 hello keys',
  inviteChecksum: 'fw1 invite',
  knockInvite: 'fw1 knock invite',
  record: 'fw1 prekey record',
  relayProof: 'fw1 relay proof',
  root: 'fw1 root',
  session: 'fw1 session',
  sessionAccepted: 'fw1 accepted',
  site: 'fw1 site',
  box2: 'fw1 box2',
  node: 'fw1 node',
  resumption: 'fw1 resumption',
  addressUp: 'fw1 address up',
  addressDown: 'fw1 address down',
  treeUp: 'fw1 tree up',
  treeDown: 'fw1 tree down',
  successorAddress: 'fw1 successor address',
  successorKnock: 'fw1 successor knock',
} as const

/*
 * What this implementation chooses.
 */

/**
 * Nodes kept for one direction: 128 KiB. Raised, a hostile agent that uses every second leaf costs more memory; lowered, a
 * relay that hands over a long mailbox out of order makes the gateway give leaves up and the agent seal them again.
 */
export const MAX_TREE_NODES = 4_096

/** Depth and items of a CBOR body: what lies above is refused as it is read. */
export const MAX_CBOR_DEPTH = 8
export const MAX_CBOR_ITEMS = 40_000
