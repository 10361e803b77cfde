/*
 * What the design fixes (sections 4 to 6).
 */

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS

/** A session is replaced after an hour or 2^15 packets, if it was answered; 2^16 is the end of its key tree. */
export const REKEY_AFTER_MS = HOUR_MS
export const REKEY_AFTER_PACKETS = 1 << 15
/** What is still unacknowledged in the old session so long after a new one was answered is sealed anew. */
export const RESEAL_AFTER_MS = MINUTE_MS
/** Silence of the gateway with something outstanding: one probe, then the doorbell, then every 6 h ± 20 %. */
export const PROBE_AFTER_MS = 15 * MINUTE_MS
export const LOST_AFTER_MS = HOUR_MS
export const LOST_AFTER_NEWER_RECORD_MS = 5 * MINUTE_MS
export const LOST_AGAIN_MS = 6 * HOUR_MS
export const LOST_AGAIN_JITTER = 0.2
/** A record is verified only if its number is higher, and at most once in this time for one sender. */
export const VERIFY_INTERVAL_MS = 1_000
/** An ACK's echo tells the time only if its round trip was no longer. */
export const MAX_ECHO_ROUND_TRIP_MS = 2_000
/** Streams in one DATA beside that of its batch. */
export const OTHER_STREAMS = 32
/** After so long without an ACK batches begin to stay open for longer, up to a minute. */
export const SLOW_BATCHES_AFTER_MS = MINUTE_MS
export const SLOWEST_BATCH_MS = MINUTE_MS

/*
 * What this implementation chooses.
 */

/** What is to be confirmed waits so long for a batch to ride on (the design allows 1 s). */
export const CONFIRM_AFTER_MS = 250
/** A batch that waited longer must not overwrite a live value. */
export const HISTORICAL_AFTER_MS = MINUTE_MS
/** Packets sealed in one step, and batches looked at for it. */
export const SEALS_A_STEP = 64
export const LOOKED_AT_A_STEP = 512
/** Streams of dead processes in flight at a time; the gateway keeps 256 open. */
export const STREAMS_IN_FLIGHT = 128
/** The gateway takes numbers up to 65,536 above the floor of a stream. */
export const NUMBER_SPAN = 60_000
/** Just closed batches that wait for a session to seal them first. */
export const LIVE_QUEUE = 256
/** Gaps in one packet, and how often they are said again while the gateway is heard. */
export const GAPS_A_PACKET = 8
export const GAP_REPEAT_MIN_MS = 2_000
/** An agent that has nothing to say and waits for nothing says so, so that its gateway knows that it is there. */
export const HEARTBEAT_MS = 60_000
export const GAP_REPEAT_MAX_MS = 60_000
/** They are not said into silence. Longer than the pause between two, or an agent that has nothing else to say would stop. */
export const HEARD_WITHIN_MS = 90_000
/** Commands taken and not yet answered for, as many as a gateway has open with one agent. */
export const MAX_COMMANDS = 64
/** Replies in one packet: with the gaps of one they fit it. They are said again like gaps, and not longer than anybody waits for them. */
export const REPLIES_A_PACKET = 3
export const REPLY_REPEAT_MIN_MS = 2_000
export const REPLY_REPEAT_MAX_MS = 60_000
export const REPLY_KEPT_MS = 15 * MINUTE_MS
/** A command's stamp may be ahead of this clock by what two crystals drift apart in the days between two words of an agent. */
export const MAX_STAMP_AHEAD_MS = MINUTE_MS
/** Unanswered tries that are still listened for. */
export const MAX_TRIES = 8
/** Mailboxes of earlier tries that are still to be removed at relays. */
export const MAX_OLD_MAILBOXES = 64
/** A gateway that was not heard for so long with something outstanding is not asked for a planned rekey. */
export const QUIET_MS = MINUTE_MS
/** How often relays and links are asked for a record that is needed to begin, and while the gateway is silent. */
export const ASK_FIRST_MS = 10_000
export const ASK_SILENT_MS = 5 * MINUTE_MS
export const SILENT_ENOUGH_TO_ASK_MS = 4 * MINUTE_MS
/** The clock of silence is written this often; a crash forgets as much. */
export const SAVE_SILENCE_MS = 5 * MINUTE_MS
/** A state file that could not be written is tried again after so long. */
export const SAVE_AGAIN_MS = 10_000
/** Packets that do not open: a burst, then so many a second from one path, above which the rest is dropped unread. */
export const FAILURE_BUDGET = { perSecond: 200, burst: 400 } as const
/** The operator hears of them so often at most. */
export const FAILURES_TOLD_MS = 10 * MINUTE_MS
export const MAX_SENDERS = 1_024
