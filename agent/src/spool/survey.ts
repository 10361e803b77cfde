import type { Store, Write } from '@fieldwhisper/host'
import { hex } from '@fieldwhisper/protocol'
import { decodeBatchRecord, indexOf, streamOf, TABLE, type BatchRecord } from './records.js'

/** Where the batches of one stream end. */
export interface Tail {
  readonly stream: Uint8Array
  /** Behind the number of the last one. */
  readonly end: number
  /** Behind its last chunk. */
  readonly nextChunk: number
}

/** What the batch records say, whatever the other records say or lost. */
export interface Survey {
  readonly tails: ReadonlyMap<string, Tail>
  /** Readings in all batches. */
  readonly readings: number
  /** Deletes those that do not read, which would stand in the way of every walk. */
  readonly unreadable: readonly Write[]
}

/** Walks all batch records: a start does it once, some microseconds for each. */
export function survey(store: Store): Survey {
  const tails = new Map<string, Tail>()
  const unreadable: Write[] = []
  let readings = 0
  for (const { key, value } of store.range(TABLE.batches)) {
    const record = readBatchRecord(value)
    if (!record) {
      unreadable.push({ table: TABLE.batches, key, value: null })
      continue
    }
    readings += record.readings
    const stream = streamOf(key)
    tails.set(hex(stream), { stream, end: indexOf(key) + 1, nextChunk: record.lastChunk + 1 })
  }
  return { tails, readings, unreadable }
}

function readBatchRecord(value: Uint8Array): BatchRecord | undefined {
  try {
    return decodeBatchRecord(value)
  } catch {
    return undefined
  }
}
