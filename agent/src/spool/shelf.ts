import type { Store } from '@fieldwhisper/host'
import { decodeBatch, encodeBatch, hex, u32, concat, type Reading } from '@fieldwhisper/protocol'
import { firstGap } from './gaps.js'
import { addRange, inRanges, removeRange, type Ranges } from './ranges.js'
import {
  decodeBatchRecord,
  indexOf,
  itemKey,
  streamOf,
  TABLE,
  type BatchRecord,
  type StreamRecord,
} from './records.js'

/** A batch that is held, without its readings. */
export interface HeldBatch {
  readonly stream: Uint8Array
  /** `stream` in hexadecimal. */
  readonly id: string
  readonly number: number
  readonly record: BatchRecord
}

export interface BatchPlace {
  readonly stream: Uint8Array
  readonly number: number
}

export function placeKey({ stream, number }: BatchPlace): string {
  return `${hex(stream)}/${number}`
}

/** Reads batches from the store, leaving out those whose acknowledgement is not on disk yet. */
export class Shelf {
  readonly #store: Store
  /** Settled by the gateway; the store follows. */
  readonly #settled = new Map<string, Ranges>()
  readonly #floors = new Map<string, number>()

  constructor(store: Store) {
    this.#store = store
  }

  /** Held batches, oldest stream first and by number, behind `after`. */
  *behind(after?: BatchPlace): Iterable<HeldBatch> {
    const from = after && concat(itemKey(after.stream, after.number), Uint8Array.of(0))
    for (const { key, value } of this.#store.range(TABLE.batches, from ? { from } : {})) {
      const stream = streamOf(key)
      const id = hex(stream)
      const number = indexOf(key)
      if (!this.isSettled(id, number)) yield { stream, id, number, record: decodeBatchRecord(value) }
    }
  }

  get(stream: Uint8Array, number: number): BatchRecord | undefined {
    if (this.isSettled(hex(stream), number)) return undefined
    const value = this.#store.get(TABLE.batches, itemKey(stream, number))
    return value && decodeBatchRecord(value)
  }

  /** Held batches of one stream with numbers in [from, to), at most `limit`, settled ones too. */
  *stored(stream: Uint8Array, from: number, to: number, limit: number): Iterable<HeldBatch> {
    const range = { from: itemKey(stream, from), to: itemKey(stream, to), limit }
    for (const { key, value } of this.#store.range(TABLE.batches, range)) {
      yield { stream, id: hex(stream), number: indexOf(key), record: decodeBatchRecord(value) }
    }
  }

  /** The encoded batch; undefined where a part of it is missing or does not read. The same bytes every time. */
  encoded(stream: Uint8Array, { firstChunk, lastChunk }: BatchRecord): Uint8Array | undefined {
    const chunks: Uint8Array[] = []
    for (let index = firstChunk; index <= lastChunk; index++) {
      const chunk = this.#store.get(TABLE.chunks, itemKey(stream, index))
      if (!chunk) return undefined
      chunks.push(chunk)
    }
    try {
      const batches = chunks.map(decodeBatch)
      const readings: Reading[] = batches.flatMap((batch) => batch.readings)
      return encodeBatch({ bootId: batches[0]!.bootId, readings })
    } catch {
      return undefined
    }
  }

  isSettled(id: string, number: number): boolean {
    const ranges = this.#settled.get(id)
    return ranges !== undefined && inRanges(ranges, number)
  }

  settle(id: string, from: number, to: number): void {
    this.#settled.set(id, addRange(this.#settled.get(id) ?? [], from, to))
    this.#floors.delete(id)
  }

  /** The store no longer has anything in [from, to): its notes may go. */
  erased(id: string, from: number, to: number): void {
    const left = removeRange(this.#settled.get(id) ?? [], from, to)
    if (left.length > 0) this.#settled.set(id, left)
    else this.#settled.delete(id)
    this.#floors.delete(id)
  }

  /** Everything below is acknowledged, or covered by an acknowledged gap. */
  floor(stream: StreamRecord): number {
    const gap = firstGap(stream)
    let floor = this.#floors.get(stream.id)
    if (floor === undefined) {
      floor = this.#lowest(stream.stream, stream.id, stream.end) ?? stream.end
      this.#floors.set(stream.id, floor)
    }
    return Math.min(floor, gap)
  }

  /** Its gap changed: the floor may be another. */
  touched(id: string): void {
    this.#floors.delete(id)
  }

  hasHeld(stream: Uint8Array, from: number, to: number): boolean {
    for (const { id, number } of this.stored(stream, from, to, 1_000))
      if (!this.isSettled(id, number)) return true
    return false
  }

  #lowest(stream: Uint8Array, id: string, end: number): number | undefined {
    const range = { from: itemKey(stream, 0), to: concat(stream, u32(end)) }
    for (const { key } of this.#store.range(TABLE.batches, range)) {
      const number = indexOf(key)
      if (!this.isSettled(id, number)) return number
    }
    return undefined
  }
}
