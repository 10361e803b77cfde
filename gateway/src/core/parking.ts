import { PARKED_BYTES, PARKED_MS, PARKED_PACKETS } from './constants.js'

interface Parked {
  readonly packet: Uint8Array
  readonly until: number
}

/**
 * Packets that overtook their own hello: kept for a link while a hello of the same link is with the worker. A quick copy must
 * never be thrown away as unknown just because it was quick.
 */
export class Parking {
  readonly #links = new Map<number, Parked[]>()

  park(link: number, packet: Uint8Array, now: number): void {
    const parked = this.#live(link, now)
    const bytes = parked.reduce((sum, { packet }) => sum + packet.length, 0)
    if (parked.length >= PARKED_PACKETS || bytes + packet.length > PARKED_BYTES) return
    parked.push({ packet, until: now + PARKED_MS })
    this.#links.set(link, parked)
  }

  take(link: number, now: number): Uint8Array[] {
    const parked = this.#live(link, now)
    this.#links.delete(link)
    return parked.map(({ packet }) => packet)
  }

  forget(link: number): void {
    this.#links.delete(link)
  }

  #live(link: number, now: number): Parked[] {
    return (this.#links.get(link) ?? []).filter(({ until }) => until > now)
  }
}
