import {
  crypto,
  deviceKey,
  directoryKey,
  doorbellSecret,
  encodeInvite,
  siteFingerprint,
  type AddressKey,
  type HoldReason,
  type Random,
  type RelayInfo,
} from '@fieldwhisper/protocol'
import { asError, HostError, type Clock, type Store } from '@fieldwhisper/host'
import { GatewayError } from '../errors.js'
import { Admission } from './admission.js'
import { Agents, type Agent } from './agents.js'
import { Answers } from './answers.js'
import { COMMIT_RETRY_MS, MAX_COMMIT_BYTES, MAX_COMMIT_PACKETS, MAX_WAITING_BYTES } from './constants.js'
import { Door } from './door.js'
import { Inbox } from './inbox.js'
import { Invites, type InviteRecord } from './invites.js'
import { Ledger } from './ledger.js'
import { Meta } from './meta.js'
import { PacketDesk, type Arrival } from './packet-desk.js'
import type { GatewayIdentity, HelloResult, Ports, Route } from './ports.js'
import { Prekeys } from './prekeys.js'
import { RestoreWatch } from './restore.js'
import { reserve, type Session } from './session.js'
import { Sessions } from './sessions.js'
import { Turn } from './turn.js'

const HOUSEKEEPING_MS = 60_000

export interface CoreOptions {
  readonly store: Store
  readonly identity: GatewayIdentity
  readonly ports: Ports
  readonly clock: Clock
  readonly random: Random
  /** Running time of this gateway in its life, in milliseconds. */
  readonly running: () => number
  /** Grows with every outbox entry. */
  readonly nextSequence: () => number
  readonly outboxFull: () => boolean
  readonly relays: readonly RelayInfo[]
}

/**
 * The gateway between its sockets and its outbox, in turns:
 *
 *   1 take    what has arrived: packets, opened hellos, the operator's commands
 *   2 apply   open, note in the ledger, put into the outbox: in memory, collected as writes
 *   3 commit  one transaction, flushed
 *   4 answer  acknowledge, and let relays forget what is committed
 *
 * One turn at a time, so that memory is never more than one turn ahead of the disk. What has arrived meanwhile waits unopened.
 */
export class GatewayCore {
  readonly agents: Agents
  readonly invites: Invites
  readonly sessions: Sessions
  readonly ledger: Ledger
  readonly prekeys: Prekeys
  readonly meta: Meta
  readonly desk: PacketDesk
  readonly directoryKey: AddressKey
  readonly #options: CoreOptions
  readonly #admission: Admission
  readonly #answers: Answers
  readonly #restores: RestoreWatch
  #relays: readonly RelayInfo[]
  readonly #arrivals: Arrival[] = []
  #waitingBytes = 0
  readonly #tasks: ((turn: Turn) => Session | undefined)[] = []
  readonly #speaking = new Set<Session>()
  #busy = false
  readonly #idle: (() => void)[] = []
  #stuck:
    { readonly turn: Turn; readonly touched: ReadonlySet<Session>; readonly retryAt: number } | undefined
  #housekeepingAt = -Infinity
  #maxPackets = MAX_COMMIT_PACKETS

  constructor(options: CoreOptions) {
    const { store, identity, ports, clock, random } = options
    const now = clock.monoMs()
    const site = crypto.signingKey(identity.siteSeed)
    this.#options = options
    this.#relays = options.relays
    this.directoryKey = directoryKey(identity.master)
    this.meta = new Meta(store, ports)
    this.agents = new Agents(store, site, this.meta)
    this.invites = new Invites(store)
    this.ledger = new Ledger(store)
    this.prekeys = new Prekeys(store, identity, this.meta)
    this.sessions = new Sessions(store, this.prekeys, ports, now)
    const shared = { ...this.#parts(), ports, random, master: identity.master }
    this.#admission = new Admission(shared)
    this.#restores = new RestoreWatch({
      ...shared,
      siteKey: site.publicKey,
      gatewayKey: crypto.signingKey(identity.signingSeed).publicKey,
    })
    const { nextSequence } = options
    const inbox = new Inbox({
      ...shared,
      clock,
      nextSequence,
      restored: () => this.meta.counters.restores > 0,
    })
    this.#answers = new Answers({ ...shared, clock, site: () => this.#siteFacts() })
    this.desk = new PacketDesk({
      ...shared,
      door: new Door(shared, now),
      admission: this.#admission,
      inbox,
      again: ({ route, packet }) => this.packet(route, packet),
      blocked: () => this.#restores.blocked,
    })
    for (const session of this.sessions.all()) this.#speaking.add(session)
  }

  /** A packet arrived. Beyond 64 MiB of unopened ones it is dropped: its sender offers it again. */
  packet(route: Route, packet: Uint8Array): void {
    if (this.#waitingBytes + packet.length > MAX_WAITING_BYTES) return
    this.#waitingBytes += packet.length
    this.#arrivals.push({ route, packet })
    this.#wake()
  }

  helloOpened(result: HelloResult): void {
    this.#task((turn) => this.desk.hello(turn, result))
  }

  /** A relay or a link showed what it holds under this gateway's directory slot. */
  ownRecord(bytes: Uint8Array): void {
    this.#task((turn) => {
      if (this.#restores.seen(turn, bytes)) this.#rotate(turn, true)
      return undefined
    })
  }

  linkClosed(link: number): void {
    this.desk.linkClosed(link)
  }

  /** To be called every 50 ms or so. */
  tick(): void {
    const now = this.#options.clock.monoMs()
    if (this.#stuck && now >= this.#stuck.retryAt) this.#wake()
    if (now - this.#housekeepingAt >= HOUSEKEEPING_MS) {
      this.#housekeepingAt = now
      this.#task((turn) => this.#housekeep(turn))
    }
    this.desk.retryLater()
    if (this.hold) this.#sayHold(now)
    for (const session of this.#speaking) {
      const agent = this.agents.find(session.agentKey)
      if (!agent || this.sessions.named(session.name) !== session) this.#speaking.delete(session)
      else if (!session.talk.queued && this.#answers.due(session, agent, now, this.#holdOf(agent))) {
        session.talk.queued = true
        this.#task(() => session)
      } else if (!session.talk.ackDue && !this.#answers.setupWanted(session, agent))
        this.#speaking.delete(session)
    }
    if (this.#arrivals.length > 0) this.#wake()
  }

  /** One invite for one device, as the line to hand over. */
  async enroll(name: string, options: { replace: boolean; confirm: boolean }): Promise<string> {
    const holder = this.agents.named(name)
    if (holder && !options.replace) {
      throw new GatewayError(
        'FW_NAME_TAKEN',
        `${name} is enrolled already: choose another name, or add --replace if the device is new`,
      )
    }
    const { random, identity } = this.#options
    const invite = await this.#command((turn) => this.invites.create(turn, random, name, options))
    return this.#inviteLine(invite, identity)
  }

  async revoke(name: string): Promise<void> {
    const agent = this.#named(name)
    await this.#command((turn) => this.#admission.revoke(turn, agent, false))
    this.#speakToAll()
  }

  async rename(name: string, to: string): Promise<void> {
    const agent = this.#named(name)
    if (this.agents.named(to)) throw new GatewayError('FW_NAME_TAKEN', `${to} is the name of another agent`)
    await this.#command((turn) => {
      this.agents.rename(turn, agent, to)
      this.agents.oweNotice(turn, [agent])
    })
    this.#speakToAll()
  }

  /** The operator agrees to a device that was enrolled with --confirm. */
  async agree(name: string): Promise<void> {
    const agent = this.#named(name)
    await this.#command((turn) => {
      agent.status = 'active'
      this.agents.save(turn, agent)
    })
    this.#speakToAll()
  }

  /** From now on agents are told these relays. */
  async setRelays(relays: readonly RelayInfo[]): Promise<void> {
    this.#relays = relays
    await this.#command((turn) => {
      this.meta.counters.siteRevision++
      this.meta.save(turn)
      this.agents.oweNotice(turn, this.agents.all())
    })
    this.#speakToAll()
  }

  /** Why readings are not acknowledged at the moment, to everybody. */
  get hold(): HoldReason | undefined {
    if (this.#stuck) return 'disk'
    return this.#options.outboxFull() ? 'outbox-full' : undefined
  }

  get waitingBytes(): number {
    return this.#waitingBytes
  }

  /** Resolves when nothing is left to do; for an orderly stop and for tests. */
  async settled(): Promise<void> {
    while (this.#busy) await new Promise<void>((resolve) => this.#idle.push(resolve))
  }

  #parts(): Pick<GatewayCore, 'agents' | 'invites' | 'ledger' | 'meta' | 'prekeys' | 'sessions'> {
    const { agents, invites, ledger, meta, prekeys, sessions } = this
    return { agents, invites, ledger, meta, prekeys, sessions }
  }

  #task(run: (turn: Turn) => Session | undefined): void {
    this.#tasks.push(run)
    this.#wake()
  }

  /** Runs an operator's command in a turn of its own kind and resolves when it is on disk. */
  #command<T>(run: (turn: Turn) => T): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#task((turn) => {
        try {
          const result = run(turn)
          turn.then(() => resolve(result))
        } catch (error) {
          reject(asError(error))
        }
        return undefined
      })
    })
  }

  #wake(): void {
    if (this.#busy) return
    this.#busy = true
    this.#turns().catch((error: unknown) => this.#options.ports.fatal(error))
  }

  async #turns(): Promise<void> {
    // What arrives in the same moment shares a commit.
    await Promise.resolve()
    for (;;) {
      const { clock, running } = this.#options
      const stuck = this.#stuck
      if (stuck && clock.monoMs() < stuck.retryAt) return this.#rest()
      const turn = stuck?.turn ?? new Turn(clock.monoMs(), running())
      const touched = stuck?.touched ?? this.#apply(turn)
      if (!touched) return this.#rest()
      const began = clock.monoMs()
      const { writes } = turn
      try {
        if (writes.length > 0) await this.#options.store.commit(writes)
      } catch (error) {
        if (!(error instanceof HostError) || error.code !== 'FW_STORE_FULL') throw error
        this.#stuck = { turn, touched, retryAt: clock.monoMs() + COMMIT_RETRY_MS }
        return this.#rest()
      }
      this.#stuck = undefined
      this.#pace(clock.monoMs() - began)
      this.#options.ports.committed(writes)
      turn.finish()
      this.#speak(touched)
    }
  }

  /** Nothing to do. Said in the same step that found nothing, so that no arrival falls in between. */
  #rest(): void {
    this.#busy = false
    for (const resolve of this.#idle.splice(0)) resolve()
  }

  /** Stages 1 and 2. Undefined where there is nothing to do. */
  #apply(turn: Turn): ReadonlySet<Session> | undefined {
    const touched = new Set<Session>()
    let done = 0
    for (const task of this.#tasks.splice(0)) {
      const session = task(turn)
      if (session) touched.add(session)
      done++
    }
    let bytes = 0
    let taken = 0
    while (
      taken < this.#arrivals.length &&
      taken < this.#maxPackets &&
      bytes < MAX_COMMIT_BYTES &&
      !this.hold
    ) {
      const arrival = this.#arrivals[taken++]!
      bytes += arrival.packet.length
      const session = this.desk.packet(turn, arrival)
      if (session) touched.add(session)
    }
    this.#arrivals.splice(0, taken)
    this.#waitingBytes -= bytes
    if (done + taken === 0) return undefined
    for (const session of touched) reserve(turn, session, 1)
    return touched
  }

  /** Stage 4. */
  #speak(touched: ReadonlySet<Session>): void {
    const now = this.#options.clock.monoMs()
    for (const session of touched) {
      session.talk.queued = false
      const agent = this.agents.find(session.agentKey)
      if (!agent || this.sessions.named(session.name) !== session) continue
      const hold = this.#holdOf(agent)
      if (session.down.next < session.reserved && this.#answers.due(session, agent, now, hold)) {
        this.#answers.say(session, agent, now, hold)
      }
      this.#speaking.add(session)
    }
  }

  /** Silence means absence, so everybody is told once a minute; counters that are already reserved need no commit. */
  #sayHold(now: number): void {
    for (const session of this.sessions.all()) {
      const agent = this.agents.find(session.agentKey)
      if (!agent || session.supersededRunning !== undefined || session.down.next >= session.reserved) continue
      session.talk.ackDue = true
      const hold = this.#holdOf(agent)
      if (hold && this.#answers.due(session, agent, now, hold)) this.#answers.say(session, agent, now, hold)
    }
  }

  #speakToAll(): void {
    const now = this.#options.clock.monoMs()
    for (const session of this.sessions.all()) {
      session.talk.setupAt = now
      this.#speaking.add(session)
    }
  }

  #holdOf(agent: Agent): HoldReason | undefined {
    return agent.status === 'waiting' ? 'confirm' : this.hold
  }

  /** A commit that was 10 s late is followed by one half as big. */
  #pace(tookMs: number): void {
    this.#maxPackets =
      tookMs > 10_000
        ? Math.max(1, this.#maxPackets >>> 1)
        : Math.min(MAX_COMMIT_PACKETS, this.#maxPackets * 2)
  }

  #housekeep(turn: Turn): undefined {
    this.#rotate(turn, false)
    this.invites.expire(turn)
    this.sessions.expire(turn)
    this.ledger.expire(turn)
    return undefined
  }

  #rotate(turn: Turn, force: boolean): void {
    const { made, ended } = this.prekeys.rotate(turn, this.#options.random, force)
    turn.then(() => {
      for (const old of ended) this.sessions.closeDoorbell(old)
      if (made) this.sessions.openDoorbell(made)
      const newest = this.prekeys.newest()
      if (newest) this.#options.ports.publish(newest.record)
    })
  }

  #named(name: string): Agent {
    const agent = this.agents.named(name)
    if (!agent)
      throw new GatewayError(
        'FW_AGENT_UNKNOWN',
        `no agent is called ${name}: see fieldwhisper-gateway agents`,
      )
    return agent
  }

  #inviteLine(invite: InviteRecord, identity: GatewayIdentity): string {
    return encodeInvite({
      siteFingerprint: siteFingerprint(crypto.signingKey(identity.siteSeed).publicKey),
      directorySlot: this.directoryKey.address,
      id: invite.id,
      secret: invite.secret,
      relays: this.#relays,
    })
  }

  #siteFacts(): ReturnType<ConstructorParameters<typeof Answers>[0]['site']> {
    const { master } = this.#options.identity
    const { epoch, siteRevision } = this.meta.counters
    return {
      doorbell: { epoch, secret: doorbellSecret(master, epoch) },
      relays: this.#relays,
      directorySlot: this.directoryKey.address,
      siteRevision,
      deviceKey: (agentKey) => deviceKey(master, agentKey),
    }
  }
}
