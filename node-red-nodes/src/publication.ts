import { types } from 'node:util'
import type { ProgramReading } from '@fieldwhisper/agent' with { 'resolution-mode': 'import' }
import { MAX_READINGS_A_MESSAGE } from './constants.js'
import { PaletteError } from './errors.js'
import { isRecord } from './readings.js'
import { textOf, type Config, type Message } from './red.js'

type Scalar = ProgramReading['value']

const QUALITIES: readonly unknown[] = ['good', 'uncertain', 'bad'] satisfies ProgramReading['quality'][]
const PARTS = ['value', 'unit', 'quality', 'time']

/**
 * The readings in a message. What the node's fields say goes before what the message says.
 * Throws PaletteError `FW_NODERED_INPUT_INVALID`.
 */
export function readingsOf(config: Config, message: Message): ProgramReading[] {
  const { payload, topic } = message
  const name = textOf(config, 'reading') || (typeof topic === 'string' ? topic : '')
  const single = isScalar(payload) || isWhole(payload)
  if (single && name === '') throw invalid('error.name')
  if (single) return [reading(name, payload, config, message)]
  if (!isPlain(payload)) throw invalid('error.value', { name })
  const parts = Object.entries(payload)
  if (parts.length === 0 || parts.length > MAX_READINGS_A_MESSAGE) {
    throw invalid('error.count', { limit: MAX_READINGS_A_MESSAGE })
  }
  return parts.map(([key, part]) => reading(name === '' ? key : `${name}.${key}`, part, config, message))
}

function reading(name: string, part: unknown, config: Config, message: Message): ProgramReading {
  const whole = isScalar(part) ? { value: part } : part
  if (!isWhole(whole)) throw invalid('error.value', { name })
  const { value, quality, time } = whole
  const unit = textOf(config, 'unit') || (whole.unit ?? message['unit'] ?? '')
  if (typeof unit !== 'string') throw invalid('error.unit', { name })
  if (quality !== undefined && !QUALITIES.includes(quality)) throw invalid('error.quality', { name })
  return {
    name,
    // A copy: the flow goes on with its own.
    value: types.isUint8Array(value) ? Uint8Array.from(value) : value,
    ...(unit !== '' && { unit }),
    ...(quality !== undefined && { quality: quality as NonNullable<ProgramReading['quality']> }),
    ...(time !== undefined && { time: timeOf(time, name) }),
  }
}

/** Milliseconds of Unix time, a Date, or a text as RFC 3339 has it. */
function timeOf(time: unknown, name: string): number {
  const text = typeof time === 'string' && /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d/.test(time)
  const ms = types.isDate(time) ? time.getTime() : text ? Date.parse(time) : time
  if (typeof ms !== 'number' || !Number.isFinite(ms)) throw invalid('error.time', { name })
  return ms
}

interface Whole {
  readonly value: Scalar
  readonly unit?: unknown
  readonly quality?: unknown
  readonly time?: unknown
}

/** `{value, unit, quality, time}`: one reading, and not several of these names. */
function isWhole(part: unknown): part is Whole {
  return isPlain(part) && isScalar(part['value']) && Object.keys(part).every((key) => PARTS.includes(key))
}

/** Values of a Function node come from another realm: `instanceof` does not know them. */
function isScalar(value: unknown): value is Scalar {
  if (typeof value === 'number') return Number.isFinite(value)
  return typeof value === 'boolean' || typeof value === 'string' || types.isUint8Array(value)
}

function isPlain(value: unknown): value is Record<string, unknown> {
  return isRecord(value) && !types.isDate(value)
}

function invalid(key: string, details: Readonly<Record<string, string | number>> = {}): PaletteError {
  return new PaletteError('FW_NODERED_INPUT_INVALID', key, details)
}
