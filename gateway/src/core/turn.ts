import { hex } from '@fieldwhisper/protocol'
import type { Write } from '@fieldwhisper/host'

type Value = Uint8Array | null | (() => Uint8Array)

/**
 * One turn of the gateway: changes are made in memory, collected as writes, committed together, and only then do their effects
 * leave the machine. What a turn wrote twice is written once, and a value given as a function is encoded once, at its end.
 */
export class Turn {
  /** Monotonic milliseconds. */
  readonly now: number
  /** Running time of this gateway in its life, which lifetimes count. */
  readonly running: number
  readonly #values = new Map<string, { readonly table: string; readonly key: Uint8Array; value: Value }>()
  readonly #effects: (() => void)[] = []
  readonly #refusals: ((error: Error) => void)[] = []
  #writes: readonly Write[] | undefined

  constructor(now: number, running: number) {
    this.now = now
    this.running = running
  }

  put(table: string, key: Uint8Array, value: Uint8Array | (() => Uint8Array)): void {
    this.#values.set(`${table}/${hex(key)}`, { table, key, value })
  }

  erase(table: string, key: Uint8Array): void {
    this.#values.set(`${table}/${hex(key)}`, { table, key, value: null })
  }

  write({ table, key, value }: Write): void {
    this.#values.set(`${table}/${hex(key)}`, { table, key, value })
  }

  /** Runs after the commit is on disk, in the order given. */
  then(effect: () => void): void {
    this.#effects.push(effect)
  }

  /** Runs where the disk did not take the turn; it may still take it later. */
  otherwise(refusal: (error: Error) => void): void {
    this.#refusals.push(refusal)
  }

  /** Records that change. */
  get size(): number {
    return this.#values.size
  }

  /** As they stand when this is first asked; nothing may be added after that. */
  get writes(): readonly Write[] {
    return (this.#writes ??= [...this.#values.values()].map(({ table, key, value }) => ({
      table,
      key,
      value: typeof value === 'function' ? value() : value,
    })))
  }

  finish(): void {
    for (const effect of this.#effects) effect()
  }

  refuse(error: Error): void {
    for (const refusal of this.#refusals.splice(0)) refusal(error)
  }
}
