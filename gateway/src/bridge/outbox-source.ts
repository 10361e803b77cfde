import type { Entry } from '@fieldwhisper/host'
import { hex } from '@fieldwhisper/protocol'

import { decodeItem, sequenceOf } from './outbox-entry.js'
import type { OutboxEntry, OutboxEvent } from './outbox-entry.js'
import type { Expiry } from './expiry.js'
import { readingPayload, rfc3339 } from './payload.js'
import type { BridgedReading, ReadingPayload } from './payload.js'
import type { ReadingFormat } from './payload-format.js'
import type { RetainedValues } from './retained.js'
import { message, removal } from './topics.js'
import type { Message, MessageProperties, Topic, Topics } from './topics.js'

/** Opens a batch as the agent encoded it; throws if it is none. */
export type DecodeBatch = (batch: Uint8Array) => readonly BridgedReading[]

/** One item of the outbox as messages, made one by one so that a large batch never lies in memory as text. */
export interface Source {
  readonly sequence: number
  /** What the item takes in the store. */
  readonly bytes: number
  /** Readings or events in it. */
  readonly count: number
  /** What to publish for one of them, in order. Asked again after a lost connection. */
  messages(index: number): readonly Message[]
}

export interface SourceContext {
  readonly topics: Topics
  readonly retained: RetainedValues
  readonly decode: DecodeBatch
  readonly format: ReadingFormat
  readonly expiry: Expiry
  /** What MQTT 5 can carry beside a payload is of use. */
  readonly withProperties: boolean
  /** A current value is on its way. */
  readonly told?: (agent: string, name: string, reading: BridgedReading, topic: string) => void
  /** Unix time in milliseconds. */
  readonly wallMs: () => number
  /** A reading is told as a historical one because its time to live is over. */
  readonly expired: () => void
}

/** Throws whatever `decodeItem`, `decode` or the topics refuse. `overtaken`: newer items were sent before it. */
export function openSource({ key, value }: Entry, context: SourceContext, overtaken = false): Source {
  const item = decodeItem(value)
  const sequence = sequenceOf(key)
  const base = { sequence, bytes: key.length + value.length }
  if (item.kind === 'event') {
    const told = eventMessage(item.event, sequence, context.topics)
    return { ...base, count: 1, messages: () => [told] }
  }
  const readings = context.decode(item.entry.batch)
  const topicOf = new Map<string, Topic<'reading'>>()
  const topics = readings.map(({ name }) => {
    const topic = topicOf.get(name) ?? context.topics.reading(item.entry.name, name)
    topicOf.set(name, topic)
    return topic
  })
  return {
    ...base,
    count: readings.length,
    messages: readingMessages(sequence, item.entry, readings, topics, overtaken, context),
  }
}

/** A source without messages, for an item that is set aside. */
export function emptySource({ key, value }: Entry): Source {
  return { sequence: sequenceOf(key), bytes: key.length + value.length, count: 0, messages: () => [] }
}

function readingMessages(
  sequence: number,
  entry: OutboxEntry,
  readings: readonly BridgedReading[],
  topics: readonly Topic<'reading'>[],
  overtaken: boolean,
  context: SourceContext,
): (index: number) => readonly Message[] {
  const { retained, format, topics: names, expired, withProperties } = context
  // Of several values of one name only the last can be the current one.
  const lastOfName = new Map(readings.map(({ name }, index) => [name, index]))
  const stream = hex(entry.stream)
  return (index) => {
    const reading = readings[index]!
    const topic = topics[index]!
    const read = readingPayload(entry, index, reading)
    const order = { stream, number: entry.number, index, timeMs: Date.parse(read.time), sequence }
    const old = overtaken && retained.hasNewer(entry.agent, reading.name, order)
    const leftMs = read.historical || old ? Infinity : timeLeft(entry, read, reading.name, context)
    if (leftMs < 0) expired()
    const content = old || leftMs < 0 ? { ...read, historical: true } : read
    const payload = format.encode(content, { agent: entry.name, name: reading.name })
    const extra = withProperties ? { properties: properties(content, sequence, format, leftMs) } : {}
    if (content.historical && !format.tellsHistory)
      return [{ topic: names.history(topic), payload, retain: false, ...extra }]
    if (content.historical || lastOfName.get(reading.name) !== index)
      return [{ topic, payload, retain: false, ...extra }]
    const { retain, stale } = retained.decide(entry.agent, reading.name, topic, order, payload)
    context.told?.(entry.agent, entry.name, reading, topic)
    const told = { topic, payload, retain, ...extra }
    return stale === undefined ? [told] : [removal(stale), told]
  }
}

/** Milliseconds for which it may still be called the current value: below 0 its time to live is over, however it came. */
function timeLeft(
  { receivedWallMs }: OutboxEntry,
  { clock, time }: ReadingPayload,
  name: string,
  { expiry, wallMs }: Pick<SourceContext, 'expiry' | 'wallMs'>,
): number {
  const afterMs = expiry.afterMs(name)
  if (afterMs === undefined) return Infinity
  const isTold = clock === 'synchronised' || clock === 'corrected'
  return afterMs - (wallMs() - (isTold ? Date.parse(time) : receivedWallMs))
}

/** `id` and `historical` as in the JSON payload; `seq` grows with every item of this gateway, so that a consumer sees what it missed. */
function properties(
  { id, historical }: ReadingPayload,
  sequence: number,
  { contentType }: ReadingFormat,
  leftMs: number,
): MessageProperties {
  const user = { id, seq: String(sequence), historical: String(historical) }
  const expires = leftMs >= 0 && leftMs !== Infinity
  return { user, contentType, ...(expires && { expirySeconds: Math.max(1, Math.ceil(leftMs / 1_000)) }) }
}

function eventMessage(event: OutboxEvent, sequence: number, topics: Topics): Message {
  const { level, code, message: text, wallMs, agent, fields } = event
  const time = rfc3339(wallMs) ?? new Date(0).toISOString()
  const id = `event-${Math.trunc(wallMs)}-${sequence}`
  const optional = { ...(agent !== undefined && { agent }), ...(fields !== undefined && { fields }) }
  return message(topics.events, { level, code, message: text, time, id, ...optional }, false)
}
