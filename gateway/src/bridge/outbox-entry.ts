import type { Write } from '@fieldwhisper/host'
import {
  MAX_BATCH_BYTES,
  STREAM_BYTES,
  asArray,
  asBool,
  asBytes,
  asFinite,
  asText,
  asUint,
  decodeCbor,
  encodeCbor,
  type CborValue,
} from '@fieldwhisper/protocol'
import { GatewayError } from '../errors.js'
import {
  BRIDGE_RECORD_VERSION,
  MAX_AGENT_ID_BYTES,
  MAX_EVENT_TEXT_BYTES,
  MAX_LEVEL_BYTES,
} from './constants.js'

/** One opened batch on its way to the broker. */
export interface OutboxEntry {
  /** Id of the agent's key in hex; stays when the agent is renamed. */
  readonly agent: string
  /** Name of the agent when the batch was committed. */
  readonly name: string
  readonly path: 'lan' | 'relay'
  /** 12 bytes. */
  readonly stream: Uint8Array
  /** Number of the batch in its stream. */
  readonly number: number
  readonly historical: boolean
  /** Unix time of this gateway in milliseconds. */
  readonly receivedWallMs: number
  /** Unix time at which the agent's `monoMs` was 0, where the agent knows it from this gateway; else absent. */
  readonly clockOffsetMs?: number
  /** As the agent encoded it (@fieldwhisper/protocol, telemetry); opened by the publisher. */
  readonly batch: Uint8Array
}

/** Something that subscribers must be told as surely as a reading: a gap, an agent restored. Published as an event. */
export interface OutboxEvent {
  readonly level: 'info' | 'warn' | 'error'
  readonly code: string
  readonly message: string
  readonly wallMs: number
  /** Name of the agent that it is about. */
  readonly agent?: string
  readonly fields?: Readonly<Record<string, string | number | boolean>>
}

export type OutboxItem =
  | { readonly kind: 'readings'; readonly entry: OutboxEntry }
  | { readonly kind: 'event'; readonly event: OutboxEvent }

export const OUTBOX_TABLE = 'outbox'
export const OUTBOX_STATE_TABLE = 'outbox_state'
export const OUTBOX_REJECTED_TABLE = 'outbox_rejected'
export const RETAINED_TABLE = 'retained'
/** To be named when the gateway's store is opened. */
export const BRIDGE_TABLES: readonly string[] = [
  OUTBOX_TABLE,
  OUTBOX_STATE_TABLE,
  OUTBOX_REJECTED_TABLE,
  RETAINED_TABLE,
]

const KIND_READINGS = 0
const KIND_EVENT = 1

/**
 * The write that puts a batch into the outbox, for the core's own transaction. `sequence` is a safe integer that grows with
 * every item, events included, and goes on from `lastOutboxSequence` after a start.
 */
export function outboxWrite(sequence: number, entry: OutboxEntry): Write {
  const { agent, name, path, stream, number, historical, receivedWallMs, clockOffsetMs, batch } = entry
  return item(sequence, [
    BRIDGE_RECORD_VERSION,
    KIND_READINGS,
    agent,
    name,
    path,
    stream,
    number,
    historical,
    receivedWallMs,
    clockOffsetMs ?? null,
    batch,
  ])
}

/** The same for an event. */
export function outboxEventWrite(sequence: number, event: OutboxEvent): Write {
  const { level, code, message, wallMs, agent, fields } = event
  return item(sequence, [
    BRIDGE_RECORD_VERSION,
    KIND_EVENT,
    level,
    code,
    message,
    wallMs,
    agent ?? null,
    fields ? JSON.stringify(fields) : null,
  ])
}

function item(sequence: number, record: readonly CborValue[]): Write {
  return { table: OUTBOX_TABLE, key: sequenceKey(sequence), value: encodeCbor(record) }
}

/** Eight bytes, big-endian, so that keys sort as numbers. */
export function sequenceKey(sequence: number): Uint8Array {
  if (!Number.isSafeInteger(sequence) || sequence < 0) throw new RangeError(`No sequence number: ${sequence}`)
  const key = Buffer.alloc(8)
  key.writeBigUInt64BE(BigInt(sequence))
  return key
}

export function sequenceOf(key: Uint8Array): number {
  return Number(Buffer.from(key.buffer, key.byteOffset, key.byteLength).readBigUInt64BE())
}

/** Throws GatewayError `FW_OUTBOX_ENTRY_INVALID` for anything that the functions above did not write. */
export function decodeItem(bytes: Uint8Array): OutboxItem {
  try {
    const record = asArray(decodeCbor(bytes), 'entry', 2, 16)
    if (asUint(record[0], 'version') !== BRIDGE_RECORD_VERSION) throw new TypeError('an unknown version')
    switch (asUint(record[1], 'kind')) {
      case KIND_READINGS:
        return { kind: 'readings', entry: readingsOf(record) }
      case KIND_EVENT:
        return { kind: 'event', event: eventOf(record) }
      default:
        throw new TypeError('an unknown kind')
    }
  } catch (cause) {
    const text = 'An entry of the outbox has a form that this program does not know.'
    throw new GatewayError('FW_OUTBOX_ENTRY_INVALID', text, { cause })
  }
}

function readingsOf(record: readonly CborValue[]): OutboxEntry {
  const [, , agent, name, path, stream, number, historical, receivedWallMs, clockOffsetMs, batch] = record
  return {
    agent: asText(agent, 'agent', 1, MAX_AGENT_ID_BYTES),
    name: asText(name, 'name', 1, MAX_LEVEL_BYTES),
    path: oneOf(['lan', 'relay'], path),
    stream: asBytes(stream, 'stream', STREAM_BYTES),
    number: asUint(number, 'number', Number.MAX_SAFE_INTEGER),
    historical: asBool(historical, 'historical'),
    receivedWallMs: asFinite(receivedWallMs, 'time'),
    ...(clockOffsetMs !== null && { clockOffsetMs: asFinite(clockOffsetMs, 'clock offset') }),
    batch: asBytes(batch, 'batch', 0, MAX_BATCH_BYTES),
  }
}

function eventOf(record: readonly CborValue[]): OutboxEvent {
  const [, , level, code, message, wallMs, agent, fields] = record
  return {
    level: oneOf(['info', 'warn', 'error'], level),
    code: asText(code, 'code', 1, MAX_LEVEL_BYTES),
    message: asText(message, 'message', 0, MAX_EVENT_TEXT_BYTES),
    wallMs: asFinite(wallMs, 'time'),
    ...(agent !== null && { agent: asText(agent, 'agent', 0, MAX_LEVEL_BYTES) }),
    ...(fields !== null && {
      fields: JSON.parse(asText(fields, 'fields', 2, MAX_EVENT_TEXT_BYTES)) as NonNullable<
        OutboxEvent['fields']
      >,
    }),
  }
}

function oneOf<T extends string>(values: readonly T[], value: CborValue | undefined): T {
  const found = values.find((known) => known === value)
  if (found === undefined) throw new TypeError('an unknown word')
  return found
}
