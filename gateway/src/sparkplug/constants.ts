// What Sparkplug B 3.0 fixes. Chapter and section of the specification in parentheses.

/** First level of every topic (4.1.1). */
export const NAMESPACE = 'spBv1.0'
/** Before 3.0 a host told its state outside the namespace, as bare text. */
export const LEGACY_STATE_TOPIC = 'STATE'
/** `seq` and `bdSeq` count 0 to 255 and begin anew (6.4.5). */
export const SEQUENCE_MODULUS = 256
/** Ties a death to its birth (6.4.6). */
export const BDSEQ_METRIC = 'bdSeq'
/** A host writes true to it to have every birth again (6.4.6). */
export const REBIRTH_METRIC = 'Node Control/Rebirth'
/** Key and codes of the one property that the specification names (6.4.8). */
export const QUALITY_PROPERTY = 'Quality'
export const QUALITY_BAD = 0
export const QUALITY_GOOD = 192
export const QUALITY_STALE = 500

/** Types of values (6.4.2): those that readings need, and the numbers that a host may write. */
export const DATA_TYPE = {
  Int8: 1,
  Int16: 2,
  Int32: 3,
  Int64: 4,
  UInt8: 5,
  UInt16: 6,
  UInt32: 7,
  UInt64: 8,
  Double: 10,
  Boolean: 11,
  String: 12,
  DateTime: 13,
  Bytes: 17,
} as const
export type DataType = (typeof DATA_TYPE)[keyof typeof DATA_TYPE]

// What hosts expect by custom.

/** Unit of a metric. The specification names no key for it; this is the one that the common hosts show. */
export const UNIT_PROPERTY = 'engUnit'

// What this implementation chooses.

/** A command of a host. Values of readings are 8 KiB at most; raised: more memory for whoever may write to the broker. */
export const MAX_COMMAND_BYTES = 64 * 1024
/** Metrics in one command: one for each name of a device would be 1,000; hosts write one, or a form of some. */
export const MAX_COMMAND_METRICS = 100
/** A reading's name has at most so many bytes, so a longer one is nobody's. */
export const MAX_METRIC_NAME_BYTES = 128
/** A STATE message has two members. */
export const MAX_STATE_BYTES = 1024

/** Names of one device (DESIGN section 9) and of all: each costs a few hundred bytes here and in every birth. */
export const MAX_METRICS_PER_DEVICE = 1_000
export const MAX_METRICS = 200_000
/** Text and bytes as current values in one DBIRTH; those beyond are told as null. Brokers cap packets, some at 2 MB. */
export const MAX_BIRTH_TEXT_BYTES = 1024 * 1024
/** Metrics in one DDATA: about 20 KiB of numbers. Raised: a host waits longer for the first of them. */
export const MAX_DATA_METRICS = 500
/** Text and bytes in one DDATA. One value has at most 8 KiB. */
export const MAX_DATA_TEXT_BYTES = 128 * 1024

/** DDATA between two fences. Raised: more is sent again after a broken connection. */
export const WINDOW_MESSAGES = 64
/** DDATA that no fence has confirmed: four windows, so that the broker's round trip does not stop the flow. */
export const MAX_UNCONFIRMED = 4 * WINDOW_MESSAGES
/** A rebirth says everything again; hosts that ask all the time get it once in this time. */
export const REBIRTH_INTERVAL_MS = 2_000
