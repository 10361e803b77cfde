import { hex } from '@fieldwhisper/protocol'
import type { Write } from '@fieldwhisper/host'

/**
 * One turn of the gateway: changes are made in memory, collected as writes, committed together, and only then do their effects
 * leave the machine. What a turn wrote twice is written once.
 */
export class Turn {
  /** Monotonic milliseconds. */
  readonly now: number
  /** Running time of this gateway in its life, which lifetimes count. */
  readonly running: number
  readonly #writes = new Map<string, Write>()
  readonly #effects: (() => void)[] = []

  constructor(now: number, running: number) {
    this.now = now
    this.running = running
  }

  put(table: string, key: Uint8Array, value: Uint8Array): void {
    this.#writes.set(`${table}/${hex(key)}`, { table, key, value })
  }

  erase(table: string, key: Uint8Array): void {
    this.#writes.set(`${table}/${hex(key)}`, { table, key, value: null })
  }

  write(write: Write): void {
    this.#writes.set(`${write.table}/${hex(write.key)}`, write)
  }

  /** Runs after the commit is on disk, in the order given. */
  then(effect: () => void): void {
    this.#effects.push(effect)
  }

  get writes(): readonly Write[] {
    return [...this.#writes.values()]
  }

  finish(): void {
    for (const effect of this.#effects) effect()
  }
}
