import { hex, type StreamAck } from '@fieldwhisper/protocol'
import type { BatchPlace } from '../spool/index.js'
import type { CoreEffect } from './events.js'
import type { AgentSession } from './session.js'

/** A batch that was sealed and is not acknowledged. */
export interface Flight {
  /** Id of its packet. */
  readonly packet: number
  readonly session: AgentSession
  /** Absent where it rides in the hello. */
  readonly counter?: number
  readonly place: BatchPlace
  readonly stream: string
}

/** Nobody waits for these packets any more. A hello is waited for whatever becomes of the batch in it: the session needs it. */
export function settleFlights(flights: readonly Flight[]): CoreEffect[] {
  const ids = flights.flatMap(({ packet, counter }) => (counter === undefined ? [] : [packet]))
  return ids.length > 0 ? [{ type: 'settle', ids }] : []
}

const NOTHING: ReadonlyMap<number, Flight> = new Map<number, Flight>()

/** Batches in flight, by stream and number, by packet and by session. */
export class Flights {
  readonly #byStream = new Map<string, Map<number, Flight>>()
  readonly #bySession = new Map<AgentSession, Set<Flight>>()

  get streams(): number {
    return this.#byStream.size
  }

  get size(): number {
    let size = 0
    for (const flights of this.#bySession.values()) size += flights.size
    return size
  }

  hasStream(stream: string): boolean {
    return this.#byStream.has(stream)
  }

  has(stream: string, number: number): boolean {
    return this.#byStream.get(stream)?.has(number) ?? false
  }

  add(flight: Flight): void {
    let numbers = this.#byStream.get(flight.stream)
    if (!numbers) this.#byStream.set(flight.stream, (numbers = new Map<number, Flight>()))
    numbers.set(flight.place.number, flight)
    let flights = this.#bySession.get(flight.session)
    if (!flights) this.#bySession.set(flight.session, (flights = new Set<Flight>()))
    flights.add(flight)
  }

  of(session: AgentSession): readonly Flight[] {
    return [...(this.#bySession.get(session) ?? [])]
  }

  /** The oldest session with something in flight. */
  oldest(): AgentSession | undefined {
    let oldest: AgentSession | undefined
    for (const session of this.#bySession.keys())
      if (session.order < (oldest?.order ?? Infinity)) oldest = session
    return oldest
  }

  remove(flight: Flight): void {
    const numbers = this.#byStream.get(flight.stream)
    numbers?.delete(flight.place.number)
    if (numbers?.size === 0) this.#byStream.delete(flight.stream)
    const flights = this.#bySession.get(flight.session)
    flights?.delete(flight)
    if (flights?.size === 0) this.#bySession.delete(flight.session)
  }

  /** Takes out what is acknowledged. */
  acknowledged(streams: readonly StreamAck[]): Flight[] {
    const done: Flight[] = []
    for (const { stream, through, ranges } of streams) {
      const numbers: ReadonlyMap<number, Flight> = this.#byStream.get(hex(stream)) ?? NOTHING
      for (const [number, flight] of numbers) {
        if (number < through || ranges.some(({ from, to }) => number >= from && number < to))
          done.push(flight)
      }
    }
    for (const flight of done) this.remove(flight)
    return done
  }

  at(place: BatchPlace): Flight | undefined {
    return this.#byStream.get(hex(place.stream))?.get(place.number)
  }
}
