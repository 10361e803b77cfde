import { seededRandom } from '../support/seeded-random.js'

/** Everything random of one seed. A fork has a stream of its own, so that what one part draws does not move another's. */
export class Dice {
  readonly bytes: (length: number) => Uint8Array

  constructor(seed: number) {
    this.bytes = seededRandom(seed)
  }

  fork(): Dice {
    return new Dice(this.int(0, 2 ** 48))
  }

  /** In [0, 1). */
  unit(): number {
    const bytes = this.bytes(6)
    return Buffer.from(bytes.buffer, bytes.byteOffset, 6).readUIntBE(0, 6) / 2 ** 48
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
