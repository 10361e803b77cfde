import { encodeBatch, MAX_BATCH_BYTES, type Reading } from '@fieldwhisper/protocol'
import type { Draft } from './draft.js'
import { BatchMeter } from './meter.js'
import type { BatchRecord, StreamRecord } from './records.js'

/** What the store adds to a chunk: key, frame, and its share of the batch's record. */
const CHUNK_OVERHEAD_BYTES = 64

/** A batch that was closed in a draft. */
export interface ClosedBatch {
  readonly stream: Uint8Array
  readonly id: string
  readonly number: number
  readonly record: BatchRecord
  readonly bytes: Uint8Array
}

/** The batch that readings go into: its readings are on disk in chunks, one a commit, until it is closed. */
export class OpenBatch {
  readonly stream: Uint8Array
  /** `stream` in hexadecimal. */
  readonly id: string
  /** Monotonic milliseconds of its first reading. */
  sinceMs: number
  readonly #bootId: Uint8Array
  #readings: Reading[] = []
  #chunk: Reading[] = []
  #meter = new BatchMeter()
  #firstChunk: number
  #nextChunk: number
  #bytes = 0

  constructor(
    { stream, id, nextChunk }: Pick<StreamRecord, 'stream' | 'id' | 'nextChunk'>,
    bootId: Uint8Array,
    sinceMs: number,
  ) {
    this.stream = stream
    this.id = id
    this.sinceMs = sinceMs
    this.#bootId = bootId
    this.#firstChunk = this.#nextChunk = nextChunk
  }

  get nextChunk(): number {
    return this.#nextChunk
  }

  get count(): number {
    return this.#readings.length
  }

  /** A copy for a draft: the original stands if the commit fails. */
  copy(): OpenBatch {
    const { stream, id } = this
    const copy = new OpenBatch({ stream, id, nextChunk: this.#nextChunk }, this.#bootId, this.sinceMs)
    copy.#readings = [...this.#readings]
    copy.#meter = this.#meter.copy()
    copy.#firstChunk = this.#firstChunk
    copy.#bytes = this.#bytes
    return copy
  }

  hasRoom(reading: Reading, maxReadings: number): boolean {
    if (this.#readings.length === 0) return true
    return this.#readings.length < maxReadings && this.#meter.with(reading) <= MAX_BATCH_BYTES
  }

  /** Whether a whole chunk fits behind what is in it. */
  takes(chunk: readonly Reading[], maxReadings: number): boolean {
    if (this.#readings.length === 0) return true
    if (this.#readings.length + chunk.length > maxReadings) return false
    const meter = this.#meter.copy()
    for (const reading of chunk) meter.add(reading)
    return meter.bytes <= MAX_BATCH_BYTES
  }

  add(reading: Reading): void {
    this.#readings.push(reading)
    this.#chunk.push(reading)
    this.#meter.add(reading)
  }

  /** Takes over a chunk that is on disk already. */
  adopt(readings: readonly Reading[], bytes: number): void {
    for (const reading of readings) {
      this.#readings.push(reading)
      this.#meter.add(reading)
    }
    this.#nextChunk++
    this.#bytes += bytes + CHUNK_OVERHEAD_BYTES
  }

  /** Puts what was added since the last chunk into the draft. */
  writeChunk(draft: Draft): void {
    if (this.#chunk.length === 0) return
    const bytes = encodeBatch({ bootId: this.#bootId, readings: this.#chunk })
    draft.putChunk(this.stream, this.#nextChunk++, bytes)
    this.#bytes += bytes.length + CHUNK_OVERHEAD_BYTES
    this.#chunk = []
  }

  /** Writes the durable record that makes the batch unchangeable, and begins the next one. */
  close(draft: Draft, closedAtMs: number): ClosedBatch {
    this.writeChunk(draft)
    const { stream, id } = this
    const record = draft.stream(id)!
    const batch: BatchRecord = {
      firstChunk: this.#firstChunk,
      lastChunk: this.#nextChunk - 1,
      readings: this.#readings.length,
      bytes: this.#bytes,
      closedAtMs,
    }
    const bytes = encodeBatch({ bootId: this.#bootId, readings: this.#readings })
    draft.putBatch(stream, record.end, batch)
    draft.change({ ...record, end: record.end + 1, nextChunk: this.#nextChunk })
    this.#readings = []
    this.#meter = new BatchMeter()
    this.#firstChunk = this.#nextChunk
    this.#bytes = 0
    return { stream, id, number: record.end, record: batch, bytes }
  }
}
