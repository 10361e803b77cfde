/*
 * What the design fixes (sections 6 and 7).
 */

/** An unacknowledged packet is offered again on the LAN after 2 s, then twice as late each time, up to 60 s. */
export const LAN_REPEAT_MIN_MS = 2_000
export const LAN_REPEAT_MAX_MS = 60_000
/** A relay that said "stored" is offered the packet again so much later: it may lie. */
export const RELAY_STORED_MS = 6 * 3_600_000
/** Whatever a relay refused, for any reason, give or take a fifth. */
export const RELAY_REFUSED_MS = 60_000
export const RELAY_REFUSED_JITTER = 0.2
/** Without an ACK on any open link for so long, and something outstanding: searching. */
export const ACK_SILENCE_MS = 60_000
/** While searching, every link gets one packet so often. */
export const SEARCH_OFFER_MS = 60_000

/*
 * What this implementation chooses.
 */

/** Of the window, kept for readings that were just taken: a long backlog never delays them. */
export const LIVE_PACKETS = 256
export const LIVE_BYTES = 1024 * 1024
/** Offers in one step; what is left comes with the next. Raised, a step holds up the event loop for longer. */
export const OFFERS_A_STEP = 256
/** Deposits on their way to one relay. Raised, a slow relay's answers are waited for in a longer queue. */
export const DEPOSITS_IN_FLIGHT = 256
/** A link or socket that took no more is tried again after so long. */
export const BUSY_MS = 100
export const UNSENT_MS = 1_000
/** Unacknowledged packets are looked through for repeats that are due this often. */
export const SCAN_MS = 250
/** A packet that is sent once and not waited for is forgotten after so long, if a full socket did not take it. */
export const ONCE_MS = 10_000
