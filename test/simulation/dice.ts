import { seededRandom } from '../support/seeded-random.js'

const UNIT_BYTES = 6
const POOL_BYTES = 80 * UNIT_BYTES

/** Everything random of one seed. A fork has a stream of its own, so that what one part draws does not move another's. */
export class Dice {
  readonly bytes: (length: number) => Uint8Array
  #pool = Buffer.alloc(0)

  constructor(seed: number) {
    this.bytes = seededRandom(seed)
  }

  fork(): Dice {
    return new Dice(this.int(0, 2 ** 48))
  }

  /** In [0, 1). */
  unit(): number {
    if (this.#pool.length < UNIT_BYTES) this.#pool = Buffer.from(this.bytes(POOL_BYTES))
    const value = this.#pool.readUIntBE(0, UNIT_BYTES) / 2 ** (8 * UNIT_BYTES)
    this.#pool = this.#pool.subarray(UNIT_BYTES)
    return value
  }

  between(low: number, high: number): number {
    return low + this.unit() * (high - low)
  }

  /** From `low` to `high`, both included. */
  int(low: number, high: number): number {
    return Math.floor(this.between(low, high + 1))
  }

  chance(probability: number): boolean {
    return this.unit() < probability
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items.length === 0 ? undefined : items[this.int(0, items.length - 1)]
  }
}
