import {
  MAX_MONO_MS,
  MAX_READING_BYTES,
  MAX_READING_NAME_BYTES,
  MAX_UNIT_BYTES,
  MAX_WALL_MS,
  MIN_WALL_MS,
} from '../constants.js'
import { ProtocolError } from '../errors.js'

/** How far a wall clock could be trusted when a reading was taken. */
export type ClockQuality = 'synchronised' | 'unknown' | 'unset'
export type ReadingQuality = 'good' | 'uncertain' | 'bad'
/** SenML's v, vs, vb and vd (RFC 8428 section 4.2). */
export type ReadingValue = number | string | boolean | Uint8Array

/** One measured value, in the terms of SenML (RFC 8428). */
export interface Reading {
  /** n: 1 to 128 bytes of UTF-8. */
  readonly name: string
  /** u: a unit of the SenML registry, at most 32 bytes. */
  readonly unit?: string
  readonly value: ReadingValue
  readonly quality: ReadingQuality
  /** Milliseconds since the machine's boot; kept to the millisecond. */
  readonly monoMs: number
  /** t, but in milliseconds: Unix time as the machine believed it, years 1 to 9999; kept to 2 ms. */
  readonly wallMs: number
  readonly clock: ClockQuality
}

const QUALITIES: readonly unknown[] = ['good', 'uncertain', 'bad'] satisfies ReadingQuality[]
const CLOCKS: readonly unknown[] = ['unset', 'unknown', 'synchronised'] satisfies ClockQuality[]

/**
 * Throws FW_READING_INVALID with what is wrong with it, never with its value. What passes here can be encoded and decoded
 * again; types are checked too, because sources parse what machines send.
 */
export function checkReading(reading: Reading): void {
  const { name, unit = '', value } = reading
  if (!isText(name) || name.includes('\0')) throw invalid("a reading's name is not proper text")
  const nameBytes = Buffer.byteLength(name)
  if (nameBytes < 1 || nameBytes > MAX_READING_NAME_BYTES) {
    throw invalid(`a reading's name has ${nameBytes} bytes, 1 to ${MAX_READING_NAME_BYTES} are allowed`)
  }
  if (!isText(unit) || Buffer.byteLength(unit) > MAX_UNIT_BYTES) {
    throw invalid(`the unit of "${name}" is not proper text of at most ${MAX_UNIT_BYTES} bytes`)
  }
  if (!isValue(value)) {
    throw invalid(`the value of "${name}" is no finite number, proper text, boolean or bytes`)
  }
  if (readingBytes(reading) > MAX_READING_BYTES) {
    throw invalid(`the reading "${name}" is larger than ${MAX_READING_BYTES} bytes`)
  }
  if (
    !isWithin(reading.monoMs, 0, MAX_MONO_MS) ||
    !isWithin(reading.wallMs, MIN_WALL_MS, MAX_WALL_MS) ||
    !QUALITIES.includes(reading.quality) ||
    !CLOCKS.includes(reading.clock)
  ) {
    throw invalid(`the time or quality of "${name}" is out of range`)
  }
}

function isText(value: unknown): value is string {
  return typeof value === 'string' && value.isWellFormed()
}

function isValue(value: unknown): value is ReadingValue {
  if (typeof value === 'number') return Number.isFinite(value)
  return typeof value === 'boolean' || value instanceof Uint8Array || isText(value)
}

function isWithin(value: unknown, min: number, max: number): boolean {
  return typeof value === 'number' && value >= min && value <= max
}

/** An upper bound of what a reading costs in an encoded batch. */
export function readingBytes(reading: Reading): number {
  return (
    32 + Buffer.byteLength(reading.name) + Buffer.byteLength(reading.unit ?? '') + valueBytes(reading.value)
  )
}

function valueBytes(value: ReadingValue): number {
  if (typeof value === 'string') return 5 + Buffer.byteLength(value)
  if (value instanceof Uint8Array) return 5 + value.length
  return 9
}

function invalid(message: string): ProtocolError {
  return new ProtocolError('FW_READING_INVALID', message)
}
