import { MAX_READING_BYTES, MAX_READING_NAME_BYTES, MAX_UNIT_BYTES } from '../constants.js'
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
  /** Milliseconds since the machine's boot. */
  readonly monoMs: number
  /** t, but in milliseconds: Unix time as the machine believed it. */
  readonly wallMs: number
  readonly clock: ClockQuality
}

/** Throws FW_READING_INVALID with what is wrong with it, never with its value. */
export function checkReading(reading: Reading): void {
  const nameBytes = Buffer.byteLength(reading.name)
  if (nameBytes < 1 || nameBytes > MAX_READING_NAME_BYTES) {
    throw invalid(`a reading's name has ${nameBytes} bytes, 1 to ${MAX_READING_NAME_BYTES} are allowed`)
  }
  if (reading.name.includes('\0') || !reading.name.isWellFormed())
    throw invalid("a reading's name is not proper text")
  if (Buffer.byteLength(reading.unit ?? '') > MAX_UNIT_BYTES) {
    throw invalid(`the unit of "${reading.name}" is longer than ${MAX_UNIT_BYTES} bytes`)
  }
  if (typeof reading.value === 'number' && !Number.isFinite(reading.value)) {
    throw invalid(`the value of "${reading.name}" is not a finite number`)
  }
  if (typeof reading.value === 'string' && !reading.value.isWellFormed()) {
    throw invalid(`the value of "${reading.name}" is not proper text`)
  }
  if (readingBytes(reading) > MAX_READING_BYTES) {
    throw invalid(`the reading "${reading.name}" is larger than ${MAX_READING_BYTES} bytes`)
  }
  if (!Number.isFinite(reading.monoMs) || !Number.isFinite(reading.wallMs)) {
    throw invalid(`the time of "${reading.name}" is not a number`)
  }
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
