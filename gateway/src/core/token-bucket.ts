export interface Budget {
  readonly perSecond: number
  readonly burst: number
}

/** `burst` at once, then `perSecond`, on a monotonic clock. */
export class TokenBucket {
  readonly #budget: Budget
  #tokens: number
  #at: number

  constructor(budget: Budget, now: number) {
    this.#budget = budget
    this.#tokens = budget.burst
    this.#at = now
  }

  take(now: number): boolean {
    this.#refill(now)
    if (this.#tokens < 1) return false
    this.#tokens -= 1
    return true
  }

  available(now: number): boolean {
    this.#refill(now)
    return this.#tokens >= 1
  }

  /** Full again: whoever it counts for has been quiet and may be forgotten. */
  idle(now: number): boolean {
    this.#refill(now)
    return this.#tokens >= this.#budget.burst
  }

  #refill(now: number): void {
    const elapsed = Math.max(0, now - this.#at)
    this.#tokens = Math.min(this.#budget.burst, this.#tokens + (elapsed * this.#budget.perSecond) / 1000)
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
