import type { ClockQuality, Reading, ReadingQuality } from '@fieldwhisper/protocol'
import type { HeldReading } from '../spool/view.js'

/** A reading as the operator is shown it and as it crosses the control socket. */
export interface ReadingRow {
  /** The id it is published with; null before its batch is closed. */
  readonly id: string | null
  /** RFC 3339, by the clock of the agent's machine when it was taken. */
  readonly time: string
  readonly name: string
  readonly unit: string | null
  readonly type: 'number' | 'text' | 'boolean' | 'bytes'
  /** Bytes as base64url. */
  readonly value: number | string | boolean
  readonly quality: ReadingQuality
  readonly clock: ClockQuality
}

export function rowOf({ id, reading }: HeldReading): ReadingRow {
  const { name, unit, value, quality, clock, wallMs } = reading
  return {
    id: id ?? null,
    time: new Date(Math.round(wallMs)).toISOString(),
    name,
    unit: unit ?? null,
    type: typeOf(value),
    value: value instanceof Uint8Array ? Buffer.from(value).toString('base64url') : value,
    quality,
    clock,
  }
}

function typeOf(value: Reading['value']): ReadingRow['type'] {
  if (value instanceof Uint8Array) return 'bytes'
  if (typeof value === 'string') return 'text'
  return typeof value === 'number' ? 'number' : 'boolean'
}
