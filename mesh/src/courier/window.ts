import { LIVE_BYTES, LIVE_PACKETS, WINDOW_BYTES, WINDOW_PACKETS } from './constants.js'
import type { OutgoingPacket } from './packet.js'

/** How much is unacknowledged. Backlog may not take the share that is kept for live packets. */
export class Window {
  #packets = 0
  #bytes = 0

  get packets(): number {
    return this.#packets
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Whether one more packet of at most `bytes` may be sealed. */
  hasRoom(priority: OutgoingPacket['priority'], bytes: number): boolean {
    const live = priority === 'live'
    return (
      this.#packets < WINDOW_PACKETS - (live ? 0 : LIVE_PACKETS) &&
      this.#bytes + bytes <= WINDOW_BYTES - (live ? 0 : LIVE_BYTES)
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
