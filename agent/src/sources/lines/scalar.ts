import { MAX_TEXT_BYTES } from '../constants.js'
import { isText, type LineValue } from './line.js'

const NUMBER = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/
/** What C prints for a measurement that failed. */
const NO_NUMBER = /^[+-]?(?:nan|inf|infinity)$/i
/** Text without quotes starts with a letter: `10#3` and `2?.5` are damaged numbers, not words. */
const WORD = /^\p{L}[\p{L}\p{N}_.+/-]*$/u
/** More digits than a double can tell apart are no measurement. */
const MAX_NUMBER_LENGTH = 40

/** Marks text that is no value at all. */
export const DAMAGED = Symbol('damaged')

/** A number as a device prints it. `undefined`: there is none (empty, `nan`). */
export function parseNumber(text: string, decimalComma: boolean): number | undefined | typeof DAMAGED {
  if (text === '' || NO_NUMBER.test(text)) return undefined
  if (text.length > MAX_NUMBER_LENGTH) return DAMAGED
  const plain = decimalComma ? text.replace(',', '.') : text
  if (!NUMBER.test(plain)) return DAMAGED
  const value = Number(plain)
  return Number.isFinite(value) ? value : DAMAGED
}

/** A number, `true`, `false`, or a word. */
export function parseScalar(text: string, decimalComma: boolean): LineValue | undefined | typeof DAMAGED {
  const value = parseNumber(text, decimalComma)
  if (value !== DAMAGED) return value
  const lower = text.toLowerCase()
  if (lower === 'true') return true
  if (lower === 'false') return false
  return WORD.test(text) && Buffer.byteLength(text) <= MAX_TEXT_BYTES ? text : DAMAGED
}

/** Text that the device put between quotes. */
export function parseQuoted(text: string): string | typeof DAMAGED {
  return isText(text) && Buffer.byteLength(text) <= MAX_TEXT_BYTES ? text : DAMAGED
}
