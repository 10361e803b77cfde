/** So many at once, then so many a second. */
export interface Budget {
  readonly perSecond: number
  readonly burst: number
}

/** A rate with a burst on a monotonic clock in milliseconds. Starts full; a jump of the clock only fills it. */
export class TokenBucket {
  readonly #budget: Budget
  #tokens: number
  #at: number

  constructor(budget: Budget, now: number) {
    this.#budget = budget
    this.#tokens = budget.burst
    this.#at = now
  }

  /** Takes `count` tokens, or none and answers false. */
  take(now: number, count = 1): boolean {
    this.#fill(now)
    if (this.#tokens < count) return false
    this.#tokens -= count
    return true
  }

  /** Takes `count` tokens in any case and answers for how many milliseconds nothing more should be taken. */
  charge(now: number, count: number): number {
    this.#fill(now)
    this.#tokens -= count
    return this.#tokens >= 0 ? 0 : Math.ceil((-this.#tokens * 1_000) / this.#budget.perSecond)
  }

  /** Whether one could be taken. */
  available(now: number): boolean {
    this.#fill(now)
    return this.#tokens >= 1
  }

  /** Full again: whoever it counts for has been quiet and may be forgotten. */
  idle(now: number): boolean {
    this.#fill(now)
    return this.#tokens >= this.#budget.burst
  }

  #fill(now: number): void {
    if (now <= this.#at) return
    const { burst, perSecond } = this.#budget
    this.#tokens = Math.min(burst, this.#tokens + ((now - this.#at) * perSecond) / 1_000)
    this.#at = now
  }
}

/** One bucket a key, as many keys as are busy, at most `maxKeys`. */
export class TokenBuckets {
  readonly #budget: Budget
  readonly #maxKeys: number
  readonly #buckets = new Map<string, TokenBucket>()

  constructor(budget: Budget, maxKeys = 4_096) {
    this.#budget = budget
    this.#maxKeys = maxKeys
  }

  /** False where the key's bucket is empty, or where more keys are busy than are kept. */
  take(key: string, now: number): boolean {
    let bucket = this.#buckets.get(key)
    if (!bucket) {
      if (this.#buckets.size >= this.#maxKeys) this.#forgetIdle(now)
      if (this.#buckets.size >= this.#maxKeys) return false
      bucket = new TokenBucket(this.#budget, now)
      this.#buckets.set(key, bucket)
    }
    return bucket.take(now)
  }

  /** Without taking anything; a key that was never seen has a full bucket. */
  available(key: string, now: number): boolean {
    return this.#buckets.get(key)?.available(now) ?? true
  }

  /** Nothing was taken from it lately. */
  idle(key: string, now: number): boolean {
    return this.#buckets.get(key)?.idle(now) ?? true
  }

  #forgetIdle(now: number): void {
    for (const [key, bucket] of this.#buckets) if (bucket.idle(now)) this.#buckets.delete(key)
  }
}
