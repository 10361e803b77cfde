import type { Reporter, Store } from '@fieldwhisper/host'
import { decodeBatch, hex, type Batch } from '@fieldwhisper/protocol'
import { MAX_STREAMS } from './constants.js'
import { Draft } from './draft.js'
import { OpenBatch } from './open-batch.js'
import {
  decodeBatchRecord,
  decodeCounters,
  decodeMark,
  decodeStream,
  encodeMark,
  indexOf,
  itemKey,
  META,
  startOf,
  streamOf,
  TABLE,
  type Counters,
  type SpoolMark,
  type StreamRecord,
} from './records.js'
import type { MarkKeeper } from './mark.js'

const LAST = 0xffff_ffff

export interface Recovered {
  readonly mark: SpoolMark
  readonly counters: Counters
  /** Oldest first; all of them closed. */
  readonly streams: readonly StreamRecord[]
}

export interface RecoverOptions {
  readonly store: Store
  readonly mark: MarkKeeper
  readonly reporter: Reporter
  readonly newSpoolId: string
  readonly runningMs: () => number
  readonly maxReadings: number
}

/**
 * What a start finds: 1 the mark, which tells whether this is the spool that was here before; 2 the streams of dead
 * processes, whose unbatched readings become their last batches; 3 more streams than memory holds, whose oldest are given up.
 */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { store } = options
  const mark = await recoverMark(options)
  const streams: StreamRecord[] = []
  for (const { key, value } of [...store.range(TABLE.streams)]) {
    streams.push(await closeStream(options, decodeStream(key, value)))
  }
  const kept = await giveUpOldest(options, mark, streams)
  return { mark: kept.mark, counters: readCounters(store), streams: kept.streams }
}

function readCounters(store: Store): Counters {
  return decodeCounters(store.get(TABLE.meta, META.counters))
}

async function recoverMark({
  store,
  mark: keeper,
  reporter,
  newSpoolId,
}: RecoverOptions): Promise<SpoolMark> {
  const value = store.get(TABLE.meta, META.mark)
  const stored = value && decodeMark(value)
  const filed = keeper.load()
  if (stored) {
    const start = Math.max(stored.start, filed?.start ?? 0)
    const mark = { ...stored, start }
    if (start !== stored.start)
      await store.commit([{ table: TABLE.meta, key: META.mark, value: encodeMark(mark) }])
    if (filed?.spoolId !== mark.spoolId || filed.start !== start) keeper.save({ ...mark, streams: [] })
    return mark
  }
  const start = filed?.start ?? 0
  const lostBefore = start > 0 ? start + 1 : 0
  if (lostBefore > 0) {
    const text =
      'The spool of this agent is gone: readings that were in it are lost, and the gateway is told so.'
    reporter.event('error', 'FW_SPOOL_LOST', text, { start })
  }
  const mark = { spoolId: newSpoolId, start, lostBefore }
  await store.commit([{ table: TABLE.meta, key: META.mark, value: encodeMark(mark) }])
  keeper.save({ ...mark, streams: [] })
  return mark
}

/** Makes last batches of what a dead process left in chunks. */
async function closeStream(options: RecoverOptions, record: StreamRecord): Promise<StreamRecord> {
  if (record.closed) return record
  const { store, runningMs, maxReadings } = options
  const behind = behindLastBatch(store, record)
  const draft = new Draft(readCounters(store), new Map([[record.id, { ...record, end: behind.end }]]))
  let batch = undefined as OpenBatch | undefined
  let { nextChunk } = behind
  let lost = 0
  const closeOpen = (): void => {
    if (batch && batch.count > 0) batch.close(draft, runningMs())
  }
  const from = itemKey(record.stream, nextChunk)
  for (const { key, value } of store.range(TABLE.chunks, { from, to: itemKey(record.stream, LAST) })) {
    const index = indexOf(key)
    const chunk = decodeChunk(value)
    if (!chunk || index !== nextChunk) {
      // A chunk that is gone or does not read: what follows begins a batch of its own.
      closeOpen()
      batch = undefined
      lost++
    }
    nextChunk = index + 1
    if (!chunk) continue
    batch ??= new OpenBatch({ ...record, nextChunk: index }, chunk.bootId, 0)
    if (!batch.takes(chunk.readings, maxReadings)) batch.close(draft, runningMs())
    batch.adopt(chunk.readings, value.length)
  }
  closeOpen()
  const closed = { ...draft.stream(record.id)!, nextChunk, closed: true }
  draft.change(closed)
  await store.commit(draft.writes)
  if (lost > 0) {
    const text = 'Readings of the last moments before the restart could not be read and are lost.'
    options.reporter.event('error', 'FW_SPOOL_BATCH_CORRUPT', text, { chunks: lost })
  }
  return closed
}

function decodeChunk(value: Uint8Array): Batch | undefined {
  try {
    return decodeBatch(value)
  } catch {
    return undefined
  }
}

function behindLastBatch(store: Store, record: StreamRecord): { end: number; nextChunk: number } {
  const range = { from: itemKey(record.stream, 0), to: itemKey(record.stream, LAST), reverse: true, limit: 1 }
  for (const { key, value } of store.range(TABLE.batches, range)) {
    const { lastChunk } = decodeBatchRecord(value)
    return {
      end: Math.max(record.end, indexOf(key) + 1),
      nextChunk: Math.max(record.nextChunk, lastChunk + 1),
    }
  }
  return { end: record.end, nextChunk: record.nextChunk }
}

/** A device that restarted thousands of times without its gateway: the oldest streams go, with one gap for all of them. */
async function giveUpOldest(
  { store, mark: keeper, reporter }: RecoverOptions,
  mark: SpoolMark,
  streams: readonly StreamRecord[],
): Promise<{ mark: SpoolMark; streams: readonly StreamRecord[] }> {
  const tooMany = streams.length - MAX_STREAMS
  if (tooMany <= 0) return { mark, streams }
  const kept = streams.slice(tooMany)
  const lostBefore = startOf(kept[0]!.stream)
  let dropped = 0
  for (const { id, stream } of streams.slice(0, tooMany)) {
    const draft = new Draft(readCounters(store), new Map())
    for (const { key, value } of store.range(TABLE.batches, {
      from: itemKey(stream, 0),
      to: itemKey(stream, LAST),
    })) {
      const batch = decodeBatchRecord(value)
      draft.eraseBatch(streamOf(key), id, indexOf(key), batch)
      draft.count({ dropped: batch.readings })
      dropped += batch.readings
    }
    draft.forgotten.add(hex(stream))
    await store.commit(draft.writes)
  }
  const next = { ...mark, lostBefore: Math.max(mark.lostBefore, lostBefore) }
  await store.commit([{ table: TABLE.meta, key: META.mark, value: encodeMark(next) }])
  keeper.save({ ...next, streams: [] })
  reporter.event(
    'error',
    'FW_SPOOL_FULL',
    'This agent restarted too often without its gateway: the oldest readings were dropped.',
    {
      streams: tooMany,
      readings: dropped,
    },
  )
  return { mark: next, streams: kept }
}
