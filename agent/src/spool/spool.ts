import { HostError } from '@fieldwhisper/host'
import {
  checkReading,
  concat,
  hex,
  u32,
  type GapMessage,
  type Reading,
  type StreamAck,
  type StreamState,
} from '@fieldwhisper/protocol'
import { AgentError } from '../errors.js'
import {
  BATCHES_A_TURN,
  COMMIT_MS,
  DROP_AT_ONCE_BYTES,
  FRESH_BATCHES,
  LIMITS_CHECK_MS,
  MARK_SAVE_MS,
  READINGS_A_TURN,
  RETRY_MS,
} from './constants.js'
import { Draft } from './draft.js'
import { Intake, type Pending } from './intake.js'
import { freezeGap, gapMessage, withRefused } from './gaps.js'
import { Allowance, dropAged, dropBatch, dropOldest, FullReport } from './limits.js'
import type { SpoolCounters, SpoolHandlers, SpoolOptions } from './options.js'
import { OpenBatch, type ClosedBatch } from './open-batch.js'
import { addRange, type Ranges } from './ranges.js'
import { Leftovers } from './leftovers.js'
import { recover, type Recovered } from './recover.js'
import { encodeMark, META, TABLE, type Counters, type SpoolMark, type StreamRecord } from './records.js'
import { Settling } from './settling.js'
import { placeKey, Shelf, type BatchPlace, type HeldBatch } from './shelf.js'
import type { TurnWork } from './turn-work.js'

/**
 * Readings on disk until the gateway has them (DESIGN 6). One commit at a time takes everything that is waiting:
 * 1 readings that came, 2 a batch whose time is over, 3 acknowledged batches, 4 what the limits drop. Memory follows the disk.
 */
export class Spool {
  readonly #options: SpoolOptions
  readonly #shelf: Shelf
  readonly #settling: Settling
  readonly #intake = new Intake()
  readonly #fullReport: FullReport
  readonly #streams: Map<string, StreamRecord>
  readonly #fresh = new Map<string, Uint8Array>()
  readonly #corrupt = new Map<string, HeldBatch>()
  readonly #forgotten = new Set<string>()
  /** Streams whose gap is to be frozen, so that it can be said. */
  readonly #telling = new Set<string>()
  #handlers: SpoolHandlers = { closed: () => undefined, dropped: () => undefined }
  #mark: SpoolMark
  #counters: Counters
  #open: OpenBatch | undefined
  #markChanged = false
  #intervalMs: number
  #dueAt: number | undefined
  #cancel: (() => void) | undefined
  #turning: Promise<void> | undefined
  #closeNow = false
  #blockedUntil = -Infinity
  #checkedAt = -Infinity
  #savedMarkAt: number
  readonly #allowance: Allowance
  readonly #leftovers: Leftovers
  #ended = false

  static async open(options: SpoolOptions): Promise<Spool> {
    const { store, mark, reporter, runningMs, random, batch } = options
    const newSpoolId = hex(random(8))
    const { maxReadings } = batch
    return new Spool(options, await recover({ store, mark, reporter, runningMs, newSpoolId, maxReadings }))
  }

  private constructor(options: SpoolOptions, found: Recovered) {
    this.#options = options
    this.#shelf = new Shelf(options.store)
    this.#settling = new Settling(this.#shelf)
    this.#fullReport = new FullReport(options.reporter)
    this.#allowance = new Allowance(options.limits, options.freeBytes)
    this.#streams = new Map(found.streams.map((record) => [record.id, record]))
    this.#mark = found.mark
    this.#markChanged = found.markUnsaved
    this.#counters = found.counters
    this.#leftovers = new Leftovers(found.unfinished, options)
    if (this.#leftovers.some) this.#reportFull()
    this.#intervalMs = options.batch.intervalMs
    this.#savedMarkAt = options.clock.monoMs()
    this.#arm(LIMITS_CHECK_MS)
  }

  set handlers(handlers: SpoolHandlers) {
    this.#handlers = handlers
  }

  /** accepted = acknowledged + held + dropped, at any time. */
  get counters(): SpoolCounters {
    const { accepted, acked, dropped } = this.#counters
    return {
      accepted,
      acked,
      dropped,
      held: accepted - acked - dropped,
      bytes: this.#options.store.bytesUsed(),
    }
  }

  /**
   * Resolves when the reading is on disk. An urgent one waits for no batch interval. Throws or rejects with ProtocolError FW_READING_INVALID for one that no batch can
   * hold, AgentError FW_SPOOL_FULL where `on_full` lets new readings give way (it is counted and reported as a gap),
   * FW_SPOOL_BUSY where the disk is too far behind, FW_SPOOL_CLOSED after `close`.
   */
  append(reading: Reading, urgent = false): Promise<void> {
    try {
      checkReading(reading)
    } catch (error) {
      return Promise.reject(error instanceof Error ? error : new Error(String(error)))
    }
    if (this.#ended) return Promise.reject(new AgentError('FW_SPOOL_CLOSED', 'the agent is ending'))
    const added = this.#intake.add(reading, this.#now(), urgent)
    this.#arm(urgent || this.#intake.isPressing ? 0 : Math.min(COMMIT_MS, this.#intervalMs))
    return added
  }

  /** How long a batch stays open; at most 60 s. */
  setBatchInterval(intervalMs: number): void {
    this.#intervalMs = intervalMs
    if (this.#open && this.#open.count > 0) this.#arm(this.#batchDueIn())
  }

  /** Held batches, oldest stream first, behind `after`; settled ones are left out. */
  behind(after?: BatchPlace): Iterable<HeldBatch> {
    return this.#shelf.behind(after)
  }

  /** The encoded batch, the same bytes every time. Undefined where it does not read: then it is dropped and reported. */
  encoded(batch: HeldBatch): Uint8Array | undefined {
    const bytes = this.#fresh.get(placeKey(batch)) ?? this.#shelf.encoded(batch.stream, batch.record)
    if (!bytes && !this.#corrupt.has(placeKey(batch))) {
      this.#corrupt.set(placeKey(batch), batch)
      this.#arm(0)
    }
    return bytes
  }

  /** How long ago it was closed, in running time. */
  ageMs(batch: HeldBatch): number {
    return Math.max(0, this.#options.runningMs() - batch.record.closedAtMs)
  }

  get hasHeld(): boolean {
    return this.#counters.accepted > this.#counters.acked + this.#counters.dropped
  }

  isHeld(place: BatchPlace): boolean {
    return this.#shelf.get(place.stream, place.number) !== undefined
  }

  /** Streams that the gateway may still have to hear of, oldest first; with a limit the oldest and that of this process. */
  streams(limit = Infinity): StreamState[] {
    const states: StreamState[] = []
    for (const record of this.#streams.values()) {
      if (states.length >= limit - 1 && record.id !== this.#open?.id && this.#streams.size > limit) continue
      states.push(this.#state(record))
    }
    return states
  }

  stream(id: string): StreamState | undefined {
    const record = this.#streams.get(id)
    return record && this.#state(record)
  }

  /** Gaps that are not acknowledged, at most `limit`. What was once said is said unchanged until it is acknowledged. */
  gaps(limit: number): GapMessage[] {
    const gaps: GapMessage[] = []
    const { lostBefore } = this.#mark
    if (lostBefore > 0) gaps.push({ kind: 'gap', cause: 'lost', what: { startsBefore: lostBefore } })
    for (const record of this.#streams.values()) {
      if (gaps.length >= limit) break
      if (record.told) gaps.push(gapMessage(record.stream, record.told))
      else if (record.gap) this.#tell(record.id)
    }
    return gaps
  }

  /** The gateway has these. Ranges beyond what was assigned are not believed. */
  ack(streams: readonly StreamAck[], startsBefore: number): void {
    if (this.#mark.lostBefore > 0 && startsBefore >= this.#mark.lostBefore) {
      this.#mark = { ...this.#mark, lostBefore: 0 }
      this.#markChanged = true
      this.#arm(COMMIT_MS)
    }
    for (const { stream, through, ranges } of streams) {
      const record = this.#streams.get(hex(stream))
      if (!record) continue
      let numbers: Ranges = []
      for (const { from, to } of [{ from: this.#shelf.floor(record), to: through }, ...ranges]) {
        numbers = addRange(numbers, from, Math.min(to, record.end))
      }
      if (numbers.length === 0) continue
      this.#settling.add(record.stream, record.id, numbers)
      this.#arm(COMMIT_MS)
    }
  }

  /** The gateway knows that this stream ended and has all of it. */
  forget(id: string): void {
    const record = this.#streams.get(id)
    if (!record?.closed || this.#shelf.floor(record) < record.end) return
    this.#forgotten.add(id)
    this.#arm(COMMIT_MS)
  }

  /** Closes the open batch and waits until everything that was handed over is on disk. */
  async flush(): Promise<void> {
    this.#closeNow = true
    while (this.#closeNow || this.#intake.length > 0) {
      this.#arm(0)
      await (this.#turning ?? new Promise<void>((resolve) => this.#options.timers.after(0, resolve)))
      if (this.#options.limits.onFull === 'block' && this.#blockedUntil > this.#now()) return
    }
  }

  /** Takes no more readings and writes what it has; the open batch stays open for the next start. */
  async close(): Promise<void> {
    this.#ended = true
    while (this.#intake.length > 0 && this.#blockedUntil <= this.#now()) {
      this.#arm(0)
      await (this.#turning ?? new Promise<void>((resolve) => this.#options.timers.after(0, resolve)))
    }
    await this.#turning
    this.#cancel?.()
    this.#intake.close()
    this.#saveMark()
  }

  #now(): number {
    return this.#options.clock.monoMs()
  }

  #state(record: StreamRecord): StreamState {
    const { stream, end, closed } = record
    return { stream, floor: this.#shelf.floor(record), end, closed }
  }

  #tell(id: string): void {
    this.#telling.add(id)
    this.#arm(COMMIT_MS)
  }

  #batchDueIn(): number {
    return this.#open!.sinceMs + this.#intervalMs - this.#now()
  }

  /** Makes sure that a turn begins in `inMs` or sooner. */
  #arm(inMs: number): void {
    const dueAt = this.#now() + Math.max(0, inMs)
    if (this.#dueAt !== undefined && this.#dueAt <= dueAt) return
    this.#cancel?.()
    this.#dueAt = dueAt
    this.#cancel = this.#options.timers.after(Math.max(0, inMs), () => this.#begin())
  }

  #begin(): void {
    this.#dueAt = undefined
    if (this.#turning) return
    const turning = this.#turn().finally(() => {
      this.#turning = undefined
      this.#armNext()
    })
    this.#turning = turning
    turning.catch(() => undefined)
  }

  #armNext(): void {
    if (this.#ended && this.#intake.length === 0) return
    const blocked = this.#blockedUntil - this.#now()
    if (this.#intake.length > 0 || this.#closeNow)
      this.#arm(Math.max(blocked, this.#intake.isPressing ? 0 : Math.min(COMMIT_MS / 2, this.#intervalMs)))
    if (!this.#settling.isEmpty || this.#corrupt.size > 0) this.#arm(0)
    if (this.#open && this.#open.count > 0) this.#arm(this.#batchDueIn())
    this.#arm(LIMITS_CHECK_MS)
  }

  async #turn(): Promise<void> {
    if (this.#leftovers.some) await this.#leftovers.finish(this.#counters, this.#streams, this.#finished)
    const now = this.#now()
    const taken = this.#blockedUntil <= now ? this.#next() : []
    const urgent = taken.some((pending) => pending.urgent)
    const closing = this.#closeNow || urgent
    let work = this.#draft(taken, closing, now)
    const room = taken.length === 0 || this.#makeRoom(work)
    if (!room) {
      // Nothing of it was written: the readings wait or are refused, and the rest of the work goes on.
      work = this.#draft([], closing, now)
      this.#refuse(taken)
    }
    const settled = this.#settling.erase(work.draft)
    this.#maintain(work, now)
    const telling = this.#freezeGaps(work.draft)
    const unsaid = this.#intake.unsaid
    if (unsaid > 0) work.batch = this.#sayRefused(work, now)
    for (const id of this.#forgotten) work.draft.forgotten.add(id)
    const mark = this.#mark
    if (this.#markChanged) work.draft.put(TABLE.meta, META.mark, encodeMark(mark))
    if (!work.draft.isEmpty) {
      try {
        await this.#options.store.commit(work.draft.writes)
      } catch (error) {
        this.#failed(error, room ? taken : [])
        return
      }
    }
    this.#allowance.diskFull = false
    if (unsaid > 0) this.#intake.said(unsaid, work.draft.stream(work.batch!.id)!)
    if (closing) this.#closeNow = false
    if (this.#mark === mark) this.#markChanged = false
    for (const id of telling) this.#telling.delete(id)
    this.#adopt(work)
    this.#settling.done(settled)
    if (settled.batches.length > 0) this.#blockedUntil = -Infinity
    for (const batch of settled.batches) this.#fresh.delete(placeKey(batch))
    if (room) for (const { done } of taken) done()
    for (const batch of work.closed) {
      this.#keepFresh(batch)
      this.#handlers.closed(batch, urgent)
    }
    if (work.dropped.length > 0) this.#handlers.dropped(work.dropped)
  }

  #draft(taken: readonly Pending[], closing: boolean, now: number): TurnWork {
    const draft = new Draft(this.#counters, this.#streams)
    const work: TurnWork = { draft, batch: this.#open?.copy(), closed: [], dropped: [] }
    if (taken.length > 0) {
      work.batch ??= this.#newBatch(draft, now)
      work.closed.push(...this.#take(draft, work.batch, taken))
    }
    const due = work.batch && now >= work.batch.sinceMs + this.#intervalMs
    if ((closing || due) && work.batch && work.batch.count > 0) {
      work.closed.push(work.batch.close(draft, this.#options.runningMs()))
    }
    return work
  }

  readonly #finished = (record: StreamRecord, batches: readonly ClosedBatch[]): void => {
    this.#streams.set(record.id, record)
    this.#shelf.touched(record.id)
    for (const batch of batches) this.#handlers.closed(batch, false)
  }

  /** Memory follows the disk. */
  #adopt({ draft, batch, dropped }: TurnWork): void {
    this.#counters = draft.counters
    this.#open = batch
    for (const [id, record] of draft.changed) {
      this.#streams.set(id, record)
      this.#shelf.touched(id)
    }
    for (const id of draft.forgotten) {
      this.#forgotten.delete(id)
      this.#streams.delete(id)
    }
    for (const place of dropped) this.#corrupt.delete(placeKey(place))
  }

  #take(draft: Draft, batch: OpenBatch, taken: readonly Pending[]): ClosedBatch[] {
    const closed: ClosedBatch[] = []
    for (const { reading, atMs } of taken) {
      if (!batch.hasRoom(reading, this.#options.batch.maxReadings))
        closed.push(batch.close(draft, this.#options.runningMs()))
      if (batch.count === 0) batch.sinceMs = atMs
      batch.add(reading)
    }
    batch.writeChunk(draft)
    draft.count({ accepted: taken.length })
    return closed
  }

  /** A stream of this process; its start number is durable outside the store too before anything is under it. */
  #newBatch(draft: Draft, now: number): OpenBatch {
    this.#mark = { ...this.#mark, start: this.#mark.start + 1 }
    this.#markChanged = true
    this.#saveMark()
    const stream = concat(u32(this.#mark.start), this.#options.random(8))
    const record: StreamRecord = { stream, id: hex(stream), end: 0, nextChunk: 0, closed: false }
    draft.change(record)
    return new OpenBatch(record, this.#options.clock.bootId, now)
  }

  /** The readings of this turn: without `drop_oldest` no more than fit. Where none fits, some are refused or wait. */
  #next(): Pending[] {
    const { store, limits } = this.#options
    if (limits.onFull === 'drop_oldest') return this.#intake.take()
    const used = store.bytesUsed()
    const room = this.#allowance.bytes(used) - used
    return this.#intake.takeFitting(room, limits.onFull === 'block' ? 1 : READINGS_A_TURN)
  }

  /** Whether the draft fits, after dropping what the policy lets go. */
  #makeRoom({ draft, dropped }: TurnWork): boolean {
    const used = this.#options.store.bytesUsed()
    const limit = this.#allowance.bytes(used)
    const over = used + draft.grown - limit
    if (over <= 0) return true
    this.#reportFull()
    if (this.#options.limits.onFull !== 'drop_oldest') return false
    const atOnce = Math.min(DROP_AT_ONCE_BYTES, used / 16)
    dropped.push(...dropOldest(draft, this.#shelf, Math.max(over, atOnce)))
    return used + draft.grown <= limit
  }

  #refuse(taken: readonly Pending[]): void {
    if (this.#options.limits.onFull !== 'block') return this.#intake.refuse(taken)
    this.#intake.putBack(taken)
    this.#blockedUntil = this.#now() + RETRY_MS
  }

  #sayRefused({ draft, batch: open }: TurnWork, now: number): OpenBatch {
    const batch = open ?? this.#newBatch(draft, now)
    const [record, { unsaid }] = [draft.stream(batch.id)!, this.#intake]
    draft.change(withRefused(record, unsaid, this.#intake.hasSaidAt(record)))
    draft.count({ accepted: unsaid, dropped: unsaid })
    return batch
  }

  /** A gap that is about to be said does not change until it is acknowledged; what is dropped later comes after it. */
  #freezeGaps(draft: Draft): string[] {
    const frozen = [...this.#telling]
    for (const id of frozen) {
      const record = draft.stream(id)
      if (record) draft.change(freezeGap(record))
    }
    return frozen
  }

  /** Age, batches that do not read, and the mark beside the identity. */
  #maintain({ draft, dropped }: TurnWork, now: number): void {
    for (const batch of this.#corrupt.values()) {
      if (draft.erased.has(placeKey(batch))) continue
      dropBatch(draft, this.#shelf, batch, 'corrupt')
      dropped.push(batch)
      const text = 'A batch in the spool does not read: its readings are lost, and the gateway is told so.'
      this.#options.reporter.event('error', 'FW_SPOOL_BATCH_CORRUPT', text, {
        readings: batch.record.readings,
      })
    }
    if (now - this.#savedMarkAt >= MARK_SAVE_MS) this.#saveMark()
    if (now - this.#checkedAt < LIMITS_CHECK_MS) return
    this.#checkedAt = now
    const { maxAgeMs } = this.#options.limits
    const aged = dropAged(draft, this.#shelf, this.#options.runningMs() - maxAgeMs)
    dropped.push(...aged)
    if (aged.length === BATCHES_A_TURN) this.#checkedAt = -Infinity
    if (aged.length === 0) return
    const readings = aged.reduce((sum, batch) => sum + batch.record.readings, 0)
    const text =
      'Readings grew too old in the spool and were dropped: the gateway has not been reached for long.'
    this.#options.reporter.event('warn', 'FW_SPOOL_AGED', text, { readings })
  }

  #failed(error: unknown, taken: readonly Pending[]): void {
    if (!(error instanceof HostError) || error.code !== 'FW_STORE_FULL') {
      this.#closeNow = false
      const failure = error instanceof Error ? error : new Error(String(error))
      for (const { failed } of taken) failed(failure)
      return
    }
    this.#reportFull()
    if (this.#allowance.diskFull || this.#options.limits.onFull === 'drop_newest') {
      this.#refuse(taken)
      this.#blockedUntil = this.#now() + RETRY_MS
    } else {
      // The next turn gives up old batches for them, or waits.
      this.#intake.putBack(taken)
      if (this.#options.limits.onFull === 'block') this.#blockedUntil = this.#now() + RETRY_MS
    }
    this.#allowance.diskFull = true
  }

  #keepFresh(batch: ClosedBatch): void {
    this.#fresh.set(placeKey(batch), batch.bytes)
    if (this.#fresh.size > FRESH_BATCHES) this.#fresh.delete(this.#fresh.keys().next().value!)
  }

  #reportFull(): void {
    this.#fullReport.say(this.#options.limits.onFull, this.counters.held, this.#now())
  }

  #saveMark(): void {
    this.#savedMarkAt = this.#now()
    const streams = [...this.#streams.values()].slice(-256).map(({ id, end }) => ({ stream: id, end }))
    this.#options.mark.save({ ...this.#mark, streams })
  }
}
