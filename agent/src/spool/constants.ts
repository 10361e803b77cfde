/*
 * What the design fixes (sections 5 and 6).
 */

/** A reading is on disk, and `append` has returned, after at most so long. */
export const COMMIT_MS = 100
/** While nothing is acknowledged, batches are closed as late as this. */
export const MAX_BATCH_INTERVAL_MS = 60_000

/*
 * What this implementation chooses.
 */

/** Readings handed over and not yet on disk. Raised, a disk that does not answer costs more memory. */
export const MAX_PENDING_READINGS = 16_384
/** Readings in one commit: a few milliseconds of encoding. */
export const READINGS_A_TURN = 2_000
/** Acknowledged or dropped batches erased in one commit. */
export const BATCHES_A_TURN = 512
/** Batches that were just closed are kept encoded, so that sealing them reads no disk. */
export const FRESH_BATCHES = 64
/** Streams in memory, each a few hundred bytes. A device that restarts more often without its gateway loses the oldest. */
export const MAX_STREAMS = 10_000
/** With less than the wanted room, so much is dropped at once: dropping a batch for every batch would double each commit. */
export const DROP_AT_ONCE_BYTES = 64 * 1024
/** How often the free disk and the age of the oldest batches are looked at. */
export const LIMITS_CHECK_MS = 5_000
/** A disk that refused is asked again after so long. */
export const RETRY_MS = 1_000
/** Ranges of a gap beyond which neighbours are joined over what is acknowledged between them. */
export const MAX_GAP_RANGES = 64
/** A full spool says so once in this time. */
export const FULL_REPORT_MS = 60_000
/** How often the file beside the identity is brought up to date. */
export const MARK_SAVE_MS = 600_000
/**
 * A disk that others fill must not cost readings while the gateway is there: the spool may always hold so much, in room that its
 * file was given at its start (four times as much: the engine extends the file although it has unused pages).
 */
export const ALWAYS_BYTES = 4 * 1024 * 1024
export const SPOOL_RESERVE_BYTES = 4 * ALWAYS_BYTES
/** A page of readings for the operator: with 6 bytes of JSON for a byte it still fits one answer of the control socket. */
export const MAX_PAGE_READINGS = 5_000
export const MAX_PAGE_BYTES = 256 * 1024
/** Batches counted in one go, a few milliseconds. */
export const STATS_A_TURN = 1_000
