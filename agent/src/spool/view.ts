import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Store } from '@fieldwhisper/host'
import {
  concat,
  decodeBatch,
  hex,
  STREAM_BYTES,
  u32,
  type GapCause,
  type Reading,
} from '@fieldwhisper/protocol'
import { MAX_PAGE_BYTES, MAX_PAGE_READINGS, STATS_A_TURN } from './constants.js'
import {
  decodeBatchRecord,
  decodeCounters,
  decodeMark,
  decodeStream,
  indexOf,
  itemKey,
  META,
  startOf,
  streamOf,
  TABLE,
  type BatchRecord,
  type StreamRecord,
} from './records.js'

const LAST = 0xffff_ffff

export interface SpoolGap {
  /** Start number of the stream. */
  readonly start: number
  readonly cause: GapCause
  readonly readings: number
  readonly batches: number
}

/** What is in the spool, by what its disk says. */
export interface SpoolStats {
  readonly streams: number
  readonly batches: number
  /** Readings of the batch that is being filled. */
  readonly openReadings: number
  readonly readings: number
  readonly bytes: number
  readonly accepted: number
  readonly acknowledged: number
  readonly dropped: number
  /** When the oldest and the newest of the readings were taken, by the clock of this machine. */
  readonly oldest?: ReadingTime
  readonly newest?: ReadingTime
  /** Losses that the gateway has not confirmed; at most 100 are named. */
  readonly gaps: readonly SpoolGap[]
  readonly gapCount: number
  /** An earlier spool went with all its readings, and the gateway has not confirmed that it knows. */
  readonly earlierSpoolLost: boolean
}

export type ReadingTime = Pick<Reading, 'wallMs' | 'clock'>

/** A reading that waits. `id` is the one that it is published with; it has none before its batch is closed. */
export interface HeldReading {
  readonly id?: string
  readonly reading: Reading
}

/** Behind everything of the stream (24 hex digits) with numbers up to this one. */
export interface ViewPlace {
  readonly stream: string
  readonly number: number
}

export interface ViewPage {
  readonly readings: readonly HeldReading[]
  /** Batches that did not read: the agent drops and reports them when it comes to them. */
  readonly unreadable: number
  /** Where to go on; absent at the end. */
  readonly next?: ViewPlace
}

const NAMED_GAPS = 100

/** Looks at a spool without changing it: beside the agent that runs on it, or at the disk of one that does not. */
export class SpoolView {
  readonly #store: Pick<Store, 'get' | 'range' | 'bytesUsed'>

  constructor(store: Pick<Store, 'get' | 'range' | 'bytesUsed'>) {
    this.#store = store
  }

  /** In steps, so that a spool of a month does not keep an agent from its work. */
  async stats(): Promise<SpoolStats> {
    const store = this.#store
    const counters = decodeCounters(store.get(TABLE.meta, META.counters))
    const mark = store.get(TABLE.meta, META.mark)
    const streams = [...store.range(TABLE.streams)].map(({ key, value }) => decodeStream(key, value))
    let batches = 0
    for (const _ of store.range(TABLE.batches)) if (++batches % STATS_A_TURN === 0) await nextTurn()
    const gaps = streams.flatMap(gapsOf)
    const openReadings = streams
      .filter(({ closed }) => !closed)
      .reduce((sum, { stream }) => sum + this.#open(stream).readings.length, 0)
    const oldest = this.page(undefined, 1).readings[0]?.reading
    const newest = this.#newest(streams)
    return {
      streams: streams.length,
      batches,
      openReadings,
      readings: counters.accepted - counters.acked - counters.dropped,
      bytes: store.bytesUsed(),
      accepted: counters.accepted,
      acknowledged: counters.acked,
      dropped: counters.dropped,
      ...(oldest && { oldest: timeOf(oldest) }),
      ...(newest && { newest: timeOf(newest) }),
      gaps: gaps.slice(0, NAMED_GAPS),
      gapCount: gaps.length,
      earlierSpoolLost: mark !== undefined && decodeMark(mark).lostBefore > 0,
    }
  }

  /** The end as it is now: readings that come later are behind it. Undefined where there is nothing. */
  end(): ViewPlace | undefined {
    for (const { key, value } of this.#store.range(TABLE.streams, { reverse: true, limit: 1 })) {
      const { id, end } = decodeStream(key, value)
      return { stream: id, number: end }
    }
    return undefined
  }

  /**
   * Readings that wait, oldest stream first, behind `after` and not behind `until`: whole batches until there are `atLeast`, or
   * a page is full.
   */
  page(after: ViewPlace | undefined, atLeast: number, until?: ViewPlace): ViewPage {
    const readings: HeldReading[] = []
    const wanted = Math.min(atLeast, MAX_PAGE_READINGS)
    let [unreadable, bytes] = [0, 0]
    for (let stream = this.#streamFrom(after); stream; stream = this.#streamBehind(stream)) {
      const id = hex(stream)
      if (until && id > until.stream) break
      const from = after?.stream === id ? after.number + 1 : 0
      const to = until?.stream === id ? until.number : LAST
      for (const batch of this.#batches(stream, from, to)) {
        const { number, record } = batch
        const found = this.#readings(stream, record.firstChunk, record.lastChunk)
        if (!found) unreadable++
        else readings.push(...found.map((reading, i) => ({ id: `${id}-${number}-${i}`, reading })))
        bytes += record.bytes
        const full = readings.length >= wanted || bytes >= MAX_PAGE_BYTES
        if (full) return { readings, unreadable, next: { stream: id, number } }
      }
      const open = this.#open(stream)
      if (open.number < from || open.number > to) continue
      readings.push(...open.readings.map((reading) => ({ reading })))
      if (readings.length >= wanted) return { readings, unreadable, next: { stream: id, number: LAST } }
    }
    return { readings, unreadable }
  }

  /** The first stream that may have something behind the place. */
  #streamFrom(after: ViewPlace | undefined): Uint8Array | undefined {
    if (!after) return this.#streamBehind(undefined)
    const stream = new Uint8Array(Buffer.from(after.stream, 'hex'))
    return after.number >= LAST ? this.#streamBehind(stream) : stream
  }

  /** Streams are found by their batches too: a stream's own record may be damaged. */
  #streamBehind(stream: Uint8Array | undefined): Uint8Array | undefined {
    const from = stream ? concat(stream, u32(LAST), Uint8Array.of(0)) : new Uint8Array(STREAM_BYTES)
    let first: Uint8Array | undefined
    for (const table of [TABLE.streams, TABLE.batches, TABLE.chunks]) {
      for (const { key } of this.#store.range(table, { from, limit: 1 })) {
        const found = streamOf(key)
        if (!first || Buffer.compare(found, first) < 0) first = found
      }
    }
    return first
  }

  *#batches(
    stream: Uint8Array,
    from: number,
    to: number,
  ): Iterable<{ readonly number: number; readonly record: BatchRecord }> {
    const range = { from: itemKey(stream, from), to: concat(itemKey(stream, to), Uint8Array.of(0)) }
    for (const { key, value } of this.#store.range(TABLE.batches, range)) {
      yield { number: indexOf(key), record: decodeBatchRecord(value) }
    }
  }

  #readings(stream: Uint8Array, first: number, last: number): Reading[] | undefined {
    const readings: Reading[] = []
    for (let index = first; index <= last; index++) {
      const chunk = this.#store.get(TABLE.chunks, itemKey(stream, index))
      const found = chunk && readingsIn(chunk)
      if (!found) return undefined
      readings.push(...found)
    }
    return readings
  }

  /** What lies in chunks behind the last batch, and the number that its batch will get. */
  #open(stream: Uint8Array): { readonly number: number; readonly readings: readonly Reading[] } {
    const value = this.#store.get(TABLE.streams, stream)
    let [number, chunk] = value ? [decodeStream(stream, value).end, 0] : [0, 0]
    const last = { from: itemKey(stream, 0), to: itemKey(stream, LAST), reverse: true, limit: 1 }
    for (const { key, value } of this.#store.range(TABLE.batches, last)) {
      number = Math.max(number, indexOf(key) + 1)
      chunk = decodeBatchRecord(value).lastChunk + 1
    }
    if (value) chunk = Math.max(chunk, decodeStream(stream, value).nextChunk)
    const range = { from: itemKey(stream, chunk), to: itemKey(stream, LAST) }
    const readings = [...this.#store.range(TABLE.chunks, range)].flatMap(
      ({ value }) => readingsIn(value) ?? [],
    )
    return { number, readings }
  }

  #newest(streams: readonly StreamRecord[]): Reading | undefined {
    for (const { stream } of streams.toReversed()) {
      for (const { value } of this.#store.range(TABLE.chunks, {
        from: itemKey(stream, 0),
        to: itemKey(stream, LAST),
        reverse: true,
        limit: 1,
      })) {
        const newest = readingsIn(value)?.at(-1)
        if (newest) return newest
      }
    }
    return undefined
  }
}

function readingsIn(chunk: Uint8Array): readonly Reading[] | undefined {
  try {
    return decodeBatch(chunk).readings
  } catch {
    return undefined
  }
}

function gapsOf({ stream, told, gap }: StreamRecord): SpoolGap[] {
  return [told, gap].flatMap((found) =>
    found
      ? {
          start: startOf(stream),
          cause: found.cause,
          readings: found.readings,
          batches: found.ranges.reduce((sum, { from, to }) => sum + to - from, 0),
        }
      : [],
  )
}

function timeOf({ wallMs, clock }: Reading): ReadingTime {
  return { wallMs, clock }
}
