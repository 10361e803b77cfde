import {
  encodeMessages,
  hex,
  MAX_HELLO_CONTENT_BYTES,
  MAX_PACKET_BYTES,
  type DataMessage,
  type Random,
} from '@fieldwhisper/protocol'
import type { BatchPlace, HeldBatch } from '../spool/index.js'
import type { Composer } from './composer.js'
import {
  HISTORICAL_AFTER_MS,
  LIVE_QUEUE,
  LOOKED_AT_A_STEP,
  NUMBER_SPAN,
  SEALS_A_STEP,
  STREAMS_IN_FLIGHT,
} from './constants.js'
import type { CoreEffect } from './events.js'
import { settleFlights, type Flight, type Flights } from './flights.js'
import type { Keeping } from './keeping.js'
import { DEFAULT_BACKLOG_LIMITS } from './limits.js'
import type { CoreOptions } from './ports.js'
import type { AgentSession } from './session.js'
import type { FirstContent, SessionBook } from './session-book.js'
import type { TimeEcho } from './time-echo.js'
import { TokenBucket } from '@fieldwhisper/host'

interface Parts {
  readonly options: CoreOptions
  readonly composer: Composer
  readonly flights: Flights
  readonly keeping: Keeping
  readonly clock: TimeEcho
  readonly random: Random
  readonly nextPacketId: () => number
}

/**
 * From held batches to sealed packets: what was just closed first, then the backlog, oldest first and at a bounded rate. Each
 * batch is sealed once in a session; its packet is the courier's from then on.
 */
export class Sealer {
  readonly #parts: Parts
  readonly #live: HeldBatch[] = []
  /** Before those, in their order; they wait for room. */
  readonly #urgent: HeldBatch[] = []
  readonly #bucket: TokenBucket
  /** The backlog was looked through up to here in this round. */
  #cursor: BatchPlace | undefined
  #backlogDone = false
  #sealed = 0

  constructor(parts: Parts, now: number) {
    this.#parts = parts
    const { backlogPerSecond } = parts.options.limits ?? DEFAULT_BACKLOG_LIMITS
    this.#bucket = new TokenBucket({ perSecond: backlogPerSecond, burst: backlogPerSecond }, now)
  }

  /** Packets sealed in this process, hellos not counted. */
  get sealed(): number {
    return this.#sealed
  }

  /** Packets of batches that are not settled. */
  get inFlight(): number {
    return this.#parts.flights.size
  }

  closed(batch: HeldBatch, urgent: boolean): void {
    if (urgent && this.#urgent.length < LIVE_QUEUE) this.#urgent.push(batch)
    else if (this.#parts.options.order === 'in_order' || this.#live.length >= LIVE_QUEUE)
      this.#backlogDone = false
    else this.#live.push(batch)
  }

  /** The backlog is to be looked through from its beginning. */
  restart(): void {
    this.#cursor = undefined
    this.#backlogDone = false
  }

  /** Takes batches out of flight: they are sealed again. */
  reseal(flights: readonly Flight[], out: CoreEffect[]): void {
    if (flights.length === 0) return
    for (const flight of flights) this.#parts.flights.remove(flight)
    out.push(...settleFlights(flights))
    this.restart()
  }

  /** What rides along in the first hello: a batch if one fits, and where the streams stand. */
  firstContent(now: number): FirstContent {
    const batch = this.#live[0] ?? this.#firstHeld()
    const bytes = batch && this.#parts.options.batches.encoded(batch)
    if (batch && bytes) {
      const content = encodeMessages([this.#firstData(batch, bytes, now)])
      if (content.length <= MAX_HELLO_CONTENT_BYTES) {
        return {
          bytes: content,
          sent: (session) => {
            if (this.#live[0] === batch) this.#live.shift()
            const { stream, number } = batch
            this.#parts.flights.add({
              packet: session.helloId,
              session,
              place: { stream, number },
              stream: batch.id,
            })
          },
        }
      }
    }
    return { bytes: encodeMessages([this.#firstData(undefined, undefined, now)]), sent: () => undefined }
  }

  /** Seals what may be sealed. True: there is more for the next step. */
  fill(book: SessionBook, now: number, out: CoreEffect[]): boolean {
    const session = book.sealing
    if (!session || book.isExhausted(session)) return false
    let budget = SEALS_A_STEP
    while (budget > 0 && this.#urgent.length > 0 && this.#hasRoom('live') && !book.isExhausted(session)) {
      const batch = this.#urgent.shift()!
      if (!this.#mayFly(batch)) this.#backlogDone = false
      else if (this.#seal(book, session, batch, 'live', now, out)) budget--
    }
    while (budget > 0 && this.#live.length > 0 && this.#hasRoom('live') && !book.isExhausted(session)) {
      const batch = this.#live.shift()!
      if (!this.#mayFly(batch)) this.#backlogDone = false
      else if (this.#seal(book, session, batch, 'live', now, out)) budget--
    }
    if (this.#live.length > 0) {
      if (budget === 0) return true
      // No room: they wait in the spool like everything else.
      this.#live.length = 0
      this.#backlogDone = false
    }
    return this.#drain(book, session, budget, now, out)
  }

  /** A packet that nobody waits for, such as a confirmation. */
  sendOnce(
    book: SessionBook,
    session: AgentSession,
    more: Parameters<typeof encodeMessages>[0],
    now: number,
    out: CoreEffect[],
  ): void {
    const content = encodeMessages([this.#data(book, session, undefined, now), ...more])
    this.#send(session, content, 'live', out, true)
  }

  #drain(book: SessionBook, session: AgentSession, budget: number, now: number, out: CoreEffect[]): boolean {
    if (this.#backlogDone) return false
    let looked = 0
    for (const batch of this.#parts.options.batches.behind(this.#cursor)) {
      if (budget === 0 || ++looked > LOOKED_AT_A_STEP) return true
      const flying = this.#parts.flights.has(batch.id, batch.number)
      if (!flying && this.#mayFly(batch)) {
        if (!this.#hasRoom('backlog') || book.isExhausted(session) || !this.#bucket.available(now))
          return false
        if (this.#seal(book, session, batch, 'backlog', now, out)) {
          budget--
          this.#bucket.take(now)
        }
      } else if (!flying) return false
      this.#cursor = { stream: batch.stream, number: batch.number }
    }
    this.#backlogDone = true
    return false
  }

  #seal(
    book: SessionBook,
    session: AgentSession,
    batch: HeldBatch,
    priority: 'live' | 'backlog',
    now: number,
    out: CoreEffect[],
  ): boolean {
    const { batches } = this.#parts.options
    const { stream, number, id } = batch
    if (!batches.isHeld(batch) || this.#parts.flights.has(id, number)) return false
    const bytes = batches.encoded(batch)
    if (!bytes) return false
    const historical = batches.ageMs(batch) > HISTORICAL_AFTER_MS
    const data = this.#data(book, session, { stream, number, historical, bytes }, now)
    const { packet, counter } = this.#send(session, encodeMessages([data]), priority, out, false)
    this.#parts.flights.add({ packet, session, counter, place: { stream, number }, stream: id })
    return true
  }

  #send(
    session: AgentSession,
    content: Uint8Array,
    priority: 'live' | 'backlog',
    out: CoreEffect[],
    once: boolean,
  ): { packet: number; counter: number } {
    const { packet: bytes, counter } = session.up.seal(content, this.#parts.random)
    const id = this.#parts.nextPacketId()
    this.#sealed++
    out.push({
      type: 'send',
      packet: {
        id,
        bytes,
        mailbox: hex(session.up.addressKey.address),
        proves: true,
        kind: 'data',
        ...(session.answeredAt === undefined && { after: session.helloId }),
        priority,
        ...(once && { once }),
      },
    })
    return { packet: id, counter }
  }

  #data(book: SessionBook, session: AgentSession, batch: DataMessage['batch'], now: number): DataMessage {
    const { composer, flights, keeping, clock } = this.#parts
    return composer.data(
      {
        ...(batch && { batch }),
        ready: book.isReady(session),
        oldestSession: (flights.oldest() ?? session).id,
        downThrough: keeping.downThrough,
        clock: clock.report,
      },
      now,
    )
  }

  #firstData(batch: HeldBatch | undefined, bytes: Uint8Array | undefined, now: number): DataMessage {
    const { composer, keeping, clock, options } = this.#parts
    const historical = batch !== undefined && options.batches.ageMs(batch) > HISTORICAL_AFTER_MS
    return composer.data(
      {
        ...(batch && bytes && { batch: { stream: batch.stream, number: batch.number, historical, bytes } }),
        ready: false,
        downThrough: keeping.downThrough,
        clock: clock.report,
      },
      now,
    )
  }

  #firstHeld(): HeldBatch | undefined {
    for (const batch of this.#parts.options.batches.behind()) {
      if (!this.#parts.flights.has(batch.id, batch.number)) return batch
    }
    return undefined
  }

  #hasRoom(priority: 'live' | 'backlog'): boolean {
    return this.#parts.options.hasRoom(priority, MAX_PACKET_BYTES)
  }

  /** The gateway keeps so many streams open, and so many numbers of each. */
  #mayFly({ id, number }: HeldBatch): boolean {
    const { flights, options } = this.#parts
    if (!flights.hasStream(id) && flights.streams >= STREAMS_IN_FLIGHT) return false
    const floor = options.batches.stream(id)?.floor ?? 0
    return number < floor + NUMBER_SPAN
  }
}
