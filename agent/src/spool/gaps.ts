import type { GapCause, GapMessage, Range } from '@fieldwhisper/protocol'
import { MAX_GAP_RANGES } from './constants.js'
import { addRange, joinRanges, removeRange, type Ranges } from './ranges.js'
import type { Gap, StreamRecord } from './records.js'

/** Notes dropped numbers in the open gap of a stream. `free`: nothing that is still held lies in [from, to). */
export function withDropped(
  record: StreamRecord,
  numbers: Range,
  readings: number,
  cause: GapCause,
  free: (from: number, to: number) => boolean,
): StreamRecord {
  const ranges = addRange(record.gap?.ranges ?? [], numbers.from, numbers.to)
  const gap = {
    cause,
    ranges: joinRanges(ranges, MAX_GAP_RANGES, free),
    readings: (record.gap?.readings ?? 0) + readings,
  }
  return { ...record, gap }
}

/**
 * Readings that never came to disk have a number in the stream all the same, so that their loss is declared. Never that of a batch:
 * it may have arrived before it was dropped, and then its number says that nothing is lost. `again`: the last number is theirs.
 */
export function withRefused(record: StreamRecord, readings: number, again: boolean): StreamRecord {
  const isOpen = record.gap?.ranges.at(-1)?.to === record.end
  const number = again && isOpen ? record.end - 1 : record.end
  const numbers = { from: number, to: number + 1 }
  return { ...withDropped(record, numbers, readings, 'full', () => false), end: number + 1 }
}

/** Numbers that were acknowledged need no gap any more. */
export function withSettled(record: StreamRecord, numbers: Ranges): StreamRecord {
  const { told, gap, ...rest } = record
  const leftTold = told && without(told, numbers)
  const leftGap = gap && without(gap, numbers)
  return { ...rest, ...(leftTold && { told: leftTold }), ...(leftGap && { gap: leftGap }) }
}

/** Sets the open gap apart so that it can be said. What was said stays unchanged, or its readings would count twice. */
export function freezeGap(record: StreamRecord): StreamRecord {
  const { told, gap, ...rest } = record
  if (told || !gap) return record
  const later = gap.ranges.slice(MAX_GAP_RANGES)
  return {
    ...rest,
    told: { ...gap, ranges: gap.ranges.slice(0, MAX_GAP_RANGES) },
    ...(later.length > 0 && { gap: { ...gap, ranges: later, readings: 0 } }),
  }
}

export function gapMessage(stream: Uint8Array, { cause, readings, ranges }: Gap): GapMessage {
  return { kind: 'gap', cause, readings: Math.min(readings, 0xffff_ffff), what: { stream, ranges } }
}

/** The lowest number that a gap holds back. */
export function firstGap({ told, gap }: StreamRecord): number {
  return Math.min(told?.ranges[0]?.from ?? Infinity, gap?.ranges[0]?.from ?? Infinity)
}

function without(gap: Gap, numbers: Ranges): Gap | undefined {
  let { ranges } = gap
  for (const { from, to } of numbers) ranges = removeRange(ranges, from, to)
  if (ranges.length === 0) return undefined
  return ranges.length === gap.ranges.length && ranges.every((range, i) => sameRange(range, gap.ranges[i]!))
    ? gap
    : { ...gap, ranges }
}

function sameRange(a: Range, b: Range): boolean {
  return a.from === b.from && a.to === b.to
}
