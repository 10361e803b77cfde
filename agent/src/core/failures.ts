import { FAILURE_BUDGET, FAILURES_TOLD_MS, MAX_SENDERS } from './constants.js'
import { TokenBucket } from '@fieldwhisper/host'

/** What strangers send to an address they saw costs a budget of their link; above it the rest is dropped unread. */
export class Failures {
  readonly #buckets = new Map<string, TokenBucket>()
  #count = 0
  #told = 0
  #toldAt = -Infinity

  /** Packets that did not open. */
  get count(): number {
    return this.#count
  }

  /** How many there are since this was last asked with an answer; 0 where it is too early to speak of them again. */
  news(now: number): number {
    const untold = this.#count - this.#told
    if (untold === 0 || now - this.#toldAt < FAILURES_TOLD_MS) return 0
    this.#told = this.#count
    this.#toldAt = now
    return untold
  }

  mayTry(sender: string, now: number): boolean {
    return this.#buckets.get(sender)?.available(now) ?? true
  }

  failed(sender: string, now: number): void {
    this.#count++
    let bucket = this.#buckets.get(sender)
    if (!bucket) {
      bucket = new TokenBucket(FAILURE_BUDGET, now)
      this.#buckets.set(sender, bucket)
      if (this.#buckets.size > MAX_SENDERS) this.#buckets.delete(this.#buckets.keys().next().value!)
    }
    bucket.take(now)
  }
}
