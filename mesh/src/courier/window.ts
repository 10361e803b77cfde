import { LIVE_BYTES, LIVE_PACKETS } from './constants.js'
import type { CourierLimits } from './limits.js'
import type { OutgoingPacket } from './packet.js'

/** How much is unacknowledged. Backlog may not take the share that is kept for live packets. */
export class Window {
  readonly #limits: CourierLimits
  #packets = 0
  #bytes = 0

  constructor(limits: CourierLimits) {
    this.#limits = limits
  }

  get packets(): number {
    return this.#packets
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Whether one more packet of at most `bytes` may be sealed. */
  hasRoom(priority: OutgoingPacket['priority'], bytes: number): boolean {
    const live = priority === 'live'
    const { windowPackets, windowBytes } = this.#limits
    return (
      this.#packets < windowPackets - (live ? 0 : LIVE_PACKETS) &&
      this.#bytes + bytes <= windowBytes - (live ? 0 : LIVE_BYTES)
    )
  }

  add(packet: OutgoingPacket): void {
    this.#packets++
    this.#bytes += packet.bytes.length
  }

  remove(packet: OutgoingPacket): void {
    this.#packets--
    this.#bytes -= packet.bytes.length
  }
}
