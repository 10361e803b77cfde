/** First in, first out, without moving what waits. */
export class Line<T> {
  #items: (T | undefined)[] = []
  #taken = 0

  get length(): number {
    return this.#items.length - this.#taken
  }

  push(item: T): void {
    this.#items.push(item)
  }

  shift(): T | undefined {
    if (this.length === 0) return undefined
    const item = this.#items[this.#taken]
    // Or it would stay in memory until the line is cut off.
    this.#items[this.#taken++] = undefined
    if (this.length === 0 || this.#taken >= COMPACT_AT) {
      this.#items = this.#items.slice(this.#taken)
      this.#taken = 0
    }
    return item
  }
}

const COMPACT_AT = 16_384
