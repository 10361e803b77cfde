import type { OutgoingPacket } from './packet.js'

/**
 * Packet ids that wait for one path: hellos first, then live packets, then backlog and repeats, each in order of arrival.
 * An id waits once, however often it is put in.
 */
export class Lanes {
  readonly #hello = new Set<number>()
  readonly #live = new Set<number>()
  readonly #late = new Set<number>()

  get size(): number {
    return this.#hello.size + this.#live.size + this.#late.size
  }

  push(packet: OutgoingPacket, repeat = false): void {
    if (this.#hello.has(packet.id) || this.#live.has(packet.id)) return
    if (packet.kind === 'hello') this.#hello.add(packet.id)
    else if (packet.priority === 'live' && !repeat) {
      this.#late.delete(packet.id)
      this.#live.add(packet.id)
    } else this.#late.add(packet.id)
  }

  /** Puts back what was taken and could not be sent, ahead of everything else of its kind. */
  putBack(packets: readonly OutgoingPacket[]): void {
    for (const lane of [this.#hello, this.#live, this.#late]) {
      const returned = packets.filter((packet) => this.#laneOf(packet) === lane && !lane.has(packet.id))
      if (returned.length === 0) continue
      const waiting = [...lane]
      lane.clear()
      for (const { id } of returned) lane.add(id)
      for (const id of waiting) lane.add(id)
    }
  }

  take(): number | undefined {
    for (const lane of [this.#hello, this.#live, this.#late]) {
      for (const id of lane) {
        lane.delete(id)
        return id
      }
    }
    return undefined
  }

  delete(id: number): void {
    this.#hello.delete(id)
    this.#live.delete(id)
    this.#late.delete(id)
  }

  clear(): void {
    this.#hello.clear()
    this.#live.clear()
    this.#late.clear()
  }

  #laneOf(packet: OutgoingPacket): Set<number> {
    if (packet.kind === 'hello') return this.#hello
    return packet.priority === 'live' ? this.#live : this.#late
  }
}
