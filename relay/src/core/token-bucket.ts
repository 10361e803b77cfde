/**
 * A rate with a burst. Starts full. `now` may stand still and never goes back; a jump forward only fills the bucket.
 */
export class TokenBucket {
  readonly #perMs: number
  readonly #burst: number
  #tokens: number
  #at: number

  constructor(perSecond: number, burst: number, now: number) {
    this.#perMs = perSecond / 1000
    this.#burst = burst
    this.#tokens = burst
    this.#at = now
  }

  /** Takes `count` tokens, or none and answers false. */
  take(count: number, now: number): boolean {
    this.#fill(now)
    if (this.#tokens < count) return false
    this.#tokens -= count
    return true
  }

  /** Takes `count` tokens in any case and answers for how many milliseconds nothing more should be taken. */
  charge(count: number, now: number): number {
    this.#fill(now)
    this.#tokens -= count
    return this.#tokens >= 0 ? 0 : Math.ceil(-this.#tokens / this.#perMs)
  }

  #fill(now: number): void {
    if (now <= this.#at) return
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#at) * this.#perMs)
    this.#at = now
  }
}
