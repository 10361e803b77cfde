import type { Source } from './outbox-source.js'
import type { Message } from './topics.js'

/** One message that was handed to the broker. */
export interface Flight {
  /** Its item and place in it; absent for an extra, which then keeps its message for the case that it must be repeated. */
  readonly source?: Source
  readonly index: number
  readonly extra?: Message
  /** With it the item is sent. */
  readonly last: boolean
  readonly bytes: number
  /** There is an answer: nothing more is to be done for it. */
  acked: boolean
  /** The answer was that the broker refuses it for good. */
  refused?: boolean
}

/** The messages that wait for their PUBACKs, oldest first. */
export class PublishWindow {
  #flights: Flight[] = []
  /** Flights before this one are done: shifting the rest for each acknowledgement would cost the window's length. */
  #first = 0
  #bytes = 0

  get length(): number {
    return this.#flights.length - this.#first
  }

  get bytes(): number {
    return this.#bytes
  }

  push(flight: Flight): void {
    this.#flights.push(flight)
    this.#bytes += flight.bytes
  }

  /**
   * Takes out what is acknowledged from the oldest message on. One that overtook an older message waits for it, so that
   * what must be repeated is always the rest of the order.
   */
  advance(): readonly Flight[] {
    const from = this.#first
    while (this.#flights[this.#first]?.acked) this.#bytes -= this.#flights[this.#first++]!.bytes
    const done = this.#flights.slice(from, this.#first)
    if (this.#first > this.#flights.length / 2) {
      this.#flights = this.#flights.slice(this.#first)
      this.#first = 0
    }
    return done
  }

  /** Empties the window; gives what the broker did not acknowledge. */
  clear(): readonly Flight[] {
    const lost = this.#flights.slice(this.#first).filter(({ acked }) => !acked)
    this.#flights = []
    this.#first = 0
    this.#bytes = 0
    return lost
  }
}
