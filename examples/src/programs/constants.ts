/** From the request to end (SIGTERM) to SIGKILL. */
export const STOP_MS = 5_000
/** A program that died is started again after this, then twice as long each time up to the cap. */
export const RESTART_BASE_MS = 500
export const RESTART_CAP_MS = 15_000
/** A program that ran so long begins again with the shortest wait. */
export const RESTART_PROVEN_MS = 30_000
/** A log file this long becomes `<name>.1`, and the one before goes: twice this for each program. */
export const LOG_BYTES = 1024 * 1024
/** A line without end is cut here, so that a program gone mad costs no memory. */
export const LINE_BYTES = 64 * 1024
/** Output that is kept of a command that runs to its end. */
export const OUTPUT_LINES = 1_000
/** Neighbouring ports that are tried before any free one is taken. */
export const NEIGHBOUR_PORTS = 20
/** A program that runs answers its control socket well within this. */
export const ASK_MS = 2_000
