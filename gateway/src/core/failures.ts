import { FAILURE_BUDGET, FAILURES_IN_ALL } from './constants.js'
import { TokenBucket, TokenBuckets } from '@fieldwhisper/host'

/**
 * What does not open costs the link that brought it a token, or, from a relay, the address it was for. An empty bucket slows and
 * never closes. Above the sum for all, those who brought failures lately wait; who brought none is not made to pay for them.
 */
export class Failures {
  readonly #each = new TokenBuckets(FAILURE_BUDGET)
  readonly #all: TokenBucket

  constructor(now: number) {
    this.#all = new TokenBucket(FAILURES_IN_ALL, now)
  }

  mayTry(who: string, now: number): boolean {
    return this.#each.available(who, now) && (this.#all.available(now) || this.#each.idle(who, now))
  }

  note(who: string, now: number): void {
    this.#each.take(who, now)
    this.#all.take(now)
  }
}
