import { errorText } from '@fieldwhisper/host'
import type { Reporter, Store, Write } from '@fieldwhisper/host'
import { encodeCbor } from '@fieldwhisper/protocol'

import {
  BRIDGE_RECORD_VERSION,
  MARK_INTERVAL_MS,
  MARK_RETRY_MS,
  MAX_REJECTED_ENTRIES,
  MAINTAIN_INTERVAL_MS,
} from './constants.js'
import { OUTBOX_REJECTED_TABLE, sequenceKey } from './outbox-entry.js'
import { storedThrough, throughWrite } from './outbox-position.js'
import type { OutboxSpace } from './outbox-space.js'
import { retainedWrite } from './retained.js'
import type { RetainedValues } from './retained.js'

export interface MarksOptions {
  readonly store: Store
  readonly space: OutboxSpace
  readonly retained: RetainedValues
  readonly reporter: Reporter
  readonly monoMs: () => number
  /** Counted life of this gateway, over restarts. */
  readonly runningMs: () => number
  /** Least time between two commits, in milliseconds. */
  readonly intervalMs?: number
}

/**
 * Records on disk what the broker has acknowledged: how far the outbox was sent, the current values, what is set aside and
 * what is deleted, all in one commit, as many batches as finished meanwhile. An item counts as sent only by this record, so
 * what a crash takes from it is published again under the same ids.
 */
export class OutboxMarks {
  /** All items up to here were acknowledged by the broker. */
  through: number
  readonly #options: MarksOptions
  readonly #rejected = new Map<number, Write>()
  #rejectedHeld: number
  #recorded: number
  #timer: NodeJS.Timeout | undefined
  #maintainer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #lastMs = -Infinity
  #failing = false
  #stopped = false

  constructor(options: MarksOptions) {
    this.#options = options
    this.through = this.#recorded = storedThrough(options.store)
    this.#rejectedHeld = [...options.store.range(OUTBOX_REJECTED_TABLE)].length
  }

  start(): void {
    this.#maintainer = setInterval(() => this.soon(), MAINTAIN_INTERVAL_MS)
    this.#maintainer.unref()
  }

  /** Records what is due now; resolves when that was tried. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#maintainer)
    clearTimeout(this.#timer)
    await this.#running
    await this.#commit()
  }

  /** The broker has every message of the items up to this one. */
  sent(sequence: number): void {
    this.through = sequence
    this.soon()
  }

  /** Keeps an item that cannot be published for the person who repairs. Returns false if it is kept already. */
  reject(sequence: number, code: string, value: Uint8Array): boolean {
    if (this.#rejected.has(sequence)) return false
    this.#rejected.set(sequence, {
      table: OUTBOX_REJECTED_TABLE,
      key: sequenceKey(sequence),
      value: encodeCbor([BRIDGE_RECORD_VERSION, code, value]),
    })
    return true
  }

  soon(): void {
    if (this.#timer || this.#stopped) return
    const { intervalMs = MARK_INTERVAL_MS, monoMs } = this.#options
    const wait = this.#failing ? MARK_RETRY_MS : Math.max(0, this.#lastMs + intervalMs - monoMs())
    this.#timer = setTimeout(() => {
      this.#running = this.#commit().then(() => {
        this.#timer = undefined
        if (this.#failing || this.through > this.#recorded) this.soon()
      })
    }, wait)
  }

  async #commit(): Promise<void> {
    const { store, space, retained, reporter, monoMs, runningMs } = this.#options
    const through = this.through
    const changes = retained.takeChanges()
    const rejected = [...this.#rejected].filter(([sequence]) => sequence <= through)
    this.#lastMs = monoMs()
    try {
      const { writes: deletions, done } = space.collect(through, runningMs())
      const setAside = this.#rejections(rejected)
      const writes = [...changes.map(retainedWrite), ...setAside.writes, ...deletions]
      if (through > this.#recorded) writes.push(throughWrite(through))
      if (writes.length > 0) await store.commit(writes)
      done()
      for (const [sequence] of rejected) this.#rejected.delete(sequence)
      this.#rejectedHeld = setAside.held
      this.#recorded = through
      this.#failing = false
    } catch (cause) {
      retained.failed(changes)
      this.#failing = true
      reporter.event(
        'error',
        'FW_OUTBOX_MARK_FAILED',
        `What the broker acknowledged could not be recorded: ${errorText(cause)} After a restart it is published again.`,
      )
    }
  }

  /** The new ones, and away with the oldest where they are too many. */
  #rejections(rejected: readonly (readonly [number, Write])[]): { writes: readonly Write[]; held: number } {
    const held = this.#rejectedHeld + rejected.length
    const over = held - MAX_REJECTED_ENTRIES
    const range = this.#options.store.range(OUTBOX_REJECTED_TABLE, { limit: Math.max(1, over) })
    const oldest =
      over > 0 ? [...range].map(({ key }) => ({ table: OUTBOX_REJECTED_TABLE, key, value: null })) : []
    return { writes: [...rejected.map(([, write]) => write), ...oldest], held: held - oldest.length }
  }
}
