/** Small and fast, the same numbers for the same seed (mulberry32): mutation wants speed, not secrecy. */
export class SeededNumbers {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** 0 to 2^32 − 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b_79f5) >>> 0
    let t = this.#state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return (t ^ (t >>> 14)) >>> 0
  }

  /** 0 to `limit` − 1; 0 for a limit below 1. */
  below(limit: number): number {
    return limit < 1 ? 0 : this.next() % limit
  }

  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!
  }
}
