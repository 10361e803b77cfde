import { editCbor, splice } from './cbor-edits.js'
import type { SeededNumbers } from './random.js'

/** Values at which lengths, counters and signs turn over. */
const EDGES = [0, 1, 2, 15, 16, 23, 24, 31, 32, 63, 64, 127, 128, 254, 255]
const WIDE_EDGES = [0, 1, 255, 256, 4_095, 4_096, 16_384, 20_480, 32_767, 32_768, 65_535]

export interface MutationOptions {
  readonly maxBytes: number
  readonly dictionary: readonly Uint8Array[]
  /** Others of the corpus, to splice with. */
  readonly others: readonly Uint8Array[]
  /** Text: what is inserted is more often printable. */
  readonly text: boolean
}

/** One to eight small changes of an input. */
export function mutate(input: Uint8Array, numbers: SeededNumbers, options: MutationOptions): Uint8Array {
  let out = input
  const changes = 1 << numbers.below(4)
  for (let i = 0; i < changes; i++) out = change(out, numbers, options)
  return out.length > options.maxBytes ? out.slice(0, options.maxBytes) : new Uint8Array(out)
}

function change(input: Uint8Array, numbers: SeededNumbers, options: MutationOptions): Uint8Array {
  const at = numbers.below(input.length)
  switch (numbers.below(12)) {
    case 0:
      return set(input, at, (input[at] ?? 0) ^ (1 << numbers.below(8)))
    case 1:
      return set(input, at, options.text ? 32 + numbers.below(95) : numbers.next())
    case 2:
      return set(input, at, numbers.pick(EDGES))
    case 3:
      return set(input, at, (input[at] ?? 0) + numbers.below(9) - 4)
    case 4:
      return setLength(input, at, numbers)
    case 5:
      return input.subarray(0, numbers.below(input.length + 1))
    case 6:
      return splice(input, at, Math.min(input.length, at + 1 + small(numbers)), new Uint8Array(0))
    case 7: {
      const piece = input.slice(at, at + 1 + small(numbers) * (1 + numbers.below(8)))
      const where = numbers.below(input.length + 1)
      return splice(input, where, where, repeated(piece, numbers.below(8) === 0 ? numbers.below(64) : 1))
    }
    case 8: {
      const filler = new Uint8Array(1 + small(numbers)).fill(numbers.pick(EDGES))
      return splice(input, at, at, filler)
    }
    case 9:
      return insertWord(input, at, numbers, options.dictionary)
    case 10:
      return crossed(input, numbers, options.others)
    default:
      return options.text ? insertWord(input, at, numbers, options.dictionary) : editCbor(input, numbers)
  }
}

function small(numbers: SeededNumbers): number {
  return numbers.below(1 << numbers.below(7))
}

function repeated(piece: Uint8Array, times: number): Uint8Array {
  const out = new Uint8Array(piece.length * times)
  for (let i = 0; i < times; i++) out.set(piece, i * piece.length)
  return out
}

function set(input: Uint8Array, at: number, value: number): Uint8Array {
  const copy = new Uint8Array(input)
  if (at < copy.length) copy[at] = value
  return copy
}

/** A 16-bit big-endian field: an edge, or what is left of the input behind it, give or take one. */
function setLength(input: Uint8Array, at: number, numbers: SeededNumbers): Uint8Array {
  if (at + 2 > input.length) return input
  const rest = input.length - at - 2
  const value = numbers.below(2) === 0 ? numbers.pick(WIDE_EDGES) : Math.max(0, rest + numbers.below(3) - 1)
  const copy = new Uint8Array(input)
  copy[at] = value >>> 8
  copy[at + 1] = value
  return copy
}

function insertWord(
  input: Uint8Array,
  at: number,
  numbers: SeededNumbers,
  dictionary: readonly Uint8Array[],
): Uint8Array {
  if (dictionary.length === 0) return input
  const word = numbers.pick(dictionary)
  const over = numbers.below(2) === 0 ? word.length : 0
  return splice(input, at, Math.min(input.length, at + over), word)
}

/** The front of this and the back of another. */
function crossed(input: Uint8Array, numbers: SeededNumbers, others: readonly Uint8Array[]): Uint8Array {
  if (others.length === 0) return input
  const other = numbers.pick(others)
  return splice(
    input,
    numbers.below(input.length + 1),
    input.length,
    other.slice(numbers.below(other.length + 1)),
  )
}
