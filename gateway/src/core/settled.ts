import type { Range } from '@fieldwhisper/protocol'

/** Numbers of a stream that are done with: all below `through`, and some ranges above it. */
export interface Settled {
  through: number
  /** Above `through`, ascending, not touching it or each other. */
  ranges: Range[]
  /** Numbers that were given out are below it. */
  end: number
}

export function isSettled({ through, ranges }: Settled, number: number): boolean {
  return number < through || ranges.some(({ from, to }) => number >= from && number < to)
}

/** Whether a range overlaps one of the ranges, or stands beside it. */
export function touches({ ranges }: Settled, { from, to }: Range): boolean {
  return ranges.some((range) => from <= range.to && to >= range.from)
}

/** Adds [from, to) and moves `through` up over what has become contiguous. */
export function settle(settled: Settled, from: number, to: number): void {
  const apart: Range[] = []
  let added = { from, to }
  for (const range of settled.ranges) {
    if (range.to < added.from || range.from > added.to) apart.push(range)
    else added = { from: Math.min(range.from, added.from), to: Math.max(range.to, added.to) }
  }
  if (added.from <= settled.through) settled.through = Math.max(settled.through, added.to)
  else apart.push(added)
  settled.ranges = apart.sort((a, b) => a.from - b.from)
  settled.end = Math.max(settled.end, to)
}

/** How many numbers of a range are not settled. */
export function unsettled({ through, ranges }: Settled, { from, to }: Range): number {
  let open = Math.max(0, to - Math.max(from, through))
  for (const range of ranges) {
    open -= Math.max(0, Math.min(to, range.to) - Math.max(from, range.from))
  }
  return open
}
