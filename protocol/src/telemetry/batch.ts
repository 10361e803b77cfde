import {
  asArray,
  asBytes,
  asFinite,
  asInteger,
  asText,
  asUint,
  decodeCbor,
  encodeCbor,
  type CborValue,
} from '../cbor.js'
import {
  BOOT_ID_BYTES,
  MAX_BATCH_BYTES,
  MAX_BATCH_READINGS,
  MAX_MONO_MS,
  MAX_READING_BYTES,
  MAX_READING_NAME_BYTES,
  MAX_UNIT_BYTES,
  MAX_WALL_MS,
  MIN_WALL_MS,
} from '../constants.js'
import { malformed, ProtocolError } from '../errors.js'
import {
  readingBytes,
  type ClockQuality,
  type Reading,
  type ReadingQuality,
  type ReadingValue,
} from './reading.js'

/** Readings of one machine boot that are sealed together. */
export interface Batch {
  /** 8 bytes: which boot `monoMs` counts from. */
  readonly bootId: Uint8Array
  readonly readings: readonly Reading[]
}

/** Number of this encoding; a columnar one may follow. */
const ENCODING_ROWS = 1
const QUALITIES: readonly ReadingQuality[] = ['good', 'uncertain', 'bad']
const CLOCKS: readonly ClockQuality[] = ['unset', 'unknown', 'synchronised']
/** A wall clock that runs evenly beside the monotonic one needs no new entry; rounding alone moves it by one. */
const CLOCK_TOLERANCE_MS = 1

/**
 * CBOR, docs/protocol.md "Batch":
 *
 *   [1, boot id, series [[name, unit]...], clocks [[first row, wall − monotonic ms, quality]...], base ms, rows]
 *
 * and a row is four items of one flat list: series index, monotonic ms since base, value, quality. Names and units stand once,
 * times as differences (SenML's base fields, RFC 8428 section 4.1). The readings have passed `checkReading`.
 */
export function encodeBatch(batch: Batch): Uint8Array {
  const series = new Map<string, number>()
  const seriesList: CborValue[] = []
  const clocks: [number, number, number][] = []
  const rows: CborValue[] = []
  const base = Math.round(batch.readings[0]?.monoMs ?? 0)
  batch.readings.forEach((reading, index) => {
    const key = `${reading.name}\0${reading.unit ?? ''}`
    let column = series.get(key)
    if (column === undefined) {
      column = series.size
      series.set(key, column)
      seriesList.push([reading.name, reading.unit ?? ''])
    }
    const mono = Math.round(reading.monoMs)
    noteClock(clocks, index, Math.round(reading.wallMs) - mono, CLOCKS.indexOf(reading.clock))
    rows.push(column, mono - base, reading.value, QUALITIES.indexOf(reading.quality))
  })
  const bytes = encodeCbor([ENCODING_ROWS, batch.bootId, seriesList, clocks, base, rows])
  if (bytes.length > MAX_BATCH_BYTES) {
    throw new ProtocolError(
      'FW_TOO_LARGE',
      `a batch of ${bytes.length} bytes, at most ${MAX_BATCH_BYTES} are allowed`,
    )
  }
  return bytes
}

/** Throws FW_MALFORMED; the readings it returns are within the limits of `checkReading`. */
export function decodeBatch(bytes: Uint8Array): Batch {
  const body = asArray(decodeCbor(bytes), 'batch', 6)
  if (asUint(body[0], 'batch encoding') !== ENCODING_ROWS) {
    throw new ProtocolError(
      'FW_VERSION_UNKNOWN',
      'the batch encoding is newer than this program: update the gateway first',
    )
  }
  const series = asArray(body[2], 'series', 0, MAX_BATCH_READINGS).map((entry) => {
    const [name, unit] = asArray(entry, 'series', 2)
    const text = asText(name, 'name', 1, MAX_READING_NAME_BYTES)
    if (text.includes('\0')) throw malformed('a name holds a zero byte')
    return { name: text, unit: asText(unit, 'unit', 0, MAX_UNIT_BYTES) }
  })
  const clocks = asArray(body[3], 'clocks', 0, MAX_BATCH_READINGS).map((entry) => {
    const [first, offset, quality] = asArray(entry, 'clock', 3)
    return {
      first: asUint(first, 'clock row'),
      offset: asInteger(offset, 'clock offset'),
      quality: pick(CLOCKS, quality, 'clock quality'),
    }
  })
  const base = asInteger(body[4], 'base time', 0, MAX_MONO_MS)
  const cells = asArray(body[5], 'rows', 0, 4 * MAX_BATCH_READINGS)
  if (cells.length % 4 !== 0) throw malformed('the last row is cut off')
  const readings: Reading[] = []
  let clockIndex = -1
  for (let at = 0; at < cells.length; at += 4) {
    while (clocks[clockIndex + 1] && clocks[clockIndex + 1]!.first <= at / 4) clockIndex++
    const clock = clocks[clockIndex]
    const column = series[asUint(cells[at], 'series index')]
    if (!clock || !column) throw malformed('a row names a series or clock that is not there')
    const monoMs = base + asInteger(cells[at + 1], 'row time')
    asInteger(monoMs, 'monotonic time', 0, MAX_MONO_MS)
    const wallMs = monoMs + clock.offset
    asInteger(wallMs, 'wall time', MIN_WALL_MS - CLOCK_TOLERANCE_MS, MAX_WALL_MS + CLOCK_TOLERANCE_MS)
    const reading: Reading = {
      name: column.name,
      ...(column.unit && { unit: column.unit }),
      value: readingValue(cells[at + 2]),
      quality: pick(QUALITIES, cells[at + 3], 'quality'),
      monoMs,
      wallMs: Math.min(Math.max(wallMs, MIN_WALL_MS), MAX_WALL_MS),
      clock: clock.quality,
    }
    if (typeof reading.value === 'object' || typeof reading.value === 'string') {
      if (readingBytes(reading) > MAX_READING_BYTES) throw malformed('a reading is too large')
    }
    readings.push(reading)
  }
  return { bootId: asBytes(body[1], 'boot id', BOOT_ID_BYTES), readings }
}

function noteClock(clocks: [number, number, number][], row: number, offset: number, quality: number): void {
  const last = clocks.at(-1)
  if (last && last[2] === quality && Math.abs(last[1] - offset) <= CLOCK_TOLERANCE_MS) return
  clocks.push([row, offset, quality])
}

function readingValue(value: CborValue | undefined): ReadingValue {
  if (typeof value === 'string' || typeof value === 'boolean' || value instanceof Uint8Array) return value
  return asFinite(value, 'value')
}

function pick<T>(values: readonly T[], index: CborValue | undefined, what: string): T {
  return values[asUint(index, what, values.length - 1)]!
}
