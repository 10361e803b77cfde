import { errorText } from '@fieldwhisper/host'
import type { Entry, Reporter, Store, Write } from '@fieldwhisper/host'

import {
  MAX_ITEMS_PER_TURN,
  PUBLISH_DEADLINE_MS,
  PUBLISH_RETRY_MS,
  STOP_TIMEOUT_MS,
  STUCK_AFTER_FAILURES,
  WINDOW_BYTES,
  WINDOW_MESSAGES,
} from './constants.js'
import { OUTBOX_TABLE, sequenceKey, sequenceOf } from './outbox-entry.js'
import { OutboxMarks } from './outbox-marks.js'
import { newestSequence, type Lane } from './outbox-position.js'
import { OutboxQueue, type NextItem, type Replay } from './outbox-queue.js'
import { emptySource, openSource } from './outbox-source.js'
import type { Source, SourceContext } from './outbox-source.js'
import { OutboxSpace } from './outbox-space.js'
import { PublishWindow } from './outbox-window.js'
import type { Flight } from './outbox-window.js'
import { isRefusal, type Output } from './output.js'
import { RetainedValues } from './retained.js'
import { removal } from './topics.js'
import type { Message } from './topics.js'

export interface OutboxOptions extends Omit<SourceContext, 'retained' | 'expired'> {
  readonly store: Store
  readonly output: Output
  readonly reporter: Reporter
  /** Milliseconds that never go back. */
  readonly monoMs: () => number
  /** Counted life of this gateway in milliseconds, over restarts (`RunningTime` of @fieldwhisper/host). */
  readonly runningMs: () => number
  /** Bytes, sent and unsent; the core is to stop at this many unsent. */
  readonly maxBytes: number
  /** Milliseconds of running time. */
  readonly keepSentMs: number
  /** Messages that wait for the broker at one time, 512 by default. */
  readonly windowMessages?: number
  /** Milliseconds without any acknowledgement, 20,000 by default. */
  readonly deadlineMs?: number
  readonly markIntervalMs?: number
  /** Further ways out: what one of them has not sent is not deleted. */
  readonly lanes?: readonly Lane[]
  /** How what waited for the broker is published when it is there again. Absent: at once and in order. */
  readonly replay?: Replay
}

export interface OutboxStatus {
  readonly unsentEntries: number
  readonly unsentBytes: number
  readonly keptEntries: number
  readonly keptBytes: number
  readonly full: boolean
  /** Since the program began. */
  readonly published: number
  /** Messages that the broker refused for good; their entries are set aside. */
  readonly refused: number
  /** Entries that were set aside. */
  readonly rejected: number
  /** Messages that had to be published again because their acknowledgement did not come. */
  readonly repeated: number
  /** Readings that were older than their time to live, and were not published as current. */
  readonly expired: number
  /** What waited for the broker is being published, at its rate. */
  readonly replaying: boolean
}

/**
 * Publishes what the core committed, in its order, until the broker has acknowledged it:
 *
 *   1. `committed` (or a new connection) wakes it; `OutboxQueue` says which entry is next.
 *   2. An entry becomes messages; one that cannot is set aside and does not hold up the others.
 *   3. At most a window of messages waits for PUBACKs. These count in order, from the oldest.
 *   4. With the last message of an entry the entry is sent: `OutboxMarks` records it. A message that the broker refuses for
 *      good holds up nothing: its entry is set aside with the reason and counts as sent.
 *   5. A connection that breaks, or 20 s without any PUBACK, puts it back to the oldest unacknowledged message.
 *
 * What is in memory is the window and a page, whatever waits on disk.
 */
export class Outbox {
  readonly retained: RetainedValues
  readonly space: OutboxSpace
  readonly #options: OutboxOptions
  /** Shared with the other lanes. */
  readonly marks: OutboxMarks
  readonly #window: number
  readonly #deadlineTicks: number
  readonly #queue: OutboxQueue
  readonly #flying = new PublishWindow()
  /** Messages without an item, ahead of everything: removals of retained values. */
  readonly #extras: Message[] = []
  /** Current values that the broker is to retain again. */
  #recorded: Generator<Message> | undefined
  #source: Source | undefined
  #index = 0
  /** Items of which a part was acknowledged before the connection broke: where to go on, by sequence. */
  readonly #resumed = new Map<number, number>()
  #running = false
  #waiting = false
  #round = 0
  #silentTicks = 0
  #ticker: NodeJS.Timeout | undefined
  #retry: NodeJS.Timeout | undefined
  #rester: NodeJS.Timeout | undefined
  #failedAt = -1
  #failures = 0
  #onIdle: (() => void) | undefined
  #counting: Promise<void> = Promise.resolve()
  readonly #totals = { published: 0, refused: 0, rejected: 0, repeated: 0, expired: 0 }
  /** Messages of the entry that is being finished that the broker refused. */
  #refusedOfEntry = 0
  readonly #context: SourceContext

  constructor(options: OutboxOptions) {
    const { store, reporter, monoMs, runningMs, maxBytes, keepSentMs, markIntervalMs } = options
    this.#options = options
    this.#window = options.windowMessages ?? WINDOW_MESSAGES
    this.#deadlineTicks = Math.ceil((options.deadlineMs ?? PUBLISH_DEADLINE_MS) / TICK_MS)
    this.retained = new RetainedValues(reporter)
    this.#context = { ...options, retained: this.retained, expired: () => this.#totals.expired++ }
    this.space = new OutboxSpace({ store, maxBytes, keepSentMs })
    const interval = markIntervalMs === undefined ? {} : { intervalMs: markIntervalMs }
    this.marks = new OutboxMarks({
      store,
      space: this.space,
      retained: this.retained,
      reporter,
      monoMs,
      runningMs,
      ...interval,
      ...(options.lanes && { lanes: options.lanes }),
    })
    this.#queue = new OutboxQueue(store, this.marks, options.replay ?? AT_ONCE, monoMs())
  }

  /** Call after `retained.load`. Publishing begins with `up`. */
  start(): void {
    this.#running = true
    this.marks.start()
    this.#ticker = setInterval(() => this.#tick(), TICK_MS)
    const isSent = (sequence: number): boolean => sequence <= this.marks.settled
    this.#counting = this.space
      .count(newestSequence(this.#options.store), isSent, () => this.#running)
      .then(() => this.#queue.meet())
  }

  /** Takes nothing new, gives the broker 2 s for the acknowledgements that are due, and records them. */
  async stop(): Promise<void> {
    this.#running = false
    clearTimeout(this.#retry)
    clearTimeout(this.#rester)
    if (this.#flying.length > 0 && this.#options.output.connected) {
      const idle = new Promise<void>((resolve) => (this.#onIdle = resolve))
      const timer = setTimeout(() => this.#onIdle?.(), STOP_TIMEOUT_MS)
      await idle
      clearTimeout(timer)
    }
    clearInterval(this.#ticker)
    this.#round += 1
    await this.#counting
    await this.marks.stop()
  }

  /** The output takes messages. */
  up(): void {
    clearTimeout(this.#retry)
    this.#waiting = false
    this.#recorded = undefined
    this.#takeBack()
    try {
      this.#queue.up()
    } catch (cause) {
      // The order of the last connection is one too.
      this.#unreadable(cause)
    }
    this.#pump()
  }

  /** The output lost its broker. */
  down(): void {
    this.#rewind()
  }

  /** For the core, after a commit that holds writes of `outboxWrite` has succeeded; other writes are skipped. */
  committed(writes: readonly Write[]): void {
    for (const { table, key, value } of writes) {
      if (table !== OUTBOX_TABLE || value === null) continue
      const sequence = sequenceOf(key)
      this.space.added(sequence, key.length + value.length, sequence <= this.marks.settled)
    }
    this.#queue.wake()
    this.#pump()
  }

  /** The broker lost what it retained: the current values are told again, when there is nothing else to publish, at the rate of `replay`. */
  retainAgain(): void {
    this.#recorded = this.retained.recorded(this.#options.store)
    this.#pump()
  }

  /** Removes the current values of an agent that was revoked, here and at the broker. */
  forgetAgent(agent: string): void {
    this.#extras.push(...this.retained.forget(agent).map(removal))
    this.marks.soon()
    this.#pump()
  }

  status(): OutboxStatus {
    const { unsent, sent, full } = this.space
    const { ahead } = this.marks
    return {
      unsentEntries: Math.max(0, unsent.entries - (ahead?.entries ?? 0)),
      unsentBytes: unsent.bytes,
      keptEntries: sent.entries,
      keptBytes: sent.bytes,
      full,
      ...this.#totals,
      replaying: this.#options.output.connected && this.#queue.replaying,
    }
  }

  #pump(): void {
    if (this.#waiting) return
    let items = 0
    while (this.#mayPublish()) {
      const extra = this.#extras.shift()
      if (extra) {
        this.#sendExtra(extra)
        continue
      }
      if (!this.#source && items++ >= MAX_ITEMS_PER_TURN) return this.#pumpLater()
      this.#source ??= this.#nextSource()
      if (this.#source) this.#sendNext(this.#source)
      else if (!this.#sendRecorded()) return
    }
  }

  #sendExtra(extra: Message): void {
    this.#send({ extra, index: 0, last: false, bytes: extra.payload.length, acked: false }, extra)
  }

  #sendRecorded(): boolean {
    const now = this.#options.monoMs()
    if (!this.#recorded || this.#queue.restMs(now) > 0) return false
    const told = this.#nextRecorded(this.#recorded)
    if (!told) {
      this.#recorded = undefined
      return false
    }
    this.#queue.replayed(1, now)
    this.#sendExtra(told)
    return true
  }

  #nextRecorded(recorded: Generator<Message>): Message | undefined {
    try {
      return recorded.next().value as Message | undefined
    } catch (cause) {
      this.#unreadable(cause)
      return undefined
    }
  }

  #mayPublish(): boolean {
    const free = this.#flying.length < this.#window && this.#flying.bytes < WINDOW_BYTES
    return this.#running && free && this.#options.output.connected
  }

  #pumpLater(wait = 0): void {
    this.#waiting = true
    this.#retry = setTimeout(() => {
      this.#waiting = false
      this.#pump()
    }, wait)
  }

  #nextSource(): Source | undefined {
    const now = this.#options.monoMs()
    let item: NextItem | undefined
    try {
      item = this.#queue.next(now)
    } catch (cause) {
      this.#unreadable(cause)
      this.#pumpLater(PUBLISH_RETRY_MS)
    }
    if (!item) return this.#rest(now)
    const source = this.#open(item)
    if (item.waited) this.#queue.replayed(source.count, now)
    return source
  }

  /** What waited for the broker comes at its rate. */
  #rest(now: number): undefined {
    this.#queue.meet()
    const restMs = this.#queue.replaying || this.#recorded ? this.#queue.restMs(now) : 0
    if (restMs > 0 && !this.#waiting) this.#rester ??= setTimeout(() => this.#rested(), restMs)
  }

  #rested(): void {
    this.#rester = undefined
    this.#pump()
  }

  #unreadable(cause: unknown): void {
    const text = `The outbox cannot be read: ${errorText(cause)}`
    this.#options.reporter.event('error', 'FW_OUTBOX_UNREADABLE', text)
  }

  #open({ entry, overtaken }: NextItem): Source {
    const sequence = sequenceOf(entry.key)
    this.#index = this.#resumed.get(sequence) ?? 0
    this.#resumed.delete(sequence)
    try {
      return openSource(entry, this.#context, overtaken)
    } catch (cause) {
      this.#reject(entry, cause)
      return emptySource(entry)
    }
  }

  #reject({ key, value }: Pick<Entry, 'key' | 'value'>, cause: unknown): void {
    const code = codeOf(cause)
    const sequence = sequenceOf(key)
    if (!this.marks.reject(sequence, code, value)) return
    this.#totals.rejected += 1
    this.#options.reporter.event(
      'error',
      'FW_OUTBOX_REJECTED',
      'An entry of the outbox cannot be published. It is set aside in the state folder; everything else goes on.',
      { sequence, reason: code, bytes: value.length },
    )
  }

  #sendNext(source: Source): void {
    const index = this.#index++
    const done = this.#index >= source.count
    if (done) this.#source = undefined
    const messages = index < source.count ? source.messages(index) : []
    if (messages.length === 0) {
      this.#flying.push({ source, index, last: done, bytes: 0, acked: true })
      this.#advance()
    }
    messages.forEach((told, part) => {
      const last = done && part === messages.length - 1
      this.#send({ source, index, last, bytes: told.topic.length + told.payload.length, acked: false }, told)
    })
  }

  #send(flight: Flight, told: Message): void {
    if (this.#flying.length === 0) this.#silentTicks = 0
    this.#flying.push(flight)
    const round = this.#round
    this.#options.output.publish(told).then(
      () => {
        if (round === this.#round) this.#acknowledged(flight)
      },
      (error: unknown) => {
        if (round !== this.#round) return
        if (isRefusal(error)) this.#refusedForGood(flight, error)
        else this.#refused()
      },
    )
  }

  #acknowledged(flight: Flight): void {
    flight.acked = true
    this.#silentTicks = 0
    this.#failures = 0
    this.#advance()
    this.#pump()
  }

  /** The same would be refused again: its entry is set aside, and what comes behind it goes on. */
  #refusedForGood(flight: Flight, error: Error): void {
    if (flight.source) {
      const key = sequenceKey(flight.source.sequence)
      const value = this.#valueOf(key)
      if (value) this.#reject({ key, value }, error)
    }
    flight.refused = true
    this.#acknowledged(flight)
  }

  #valueOf(key: Uint8Array): Uint8Array | undefined {
    try {
      return this.#options.store.get(OUTBOX_TABLE, key)
    } catch (cause) {
      this.#unreadable(cause)
      return undefined
    }
  }

  #advance(): void {
    for (const { source, last, refused = false } of this.#flying.advance()) {
      if (refused) this.#totals.refused += 1
      if (refused && source) this.#refusedOfEntry += 1
      if (!source || !last) continue
      this.#totals.published += Math.max(0, source.count - this.#refusedOfEntry)
      this.#refusedOfEntry = 0
      this.marks.sent(source.sequence, source.bytes)
      this.#queue.meet()
    }
    if (this.#flying.length === 0) this.#onIdle?.()
  }

  /** The broker did not take a message. Connected or not, the rest of the window is of no use. */
  #refused(): void {
    this.#rewind()
    if (!this.#waiting && this.#running) this.#pumpLater(PUBLISH_RETRY_MS)
  }

  #rewind(): void {
    if (this.#flying.length === 0) return
    const first = this.#takeBack()
    if (first !== undefined) this.#countFailure(first)
    this.#onIdle?.()
  }

  /** What is not acknowledged is to be published again, from where it stands. Gives the first item of it. */
  #takeBack(): number | undefined {
    this.#round += 1
    const lost = this.#flying.clear()
    this.#totals.repeated += lost.length
    this.#extras.unshift(...lost.flatMap(({ extra }) => (extra ? [extra] : [])))
    if (this.#source) this.#resumed.set(this.#source.sequence, this.#index)
    for (const { source, index } of lost.toReversed()) if (source) this.#resumed.set(source.sequence, index)
    this.#source = undefined
    this.#queue.rewind()
    return lost.find(({ source }) => source !== undefined)?.source?.sequence
  }

  #countFailure(sequence: number): void {
    this.#failures = sequence === this.#failedAt ? this.#failures + 1 : 1
    this.#failedAt = sequence
    if (this.#failures !== STUCK_AFTER_FAILURES) return
    this.#options.reporter.event(
      'error',
      'FW_OUTBOX_STUCK',
      'The broker ends the connection at the same entry of the outbox again and again. Its log should say why.',
      { sequence, attempts: this.#failures },
    )
  }

  #tick(): void {
    this.#queue.meet()
    if (this.#flying.length === 0 || !this.#options.output.connected) return
    this.#silentTicks += 1
    if (this.#silentTicks < this.#deadlineTicks) return
    this.#silentTicks = 0
    this.#options.reporter.event(
      'warn',
      'FW_MQTT_PUBLISH_TIMEOUT',
      'The MQTT broker is connected and does not acknowledge. The connection is made anew.',
      { waiting: this.#flying.length },
    )
    this.#rewind()
    this.#options.output.reconnect()
    this.#pumpLater(PUBLISH_RETRY_MS)
  }
}

const AT_ONCE: Replay = { rate: 1e9, order: 'in_order' }
/** Deadlines are counted in steps, so that a process that was suspended does not find them expired. */
const TICK_MS = 1_000

function codeOf(cause: unknown): string {
  const code = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' ? code : 'FW_OUTBOX_ENTRY_INVALID'
}
