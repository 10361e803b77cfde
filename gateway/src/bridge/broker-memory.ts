/**
 * Notices a broker that lost what it retained, as one does that keeps nothing on disk and was started anew. A connection begins with a
 * subscription to the gateway's own state and with that state being told: a broker that remembers has an older one to tell first.
 */
export class BrokerMemory {
  readonly #forgot: () => void
  #told: Uint8Array | undefined

  constructor(forgot: () => void) {
    this.#forgot = forgot
  }

  /** A connection begins: this is what is being told, after the subscription. */
  began(state: Uint8Array): void {
    this.#told = state
  }

  /** The broker tells a state: one that it kept, or what it was told now. */
  heard(state: Uint8Array): void {
    if (!this.#told) return
    const isNew = Buffer.compare(state, this.#told) === 0
    this.#told = undefined
    if (isNew) this.#forgot()
  }
}
