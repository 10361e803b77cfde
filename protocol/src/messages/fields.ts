import { asArray, asUint, type CborValue } from '../cbor.js'
import { malformed } from '../errors.js'
import type { Range } from './types.js'

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
