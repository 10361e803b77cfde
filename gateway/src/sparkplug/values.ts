import type { ReadingQuality } from '../bridge/payload.js'
import type { Metric, MetricValue } from './codec.js'
import { DATA_TYPE, QUALITY_BAD, QUALITY_GOOD, QUALITY_STALE, type DataType } from './constants.js'

export type ReadingValue = number | string | boolean | Uint8Array

/** A reading as the edge node takes it; `timeMs` is Unix time as published elsewhere. */
export interface EdgeReading {
  readonly name: string
  readonly unit?: string
  readonly value: ReadingValue
  readonly quality: ReadingQuality
  readonly timeMs: number
}

/** The type under which a reading of such a value is born. */
export function dataTypeOf(value: ReadingValue): DataType {
  switch (typeof value) {
    case 'number':
      return DATA_TYPE.Double
    case 'string':
      return DATA_TYPE.String
    case 'boolean':
      return DATA_TYPE.Boolean
    default:
      return DATA_TYPE.Bytes
  }
}

/**
 * The type that all of the values have; text, which each of them can be told as, where they differ. A metric has one type,
 * and a source may say 21.5 at one time and "offline" at another.
 */
export function commonType(one: DataType | undefined, other: DataType): DataType {
  return one === undefined || one === other ? other : DATA_TYPE.String
}

/**
 * The value of a metric of the given type. A number that is none (NaN, infinite) is null, as in the other outputs, and so is
 * a value that the type cannot hold.
 */
export function metricValue(value: ReadingValue, type: DataType): MetricValue {
  if (typeof value === 'number' && !Number.isFinite(value)) return { kind: 'null' }
  if (type === DATA_TYPE.String) return { kind: 'string', value: textOf(value) }
  if (type !== dataTypeOf(value)) return { kind: 'null' }
  switch (typeof value) {
    case 'number':
      return { kind: 'double', value }
    case 'string':
      return { kind: 'string', value }
    case 'boolean':
      return { kind: 'boolean', value }
    default:
      return { kind: 'bytes', value }
  }
}

function textOf(value: ReadingValue): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : String(value)
}

/** Bytes that a value takes beside what every metric takes. */
export function textBytes(value: ReadingValue): number {
  if (typeof value === 'string') return Buffer.byteLength(value)
  return value instanceof Uint8Array ? value.length : 0
}

/** The specification has three codes; what is uncertain is told as stale: not bad, and not to be relied on. */
export function qualityCode({ quality, value }: Pick<EdgeReading, 'quality' | 'value'>): number {
  if (quality === 'bad' || (typeof value === 'number' && !Number.isFinite(value))) return QUALITY_BAD
  return quality === 'good' ? QUALITY_GOOD : QUALITY_STALE
}

/** Milliseconds as the message has them: whole, and not before 1970. */
export function stamp(timeMs: number): number {
  return Number.isFinite(timeMs) ? Math.min(Math.max(0, Math.round(timeMs)), Number.MAX_SAFE_INTEGER) : 0
}

/**
 * What a host writes, as a value for a metric of the given type; undefined if it is none, does not fit, or would not be the
 * same number here.
 */
export function commandValue(metric: Metric, type: DataType): ReadingValue | undefined {
  const value = plainValue(metric)
  return value !== undefined && dataTypeOf(value) === type ? value : undefined
}

function plainValue({ value, datatype }: Metric): ReadingValue | undefined {
  switch (value?.kind) {
    case 'int':
      return exact(signedInt(value.value, datatype))
    case 'long':
      return exact(datatype === DATA_TYPE.Int64 ? BigInt.asIntN(64, value.value) : value.value)
    case 'float':
    case 'double':
    case 'boolean':
    case 'string':
    case 'bytes':
      return value.value
    case 'null':
    case undefined:
      return undefined
  }
}

/** Hosts send negative integers as the 32 bits of two's complement; some cut them to the size of the type. */
function signedInt(bits: number, datatype: number | undefined): number | undefined {
  switch (datatype) {
    case DATA_TYPE.Int8:
      return (bits << 24) >> 24
    case DATA_TYPE.Int16:
      return (bits << 16) >> 16
    case DATA_TYPE.Int32:
      return bits | 0
    case DATA_TYPE.UInt8:
    case DATA_TYPE.UInt16:
    case DATA_TYPE.UInt32:
      return bits
    default:
      // Without a type nobody knows whether the highest bit is a sign.
      return bits < 2 ** 31 ? bits : undefined
  }
}

function exact(value: number | bigint | undefined): number | undefined {
  return value !== undefined && Number.isSafeInteger(Number(value)) ? Number(value) : undefined
}
