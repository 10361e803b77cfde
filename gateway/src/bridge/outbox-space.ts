import type { Store, Write } from '@fieldwhisper/host'

import { AGE_MARK_MS, DELETE_ENTRIES, MARK_RETRY_MS, ROOM_SHARE } from './constants.js'
import { OUTBOX_TABLE, sequenceKey, sequenceOf } from './outbox-entry.js'
import { ageWrite, storedAges, type Age } from './outbox-position.js'

export interface SpaceOptions {
  readonly store: Store
  /** Sent and unsent together. Above it what was sent goes first; full means that the unsent alone are as much. */
  readonly maxBytes: number
  /** Running time of the gateway after which what was sent is deleted; 0: at once. */
  readonly keepSentMs: number
}

/** One share of the outbox. */
interface Share {
  bytes: number
  entries: number
}

const COUNT_PAGE = 512

/**
 * How much room the outbox takes, and what may be deleted. Time is running time of the gateway, so that a jump of the
 * clock deletes nothing.
 */
export class OutboxSpace {
  readonly unsent: Share = { bytes: 0, entries: 0 }
  readonly sent: Share = { bytes: 0, entries: 0 }
  readonly #options: SpaceOptions
  readonly #ages: Age[]
  readonly #roomListeners = new Set<() => void>()
  /** Entries up to here are in the shares. */
  #countedThrough = -1
  #deletedThrough = -1
  /** While `count` runs: the first sequence that it has not seen. Nothing is deleted meanwhile. */
  #uncountedFrom: number | undefined
  /** Runs of `movedBetween`. Nothing is deleted meanwhile. */
  #moving = 0
  #full = false

  constructor(options: SpaceOptions) {
    this.#options = options
    this.#ages = storedAges(options.store)
  }

  get bytes(): number {
    return this.unsent.bytes + this.sent.bytes
  }

  get full(): boolean {
    return this.#full
  }

  /** What a start found is being counted. */
  get counting(): boolean {
    return this.#uncountedFrom !== undefined
  }

  onRoom(listener: () => void): () => void {
    this.#roomListeners.add(listener)
    return () => this.#roomListeners.delete(listener)
  }

  /**
   * Counts what a start found, up to and including `last`, in pages so that nothing else has to wait; `isSent` is asked
   * when an entry is counted. Entries that are added meanwhile lie above `last`.
   */
  async count(last: number, isSent: (sequence: number) => boolean, keepOn: () => boolean): Promise<void> {
    this.#countedThrough = last
    let from = (this.#uncountedFrom = 0)
    while (from <= last && keepOn()) {
      let read = 0
      for (const { key, value } of this.#options.store.range(OUTBOX_TABLE, {
        from: sequenceKey(from),
        to: sequenceKey(last + 1),
        limit: COUNT_PAGE,
      })) {
        const sequence = sequenceOf(key)
        add(isSent(sequence) ? this.sent : this.unsent, key.length + value.length)
        from = sequence + 1
        read += 1
      }
      if (read < COUNT_PAGE) from = last + 1
      this.#uncountedFrom = from
      this.#judge()
      await new Promise((resolve) => setImmediate(resolve))
    }
    this.#uncountedFrom = undefined
  }

  /** The core committed an entry; `sent` if it was published before the core came to tell. */
  added(sequence: number, bytes: number, sent: boolean): void {
    if (sequence <= this.#countedThrough) return
    this.#countedThrough = sequence
    add(sent ? this.sent : this.unsent, bytes)
    this.#judge()
  }

  /** An entry was acknowledged as a whole. One that is not counted yet will be counted as sent. */
  moved(sequence: number, bytes: number): void {
    if (sequence > this.#countedThrough || sequence >= (this.#uncountedFrom ?? Infinity)) return
    add(this.unsent, -bytes)
    add(this.sent, bytes)
    this.#judge()
  }

  /**
   * All entries behind `after` up to `through` were settled at one stroke. Not while `counting`. In pages, so that nothing else
   * has to wait; a page that cannot be read is tried again.
   */
  async movedBetween(after: number, through: number, keepOn: () => boolean): Promise<void> {
    const to = sequenceKey(through + 1)
    this.#moving += 1
    for (let from = after + 1; from <= through && keepOn();) {
      try {
        const range = { from: sequenceKey(from), to, limit: COUNT_PAGE }
        const page = [...this.#options.store.range(OUTBOX_TABLE, range)]
        for (const { key, value } of page) this.moved(sequenceOf(key), key.length + value.length)
        from = page.length < COUNT_PAGE ? through + 1 : sequenceOf(page.at(-1)!.key) + 1
        await new Promise((resolve) => setImmediate(resolve))
      } catch {
        await new Promise((resolve) => setTimeout(resolve, MARK_RETRY_MS))
      }
    }
    this.#moving -= 1
  }

  /** What a mark deletes and notes, and what to call when its commit has succeeded. */
  collect(through: number, runMs: number): { writes: readonly Write[]; done: () => void } {
    const writes: Write[] = []
    const ages = [...this.#ages]
    const newest = ages.at(-1) ?? { through: -1, runMs: -Infinity }
    const keeps = this.#options.keepSentMs > 0
    if (keeps && through > newest.through && runMs - newest.runMs >= AGE_MARK_MS) {
      ages.push({ through, runMs })
      writes.push(ageWrite({ through, runMs }))
    }
    const deletion = this.#deletion(through, this.#dueThrough(ages, through, runMs))
    while (ages[0] && ages[0].through <= deletion.through)
      writes.push({ ...ageWrite(ages.shift()!), value: null })
    return {
      writes: [...writes, ...deletion.writes],
      done: () => {
        this.#ages.splice(0, this.#ages.length, ...ages)
        this.#deletedThrough = deletion.through
        add(this.sent, -deletion.bytes, -deletion.writes.length)
        this.#judge()
      },
    }
  }

  /** Deletes up to `due` in any case, and beyond it, up to `through`, while the limit is exceeded. */
  #deletion(through: number, due: number): { writes: readonly Write[]; bytes: number; through: number } {
    const over = this.bytes - this.#options.maxBytes
    const writes: Write[] = []
    let bytes = 0
    let last = this.#deletedThrough
    if (this.counting || this.#moving > 0 || (due <= last && over <= 0))
      return { writes, bytes, through: last }
    for (const { key, value } of this.#options.store.range(OUTBOX_TABLE, {
      from: sequenceKey(last + 1),
      to: sequenceKey(through + 1),
      limit: DELETE_ENTRIES,
    })) {
      if (sequenceOf(key) > due && bytes >= over) return { writes, bytes, through: Math.max(last, due) }
      last = sequenceOf(key)
      bytes += key.length + value.length
      writes.push({ table: OUTBOX_TABLE, key, value: null })
    }
    return { writes, bytes, through: writes.length < DELETE_ENTRIES ? through : last }
  }

  /** The last entry that was sent long enough ago. */
  #dueThrough(ages: readonly Age[], through: number, runMs: number): number {
    if (this.#options.keepSentMs <= 0) return through
    return ages.findLast((age) => runMs - age.runMs >= this.#options.keepSentMs)?.through ?? -1
  }

  #judge(): void {
    const { maxBytes } = this.#options
    if (!this.#full) this.#full = this.unsent.bytes >= maxBytes
    else if (this.unsent.bytes < maxBytes * ROOM_SHARE) {
      this.#full = false
      for (const listener of this.#roomListeners) listener()
    }
  }
}

function add(share: Share, bytes: number, entries = Math.sign(bytes)): void {
  share.bytes += bytes
  share.entries += entries
}
