import { cover, matches } from './topics.js'

/** Called with every message that fits. */
export type Handler = (topic: string, payload: Buffer, retained: boolean) => void

export interface Broker {
  subscribe(filters: readonly string[]): void
  unsubscribe(filters: readonly string[]): void
}

interface Entry {
  readonly filter: string
  readonly handler: Handler
  /** The broker has not been asked since it was added: it still owes the retained values. */
  fresh: boolean
}

/**
 * Which node wants which topics, and what the one shared connection asks of the broker for that: never two filters that
 * overlap, and again when a node is added, because only a subscription brings retained values.
 */
export class Subscriptions {
  readonly #broker: Broker
  readonly #onError: (error: unknown) => void
  readonly #entries = new Set<Entry>()
  readonly #active = new Set<string>()
  #refused = new Set<string>()
  #connected = false
  #due: NodeJS.Immediate | undefined

  constructor(broker: Broker, onError: (error: unknown) => void = ignore) {
    this.#broker = broker
    this.#onError = onError
  }

  /** Returns how to end it. */
  add(filter: string, handler: Handler): () => void {
    const entry: Entry = { filter, handler, fresh: true }
    this.#entries.add(entry)
    this.#later()
    return () => {
      if (this.#entries.delete(entry)) this.#later()
    }
  }

  /** A new connection: the broker knows nothing of the old one's subscriptions. */
  up(): void {
    this.#connected = true
    this.#active.clear()
    this.#refused.clear()
    this.#apply()
  }

  down(): void {
    this.#connected = false
    clearImmediate(this.#due)
    this.#due = undefined
  }

  refused(filters: readonly string[]): void {
    this.#refused = new Set([...this.#refused, ...filters])
  }

  /** False where the broker refused what this filter needs. */
  allowed(filter: string): boolean {
    return ![...this.#refused].some((refused) => cover([refused, filter]).length === 1)
  }

  message(topic: string, payload: Buffer, retained: boolean): void {
    for (const { filter, handler } of [...this.#entries]) {
      if (!matches(filter, topic)) continue
      try {
        handler(topic, payload, retained)
      } catch (error) {
        this.#onError(error)
      }
    }
  }

  /** All nodes of one deploy together. */
  #later(): void {
    if (!this.#connected) return
    this.#due ??= setImmediate(() => {
      this.#due = undefined
      this.#apply()
    })
  }

  #apply(): void {
    const entries = [...this.#entries]
    const wanted = cover(entries.map(({ filter }) => filter))
    const fresh = entries.filter((entry) => entry.fresh)
    const owed = wanted.filter(
      (filter) =>
        !this.#active.has(filter) || fresh.some((entry) => cover([filter, entry.filter]).length === 1),
    )
    const over = [...this.#active].filter((filter) => !wanted.includes(filter))
    for (const entry of fresh) entry.fresh = false
    for (const filter of over) {
      this.#active.delete(filter)
      this.#refused.delete(filter)
    }
    for (const filter of owed) this.#active.add(filter)
    this.#broker.subscribe(owed)
    this.#broker.unsubscribe(over)
  }
}

function ignore(): void {}
