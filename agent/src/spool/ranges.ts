import type { Range } from '@fieldwhisper/protocol'

/** Half-open ranges of batch numbers: ascending, none empty, none touching the next. */
export type Ranges = readonly Range[]

export function addRange(ranges: Ranges, from: number, to: number): Ranges {
  if (from >= to) return ranges
  const before = ranges.filter((range) => range.to < from)
  const after = ranges.filter((range) => range.from > to)
  const joined = ranges.slice(before.length, ranges.length - after.length)
  const first = Math.min(from, joined[0]?.from ?? from)
  const last = Math.max(to, joined.at(-1)?.to ?? to)
  return [...before, { from: first, to: last }, ...after]
}

export function removeRange(ranges: Ranges, from: number, to: number): Ranges {
  return ranges.flatMap((range) =>
    [
      { from: range.from, to: Math.min(range.to, from) },
      { from: Math.max(range.from, to), to: range.to },
    ].filter((rest) => rest.from < rest.to),
  )
}

export function inRanges(ranges: Ranges, number: number): boolean {
  return ranges.some(({ from, to }) => number >= from && number < to)
}

/** Joins the nearest neighbours until at most `max` are left; only over numbers for which `free` is true. */
export function joinRanges(ranges: Ranges, max: number, free: (from: number, to: number) => boolean): Ranges {
  let joined = ranges
  while (joined.length > max) {
    let best: number | undefined
    for (let i = 1; i < joined.length; i++) {
      const hole = joined[i]!.from - joined[i - 1]!.to
      const bestHole = best === undefined ? Infinity : joined[best]!.from - joined[best - 1]!.to
      if (hole < bestHole && free(joined[i - 1]!.to, joined[i]!.from)) best = i
    }
    if (best === undefined) return joined
    joined = addRange(joined, joined[best - 1]!.to, joined[best]!.from)
  }
  return joined
}
