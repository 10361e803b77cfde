import type { Entry, Store } from '@fieldwhisper/host'

import { PAGE_ENTRIES } from './constants.js'
import { OUTBOX_TABLE, sequenceKey, sequenceOf } from './outbox-entry.js'

/** Walks through the outbox in order, a page at a time, and can be put back. */
export class OutboxReader {
  readonly #store: Store
  #page: Entry[] = []
  /** The last entry that was given out. */
  #position: number
  /** The store held nothing more; nothing is asked again until `wake`. */
  #drained = false

  constructor(store: Store, after: number) {
    this.#store = store
    this.#position = after
  }

  get position(): number {
    return this.#position
  }

  /** Throws what the store throws; the next call tries again. */
  next(): Entry | undefined {
    if (this.#page.length === 0 && !this.#drained) {
      const from = sequenceKey(this.#position + 1)
      this.#page = [...this.#store.range(OUTBOX_TABLE, { from, limit: PAGE_ENTRIES })]
      this.#drained = this.#page.length < PAGE_ENTRIES
    }
    const entry = this.#page.shift()
    if (entry) this.#position = sequenceOf(entry.key)
    return entry
  }

  /** Something was committed. */
  wake(): void {
    this.#drained = false
  }

  /** The next entry is the one after this. */
  resumeAfter(sequence: number): void {
    this.#position = sequence
    this.#page = []
    this.#drained = false
  }
}
