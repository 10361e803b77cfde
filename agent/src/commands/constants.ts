/*
 * What this implementation chooses.
 */

/** A program or file that an output writes to is given up after so long: a valve that has not moved by then needs a person. */
export const OUTPUT_LIMIT_MS = 10_000
/** What is measured now is waited for so long; a poll of the machine is given up a second earlier. */
export const READ_LIMIT_MS = 5_000
/** Bytes of a value that is written: a setting, not a file. */
export const MAX_VALUE_BYTES = 1_024
/** Bytes of the values in one reply, so that it fits its packet with everything around them. */
export const RESULT_BYTES = 1_536
/** Outputs of one agent. */
export const MAX_OUTPUTS = 32
