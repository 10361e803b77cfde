/** What the tests of the bridge share: batches, a reporter that remembers, a broker that obeys. */
import type { EventFields, Level, Reporter, Store, Write } from '@fieldwhisper/host'
import { createMemoryStore, type MemoryStore, type MemoryStoreOptions } from '@fieldwhisper/host/testing'
import { decodeBatch, encodeBatch, type Reading } from '@fieldwhisper/protocol'
import { DEFAULT_REPLAY_RATE, DEFAULT_TOPIC_TEMPLATE } from '../../../gateway/src/bridge/constants.js'
import { BRIDGE_TABLES, outboxWrite, type OutboxEntry } from '../../../gateway/src/bridge/outbox-entry.js'
import { Outbox, type OutboxOptions } from '../../../gateway/src/bridge/outbox.js'
import type { Output, OutputEvents, OutputStatus } from '../../../gateway/src/bridge/output.js'
import { Expiry } from '../../../gateway/src/bridge/expiry.js'
import type { AgentPresence, AgentStatusPayload } from '../../../gateway/src/bridge/payload.js'
import { readingFormat } from '../../../gateway/src/bridge/payload-format.js'
import { createTopics, type Message } from '../../../gateway/src/bridge/topics.js'
import { until } from '../../support/until.js'

/** What a configuration says of payloads unless told otherwise. */
export const PUBLISH = {
  topic: DEFAULT_TOPIC_TEMPLATE,
  payload: 'json',
  expire: [],
  replay: { rate: DEFAULT_REPLAY_RATE, order: 'live_first' },
} as const
export const AGENT = 'a1'.repeat(32)
/** 2026-03-04T05:06:07.890Z */
export const WALL_MS = Date.UTC(2026, 2, 4, 5, 6, 7, 890)

export interface Event {
  readonly level: Level
  readonly code: string
  readonly message: string
  readonly fields: EventFields
}

export function recorder(): Reporter & { readonly events: readonly Event[]; codes(): string[] } {
  const events: Event[] = []
  return {
    events,
    codes: () => events.map(({ code }) => code),
    event(level, code, message, fields = {}) {
      events.push({ level, code, message, fields })
    },
  }
}

export function monoMs(): number {
  return performance.now()
}

export function bridgeStore(options: Partial<MemoryStoreOptions> = {}): MemoryStore {
  return createMemoryStore({ tables: BRIDGE_TABLES, ...options })
}

export function stream(start: number, fill = 0x5a): Uint8Array {
  const bytes = Buffer.alloc(12, fill)
  bytes.writeUInt32BE(start)
  return Uint8Array.from(bytes)
}

export function reading(change: Partial<Reading> = {}): Reading {
  return {
    name: 'temp',
    unit: 'Cel',
    value: 21.5,
    quality: 'good',
    monoMs: 1_000,
    wallMs: WALL_MS,
    clock: 'synchronised',
    ...change,
  }
}

export function batchOf(readings: readonly Reading[]): Uint8Array {
  return encodeBatch({ bootId: new Uint8Array(8), readings: [...readings] })
}

export function decode(batch: Uint8Array): readonly Reading[] {
  return decodeBatch(batch).readings
}

export function entry(change: Partial<OutboxEntry> = {}): OutboxEntry {
  return {
    agent: AGENT,
    name: 'pump-7',
    path: 'lan',
    stream: stream(1),
    number: 0,
    historical: false,
    receivedWallMs: WALL_MS + 1_000,
    batch: batchOf([reading()]),
    ...change,
  }
}

/** Commits entries with the sequence numbers from `first` on. */
export async function fill(
  store: Store,
  first: number,
  entries: readonly OutboxEntry[],
): Promise<readonly Write[]> {
  const writes = entries.map((one, index) => outboxWrite(first + index, one))
  await store.commit(writes)
  return writes
}

/** One batch a number, one reading a batch, its value the number. */
export function numbered(count: number, change: Partial<OutboxEntry> = {}, from = 0): OutboxEntry[] {
  return Array.from({ length: count }, (_, index) =>
    entry({ number: from + index, batch: batchOf([reading({ value: from + index })]), ...change }),
  )
}

/** A broker under the test's hand: acknowledges at once, or when told, or never. */
export class FakeOutput implements Output {
  connected = false
  auto = true
  reconnects = 0
  readonly sent: Message[] = []
  #waiting: { resolve: () => void; reject: (error: Error) => void }[] = []
  #events: OutputEvents | undefined

  /** Messages that wait for their acknowledgement. */
  get waiting(): number {
    return this.#waiting.length
  }

  start(events: OutputEvents): Promise<void> {
    this.#events = events
    return Promise.resolve()
  }

  stop(): Promise<void> {
    return Promise.resolve()
  }

  publish(message: Message): Promise<void> {
    this.sent.push(message)
    if (this.auto) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
  }

  subscribe(): void {}

  reconnect(): void {
    this.reconnects += 1
  }

  status(): OutputStatus {
    return { kind: 'external', address: 'mqtt://fake', connected: this.connected, connects: 0 }
  }

  up(): void {
    this.connected = true
    this.#events?.up()
  }

  acknowledge(count = 1): void {
    for (const { resolve } of this.#waiting.splice(0, count)) resolve()
  }

  acknowledgeLast(): void {
    this.#waiting.pop()?.resolve()
  }

  down(): void {
    this.connected = false
    for (const { reject } of this.#waiting.splice(0)) reject(new Error('connection closed'))
    this.#events?.down()
  }

  refuse(error: Error = new Error('refused')): void {
    this.#waiting.shift()?.reject(error)
  }

  refuseLast(error: Error): void {
    this.#waiting.pop()?.reject(error)
  }

  payloads(): any[] {
    return this.sent.map(({ payload }) =>
      payload.length > 0 ? JSON.parse(Buffer.from(payload).toString()) : null,
    )
  }
}

/** What a gateway says of an agent. */
export function agentStatus(state: AgentPresence): AgentStatusPayload {
  const time = '2026-03-04T05:06:07.890Z'
  const paths = { lan: true, relay: false }
  return { state, time, last_seen: time, path: 'lan', paths, readings: 1, waiting: 0, lost: 0 }
}

export interface Rig {
  readonly outbox: Outbox
  readonly output: FakeOutput
  readonly reporter: ReturnType<typeof recorder>
}

/** A started outbox on a store, its output connected. */
export async function rig(store: Store, change: Partial<OutboxOptions> = {}): Promise<Rig> {
  const output = (change.output as FakeOutput | undefined) ?? new FakeOutput()
  const reporter = recorder()
  const outbox = new Outbox({
    store,
    output,
    topics: createTopics('hall'),
    reporter,
    monoMs,
    runningMs: monoMs,
    decode,
    format: readingFormat('json'),
    expiry: new Expiry([]),
    withProperties: false,
    wallMs: () => 0,
    maxBytes: 1_000_000,
    keepSentMs: 3_600_000,
    markIntervalMs: 0,
    ...change,
  })
  outbox.retained.load(store, () => undefined)
  outbox.start()
  await output.start({ up: () => outbox.up(), down: () => outbox.down() })
  output.up()
  return { outbox, output, reporter }
}

export function eventually(what: string, check: () => boolean): Promise<unknown> {
  return until(check, { withinMs: 10_000, what, everyMs: 2 })
}
