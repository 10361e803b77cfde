import {
  hex,
  PACKET_HELLO,
  packetHash,
  parseHeader,
  ProtocolError,
  type PacketHeader,
} from '@fieldwhisper/protocol'
import type { Admission } from './admission.js'
import type { Agent, Agents } from './agents.js'
import { MAX_ACKED_STREAMS, MAX_ASKERS, REPEAT_ANSWER_MS } from './constants.js'
import type { Door } from './door.js'
import type { FailedPackets, Failures } from './failures.js'
import type { Inbox } from './inbox.js'
import type { Ledger } from './ledger.js'
import { Parking } from './parking.js'
import type { HelloResult, Ports, Route } from './ports.js'
import { saveUp, type Path, type Session } from './session.js'
import type { Endpoint, Sessions } from './sessions.js'
import type { SetAside } from './set-aside.js'
import type { Turn } from './turn.js'
import type { Arrival } from './turns.js'

interface Parts {
  readonly sessions: Sessions
  readonly agents: Agents
  readonly door: Door
  readonly admission: Admission
  readonly failures: Failures
  readonly failedPackets: FailedPackets
  readonly setAside: SetAside
  readonly inbox: Inbox
  readonly ledger: Ledger
  readonly ports: Ports
  /** Puts a packet back at the end of the line. */
  readonly again: (arrival: Arrival) => void
  /** No handshakes. */
  readonly blocked: () => boolean
  /** Nothing is taken from this agent at the moment. */
  readonly heldBack: (agent: Agent, session: Session) => boolean
  /** The operator has to decide first. */
  readonly undecided: (agent: Agent, session: Session) => boolean
}

/**
 * What happens to one packet: 1 header, 2 whose address, 3 hello to the door or data to its session, 4 opened, duplicate or
 * failed. Before it opened, nothing about it is remembered. A packet of a relay ends deleted there, set aside here, or noted so
 * that the relay will hand it over again: it does so only on a new connection.
 */
export class PacketDesk {
  readonly #parts: Parts
  readonly #parking = new Parking()
  readonly counts = {
    opened: 0,
    duplicate: 0,
    failed: 0,
    unknown: 0,
    malformed: 0,
    hellos: 0,
    parked: 0,
    dropped: 0,
  }

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Of packets that overtook their hello. */
  get parkedBytes(): number {
    return this.#parking.bytes
  }

  /** Returns the session that has something to say because of it. */
  packet(turn: Turn, arrival: Arrival): Session | undefined {
    let header: PacketHeader
    try {
      header = parseHeader(arrival.packet)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.counts.malformed++
      return undefined
    }
    const endpoint = this.#parts.sessions.endpoint(header.address)
    if (!endpoint) return this.#unknown(turn, header, arrival)
    const isHello = header.type === PACKET_HELLO
    if (endpoint.kind !== 'session' && isHello) return this.#hello(turn, endpoint, header, arrival)
    if (endpoint.kind === 'session' && !isHello) return this.#data(turn, endpoint.session, header, arrival)
    return this.#discard(turn, header, arrival)
  }

  /** The worker's answer to a hello. Returns the session it made. */
  hello(turn: Turn, result: HelloResult): Session | undefined {
    const { door, ports, blocked } = this.#parts
    const pending = door.done(result)
    if (!pending) return undefined
    if (result.failure !== undefined) {
      const text = 'a handshake could not be looked at for a reason that is not its own; it is dropped'
      ports.report('error', 'FW_HELLO_FAILED', text, { reason: result.failure })
    }
    const { packetHash: hash, address, routes } = pending
    turn.then(() => {
      for (const { via, id } of routes) if (via === 'relay') ports.discard(id, address, hash)
    })
    const session = blocked() ? undefined : this.#admit(turn, pending, result)
    for (const route of routes) {
      if (route.via !== 'link') continue
      if (session) this.#useful(turn, route.id)
      const parked = this.#parking.take(route.id, turn.now)
      turn.then(() => {
        for (const packet of parked) this.#parts.again({ route, packet })
      })
    }
    return session
  }

  /** Takes what a hello brought while nothing could be taken. */
  release(turn: Turn, session: Session, agent: Agent): Session | undefined {
    const { sessions, inbox } = this.#parts
    const { held } = session
    if (!held || sessions.named(session.name) !== session) return undefined
    sessions.hold(turn, session, undefined)
    inbox.take(turn, session, agent, held.content, held.path)
    return session
  }

  linkClosed(link: number): void {
    this.#parking.forget(link)
  }

  #admit(turn: Turn, pending: Parameters<Admission['admit']>[1], result: HelloResult): Session | undefined {
    const { admission, sessions, inbox, heldBack, door } = this.#parts
    const { routes, prekey, hash } = pending
    const accepted = door.accepted(prekey, hash)
    // Two that differ in what nobody signed were with the worker at the same time.
    if (accepted !== undefined) return this.#repeat(turn, sessions.named(accepted), routes)
    const admitted = admission.admit(turn, pending, result)
    if (!admitted) return undefined
    const { session, agent, content } = admitted
    const link = routes.find(({ via }) => via === 'link')
    if (link) session.talk.link = link.id
    const path = pathOf(routes[0]!)
    if (heldBack(agent, session)) sessions.hold(turn, session, { path, content: new Uint8Array(content) })
    else inbox.take(turn, session, agent, content, path)
    session.talk.ackDue = true
    return session
  }

  #hello(
    turn: Turn,
    endpoint: Exclude<Endpoint, { kind: 'session' }>,
    header: PacketHeader,
    arrival: Arrival,
  ): Session | undefined {
    const { failures, setAside, sessions, blocked } = this.#parts
    const { route, packet } = arrival
    if (blocked()) return undefined
    this.counts.hellos++
    // What a relay brings was counted there; its doorbells must not close because somebody rings them.
    if (route.via === 'link') {
      // Each one costs a MAC, right or wrong, new or a copy; an honest link brings one in a while.
      const payer = payerOf(route, header)
      if (!failures.mayTry(payer, turn.now)) return undefined
      failures.note(payer, turn.now)
    }
    const knocked = this.#knock(endpoint, header, packet, route, turn.now)
    switch (knocked.outcome) {
      case 'working':
        return undefined
      case 'later':
        if (route.via === 'relay' && !setAside.add(arrival)) setAside.missed(route.id)
        return undefined
      case 'dropped':
        return this.#discard(turn, header, arrival)
      case 'copy':
        this.#discard(turn, header, arrival)
        return this.#repeat(turn, sessions.named(knocked.session), [route])
    }
  }

  #knock(...args: Parameters<Door['knock']>): ReturnType<Door['knock']> {
    try {
      return this.#parts.door.knock(...args)
    } catch (error) {
      if (error instanceof ProtocolError) return { outcome: 'dropped' }
      throw error
    }
  }

  #data(turn: Turn, session: Session, header: PacketHeader, arrival: Arrival): Session | undefined {
    const { agents, failures, setAside, inbox } = this.#parts
    const { route, packet } = arrival
    const agent = agents.find(session.agentKey)
    if (!agent) return this.#discard(turn, header, arrival)
    if (this.#parts.undecided(agent, session)) {
      if (route.via === 'relay') setAside.heldBack(route.id)
      return this.#repeat(turn, session, [route])
    }
    const payer = payerOf(route, header)
    // Where there is no more room to make a relay's packet wait, it is looked at.
    if (!failures.mayTry(payer, turn.now) && (route.via === 'link' || setAside.add(arrival))) return undefined
    const opened = session.up.open(header, packet)
    switch (opened.outcome) {
      case 'failed':
        this.counts.failed++
        failures.note(payer, turn.now)
        this.#parts.failedPackets.note(agent)
        return this.#discard(turn, header, arrival)
      case 'duplicate':
        this.counts.duplicate++
        agent.heardAt[pathOf(route)] = turn.now
        this.#discard(turn, header, arrival)
        return this.#repeat(turn, session, [route])
      case 'opened':
        this.counts.opened++
        saveUp(turn, session)
        if (route.via === 'link') {
          session.talk.link = route.id
          this.#useful(turn, route.id)
        }
        inbox.take(turn, session, agent, opened.content, pathOf(route))
        this.#discard(turn, header, arrival)
        return session
    }
  }

  /** An answer got lost: give it again, at most once a second, also over the links that ask. */
  #repeat(turn: Turn, session: Session | undefined, routes: readonly Route[]): Session | undefined {
    if (!session) return undefined
    const { talk } = session
    for (const { via, id } of routes) if (via === 'link') talk.askers.add(id)
    const [first] = talk.askers
    if (talk.askers.size > MAX_ASKERS && first !== undefined) talk.askers.delete(first)
    if (turn.now - talk.repeatedAt < REPEAT_ANSWER_MS) return undefined
    talk.repeatedAt = turn.now
    // After a restart nothing is known of what was answered.
    if (talk.streams.size === 0) {
      for (const stream of this.#parts.ledger.recent(session.agentKey, MAX_ACKED_STREAMS))
        talk.streams.add(stream)
    }
    talk.ackDue = true
    if (!session.confirmed) talk.setupAt = Math.min(talk.setupAt, turn.now)
    return session
  }

  #unknown(turn: Turn, header: PacketHeader, arrival: Arrival): undefined {
    const { route, packet } = arrival
    if (route.via === 'link' && this.#parts.door.working(route.id)) {
      if (this.#parking.park(route.id, packet, turn.now)) this.counts.parked++
      return undefined
    }
    this.counts.unknown++
    return this.#discard(turn, header, arrival)
  }

  #useful(turn: Turn, link: number): void {
    turn.then(() => this.#parts.ports.useful(link))
  }

  /** Once this turn is on disk the relay may forget the packet. */
  #discard(turn: Turn, header: PacketHeader, { route, packet }: Arrival): undefined {
    if (route.via === 'link') return undefined
    const address = new Uint8Array(header.address)
    const hash = packetHash(packet)
    turn.then(() => this.#parts.ports.discard(route.id, address, hash))
    return undefined
  }
}

function pathOf({ via }: Route): Path {
  return via === 'link' ? 'lan' : 'relay'
}

/** Whom a failure costs something: a relay brings the packets of many. */
function payerOf({ via, id }: Route, { address }: PacketHeader): string {
  return via === 'link' ? `link ${id}` : hex(address)
}
