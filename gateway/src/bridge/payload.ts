import { hex } from '@fieldwhisper/protocol'

/** The state of a reading as its sensor sees it. */
export type ReadingQuality = 'good' | 'uncertain' | 'bad'

/**
 * Where a payload's `time` comes from: a synchronised clock of the agent; the agent's uptime set against the clock of this
 * gateway; a clock of the agent that nobody vouches for; or, where the agent has no idea of the time, the moment of arrival.
 */
export type PayloadClock = 'synchronised' | 'corrected' | 'unknown' | 'received'

/** One reading as subscribers see it. Property order is part of the look, not of the contract. */
export interface ReadingPayload {
  /** A number is exact (the shortest text that reads back as the same double); null is a number that is none (NaN). */
  readonly value: number | string | boolean | null
  /** Present where `value` is the base64 text (RFC 4648, section 4) of bytes. */
  readonly encoding?: 'base64'
  /** SenML unit (RFC 8428, section 12.1); absent where the source named none. */
  readonly unit?: string
  /** RFC 3339 in UTC with milliseconds. */
  readonly time: string
  readonly quality: ReadingQuality
  readonly clock: PayloadClock
  /** Names this reading for life, also when it is published again: `<stream>-<number>-<index>`. */
  readonly id: string
  /** The path that brought it first. */
  readonly path: 'lan' | 'relay'
  /** It waited somewhere: not the current value. */
  readonly historical: boolean
}

/** Retained, and left by the broker in the gateway's place when it goes without a word. */
export interface GatewayStatusPayload {
  readonly state: 'online' | 'offline'
  /** RFC 3339; absent in the will, which is written before its time is known. */
  readonly time?: string
}

/** Something the operator should know: the same codes as in the log. */
export interface EventPayload {
  readonly level: 'info' | 'warn' | 'error'
  readonly code: string
  readonly message: string
  readonly time: string
  /** Present where the event is kept until the broker has it, and then the same in every repeat. */
  readonly id?: string
  readonly agent?: string
  readonly fields?: Readonly<Record<string, string | number | boolean>>
}

/** online: heard lately; late: not for some minutes; waiting: for the operator's agreement; copied: two devices use its identity. */
export type AgentPresence = 'online' | 'late' | 'offline' | 'waiting' | 'copied'

/** Retained; removed when the agent is revoked or renamed. Times are RFC 3339. */
export interface AgentStatusPayload {
  readonly state: AgentPresence
  readonly time: string
  readonly last_seen: string | null
  /** What brought the last packet first. */
  readonly path: 'lan' | 'relay' | null
  /** Which ways brought a copy of anything lately. */
  readonly paths: { readonly lan: boolean; readonly relay: boolean }
  readonly readings: number
  /** Batches that the agent has announced and that did not arrive yet. */
  readonly waiting: number
  /** Readings and batches that are known to be lost. */
  readonly lost: number
}

/** The answer to a command. */
export interface CommandReplyPayload {
  readonly command?: string
  /** As in the request. */
  readonly correlation?: string
  readonly status: 'done' | 'refused' | 'failed' | 'expired' | 'unknown'
  readonly code: string
  readonly message: string
  readonly result: Readonly<Record<string, number | string | boolean | null>>
  readonly time: string
}

/** What the bridge needs to know of a reading; `Reading` of @fieldwhisper/protocol fits. */
export interface BridgedReading {
  readonly name: string
  readonly unit?: string
  readonly value: number | string | boolean | Uint8Array
  readonly monoMs: number
  readonly wallMs: number
  readonly clock: 'synchronised' | 'unknown' | 'unset'
  readonly quality: ReadingQuality
}

/** What the readings of one batch have in common. */
export interface BatchFacts {
  readonly stream: Uint8Array
  readonly number: number
  readonly path: 'lan' | 'relay'
  readonly historical: boolean
  readonly receivedWallMs: number
  /** Unix time at which the agent's `monoMs` was 0, where the agent knows it from this gateway; else absent. */
  readonly clockOffsetMs?: number
}

/** The payload of one reading; a function of what is stored only, so that a repeat is the same to the byte. */
export function readingPayload(batch: BatchFacts, index: number, reading: BridgedReading): ReadingPayload {
  const { value, unit } = reading
  const unsound = typeof value === 'number' && !Number.isFinite(value)
  const { time, clock } = timeOf(batch, reading)
  return {
    value: unsound ? null : value instanceof Uint8Array ? base64(value) : value,
    ...(value instanceof Uint8Array && { encoding: 'base64' as const }),
    ...(unit !== undefined && { unit }),
    time,
    quality: unsound ? 'bad' : reading.quality,
    clock,
    id: readingId(batch.stream, batch.number, index),
    path: batch.path,
    historical: batch.historical,
  }
}

/** `<stream, 24 hex digits>-<number of the batch>-<index in the batch>`. */
export function readingId(stream: Uint8Array, number: number, index: number): string {
  return `${hex(stream)}-${number}-${index}`
}

/** RFC 3339 in UTC with milliseconds, or undefined outside the years 1970 to 9999. */
export function rfc3339(wallMs: number): string | undefined {
  return wallMs >= 0 && wallMs <= MAX_RFC3339_MS ? new Date(Math.round(wallMs)).toISOString() : undefined
}

/** JSON in UTF-8. */
export function encodePayload(payload: object): Uint8Array {
  const text = JSON.stringify(payload)
  // JSON.stringify writes -0 as 0, which is another double. `value` is the first key of a reading.
  const exact =
    'value' in payload && Object.is(payload.value, -0) ? text.replace('"value":0', '"value":-0') : text
  return Buffer.from(exact)
}

/** 9999-12-31T23:59:59.999Z */
const MAX_RFC3339_MS = 253_402_300_799_999

function timeOf(batch: BatchFacts, reading: BridgedReading): { time: string; clock: PayloadClock } {
  const own = rfc3339(reading.wallMs)
  if (reading.clock === 'synchronised' && own !== undefined) return { time: own, clock: 'synchronised' }
  const corrected =
    batch.clockOffsetMs === undefined ? undefined : rfc3339(reading.monoMs + batch.clockOffsetMs)
  if (corrected !== undefined) return { time: corrected, clock: 'corrected' }
  if (reading.clock !== 'unset' && own !== undefined) return { time: own, clock: 'unknown' }
  return { time: rfc3339(batch.receivedWallMs) ?? new Date(0).toISOString(), clock: 'received' }
}

function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')
}
