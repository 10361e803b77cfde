import { asArray, asFinite, asText, asUint, type CborValue } from '../cbor.js'
import { MAX_FIELD_NAME_BYTES, MAX_FIELDS } from '../constants.js'
import { malformed } from '../errors.js'
import type { Fields, FieldValue, Range } from './types.js'

export function rangesToCbor(ranges: readonly Range[]): CborValue {
  return ranges.map(({ from, to }) => [from, to])
}

/** Ascending, none empty, none touching the one before. */
export function rangesFromCbor(value: CborValue | undefined, what: string, max: number): Range[] {
  let previous = -1
  return asArray(value, what, 0, max).map((entry) => {
    const [first, last] = asArray(entry, what, 2)
    const range = { from: asUint(first, what), to: asUint(last, what) }
    if (range.from >= range.to || range.from <= previous) throw malformed(`${what} are not ascending`)
    previous = range.to
    return range
  })
}

/** A word of a closed list as its index. */
export function wordToCbor<T extends string>(words: readonly T[], word: T): number {
  return words.indexOf(word)
}

export function wordFromCbor<T extends string>(
  words: readonly T[],
  value: CborValue | undefined,
  what: string,
): T {
  return words[asUint(value, what, words.length - 1)]!
}

/** The decoder takes no more bytes than a whole message may have, so a value needs no bound of its own. */
export function fieldsFromCbor(value: CborValue | undefined, what: string): Fields {
  const names = new Set<string>()
  return asArray(value, what, 0, MAX_FIELDS).map((entry) => {
    const [first, second] = asArray(entry, what, 2)
    const name = asText(first, what, 1, MAX_FIELD_NAME_BYTES)
    if (names.has(name)) throw malformed(`${what} name a field twice`)
    names.add(name)
    return [name, fieldValue(second, what)] as const
  })
}

function fieldValue(value: CborValue | undefined, what: string): FieldValue {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  return asFinite(value, what)
}
