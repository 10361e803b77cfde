/** So many at once, then so many a second. */
export class TokenBucket {
  readonly #perSecond: number
  readonly #burst: number
  #tokens: number
  #at: number

  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond
    this.#burst = burst
    this.#tokens = burst
    this.#at = now
  }

  has(now: number): boolean {
    this.#tokens = Math.min(
      this.#burst,
      this.#tokens + (Math.max(0, now - this.#at) * this.#perSecond) / 1_000,
    )
    this.#at = now
    return this.#tokens >= 1
  }

  take(now: number): boolean {
    if (!this.has(now)) return false
    this.#tokens--
    return true
  }
}
