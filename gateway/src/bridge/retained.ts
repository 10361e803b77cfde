import type { Reporter, Store, Write } from '@fieldwhisper/host'
import { asArray, asBytes, asText, asUint, decodeCbor, encodeCbor } from '@fieldwhisper/protocol'

import {
  BRIDGE_RECORD_VERSION,
  MAX_PAYLOAD_BYTES,
  MAX_RETAINED_NAMES,
  MAX_RETAINED_NAMES_PER_AGENT,
  MAX_TOPIC_BYTES,
} from './constants.js'
import { RETAINED_TABLE } from './outbox-entry.js'
import type { Message } from './topics.js'

/** Where a reading stands in the life of its agent; compares like a number in three digits. No clock is asked. */
export interface ReadingOrder {
  /** First four bytes of the stream: grows with every start of the agent. */
  readonly start: number
  readonly number: number
  readonly index: number
}

/** What to do with one reading. */
export interface RetainDecision {
  readonly retain: boolean
  /** The value was retained at another topic until now (the agent was renamed): remove it there. */
  readonly stale?: string
}

interface Current extends ReadingOrder {
  readonly topic: string
}

/** A value that is not on disk yet; without one the record goes. */
interface Change {
  readonly agent: string
  readonly name: string
  readonly value?: Current & { readonly payload: Uint8Array }
}

/**
 * The current value of every name of every agent, for subscribers that come later. Live readings only; a value that is
 * older than the one held never replaces it. Survives a restart of the gateway: the changes go into the commit that marks
 * the readings sent.
 */
export class RetainedValues {
  readonly #agents = new Map<string, Map<string, Current>>()
  readonly #changes = new Map<string, Change>()
  readonly #reporter: Reporter
  #names = 0

  constructor(reporter: Reporter) {
    this.#reporter = reporter
  }

  /** Reads what was held before a restart; gives each value to `restore`, in no order. */
  load(store: Store, restore: (message: Message) => void): void {
    for (const { key, value } of store.range(RETAINED_TABLE)) {
      const read = decode(key, value)
      if (!read) continue
      const { agent, name, topic, start, number, index, payload } = read
      this.#set(agent, name, { topic, start, number, index })
      restore({ topic, payload, retain: true })
    }
  }

  /** Called for every live reading in the order of publishing. */
  decide(
    agent: string,
    name: string,
    topic: string,
    order: ReadingOrder,
    payload: Uint8Array,
  ): RetainDecision {
    const current = this.#agents.get(agent)?.get(name)
    if (current && isBefore(order, current)) return { retain: false }
    if (!current && !this.#hasRoom(agent)) return { retain: false }
    this.#set(agent, name, { topic, ...order })
    this.#changes.set(`${agent}/${name}`, { agent, name, value: { topic, ...order, payload } })
    return current && current.topic !== topic ? { retain: true, stale: current.topic } : { retain: true }
  }

  /** What changed since the last call; to be given back to `failed` if the commit that takes it fails. */
  takeChanges(): readonly Change[] {
    const changes = [...this.#changes.values()]
    this.#changes.clear()
    return changes
  }

  failed(changes: readonly Change[]): void {
    for (const change of changes) {
      const key = `${change.agent}/${change.name}`
      if (!this.#changes.has(key)) this.#changes.set(key, change)
    }
  }

  /** Forgets an agent that was revoked; gives the topics whose retained value is to be removed. */
  forget(agent: string): readonly string[] {
    const names = this.#agents.get(agent)
    if (!names) return []
    this.#agents.delete(agent)
    this.#names -= names.size
    for (const name of names.keys()) {
      this.#changes.set(`${agent}/${name}`, { agent, name })
    }
    return [...names.values()].map(({ topic }) => topic)
  }

  #set(agent: string, name: string, current: Current): void {
    const names = this.#agents.get(agent) ?? new Map<string, Current>()
    this.#agents.set(agent, names)
    if (!names.has(name)) this.#names += 1
    names.set(name, current)
  }

  #hasRoom(agent: string): boolean {
    const held = this.#agents.get(agent)?.size ?? 0
    if (held < MAX_RETAINED_NAMES_PER_AGENT && this.#names < MAX_RETAINED_NAMES) return true
    this.#reporter.event(
      'warn',
      'FW_RETAINED_LIMIT',
      'An agent uses more names than current values are kept for; new names are published and not retained.',
      { agent, held, limit: MAX_RETAINED_NAMES_PER_AGENT },
    )
    return false
  }
}

function isBefore(a: ReadingOrder, b: ReadingOrder): boolean {
  if (a.start !== b.start) return a.start < b.start
  if (a.number !== b.number) return a.number < b.number
  return a.index < b.index
}

export function retainedWrite({ agent, name, value }: Change): Write {
  return {
    table: RETAINED_TABLE,
    // An agent id is hex, so the first slash ends it.
    key: Buffer.from(`${agent}/${name}`),
    value: value
      ? encodeCbor([
          BRIDGE_RECORD_VERSION,
          value.topic,
          value.start,
          value.number,
          value.index,
          value.payload,
        ])
      : null,
  }
}

function splitKey(key: Uint8Array): { agent: string; name: string } {
  const text = Buffer.from(key.buffer, key.byteOffset, key.byteLength).toString()
  const slash = text.indexOf('/')
  return { agent: text.slice(0, slash), name: text.slice(slash + 1) }
}

/** Undefined for a record of another version. */
function decode(
  key: Uint8Array,
  value: Uint8Array,
): (Current & { agent: string; name: string; payload: Uint8Array }) | undefined {
  try {
    const [version, topic, start, number, index, payload] = asArray(decodeCbor(value), 'retained value', 6)
    if (version !== BRIDGE_RECORD_VERSION) return undefined
    return {
      ...splitKey(key),
      topic: asText(topic, 'topic', 1, MAX_TOPIC_BYTES),
      start: asUint(start, 'start'),
      number: asUint(number, 'number', Number.MAX_SAFE_INTEGER),
      index: asUint(index, 'index'),
      payload: asBytes(payload, 'payload', 1, MAX_PAYLOAD_BYTES),
    }
  } catch {
    return undefined
  }
}
