import {
  hex,
  PACKET_DATA,
  PACKET_HELLO,
  packetHash,
  parseHeader,
  ProtocolError,
  type PacketHeader,
} from '@fieldwhisper/protocol'
import type { Admission } from './admission.js'
import type { Agents } from './agents.js'
import { FAILURE_BUDGET, HELLO_QUEUE, REPEAT_ANSWER_MS } from './constants.js'
import type { Door } from './door.js'
import type { Inbox } from './inbox.js'
import type { Ledger } from './ledger.js'
import { Parking } from './parking.js'
import type { HelloResult, Ports, Route } from './ports.js'
import { saveUp, type Session } from './session.js'
import type { Sessions } from './sessions.js'
import { TokenBuckets } from './token-bucket.js'
import type { Turn } from './turn.js'

/** Streams acknowledged to an agent whose packets were all seen before a restart. */
const RECENT_STREAMS = 8

export interface Arrival {
  readonly route: Route
  readonly packet: Uint8Array
}

interface Parts {
  readonly sessions: Sessions
  readonly agents: Agents
  readonly door: Door
  readonly admission: Admission
  readonly inbox: Inbox
  readonly ledger: Ledger
  readonly ports: Ports
  /** Puts a packet back at the end of the line. */
  readonly again: (arrival: Arrival) => void
  readonly blocked: () => boolean
}

/**
 * What happens to one packet: 1 header, 2 whose address, 3 hello to the door or data to its session, 4 opened, duplicate or
 * failed. Before it opened, nothing about it is remembered.
 */
export class PacketDesk {
  readonly #parts: Parts
  readonly #failures = new TokenBuckets(FAILURE_BUDGET)
  readonly #parking = new Parking()
  readonly #later: Arrival[] = []
  readonly counts = { opened: 0, duplicate: 0, failed: 0, unknown: 0, malformed: 0, hellos: 0, parked: 0 }

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Returns the session that has something to say because of it. */
  packet(turn: Turn, { route, packet }: Arrival): Session | undefined {
    let header: PacketHeader
    try {
      header = parseHeader(packet)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.counts.malformed++
      return undefined
    }
    const endpoint = this.#parts.sessions.endpoint(header.address)
    if (!endpoint) {
      this.#unknown(turn, route, header, packet)
      return undefined
    }
    if (endpoint.kind === 'session') return this.#data(turn, endpoint.session, header, { route, packet })
    if (header.type !== PACKET_HELLO) return this.#discard(turn, route, header, packet)
    if (this.#parts.blocked()) return undefined
    this.counts.hellos++
    const knocked = this.#knock(endpoint, header, packet, route, turn.now)
    switch (knocked.outcome) {
      case 'working':
        return undefined
      case 'later':
        if (route.via === 'relay' && this.#later.length < HELLO_QUEUE) this.#later.push({ route, packet })
        return undefined
      case 'dropped':
        return this.#discard(turn, route, header, packet)
      case 'copy': {
        this.#discard(turn, route, header, packet)
        const session = this.#parts.sessions.named(knocked.session)
        if (!session) return undefined
        if (session.talk.link === undefined && route.via === 'link') session.talk.link = route.id
        return this.#repeat(turn, session)
      }
    }
  }

  /** The worker's answer to a hello. Returns the session it made. */
  hello(turn: Turn, result: HelloResult): Session | undefined {
    const pending = this.#parts.door.done(result)
    if (!pending) return undefined
    const admitted = this.#parts.blocked() ? undefined : this.#parts.admission.admit(turn, pending, result)
    turn.then(() => {
      const hash = packetHash(pending.packet)
      for (const route of pending.routes)
        if (route.via === 'relay') this.#parts.ports.discard(route.id, pending.address, hash)
    })
    for (const route of pending.routes) {
      if (route.via !== 'link') continue
      if (admitted) this.#useful(turn, route.id)
      for (const packet of this.#parking.take(route.id, turn.now))
        turn.then(() => this.#parts.again({ route, packet }))
    }
    if (!admitted) return undefined
    const { session, agent, content } = admitted
    const first = pending.routes[0]!
    const link = pending.routes.find((route) => route.via === 'link')
    if (link) session.talk.link = link.id
    if (agent.status === 'active') this.#parts.inbox.take(turn, session, agent, content, first)
    session.talk.ackDue = true
    return session
  }

  /** Hellos that were over budget are offered to the door again. */
  retryLater(): void {
    for (const arrival of this.#later.splice(0)) this.#parts.again(arrival)
  }

  linkClosed(link: number): void {
    this.#parking.forget(link)
  }

  #knock(...args: Parameters<Door['knock']>): ReturnType<Door['knock']> {
    try {
      return this.#parts.door.knock(...args)
    } catch (error) {
      if (error instanceof ProtocolError) return { outcome: 'dropped' }
      throw error
    }
  }

  #data(turn: Turn, session: Session, header: PacketHeader, { route, packet }: Arrival): Session | undefined {
    const agent = this.#parts.agents.find(session.agentKey)
    if (!agent || header.type !== PACKET_DATA) return this.#discard(turn, route, header, packet)
    if (agent.status === 'waiting') {
      session.talk.ackDue = true
      return session
    }
    const budgetKey = route.via === 'link' ? `link ${route.id}` : hex(header.address)
    if (!this.#failures.available(budgetKey, turn.now)) return undefined
    const opened = session.up.open(header, packet)
    switch (opened.outcome) {
      case 'failed':
        this.counts.failed++
        this.#failures.take(budgetKey, turn.now)
        return this.#discard(turn, route, header, packet)
      case 'duplicate':
        this.counts.duplicate++
        this.#discard(turn, route, header, packet)
        return this.#repeat(turn, session)
      case 'opened':
        this.counts.opened++
        saveUp(turn, session)
        this.#parts.inbox.take(turn, session, agent, opened.content, route)
        if (route.via === 'link') this.#useful(turn, route.id)
        this.#discard(turn, route, header, packet)
        return session
    }
  }

  /** An answer got lost: give it again, at most once a second. */
  #repeat(turn: Turn, session: Session): Session | undefined {
    const { talk } = session
    if (turn.now - talk.repeatedAt < REPEAT_ANSWER_MS) return undefined
    talk.repeatedAt = turn.now
    if (talk.streams.size === 0) {
      for (const stream of this.#parts.ledger.recent(session.agentKey, RECENT_STREAMS))
        talk.streams.add(stream)
    }
    talk.ackDue = true
    if (!session.confirmed) talk.setupAt = Math.min(talk.setupAt, turn.now)
    return session
  }

  #unknown(turn: Turn, route: Route, header: PacketHeader, packet: Uint8Array): void {
    if (route.via === 'link' && this.#parts.door.working(route.id)) {
      this.counts.parked++
      this.#parking.park(route.id, packet, turn.now)
      return
    }
    this.counts.unknown++
    this.#discard(turn, route, header, packet)
  }

  #useful(turn: Turn, link: number): void {
    turn.then(() => this.#parts.ports.useful(link))
  }

  /** Once this turn is on disk the relay may forget the packet. */
  #discard(turn: Turn, route: Route, header: PacketHeader, packet: Uint8Array): undefined {
    if (route.via === 'link') return undefined
    const address = new Uint8Array(header.address)
    const hash = packetHash(packet)
    turn.then(() => this.#parts.ports.discard(route.id, address, hash))
    return undefined
  }
}
