import {
  asArray,
  asBool,
  asFinite,
  asText,
  asUint,
  concat,
  decodeCbor,
  encodeCbor,
  hex,
  readU32,
  STREAM_BYTES,
  u32,
  type CborValue,
  type GapCause,
} from '@fieldwhisper/protocol'
import type { Ranges } from './ranges.js'

/*
 * The spool's tables. Keys sort by the age of the stream, then by number.
 *
 *   chunks    stream 12 ‖ index u32   → an encoded batch of the readings that came in one commit
 *   batches   stream 12 ‖ number u32  → [first chunk, last chunk, readings, bytes, closed at running ms]
 *   streams   stream 12               → [end, next chunk, closed, gap under way or null, gap behind it or null]
 *   meta      counters, mark, running time
 */
export const TABLE = { chunks: 'chunks', batches: 'batches', streams: 'streams', meta: 'meta' } as const
export const SPOOL_TABLES: readonly string[] = Object.values(TABLE)

export const META = {
  counters: Buffer.from('counters'),
  mark: Buffer.from('mark'),
  runningTime: Buffer.from('running-time'),
} as const

const CAUSES: readonly GapCause[] = ['full', 'age', 'lost', 'corrupt']

export interface BatchRecord {
  readonly firstChunk: number
  readonly lastChunk: number
  readonly readings: number
  /** What its chunks take in the store. */
  readonly bytes: number
  readonly closedAtMs: number
}

/** Numbers that were dropped, and how many readings were in them. */
export interface Gap {
  readonly cause: GapCause
  readonly ranges: Ranges
  readonly readings: number
}

export interface StreamRecord {
  readonly stream: Uint8Array
  /** `stream` in hexadecimal. */
  readonly id: string
  /** Numbers below are assigned. */
  readonly end: number
  readonly nextChunk: number
  /** No more readings come: its process is gone. */
  readonly closed: boolean
  /** Said to the gateway, and not changed until it is acknowledged, so that nothing in it is counted twice. */
  readonly told?: Gap
  /** Dropped since. */
  readonly gap?: Gap
}

export interface Counters {
  /** Readings that were handed over and were proper. */
  readonly accepted: number
  readonly acked: number
  readonly dropped: number
}

/** Which spool this is, and the start number of its last stream; also kept in a file beside the identity. */
export interface SpoolMark {
  readonly spoolId: string
  readonly start: number
  /** Streams with a smaller start number went with a spool that was lost; 0 where none did. */
  readonly lostBefore: number
}

export function itemKey(stream: Uint8Array, index: number): Uint8Array {
  return concat(stream, u32(index))
}

export function indexOf(key: Uint8Array): number {
  return readU32(key, STREAM_BYTES)
}

export function streamOf(key: Uint8Array): Uint8Array {
  return new Uint8Array(key.subarray(0, STREAM_BYTES))
}

export function startOf(stream: Uint8Array): number {
  return readU32(stream, 0)
}

export function encodeBatchRecord(batch: BatchRecord): Uint8Array {
  return encodeCbor([batch.firstChunk, batch.lastChunk, batch.readings, batch.bytes, batch.closedAtMs])
}

export function decodeBatchRecord(value: Uint8Array): BatchRecord {
  const [first, last, readings, bytes, closedAt] = asArray(decodeCbor(value), 'batch record', 5)
  return {
    firstChunk: asUint(first, 'first chunk'),
    lastChunk: asUint(last, 'last chunk'),
    readings: asUint(readings, 'readings'),
    bytes: asUint(bytes, 'bytes'),
    closedAtMs: asFinite(closedAt, 'closing time'),
  }
}

export function encodeStream({ end, nextChunk, closed, told, gap }: StreamRecord): Uint8Array {
  return encodeCbor([end, nextChunk, closed, gapToCbor(told), gapToCbor(gap)])
}

export function decodeStream(key: Uint8Array, value: Uint8Array): StreamRecord {
  const [end, nextChunk, closed, told, gap] = asArray(decodeCbor(value), 'stream record', 5)
  const stream = streamOf(key)
  return {
    stream,
    id: hex(stream),
    end: asUint(end, 'end'),
    nextChunk: asUint(nextChunk, 'next chunk'),
    closed: asBool(closed, 'closed'),
    ...(told !== null && { told: gapFromCbor(told) }),
    ...(gap !== null && { gap: gapFromCbor(gap) }),
  }
}

export function encodeCounters({ accepted, acked, dropped }: Counters): Uint8Array {
  return encodeCbor([accepted, acked, dropped])
}

export function decodeCounters(value: Uint8Array | undefined): Counters {
  if (!value) return { accepted: 0, acked: 0, dropped: 0 }
  const [accepted, acked, dropped] = asArray(decodeCbor(value), 'counters', 3)
  return {
    accepted: asFinite(accepted, 'accepted'),
    acked: asFinite(acked, 'acknowledged'),
    dropped: asFinite(dropped, 'dropped'),
  }
}

export function encodeMark({ spoolId, start, lostBefore }: SpoolMark): Uint8Array {
  return encodeCbor([spoolId, start, lostBefore])
}

export function decodeMark(value: Uint8Array): SpoolMark {
  const [spoolId, start, lostBefore] = asArray(decodeCbor(value), 'mark', 3)
  return {
    spoolId: asText(spoolId, 'spool id', 1, 64),
    start: asUint(start, 'start number'),
    lostBefore: asUint(lostBefore, 'lost before'),
  }
}

function gapToCbor(gap: Gap | undefined): CborValue {
  return gap ? [CAUSES.indexOf(gap.cause), gap.ranges.map(({ from, to }) => [from, to]), gap.readings] : null
}

function gapFromCbor(value: CborValue | undefined): Gap {
  const [cause, ranges, readings] = asArray(value, 'gap', 3)
  return {
    cause: CAUSES[asUint(cause, 'cause', CAUSES.length - 1)]!,
    ranges: asArray(ranges, 'ranges', 0, 65_536).map((entry) => {
      const [from, to] = asArray(entry, 'range', 2)
      return { from: asUint(from, 'from'), to: asUint(to, 'to') }
    }),
    readings: asFinite(readings, 'readings'),
  }
}
