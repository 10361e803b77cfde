import type { Write } from '@fieldwhisper/host'
import { concat } from '@fieldwhisper/protocol'
import {
  encodeBatchRecord,
  encodeCounters,
  encodeStream,
  itemKey,
  META,
  TABLE,
  type BatchRecord,
  type Counters,
  type StreamRecord,
} from './records.js'
import type { HeldBatch } from './shelf.js'

/** What the store adds to every value. */
const FRAME_BYTES = 5

/** Everything one commit changes. Memory follows only when the commit is on disk. */
export class Draft {
  readonly changed = new Map<string, StreamRecord>()
  readonly forgotten = new Set<string>()
  /** Batches that this commit erases, as `stream/number`. */
  readonly erased = new Set<string>()
  readonly #writes: Write[] = []
  readonly #before: Counters
  readonly #streams: ReadonlyMap<string, StreamRecord>
  #accepted = 0
  #acked = 0
  #dropped = 0
  #grown = 0

  /** `streams`: as they are on disk. */
  constructor(counters: Counters, streams: ReadonlyMap<string, StreamRecord>) {
    this.#before = counters
    this.#streams = streams
  }

  /** A stream as it will be after this commit. */
  stream(id: string): StreamRecord | undefined {
    return this.changed.get(id) ?? this.#streams.get(id)
  }

  change(record: StreamRecord): void {
    this.changed.set(record.id, record)
  }

  /** By how many bytes the store grows, about. */
  get grown(): number {
    return this.#grown
  }

  get isEmpty(): boolean {
    return this.#writes.length === 0 && this.changed.size === 0 && this.forgotten.size === 0
  }

  get counters(): Counters {
    return {
      accepted: this.#before.accepted + this.#accepted,
      acked: this.#before.acked + this.#acked,
      dropped: this.#before.dropped + this.#dropped,
    }
  }

  count(what: { readonly accepted?: number; readonly acked?: number; readonly dropped?: number }): void {
    this.#accepted += what.accepted ?? 0
    this.#acked += what.acked ?? 0
    this.#dropped += what.dropped ?? 0
  }

  putChunk(stream: Uint8Array, index: number, bytes: Uint8Array): void {
    this.put(TABLE.chunks, itemKey(stream, index), bytes)
  }

  putBatch(stream: Uint8Array, number: number, record: BatchRecord): void {
    this.put(TABLE.batches, itemKey(stream, number), encodeBatchRecord(record))
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    this.#writes.push({ table, key, value })
    this.#grown += key.length + value.length + FRAME_BYTES
  }

  /** Erases a batch and its chunks. */
  eraseBatch(stream: Uint8Array, id: string, number: number, batch: BatchRecord): void {
    this.#writes.push({ table: TABLE.batches, key: itemKey(stream, number), value: null })
    for (let chunk = batch.firstChunk; chunk <= batch.lastChunk; chunk++) {
      this.#writes.push({ table: TABLE.chunks, key: itemKey(stream, chunk), value: null })
    }
    this.erased.add(`${id}/${number}`)
    this.#grown -= batch.bytes
  }

  /** False where this commit drops it already. */
  eraseAcked({ stream, id, number, record }: HeldBatch): boolean {
    if (this.erased.has(`${id}/${number}`)) return false
    this.eraseBatch(stream, id, number, record)
    this.count({ acked: record.readings })
    return true
  }

  /** The writes, with the records of what changed. */
  get writes(): Write[] {
    const streams = [...this.changed.values()]
      .filter(({ id }) => !this.forgotten.has(id))
      .map((record) => ({ table: TABLE.streams, key: record.stream, value: encodeStream(record) }))
    const forgotten = [...this.forgotten].map((id) => ({
      table: TABLE.streams,
      key: concat(Buffer.from(id, 'hex')),
      value: null,
    }))
    const counters = { table: TABLE.meta, key: META.counters, value: encodeCounters(this.counters) }
    return [...this.#writes, ...streams, ...forgotten, counters]
  }
}
