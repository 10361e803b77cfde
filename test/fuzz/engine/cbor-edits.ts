import type { SeededNumbers } from './random.js'

interface Item {
  /** First byte of the head. */
  readonly at: number
  /** Behind head and content. */
  readonly end: number
}

const MAX_ITEMS = 2_000
/** A whole item each: numbers at the edges, floats that are none, empty and false things, a tag, a map, a break. */
const ATOMS: readonly (readonly number[])[] = [
  [0x00],
  [0x17],
  [0x18, 0xff],
  [0x19, 0xff, 0xff],
  [0x1a, 0xff, 0xff, 0xff, 0xff],
  [0x1b, 0, 0x20, 0, 0, 0, 0, 0, 0],
  [0x20],
  [0x3a, 0xff, 0xff, 0xff, 0xff],
  [0x40],
  [0x60],
  [0x80],
  [0xa0],
  [0xc0, 0x00],
  [0xf4],
  [0xf5],
  [0xf6],
  [0xf7],
  [0xf9, 0x7e, 0x00],
  [0xf9, 0x7c, 0x00],
  [0xf9, 0x80, 0x00],
  [0xfb, 0x7f, 0xef, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
  [0xfb, 0x43, 0x40, 0, 0, 0, 0, 0, 0],
  [0xfb, 0xc2, 0xcc, 0x40, 0x2b, 0xb3, 0x80, 0x00, 0x00],
  [0xff],
]

/** Replaces, repeats, removes or moves one whole CBOR item somewhere in the input, wherever its CBOR begins. */
export function editCbor(input: Uint8Array, numbers: SeededNumbers): Uint8Array {
  const items = itemsOf(input)
  if (items.length === 0) return input
  const item = numbers.pick(items)
  const other = numbers.pick(items)
  const whole = input.subarray(item.at, item.end)
  const replaced = (by: Uint8Array): Uint8Array => splice(input, item.at, item.end, by)
  switch (numbers.below(5)) {
    case 0:
      return replaced(Uint8Array.from(numbers.pick(ATOMS)))
    case 1:
      return replaced(input.slice(other.at, other.end))
    case 2:
      return splice(input, item.end, item.end, whole)
    case 3:
      return replaced(Uint8Array.of(0x81, ...whole.subarray(0, 4_096)))
    default:
      return withCount(input, item.at, numbers)
  }
}

/** The count in an item's head one more or less, so that a container takes in its neighbour or gives one up. */
function withCount(input: Uint8Array, at: number, numbers: SeededNumbers): Uint8Array {
  const copy = new Uint8Array(input)
  const info = copy[at]! & 31
  const where = info < 24 ? at : at + (info === 24 ? 1 : info === 25 ? 2 : 4)
  if (where < copy.length) copy[where]! += numbers.below(2) === 0 ? 1 : 255
  return copy
}

function itemsOf(input: Uint8Array): Item[] {
  // Records begin with a few bytes of their own (a key, a kind and length): the CBOR is where an array starts.
  for (let start = 0; start < Math.min(input.length, 24); start++) {
    if (input[start]! >>> 5 !== 4) continue
    const items: Item[] = []
    if (walk(input, start, 0, items) !== undefined && items.length > 1) return items
  }
  return []
}

function walk(input: Uint8Array, at: number, depth: number, items: Item[]): number | undefined {
  const head = input[at]
  if (head === undefined || depth > 12 || items.length > MAX_ITEMS) return undefined
  const [major, info] = [head >>> 5, head & 31]
  let next = at + 1
  let count = info
  if (info >= 24) {
    if (info > 27) return undefined
    const width = 1 << (info - 24)
    count = 0
    for (let i = 0; i < width; i++) count = count * 256 + (input[next + i] ?? 0)
    next += width
  }
  const index = items.push({ at, end: next }) - 1
  if (major === 2 || major === 3) next += count
  if (major === 4) {
    for (let i = 0; i < count; i++) {
      const behind = walk(input, next, depth + 1, items)
      if (behind === undefined) return undefined
      next = behind
    }
  }
  if (next > input.length) return undefined
  items[index] = { at, end: next }
  return next
}

export function splice(input: Uint8Array, from: number, to: number, by: Uint8Array): Uint8Array {
  const out = new Uint8Array(from + by.length + input.length - to)
  out.set(input.subarray(0, from))
  out.set(by, from)
  out.set(input.subarray(to), from + by.length)
  return out
}
