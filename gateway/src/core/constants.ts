/*
 * What DESIGN and docs/protocol.md fix.
 */

export const HOUR_MS = 3_600_000
export const DAY_MS = 24 * HOUR_MS

/** A signed prekey is new every day; its private half, and with it its doorbell, lives eight. */
export const SIGNED_PREKEY_ROTATION_MS = DAY_MS
export const SIGNED_PREKEY_LIFE_MS = 8 * DAY_MS
/** A one-time prekey waits so long for its session's successor. */
export const ONE_TIME_PREKEY_LIFE_MS = 90 * DAY_MS
/** A session ends so long after a newer one of its agent was confirmed. */
export const SUPERSEDED_SESSION_LIFE_MS = 8 * DAY_MS
export const INVITE_LIFE_MS = DAY_MS
export const MAX_OPEN_INVITES = 64
/** Hellos side by side on one successor, and of one agent at the doorbells; the next replaces the oldest. */
export const MAX_CANDIDATES = 16
/** Numbers above a stream's floor that are accepted. */
export const MAX_NUMBER_SPAN = 65_536
export const MAX_STREAM_RANGES = 1_024
export const MAX_OPEN_STREAMS = 256
/** A closed stream stays known so long. */
export const CLOSED_STREAM_LIFE_MS = 90 * DAY_MS
/** WELCOME, PREKEY and NOTICE are repeated after 2 s, then twice as late each time up to 60 s, until the agent has them. */
export const SETUP_REPEAT_MIN_MS = 2_000
export const SETUP_REPEAT_MAX_MS = 60_000
/** An agent that hears nothing takes 60 min to say so; meanwhile a gateway that holds readings back says it this often. */
export const HOLD_REPEAT_MS = 60_000
/** A refusal is answered once in so long to one key. */
export const REFUSAL_INTERVAL_MS = 60_000
/** A copy of an accepted hello, and a packet whose leaf is used, are answered once in so long. */
export const REPEAT_ANSWER_MS = 1_000
export const PARKED_PACKETS = 64
export const PARKED_BYTES = 128 * 1024
export const PARKED_MS = 5_000
export const MAX_COMMIT_PACKETS = 1_000
export const MAX_COMMIT_BYTES = 1024 * 1024
/** Packets received and not yet opened; above it nothing is read. */
export const MAX_WAITING_BYTES = 64 * 1024 * 1024
/** Sending counters are reserved in blocks, so that a restart never seals twice under one leaf. */
export const COUNTER_BLOCK = 64
/** Record numbers may jump this far before a second gateway or stolen keys are the better explanation. */
export const MAX_RECORD_JUMP = 10_000

/*
 * What this implementation chooses.
 */

/**
 * Acknowledgements of one session: ten a second after a burst of 20. One session has 2^16 packets for them and lasts an hour, so
 * more would exhaust it; fewer would delay `acknowledged` on the agent's screen.
 */
export const ACKS_PER_SECOND = 10
export const ACK_BURST = 20
/** After an hour of repeating to an agent that says nothing, once an hour is enough: its mailbox keeps them. */
export const SETUP_PATIENCE_MS = HOUR_MS
/** Hellos: a link 2/s, all successors 50/s, all doorbells 20/s; older doorbell epochs a tenth of that. */
export const HELLO_BUDGET = {
  link: { perSecond: 2, burst: 8 },
  successor: { perSecond: 50, burst: 200 },
  doorbell: { perSecond: 20, burst: 40 },
  oldEpoch: { perSecond: 2, burst: 4 },
} as const
/** Hellos waiting for the worker: some seconds of its budget. */
export const HELLO_QUEUE = 256
/** Accepted hellos remembered for one doorbell: 64 an agent was the attack; this many in all. */
export const MAX_HELLOS_A_PREKEY = 16_384
/** Packets that do not open: 200/s a link or address, above which the rest is dropped unread. */
export const FAILURE_BUDGET = { perSecond: 200, burst: 400 } as const
/** Refused hellos whose answer is kept for a second copy. */
export const MAX_REFUSALS_KEPT = 256
/** Invites that were used or expired, kept so that a late join is told why it is refused. */
export const MAX_CLOSED_INVITES = 1_024
/** A commit that failed for want of room is tried again after so long. */
export const COMMIT_RETRY_MS = 1_000
