import type { Entry, Reporter, Store, Write } from '@fieldwhisper/host'
import {
  STREAM_BYTES,
  asArray,
  asBytes,
  asFinite,
  asText,
  asUint,
  decodeCbor,
  encodeCbor,
  hex,
} from '@fieldwhisper/protocol'

import {
  BRIDGE_RECORD_VERSION,
  MAX_PAYLOAD_BYTES,
  MAX_RETAINED_NAMES,
  MAX_RETAINED_NAMES_PER_AGENT,
  MAX_TOPIC_BYTES,
} from './constants.js'
import { RETAINED_TABLE } from './outbox-entry.js'
import type { Message } from './topics.js'

const RECORDS_PAGE = 256

/** Where a reading stands in the life of its agent. */
export interface ReadingOrder {
  /** In hex. Its first eight digits are the start number, which grows with every start of the agent. */
  readonly stream: string
  readonly number: number
  readonly index: number
  /** Unix milliseconds as published. */
  readonly timeMs: number
}

/** What to do with one reading. */
export interface RetainDecision {
  readonly retain: boolean
  /** The value was retained at another topic until now (the agent was renamed): remove it there. */
  readonly stale?: string
}

interface Current extends ReadingOrder {
  readonly topic: string
  /** The outbox item it came in; absent in records of earlier releases. */
  readonly sequence?: number
}

/** Where in the outbox the current value of a name is, as long as it is kept there. */
export interface CurrentPlace {
  readonly sequence: number
  readonly index: number
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
  /** By topic: the agent whose value is retained there. Two have one topic when a device took another's name. */
  readonly #owners = new Map<string, string>()
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
      const { agent, name, payload, ...current } = read
      const { topic } = current
      this.#set(agent, name, current)
      restore({ topic, payload, retain: true })
    }
  }

  /** Called for every live reading in the order of publishing. */
  decide(
    agent: string,
    name: string,
    topic: string,
    order: ReadingOrder & { readonly sequence: number },
    payload: Uint8Array,
  ): RetainDecision {
    const current = this.#agents.get(agent)?.get(name)
    if (this.hasNewer(agent, name, order)) return { retain: false }
    if (!current && !this.#hasRoom(agent)) return { retain: false }
    this.#disown(topic, agent, name)
    if (current) this.#owners.delete(current.topic)
    this.#set(agent, name, { topic, ...order })
    this.#changes.set(`${agent}/${name}`, { agent, name, value: { topic, ...order, payload } })
    return current && current.topic !== topic ? { retain: true, stale: current.topic } : { retain: true }
  }

  /** A newer value of this name was published. */
  hasNewer(agent: string, name: string, order: ReadingOrder): boolean {
    const current = this.#agents.get(agent)?.get(name)
    return current !== undefined && isBefore(order, current)
  }

  /** Of all names of all agents, in the order of the outbox. */
  places(): CurrentPlace[] {
    return [...this.#agents.values()]
      .flatMap((names) => [...names.values()])
      .flatMap(({ sequence, index }) => (sequence === undefined ? [] : [{ sequence, index }]))
      .sort((one, other) => one.sequence - other.sequence)
  }

  /** What is recorded, one by one in no order; each only if no newer value was published meanwhile. */
  *recorded(store: Store): Generator<Message> {
    for (let from = Buffer.alloc(0), page: Entry[] = []; ; from = after(page.at(-1)!.key)) {
      page = [...store.range(RETAINED_TABLE, { from, limit: RECORDS_PAGE })]
      for (const { key, value } of page) {
        const read = decode(key, value)
        if (read && this.#isCurrent(read)) yield { topic: read.topic, payload: read.payload, retain: true }
      }
      if (page.length < RECORDS_PAGE) return
    }
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
    const topics = [...names.values()].map(({ topic }) => topic)
    for (const name of [...names.keys()]) this.#drop(agent, name)
    return topics
  }

  #isCurrent({
    agent,
    name,
    stream,
    number,
    index,
    topic,
  }: Current & { agent: string; name: string }): boolean {
    const current = this.#agents.get(agent)?.get(name)
    if (current?.topic !== topic) return false
    return current.stream === stream && current.number === number && current.index === index
  }

  /** Another agent had this topic until now: its value is gone from there, and must not come back after a restart. */
  #disown(topic: string, agent: string, name: string): void {
    const owner = this.#owners.get(topic)
    if (owner !== undefined && owner !== agent) this.#drop(owner, name)
  }

  #drop(agent: string, name: string): void {
    const names = this.#agents.get(agent)
    const current = names?.get(name)
    if (!names || !current) return
    names.delete(name)
    if (names.size === 0) this.#agents.delete(agent)
    this.#owners.delete(current.topic)
    this.#names -= 1
    this.#changes.set(`${agent}/${name}`, { agent, name })
  }

  #set(agent: string, name: string, current: Current): void {
    const names = this.#agents.get(agent) ?? new Map<string, Current>()
    this.#agents.set(agent, names)
    if (!names.has(name)) this.#names += 1
    names.set(name, current)
    this.#owners.set(current.topic, agent)
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

/**
 * Within a stream the numbers decide. Between streams the later start does, or the later time: the first holds where a clock
 * was set back, the second where an agent was restored from an old copy and counts its starts from there.
 */
function isBefore(a: ReadingOrder, b: ReadingOrder): boolean {
  if (a.stream === b.stream) return a.number !== b.number ? a.number < b.number : a.index < b.index
  return startOf(a) <= startOf(b) && a.timeMs < b.timeMs
}

function startOf({ stream }: ReadingOrder): number {
  return Number.parseInt(stream.slice(0, 8), 16)
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
          Buffer.from(value.stream, 'hex'),
          value.number,
          value.index,
          value.timeMs,
          value.payload,
          ...(value.sequence === undefined ? [] : [value.sequence]),
        ])
      : null,
  }
}

/** The least key behind this one. */
function after(key: Uint8Array): Buffer<ArrayBuffer> {
  return Buffer.concat([key, Buffer.alloc(1)])
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
    const fields = asArray(decodeCbor(value), 'value', 7, 8)
    const [version, topic, stream, number, index, timeMs, payload, sequence] = fields
    if (version !== BRIDGE_RECORD_VERSION) return undefined
    return {
      ...splitKey(key),
      topic: asText(topic, 'topic', 1, MAX_TOPIC_BYTES),
      stream: hex(asBytes(stream, 'stream', STREAM_BYTES)),
      number: asUint(number, 'number', Number.MAX_SAFE_INTEGER),
      index: asUint(index, 'index'),
      timeMs: asFinite(timeMs, 'time'),
      payload: asBytes(payload, 'payload', 1, MAX_PAYLOAD_BYTES),
      ...(sequence !== undefined && { sequence: asUint(sequence, 'sequence', Number.MAX_SAFE_INTEGER) }),
    }
  } catch {
    return undefined
  }
}
