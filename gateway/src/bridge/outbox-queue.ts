import { TokenBucket, type Entry, type Store } from '@fieldwhisper/host'
import { REPLAY_FROM_ITEMS } from './constants.js'
import { sequenceOf } from './outbox-entry.js'
import type { OutboxMarks } from './outbox-marks.js'
import { newestSequence } from './outbox-position.js'
import { OutboxReader } from './outbox-reader.js'

export const REPLAY_ORDERS = ['live_first', 'in_order'] as const

/** How what waited for the broker is published when it is there again. */
export interface Replay {
  /** Readings a second. */
  readonly rate: number
  /** `live_first`: what comes meanwhile goes ahead of what waited. `in_order`: behind it. */
  readonly order: (typeof REPLAY_ORDERS)[number]
}

export interface NextItem {
  readonly entry: Entry
  /** It was committed before the broker came; say with `replayed` how many readings it had. */
  readonly waited: boolean
  /** Newer ones were published before it. */
  readonly overtaken: boolean
}

/** The fields of `OutboxMarks` that say where to go on. */
type Marks = Pick<OutboxMarks, 'through' | 'ahead' | 'goAhead' | 'caughtUp'>

/**
 * Which item of the outbox is published next.
 *
 *   in_order    through ├─ waited, at the rate ──┼─ new ─►
 *   live_first  through ├─ waited, at the rate ──┤
 *                                        ahead.from ├─ new, ahead of it ─►   until both meet
 *
 * A broker that comes back while they have not met leaves one place to go ahead from: what waited the second time comes at the
 * rate, then what is new, and the rest of the first beside it.
 */
export class OutboxQueue {
  readonly #store: Store
  readonly #marks: Marks
  readonly #replay: Replay
  readonly #bucket: TokenBucket
  readonly #reader: OutboxReader
  /** Where newer items go ahead: what they leave behind. */
  #behind:
    { readonly reader: OutboxReader; readonly before: number; given: number; done: boolean } | undefined
  /** Items up to here were there before the broker was. */
  #waitedThrough = -1
  #restUntilMs = -Infinity

  constructor(store: Store, marks: Marks, replay: Replay, nowMs: number) {
    this.#store = store
    this.#marks = marks
    this.#replay = replay
    this.#bucket = new TokenBucket({ perSecond: replay.rate, burst: replay.rate }, nowMs)
    this.#reader = new OutboxReader(store, marks.through())
  }

  /** The broker is there. Throws what the store throws. */
  up(): void {
    this.#waitedThrough = newestSequence(this.#store)
    const waiting = this.#waitedThrough - this.#marks.through()
    if (this.#replay.order === 'live_first' && !this.#marks.ahead && waiting > REPLAY_FROM_ITEMS)
      this.#marks.goAhead(this.#waitedThrough + 1)
    this.rewind()
  }

  /** What was given out and is not marked is given out again. */
  rewind(): void {
    const { ahead } = this.#marks
    const through = this.#marks.through()
    this.#reader.resumeAfter(ahead ? ahead.through : through)
    this.#behind = ahead && {
      reader: new OutboxReader(this.#store, through),
      before: ahead.from,
      given: through,
      done: false,
    }
  }

  /** Something was committed. */
  wake(): void {
    this.#reader.wake()
  }

  /** Undefined: nothing now, but perhaps after `restMs`. Throws what the store throws; the next call tries again. */
  next(nowMs: number): NextItem | undefined {
    return this.#nextNew(nowMs) ?? this.#nextBehind(nowMs)
  }

  /** So many readings that had waited were given out. */
  replayed(readings: number, nowMs: number): void {
    this.#restUntilMs = nowMs + this.#bucket.charge(nowMs, readings)
  }

  /** Something that waited is still to be given out. */
  get replaying(): boolean {
    return this.#isWaiting || (this.#behind !== undefined && !this.#behind.done)
  }

  /** How long what waited has to wait for its rate. */
  restMs(nowMs: number): number {
    return Math.max(0, this.#restUntilMs - nowMs)
  }

  /** To be called after each mark: when everything left behind is marked there is one place again. */
  meet(): void {
    if (!this.#behind?.done || this.#marks.through() < this.#behind.given) return
    if (this.#marks.caughtUp()) this.#behind = undefined
  }

  get #isWaiting(): boolean {
    return this.#reader.position < this.#waitedThrough
  }

  #nextNew(nowMs: number): NextItem | undefined {
    const waited = this.#isWaiting
    if (waited && nowMs < this.#restUntilMs) return undefined
    const entry = this.#reader.next()
    return entry && { entry, waited, overtaken: false }
  }

  #nextBehind(nowMs: number): NextItem | undefined {
    const behind = this.#behind
    if (!behind || behind.done || nowMs < this.#restUntilMs) return undefined
    const entry = behind.reader.next()
    if (!entry || sequenceOf(entry.key) >= behind.before) {
      behind.done = true
      return undefined
    }
    behind.given = sequenceOf(entry.key)
    behind.done = behind.given === behind.before - 1
    return { entry, waited: true, overtaken: true }
  }
}
