import { HostError, type Reporter, type Store, type Write } from '@fieldwhisper/host'
import { decodeBatch, hex, ProtocolError, type Batch } from '@fieldwhisper/protocol'
import { MAX_STREAMS } from './constants.js'
import { Draft } from './draft.js'
import type { MarkFile, MarkKeeper } from './mark.js'
import { OpenBatch, type ClosedBatch } from './open-batch.js'
import {
  decodeBatchRecord,
  decodeCounters,
  decodeMark,
  decodeStream,
  encodeCounters,
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
import { survey, type Survey, type Tail } from './survey.js'

const LAST = 0xffff_ffff

export interface Recovered {
  readonly mark: SpoolMark
  /** The mark could not be stored: it goes with the next commit. */
  readonly markUnsaved: boolean
  readonly counters: Counters
  /** Oldest first; all of them closed but the unfinished ones. */
  readonly streams: readonly StreamRecord[]
  /** Streams of dead processes with readings in no batch yet, for which the disk had no room: `finish` tries again. */
  readonly unfinished: readonly StreamRecord[]
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
 * What a start finds: 1 the batches, which all else is measured by; 2 the mark, which tells whether this is the spool that was
 * here before; 3 the streams of dead processes, whose unbatched readings become their last batches; 4 readings that were counted
 * and are in no batch; 5 more streams than memory holds, whose oldest are given up. A record that does not read is reported and
 * done without, a full disk puts off what can be put off: neither keeps the agent from reading.
 */
export async function recover(options: RecoverOptions): Promise<Recovered> {
  const { store, reporter } = options
  const found = survey(store)
  const listed = listStreams(options, found)
  const newest = listed.reduce((start, { stream }) => Math.max(start, startOf(stream)), 0)
  const { mark, saved } = await recoverMark(options, newest)
  const streams: StreamRecord[] = []
  const unfinished: StreamRecord[] = []
  let held = found.readings
  let chunks = 0
  for (const record of listed) {
    if (record.closed) {
      streams.push(record)
      continue
    }
    const closing = closingOf(options, readCounters(options), record, found.tails.get(record.id))
    held += closing.readings
    chunks += closing.lost
    const isFinished = await stored(store, closing.draft.writes)
    streams.push(isFinished ? closing.record : record)
    if (!isFinished) unfinished.push(record)
  }
  if (chunks > 0 || found.unreadable.length > 0) {
    const text = 'Readings in the spool could not be read and are lost.'
    const fields = { chunks, batches: found.unreadable.length }
    reporter.event('error', 'FW_SPOOL_BATCH_CORRUPT', text, fields)
  }
  await stored(store, found.unreadable)
  const counters = await balance(options, held)
  const kept = await giveUpOldest(options, mark, streams)
  return {
    mark: kept.mark,
    markUnsaved: !saved,
    counters: kept.dropped > 0 ? readCounters(options) : counters,
    streams: kept.streams,
    unfinished: unfinished.filter(({ id }) => kept.streams.some((stream) => stream.id === id)),
  }
}

/** Makes last batches of the readings of a dead process. Rejects with HostError FW_STORE_FULL where there is still no room. */
export async function finish(
  options: ClosingOptions,
  counters: Counters,
  record: StreamRecord,
): Promise<Pick<Closing, 'record' | 'batches'>> {
  const closing = closingOf(options, counters, record, undefined)
  await options.store.commit(closing.draft.writes)
  return closing
}

/** False where the disk has no room for it. */
async function stored(store: Store, writes: readonly Write[]): Promise<boolean> {
  try {
    if (writes.length > 0) await store.commit(writes)
    return true
  } catch (error) {
    if (error instanceof HostError && error.code === 'FW_STORE_FULL') return false
    throw error
  }
}

/** Counters of the store; undefined counts as none, and what is held is set right against the batches. */
function readCounters({ store, reporter }: Pick<RecoverOptions, 'store' | 'reporter'>): Counters {
  return (
    readable(reporter, () => decodeCounters(store.get(TABLE.meta, META.counters))) ??
    decodeCounters(undefined)
  )
}

function readable<T>(reporter: Reporter, decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    const text = 'A record of the spool does not read and is made anew from the others.'
    reporter.event('error', 'FW_SPOOL_RECORD_CORRUPT', text, { reason: error.message })
    return undefined
  }
}

/** Streams on disk, oldest first, and those of which only batches are left. */
function listStreams({ store, mark, reporter }: RecoverOptions, { tails }: Survey): StreamRecord[] {
  const streams = new Map<string, StreamRecord>()
  for (const { key, value } of store.range(TABLE.streams)) {
    const record = readable(reporter, () => decodeStream(key, value))
    if (record) streams.set(record.id, record)
  }
  const orphans = [...tails].filter(([id]) => !streams.has(id))
  if (orphans.length === 0) return [...streams.values()]
  const filed = new Map(mark.load()?.streams.map(({ stream, end }) => [stream, end]))
  for (const [id, { stream, end }] of orphans) {
    // Closed: which numbers of it were used beyond these nobody knows, and none may be used twice. What was in no batch is lost.
    const record = { stream, id, end: Math.max(end, filed.get(id) ?? 0), nextChunk: LAST, closed: true }
    streams.set(id, record)
  }
  return [...streams.values()].sort((a, b) => Buffer.compare(a.stream, b.stream))
}

/** Counted and in no batch any more: lost. In a batch and not counted, where the counters were lost: accepted. */
async function balance(options: RecoverOptions, held: number): Promise<Counters> {
  const counters = readCounters(options)
  const missing = counters.accepted - counters.acked - counters.dropped - held
  if (missing === 0) return counters
  const balanced =
    missing > 0
      ? { ...counters, dropped: counters.dropped + missing }
      : { ...counters, accepted: counters.accepted - missing }
  if (missing > 0) {
    const text = 'Readings that the spool had counted are not in it any more: they are lost.'
    options.reporter.event('error', 'FW_SPOOL_READINGS_LOST', text, { readings: missing })
  }
  await stored(options.store, [{ table: TABLE.meta, key: META.counters, value: encodeCounters(balanced) }])
  return balanced
}

async function recoverMark(
  { store, mark: keeper, reporter, newSpoolId }: RecoverOptions,
  newest: number,
): Promise<{ readonly mark: SpoolMark; readonly saved: boolean }> {
  const value = store.get(TABLE.meta, META.mark)
  const known = value && readable(reporter, () => decodeMark(value))
  const filed = keeper.load()
  const before = Math.max(filed?.start ?? 0, newest)
  // With streams in it this is the old spool, of which only the mark was lost.
  const mark = known ?? (newest > 0 ? markOf(filed, newSpoolId, before) : undefined)
  if (mark) {
    const start = Math.max(mark.start, before)
    const next = { ...mark, start }
    const saved = known?.start === start || (await storeMark(store, next))
    if (filed?.spoolId !== next.spoolId || filed.start !== start) keeper.save({ ...next, streams: [] })
    return { mark: next, saved }
  }
  const start = filed?.start ?? 0
  const lostBefore = start > 0 ? start + 1 : 0
  if (lostBefore > 0) {
    const text =
      'The spool of this agent is gone: readings that were in it are lost, and the gateway is told so.'
    reporter.event('error', 'FW_SPOOL_LOST', text, { start })
  }
  const fresh = { spoolId: newSpoolId, start, lostBefore }
  const saved = await storeMark(store, fresh)
  keeper.save({ ...fresh, streams: [] })
  return { mark: fresh, saved }
}

function markOf(filed: MarkFile | undefined, newSpoolId: string, start: number): SpoolMark {
  return { spoolId: filed?.spoolId ?? newSpoolId, start, lostBefore: filed?.lostBefore ?? 0 }
}

function storeMark(store: Store, mark: SpoolMark): Promise<boolean> {
  return stored(store, [{ table: TABLE.meta, key: META.mark, value: encodeMark(mark) }])
}

type ClosingOptions = Pick<RecoverOptions, 'store' | 'runningMs' | 'maxReadings'>

interface Closing {
  readonly draft: Draft
  readonly record: StreamRecord
  readonly batches: readonly ClosedBatch[]
  /** Readings that were in no batch. */
  readonly readings: number
  /** Chunks that do not read. */
  readonly lost: number
}

/** Makes last batches of what a dead process left in chunks. */
function closingOf(
  options: ClosingOptions,
  counters: Counters,
  record: StreamRecord,
  tail: Tail | undefined,
): Closing {
  const { store, runningMs, maxReadings } = options
  const behind = {
    end: Math.max(record.end, tail?.end ?? 0),
    nextChunk: Math.max(record.nextChunk, tail?.nextChunk ?? 0),
  }
  const draft = new Draft(counters, new Map([[record.id, { ...record, end: behind.end }]]))
  const batches: ClosedBatch[] = []
  let batch = undefined as OpenBatch | undefined
  let { nextChunk } = behind
  let [readings, lost] = [0, 0]
  const closeOpen = (): void => {
    if (batch && batch.count > 0) batches.push(batch.close(draft, runningMs()))
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
    readings += chunk.readings.length
    batch ??= new OpenBatch({ ...record, nextChunk: index }, chunk.bootId, 0)
    if (!batch.takes(chunk.readings, maxReadings)) closeOpen()
    batch.adopt(chunk.readings, value.length)
  }
  closeOpen()
  const closed = { ...draft.stream(record.id)!, nextChunk, closed: true }
  draft.change(closed)
  return { draft, record: closed, batches, readings, lost }
}

function decodeChunk(value: Uint8Array): Batch | undefined {
  try {
    return decodeBatch(value)
  } catch {
    return undefined
  }
}

/** A device that restarted thousands of times without its gateway: the oldest streams go, with one gap for all of them. */
async function giveUpOldest(
  options: RecoverOptions,
  mark: SpoolMark,
  streams: readonly StreamRecord[],
): Promise<{ mark: SpoolMark; streams: readonly StreamRecord[]; dropped: number }> {
  const { store, mark: keeper, reporter } = options
  const tooMany = streams.length - MAX_STREAMS
  if (tooMany <= 0) return { mark, streams, dropped: 0 }
  let dropped = 0
  let given = 0
  for (const { id, stream } of streams.slice(0, tooMany)) {
    const draft = new Draft(readCounters(options), new Map())
    let readings = 0
    const range = { from: itemKey(stream, 0), to: itemKey(stream, LAST) }
    for (const { key, value } of store.range(TABLE.batches, range)) {
      const batch = decodeBatchRecord(value)
      draft.eraseBatch(streamOf(key), id, indexOf(key), batch)
      draft.count({ dropped: batch.readings })
      readings += batch.readings
    }
    draft.forgotten.add(hex(stream))
    if (!(await stored(store, draft.writes))) break
    dropped += readings
    given++
  }
  const kept = streams.slice(given)
  const lostBefore = startOf(kept[0]!.stream)
  const next = { ...mark, lostBefore: Math.max(mark.lostBefore, lostBefore) }
  await storeMark(store, next)
  keeper.save({ ...next, streams: [] })
  const text = 'This agent restarted too often without its gateway: the oldest readings were dropped.'
  reporter.event('error', 'FW_SPOOL_FULL', text, { streams: given, readings: dropped })
  return { mark: next, streams: kept, dropped }
}
