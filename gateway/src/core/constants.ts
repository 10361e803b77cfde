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
/** Numbers of batches above a stream's floor that are accepted. */
export const MAX_NUMBER_SPAN = 65_536
export const MAX_STREAM_RANGES = 1_024
/** Streams of one agent in which something is missing. */
export const MAX_OPEN_STREAMS = 256
/** A closed stream stays known so long. */
export const CLOSED_STREAM_LIFE_MS = 90 * DAY_MS
/** WELCOME, PREKEY and NOTICE are repeated after 2 s, then twice as late each time up to 60 s, until the agent has them. */
export const SETUP_REPEAT_MIN_MS = 2_000
export const SETUP_REPEAT_MAX_MS = 60_000
/** An agent that hears nothing takes 60 min to say so; meanwhile a gateway that holds readings back says it this often. */
export const HOLD_REPEAT_MS = 60_000
/** A line of sessions that said nothing for so long is gone; another one of the same device is then no copy. */
export const COPY_SILENT_MS = 600_000
/** A refusal is answered once in so long to one key. */
export const REFUSAL_INTERVAL_MS = 60_000
/** A copy of an accepted hello, and a packet whose leaf is used, are answered once in so long. */
export const REPEAT_ANSWER_MS = 1_000
export const PARKED_PACKETS = 64
export const PARKED_BYTES = 128 * 1024
export const PARKED_MS = 5_000
export const MAX_COMMIT_PACKETS = 1_000
export const MAX_COMMIT_BYTES = 1024 * 1024
/** A commit that took longer is followed by one half as big. */
export const LATE_COMMIT_MS = 10_000
/** Sending counters are reserved in blocks, so that a restart never seals twice under one leaf. */
export const COUNTER_BLOCK = 64
/** Signed records, about one a day, may jump this far before a second gateway or stolen keys are the better explanation. */
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
/**
 * Hellos: a link 2/s. One agent's successors one in 5 s, so that it cannot use up what all have; the burst is a mailbox with the
 * hellos of a night of restarts. What all share stands in limits.ts.
 */
export const HELLO_BUDGET = {
  link: { perSecond: 2, burst: 8 },
  agent: { perSecond: 0.2, burst: 32 },
} as const
/** Agents that said hello in the last minutes. */
export const MAX_HELLO_AGENTS = 16_384
/** Hellos waiting for the worker: some seconds of its budget. */
export const HELLO_QUEUE = 256
/** Ways over which copies of one hello came; more of them are somebody's game. */
export const MAX_HELLO_ROUTES = 16
/**
 * Accepted hellos remembered for one prekey. When they are half as many there is a new signed one; at the limit no more are taken,
 * because one that is not remembered could be replayed. All of one prekey's are erased in one turn.
 */
export const MAX_HELLOS_A_DOORBELL = 16_384
export const MAX_HELLOS_A_SUCCESSOR = 256
/** Packets that do not open: 200/s a link or address, 1,000/s in all, above which the rest waits or is dropped unread. */
export const FAILURE_BUDGET = { perSecond: 200, burst: 400 } as const
export const FAILURES_IN_ALL = { perSecond: 1_000, burst: 2_000 } as const
/** The operator hears of them so often at most. */
export const FAILURES_TOLD_MS = 10 * 60_000
/** Packets of relays that wait for a budget: a relay hands each over once a connection, so they are not dropped. */
export const MAX_SET_ASIDE_BYTES = 8 * 1024 * 1024
export const SET_ASIDE_A_TICK = 64
/** A relay whose packets could not be kept is asked for them again by a new connection, not more often than this. */
export const RELAY_RENEWAL_MS = 60_000
/** With less unopened than this there is room for what a relay hands over again. */
export const CALM_BYTES = 1024 * 1024
/** Packets that overtook their hello, of all links together. */
export const MAX_PARKED_BYTES = 4 * 1024 * 1024
/** What a waiting packet takes in memory beside its bytes: small ones must not slip through the bound. */
export const ARRIVAL_OVERHEAD_BYTES = 256
/** Records that change in one turn: a fifth of what the store takes in one commit, since one task or packet may add thousands. */
export const MAX_TURN_WRITES = 20_000
/**
 * Sessions of one agent: 16 candidates twice, what they continue, and some that are not empty yet. An agent that restarts all the
 * time would else leave one behind each time for eight days.
 */
export const MAX_SESSIONS_AN_AGENT = 48
/** Streams of one agent that are remembered; above it complete ones go, the oldest first. */
export const MAX_STREAMS = 1_280
/** So many of them go at a time. */
export const STREAMS_FORGOTTEN = 128
/** Streams in one ACK: those of one DATA. */
export const MAX_ACKED_STREAMS = 33
/** An agent that claims to have taken NOTICEs beyond this is not believed: ids have 32 bits. */
export const MAX_NOTICE_ID = 0x7fff_ffff
/** Commands without an answer: of one agent, as many as it takes; of all, what a script gone wild may hold in memory (2 MiB). */
export const MAX_COMMANDS_AN_AGENT = 64
export const MAX_OPEN_COMMANDS = 1_000
/** Commands in one packet: what an ACK and a NOTICE at their largest leave of it, so at least one. */
export const COMMAND_BYTES_A_PACKET = 3_500
/** And so many at most: an agent reads 64 messages in a packet, whatever else is in it. The next ones follow when these are taken. */
export const COMMANDS_A_PACKET = 32
/** An answer that was given in the last moment is waited for. */
export const COMMAND_GRACE_MS = 2_000
/** A command that was taken may work for 10 s after its time was over; its answer has as much again to come by half. */
export const COMMAND_WORK_MS = 15_000
/** Links that asked again since the last answer of a session. */
export const MAX_ASKERS = 8
/** Refused devices whose answer is kept. */
export const MAX_REFUSALS_KEPT = 256
/** Invites that were used or expired, kept so that a late join is told why it is refused. */
export const MAX_CLOSED_INVITES = 1_024
/**
 * A restored gateway goes on so far above the record it was shown: another relay or link may hold one some days newer, and must
 * not be taken for a second gateway.
 */
export const RESTORE_MARGIN = 1_000
/** An agent that speaks of so many enrolments and revocations more than this gateway knows is not believed. */
export const MAX_REVISION_JUMP = 100_000
/** Records of its own slot that a gateway verifies: one a second a link or relay, ten a second over links. */
export const OWN_RECORD_BUDGET = { perSecond: 1, burst: 4 } as const
export const OWN_RECORDS_BY_LINKS = { perSecond: 10, burst: 64 } as const
/** Lifetimes are looked at so often. */
export const HOUSEKEEPING_MS = 60_000
/** While readings are held back, all sessions are gone through so often. */
export const HOLD_LOOK_MS = 1_000
/** A commit that failed for want of room is tried again after so long. */
export const COMMIT_RETRY_MS = 1_000
