/*
 * Fixed from outside.
 */

/** Symbols of the SenML units registry. RFC 8428: `%` means the ratio 0..1, not a percentage, hence `/100` (RFC 8798). */
export const UNIT_PERCENT = '/100'
export const UNIT_CELSIUS = 'Cel'
export const UNIT_BYTE = 'B'
export const UNIT_BYTE_PER_SECOND = 'B/s'
export const UNIT_SECOND = 's'

/*
 * Chosen here.
 */

/** Samples handed over and not yet on disk, per source. At 2,000/s this is two seconds of a disk that does not answer. */
export const MAX_SAMPLES_PENDING = 4_096

/** One report of discarded input at most this often, so that a broken cable does not fill the log. */
export const DISCARD_REPORT_INTERVAL_MS = 60_000

/** A source that ran this long starts again with the shortest pause. Shorter, and a loose plug would be an event a second. */
export const HEALTHY_AFTER_MS = 60_000

/** system: a poll is given up after this. `sensors` on a slow Pi takes 300 ms; a hanging file system takes for ever. */
export const POLL_LIMIT_MS = 4_000
/** system: polls given up that may still hang, per kind of reading. Each can hold a child process or a thread. */
export const MAX_POLLS_HANGING = 2
/** system: pauses after a failed poll. What fails once usually fails for hours (no such sensor, dead mount). */
export const POLL_RETRY_FIRST_MS = 5_000
export const POLL_RETRY_MOST_MS = 300_000
/** system: network interfaces without `interfaces:`. A host of containers makes new ones all day; names are limited. */
export const MAX_INTERFACES = 8

/** serial: pauses before a port is opened again. Replugging should show within seconds; asking costs nothing. */
export const PORT_RETRY_FIRST_MS = 1_000
export const PORT_RETRY_MOST_MS = 10_000
/** serial: after this an opening port is reported as slow (Bluetooth serial ports take long), the attempt goes on. */
export const PORT_OPEN_LIMIT_MS = 15_000
/** serial: closing a port is waited for this long. A driver may hang when its device was pulled out. */
export const PORT_CLOSE_LIMIT_MS = 2_000
/** serial: how often an open port's path is looked at (one `stat`). */
export const PORT_WATCH_INTERVAL_MS = 2_000
/** serial: when bytes come this soon after opening, a line was under way and its front is missing: it is skipped. */
export const MID_LINE_MS = 100
/** serial: the highest length of a line that can be configured, without its end, in bytes. */
export const MAX_LINE_BYTES = 65_536
/** serial: readings from one line, and different names from one port. A garbled line can invent names without end. */
export const MAX_VALUES_PER_LINE = 64
export const MAX_NAMES_PER_PORT = 200
/** serial: a name inside a line, a text value and the nesting of JSON objects. */
export const MAX_KEY_BYTES = 64
export const MAX_TEXT_BYTES = 1_024
export const MAX_JSON_DEPTH = 8

/** simulate: how often due samples are handed over, and how much of a stall is made up for. */
export const SIMULATE_TICK_MS = 10
export const SIMULATE_CATCH_UP_MS = 1_000
/** simulate: samples a second of one source, all its series together. */
export const MAX_SIMULATED_RATE = 20_000
