import {
  COMMIT_FAILED_MS,
  COMMIT_SLOW_MS,
  COMMIT_TICK_MS,
  MAX_GROUP_BYTES,
  MAX_GROUP_WRITES,
  MAX_QUEUED_COMMITS,
} from './constants.js'
import { HostError, asError } from './errors.js'
import { closedError } from './store-rules.js'

/** One caller's wish: `size` in bytes and `count` in writes decide how many wishes share a transaction. */
export interface Queued<T> {
  readonly item: T
  readonly size: number
  readonly count: number
}

export interface CommitQueueOptions<T> {
  /**
   * Decides about one wish just before its group is written, seeing what the group already holds. A returned error
   * refuses this wish alone. Called with `first` true when a new group begins.
   */
  readonly admit: (item: T, first: boolean) => HostError | undefined
  /** Writes the admitted group as one transaction; resolves when the disk has it, rejects when nothing was written. */
  readonly write: (group: readonly T[]) => Promise<void>
  readonly onSlow: (waitedMs: number) => void
  readonly onFatal: (error: HostError) => void
  /** For tests; see the constants of the same names. */
  readonly timing?: { readonly slowMs: number; readonly failedMs: number; readonly tickMs: number }
}

interface Waiting<T> extends Queued<T> {
  readonly resolve: () => void
  readonly reject: (error: HostError) => void
}

/**
 * Puts commits in order, groups those that wait into one transaction, and gives every transaction a deadline.
 *
 *   idle --push--> gathering (until the end of this turn) --write--> writing --settled--> gathering | idle
 *   writing --no flush for 120 s, or a fatal error--> failed: everything is refused, `onFatal` is called once
 */
export class CommitQueue<T> {
  readonly #options: CommitQueueOptions<T>
  readonly #waiting: Waiting<T>[] = []
  #state: 'idle' | 'busy' | 'closed' | 'failed' = 'idle'
  #failure: HostError | undefined
  #drained: (() => void)[] = []

  constructor(options: CommitQueueOptions<T>) {
    this.#options = options
  }

  push(queued: Queued<T>): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure)
    if (this.#state === 'closed') return Promise.reject(closedError())
    if (this.#waiting.length >= MAX_QUEUED_COMMITS) {
      const text = `${this.#waiting.length} commits wait for the disk; the caller must wait for some of them first.`
      return Promise.reject(new HostError('FW_STORE_MISUSED', text))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ...queued, resolve, reject })
      if (this.#state === 'idle') {
        this.#state = 'busy'
        // The rest of this turn may bring more callers for the same flush.
        setImmediate(() => void this.#run())
      }
    })
  }

  /** Refuses new commits and resolves when the waiting ones are settled. */
  close(): Promise<void> {
    const busy = this.#state === 'busy'
    if (this.#state !== 'failed') this.#state = 'closed'
    return busy ? new Promise((resolve) => this.#drained.push(resolve)) : Promise.resolve()
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0 && !this.#failure) {
      const group = this.#nextGroup()
      if (group.length === 0) continue
      try {
        await this.#withDeadline(this.#options.write(group.map(({ item }) => item)))
        for (const { resolve } of group) resolve()
      } catch (error) {
        const cause = error as HostError
        for (const { reject } of group) reject(cause)
        if (cause.code === 'FW_STORE_FAILED') this.#fail(cause)
      }
    }
    if (this.#state === 'busy') this.#state = 'idle'
    for (const drained of this.#drained.splice(0)) drained()
  }

  #nextGroup(): Waiting<T>[] {
    const group: Waiting<T>[] = []
    let size = 0
    let count = 0
    let taken = 0
    for (const next of this.#waiting) {
      if (taken > 0 && (size + next.size > MAX_GROUP_BYTES || count + next.count > MAX_GROUP_WRITES)) break
      const refusal = this.#options.admit(next.item, taken === 0)
      taken++
      if (refusal) {
        next.reject(refusal)
        continue
      }
      size += next.size
      count += next.count
      group.push(next)
    }
    this.#waiting.splice(0, taken)
    return group
  }

  #withDeadline(written: Promise<void>): Promise<void> {
    const { slowMs, failedMs, tickMs } = this.#options.timing ?? {
      slowMs: COMMIT_SLOW_MS,
      failedMs: COMMIT_FAILED_MS,
      tickMs: COMMIT_TICK_MS,
    }
    return new Promise((resolve, reject) => {
      let waitedMs = 0
      const ticks = setInterval(() => {
        waitedMs += tickMs
        if (waitedMs === slowMs) this.#options.onSlow(waitedMs)
        if (waitedMs < failedMs) return
        clearInterval(ticks)
        const text = `The disk did not finish a write within ${failedMs / 1000} s.`
        reject(new HostError('FW_STORE_FAILED', text))
      }, tickMs)
      ticks.unref()
      written.then(
        () => {
          clearInterval(ticks)
          resolve()
        },
        (error: unknown) => {
          clearInterval(ticks)
          reject(asError(error))
        },
      )
    })
  }

  #fail(error: HostError): void {
    this.#failure = error
    this.#state = 'failed'
    for (const { reject } of this.#waiting.splice(0)) reject(error)
    this.#options.onFatal(error)
  }
}
