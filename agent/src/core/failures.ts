import { FAILURE_BUDGET, MAX_SENDERS } from './constants.js'
import { TokenBucket } from '@fieldwhisper/host'

/** What strangers send to an address they saw costs a budget of their link; above it the rest is dropped unread. */
export class Failures {
  readonly #buckets = new Map<string, TokenBucket>()
  #count = 0

  /** Packets that did not open. */
  get count(): number {
    return this.#count
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
