/** Pauses that double from `firstMs` to `mostMs`. No jitter: what is waited for is in this machine. */
export class Backoff {
  readonly #firstMs: number
  readonly #mostMs: number
  #nextMs: number

  constructor(firstMs: number, mostMs: number) {
    this.#firstMs = firstMs
    this.#mostMs = mostMs
    this.#nextMs = firstMs
  }

  next(): number {
    const pause = this.#nextMs
    this.#nextMs = Math.min(this.#mostMs, pause * 2)
    return pause
  }

  reset(): void {
    this.#nextMs = this.#firstMs
  }
}
