import { MAX_SET_ASIDE_BYTES, RELAY_RENEWAL_MS, SET_ASIDE_A_TICK } from './constants.js'
import { Line } from './line.js'
import type { Ports } from './ports.js'
import type { Arrival } from './turns.js'

/**
 * Packets of relays for which there is no budget now. A relay hands each packet over once a connection and then waits for its
 * deletion, so what cannot be kept here is asked for again by a new connection, once there is room for it.
 */
export class SetAside {
  readonly #ports: Pick<Ports, 'renew'>
  readonly #line = new Line<Arrival>()
  readonly #missed = new Set<number>()
  readonly #heldBack = new Set<number>()
  #bytes = 0
  #renewedAt = -Infinity

  constructor(ports: Pick<Ports, 'renew'>) {
    this.#ports = ports
  }

  get bytes(): number {
    return this.#bytes
  }

  /** False where there is no room. */
  add(arrival: Arrival): boolean {
    const { length } = arrival.packet
    if (this.#bytes + length > MAX_SET_ASIDE_BYTES) return false
    this.#bytes += length
    this.#line.push(arrival)
    return true
  }

  /** A packet of this relay was dropped unopened. */
  missed(relay: number): void {
    this.#missed.add(relay)
  }

  /** A packet of this relay is for a device that waits for the operator: it is missed once there is a decision. */
  heldBack(relay: number): void {
    this.#heldBack.add(relay)
  }

  decided(): void {
    for (const relay of this.#heldBack) this.#missed.add(relay)
    this.#heldBack.clear()
  }

  /** Some of what waits, to be looked at again; and, where nothing else waits, relays are asked for what was missed. */
  tick(now: number, again: (arrival: Arrival) => void, calm: boolean): void {
    for (let left = SET_ASIDE_A_TICK; left > 0; left--) {
      const arrival = this.#line.shift()
      if (!arrival) break
      this.#bytes -= arrival.packet.length
      again(arrival)
    }
    if (!calm || this.#missed.size === 0 || now - this.#renewedAt < RELAY_RENEWAL_MS) return
    this.#renewedAt = now
    for (const relay of this.#missed) this.#ports.renew(relay)
    this.#missed.clear()
  }
}
