import { MAX_PARKED_BYTES, PARKED_BYTES, PARKED_MS, PARKED_PACKETS } from './constants.js'

interface Parked {
  readonly packet: Uint8Array
  readonly until: number
}

interface Place {
  packets: Parked[]
  bytes: number
}

/**
 * Packets that overtook their own hello: kept for a link while a hello of the same link is with the worker. A quick copy must
 * never be thrown away as unknown just because it was quick.
 */
export class Parking {
  readonly #links = new Map<number, Place>()
  #bytes = 0

  /** Bytes of all links. */
  get bytes(): number {
    return this.#bytes
  }

  /** False where this link, or all together, have no room. */
  park(link: number, packet: Uint8Array, now: number): boolean {
    const place = this.#links.get(link) ?? { packets: [], bytes: 0 }
    if (
      place.packets.length >= PARKED_PACKETS ||
      place.bytes + packet.length > PARKED_BYTES ||
      this.#bytes + packet.length > MAX_PARKED_BYTES
    ) {
      return false
    }
    place.packets.push({ packet, until: now + PARKED_MS })
    place.bytes += packet.length
    this.#bytes += packet.length
    this.#links.set(link, place)
    return true
  }

  /** What waits for this link and is not too old. */
  take(link: number, now: number): Uint8Array[] {
    const place = this.#links.get(link)
    this.forget(link)
    return place?.packets.filter(({ until }) => until > now).map(({ packet }) => packet) ?? []
  }

  forget(link: number): void {
    this.#bytes -= this.#links.get(link)?.bytes ?? 0
    this.#links.delete(link)
  }
}
