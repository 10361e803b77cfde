import { hex } from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import { GatewayError } from '../errors.js'
import { MAX_CANDIDATES, MAX_SESSIONS_AN_AGENT, SUPERSEDED_SESSION_LIFE_MS } from './constants.js'
import type { Meta } from './meta.js'
import type { Ports } from './ports.js'
import type { Prekey, Prekeys } from './prekeys.js'
import {
  eraseSession,
  loadSession,
  saveSession,
  saveUp,
  successionOf,
  type HeldContent,
  type Session,
} from './session.js'
import { TABLE } from './tables.js'
import type { Turn } from './turn.js'

/** Whose packets an address receives. */
export type Endpoint =
  | { readonly kind: 'session'; readonly session: Session }
  | { readonly kind: 'successor'; readonly session: Session }
  | { readonly kind: 'doorbell'; readonly prekey: Prekey }

/** All live sessions, found by the address of a packet. */
export class Sessions {
  readonly #endpoints = new Map<string, Endpoint>()
  readonly #byName = new Map<string, Session>()
  readonly #byAgent = new Map<string, Session[]>()
  readonly #holding = new Set<Session>()
  readonly #prekeys: Prekeys
  readonly #meta: Meta
  readonly #ports: Ports

  constructor(store: Store, prekeys: Prekeys, meta: Meta, ports: Ports, now: number) {
    this.#prekeys = prekeys
    this.#meta = meta
    this.#ports = ports
    for (const prekey of prekeys.doorbells()) this.openDoorbell(prekey)
    const loaded: Session[] = []
    for (const { key, value } of store.range(TABLE.sessions)) {
      try {
        loaded.push(loadSession(store, key, value, now))
      } catch (error) {
        if (error instanceof GatewayError) throw error
        ports.report(
          'error',
          'FW_SESSION_CORRUPT',
          'a stored session does not read and is left out; its agent will come back by itself',
        )
      }
    }
    // Latest first: those are the agents that are waiting now.
    loaded.sort((a, b) => b.order - a.order)
    for (const session of loaded) {
      this.#index(session)
      meta.atLeast('nextSessionOrder', Math.max(session.order, session.line) + 1)
    }
    for (const list of this.#byAgent.values()) list.sort((a, b) => a.order - b.order)
  }

  get size(): number {
    return this.#byName.size
  }

  all(): Iterable<Session> {
    return this.#byName.values()
  }

  endpoint(address: Uint8Array): Endpoint | undefined {
    return this.#endpoints.get(hex(address))
  }

  named(name: string): Session | undefined {
    return this.#byName.get(name)
  }

  /** Of one agent, in the order they were made. */
  of(agentKey: Uint8Array): readonly Session[] {
    return this.#byAgent.get(hex(agentKey)) ?? []
  }

  /** Those whose hello brought something that is still held back. */
  holding(): readonly Session[] {
    return [...this.#holding]
  }

  openDoorbell(prekey: Prekey): void {
    if (!prekey.doorbell) return
    this.#endpoints.set(hex(prekey.doorbell.address), { kind: 'doorbell', prekey })
    this.#ports.hold(prekey.doorbell)
  }

  closeDoorbell(prekey: Prekey): void {
    if (!prekey.doorbell) return
    this.#endpoints.delete(hex(prekey.doorbell.address))
    this.#ports.release(prekey.doorbell)
  }

  /** Adds a session and keeps the number of its rivals, the other hellos on the same successor or by a doorbell, in bounds. */
  add(turn: Turn, session: Session): void {
    const rivals = this.of(session.agentKey).filter((other) => !other.confirmed && isRival(other, session))
    for (const old of oldest(rivals, MAX_CANDIDATES - 1)) this.end(turn, old)
    const mine = this.of(session.agentKey)
    const spare = mine.filter(
      ({ name, supersededRunning }) => supersededRunning !== undefined && name !== session.parent,
    )
    for (const old of spare.slice(0, oldest(mine, MAX_SESSIONS_AN_AGENT - 1).length)) this.end(turn, old)
    this.#index(session)
    saveSession(turn, session)
    saveUp(turn, session)
  }

  /** Gives the session a successor: whoever continues it will use this one-time prekey. */
  setSuccession(turn: Turn, session: Session, resumption: Uint8Array, oneTime: number): void {
    session.succession = successionOf(resumption, oneTime)
    this.#holdSuccessor(session)
    saveSession(turn, session)
  }

  /** Keeps what a hello brought until it may be taken, or, with undefined, forgets it. */
  hold(turn: Turn, session: Session, held: HeldContent | undefined): void {
    session.held = held
    if (held) this.#holding.add(session)
    else this.#holding.delete(session)
    saveSession(turn, session)
  }

  /**
   * The agent keeps this session: what began it is erased, in the same commit. Its predecessor's r, successor address and
   * one-time key go; older sessions go on receiving for 8 days.
   */
  confirm(turn: Turn, session: Session): void {
    if (session.confirmed) return
    const parent = this.#parentOf(session)
    session.line = this.#lineBehind(turn, session, parent)
    session.confirmed = true
    saveSession(turn, session)
    if (parent && session.kind === 'continue') {
      this.#closeSuccession(turn, parent)
      saveSession(turn, parent)
    }
    for (const older of this.of(session.agentKey)) {
      if (older.order >= session.order || older.supersededRunning !== undefined) continue
      older.supersededRunning = turn.running
      saveSession(turn, older)
    }
  }

  /** Something came in a session that only another line replaced: it is not over. */
  revive(turn: Turn, session: Session): void {
    if (session.supersededRunning === undefined) return
    const line = this.lineOf(session)
    const isNewer = (other: Session): boolean =>
      other.confirmed && other.line === line && other.order > session.order
    if (this.of(session.agentKey).some(isNewer)) return
    session.supersededRunning = undefined
    saveSession(turn, session)
  }

  end(turn: Turn, session: Session): void {
    this.#closeSuccession(turn, session)
    this.#byName.delete(session.name)
    const agent = hex(session.agentKey)
    const rest = this.of(session.agentKey).filter((other) => other !== session)
    if (rest.length > 0) this.#byAgent.set(agent, rest)
    else this.#byAgent.delete(agent)
    this.#endpoints.delete(hex(session.up.addressKey.address))
    this.#holding.delete(session)
    eraseSession(turn, session)
    turn.then(() => {
      this.#ports.release(session.up.addressKey)
      this.#ports.release(session.down.addressKey)
    })
  }

  endAll(turn: Turn, agentKey: Uint8Array): void {
    for (const session of [...this.of(agentKey)]) this.end(turn, session)
  }

  /**
   * The line of sessions that this one belongs to: its own once it is confirmed, before that the one it continues; 0 where it
   * continues none.
   */
  lineOf(session: Session): number {
    for (let at: Session | undefined = session; at; at = this.#parentOf(at)) if (at.line > 0) return at.line
    return 0
  }

  linesOf(agentKey: Uint8Array): Set<number> {
    return new Set(this.of(agentKey).flatMap(({ line }) => (line > 0 ? [line] : [])))
  }

  /**
   * Everything older than the session that the agent named as its oldest with something outstanding. A copy of the device has a line of
   * its own, which only its own sessions end.
   */
  endBefore(turn: Turn, session: Session, oldest: string): void {
    const named = this.#byName.get(oldest)
    if (!session.confirmed || !named || hex(named.agentKey) !== hex(session.agentKey)) return
    for (const older of [...this.of(session.agentKey)]) {
      const line = this.lineOf(older)
      if (line > 0 && line !== session.line) continue
      if (older.order < named.order && older.order < session.order) this.end(turn, older)
    }
  }

  /** Ends what a newer session replaced long ago, and successors whose prekey is gone. */
  expire(turn: Turn): void {
    for (const session of [...this.#byName.values()]) {
      const { supersededRunning, succession } = session
      if (supersededRunning !== undefined && turn.running - supersededRunning > SUPERSEDED_SESSION_LIFE_MS) {
        this.end(turn, session)
      } else if (succession && !this.#prekeys.oneTime(succession.oneTime)) {
        this.#closeSuccession(turn, session)
        saveSession(turn, session)
      }
    }
  }

  #parentOf({ parent, agentKey, order }: Session): Session | undefined {
    const found = parent === undefined ? undefined : this.#byName.get(parent)
    return found && found.order < order && hex(found.agentKey) === hex(agentKey) ? found : undefined
  }

  /** The line of what it continues, unless another session went on with that: then there are two, and this begins the second. */
  #lineBehind(turn: Turn, session: Session, parent: Session | undefined): number {
    const line = parent ? this.lineOf(parent) : 0
    const wentOn = (other: Session): boolean => other.line === line && other.order > parent!.order
    if (line > 0 && !this.of(session.agentKey).some(wentOn)) return line
    return this.#meta.next(turn, 'nextSessionOrder')
  }

  #index(session: Session): void {
    this.#byName.set(session.name, session)
    if (session.held) this.#holding.add(session)
    const agent = hex(session.agentKey)
    const list = this.#byAgent.get(agent)
    if (list) list.push(session)
    else this.#byAgent.set(agent, [session])
    this.#endpoints.set(hex(session.up.addressKey.address), { kind: 'session', session })
    this.#ports.hold(session.up.addressKey)
    this.#holdSuccessor(session)
  }

  #holdSuccessor(session: Session): void {
    if (!session.succession) return
    const { addressKey } = session.succession
    this.#endpoints.set(hex(addressKey.address), { kind: 'successor', session })
    this.#ports.hold(addressKey)
  }

  #closeSuccession(turn: Turn, session: Session): void {
    const { succession } = session
    if (!succession) return
    session.succession = undefined
    const oneTime = this.#prekeys.oneTime(succession.oneTime)
    if (oneTime) this.#prekeys.erase(turn, oneTime)
    this.#endpoints.delete(hex(succession.addressKey.address))
    turn.then(() => this.#ports.release(succession.addressKey))
  }
}

/** Whether two hellos came to the same successor, or both to a doorbell. */
function isRival(one: Session, other: Session): boolean {
  const continues = one.kind === 'continue'
  return continues === (other.kind === 'continue') && (!continues || one.parent === other.parent)
}

/** All but the newest `keep` of sessions in order. */
function oldest(sessions: readonly Session[], keep: number): readonly Session[] {
  return sessions.slice(0, Math.max(0, sessions.length - keep))
}
