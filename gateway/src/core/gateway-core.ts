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
import { systemCode, type Clock, type Store } from '@fieldwhisper/host'
import { GatewayError } from '../errors.js'
import { Admission } from './admission.js'
import { Agents, type Agent } from './agents.js'
import { Answers, type SiteFacts } from './answers.js'
import { checkCommand, Commands, type CommandAnswer, type CommandRequest } from './commands.js'
import {
  CALM_BYTES,
  HOLD_LOOK_MS,
  HOUSEKEEPING_MS,
  OWN_RECORD_BUDGET,
  OWN_RECORDS_BY_LINKS,
} from './constants.js'
import { Door } from './door.js'
import { FailedPackets, Failures } from './failures.js'
import { Inbox } from './inbox.js'
import { Invites } from './invites.js'
import { Ledger } from './ledger.js'
import { Lines } from './lines.js'
import { DEFAULT_CORE_LIMITS, type CoreLimits } from './limits.js'
import { Meta } from './meta.js'
import { News } from './news.js'
import { PacketDesk } from './packet-desk.js'
import type { GatewayIdentity, HelloResult, Ports, Route } from './ports.js'
import { Prekeys } from './prekeys.js'
import { RestoreWatch } from './restore.js'
import type { Session } from './session.js'
import { Sessions } from './sessions.js'
import { SetAside } from './set-aside.js'
import { TokenBucket, TokenBuckets } from '@fieldwhisper/host'
import type { Turn } from './turn.js'
import { ToldRelays } from './told-relays.js'
import { Turns, type Arrival } from './turns.js'

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
  /** Why readings have to wait; hellos and counters still find room. */
  readonly noRoom: () => 'outbox-full' | 'disk' | undefined
  /** The disk is full: frees what is kept for that. False where nothing is. */
  readonly freeBallast: () => boolean
  readonly relays: readonly RelayInfo[]
  readonly limits?: CoreLimits
}

/** The gateway between its sockets and its outbox: what arrives, what time brings, and what the operator says, all in turns. */
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
  readonly #commands: Commands
  readonly #answers: Answers
  readonly #lines: Lines
  readonly #failedPackets: FailedPackets
  readonly #restores: RestoreWatch
  readonly #setAside: SetAside
  readonly #turns: Turns
  readonly #ownRecords = new TokenBuckets(OWN_RECORD_BUDGET)
  readonly #ownRecordsByLinks: TokenBucket
  /** Sessions that have, or may soon have, something to say. */
  readonly #speaking = new Set<Session>()
  readonly #toldRelays: ToldRelays
  #relays: readonly RelayInfo[]
  #housekeepingAt = -Infinity
  #holdLookedAt = -Infinity

  constructor(options: CoreOptions) {
    const { store, identity, ports, clock, random, nextSequence, noRoom, freeBallast } = options
    const now = clock.monoMs()
    const site = crypto.signingKey(identity.siteSeed)
    this.#options = options
    const limits = options.limits ?? DEFAULT_CORE_LIMITS
    this.#relays = options.relays
    this.directoryKey = directoryKey(identity.master)
    this.#toldRelays = new ToldRelays(store)
    this.meta = new Meta(store, ports)
    this.agents = new Agents(store, site, this.meta, ports)
    this.invites = new Invites(store, ports)
    this.ledger = new Ledger(store, ports)
    this.prekeys = new Prekeys(store, identity, this.meta, ports)
    this.sessions = new Sessions(store, this.prekeys, this.meta, ports, now)
    this.#setAside = new SetAside(ports)
    this.#ownRecordsByLinks = new TokenBucket(OWN_RECORDS_BY_LINKS, now)
    const { agents, invites, ledger, meta, prekeys, sessions } = this
    const news = new News({ ports, clock, nextSequence })
    const lines = new Lines({ agents, sessions, news }, now)
    this.#lines = lines
    const commands = new Commands({ agents, news })
    this.#commands = commands
    this.#failedPackets = new FailedPackets(news)
    const parts = {
      agents,
      commands,
      invites,
      ledger,
      lines,
      meta,
      prekeys,
      sessions,
      news,
      ports,
      random,
      clock,
      nextSequence,
    }
    this.#admission = new Admission({ ...parts, master: identity.master })
    this.#answers = new Answers({
      ...parts,
      site: () => this.#siteFacts(),
      diskTakesNothing: () => this.#turns.stuck,
    })
    const gatewayKey = crypto.signingKey(identity.signingSeed).publicKey
    this.#restores = new RestoreWatch({ ...parts, siteKey: site.publicKey, gatewayKey })
    this.desk = new PacketDesk({
      ...parts,
      door: new Door({ ...parts, master: identity.master, limits }, now),
      admission: this.#admission,
      failures: new Failures(now),
      failedPackets: this.#failedPackets,
      setAside: this.#setAside,
      inbox: new Inbox({ ...parts, restored: () => meta.counters.restores > 0 }),
      again: (arrival) => this.#arrive(arrival),
      blocked: () => this.blocked,
      heldBack: (agent, session) => this.#holdOf(agent, session) !== undefined,
      undecided: (agent, session) => this.#waitsFor(agent, session) !== undefined,
    })
    this.#turns = new Turns({
      waitingBytes: limits.waitingBytes,
      store,
      ports,
      monoMs: () => clock.monoMs(),
      running: options.running,
      dataWaits: () => noRoom() !== undefined,
      freeBallast,
      take: (turn, arrival) => this.desk.packet(turn, arrival),
      lives: (session) => sessions.named(session.name) === session,
      answer: (touched) => this.#speak(touched),
    })
    for (const session of sessions.all()) this.#speaking.add(session)
  }

  /** A packet arrived. Where no more may wait unopened it is dropped: its sender offers it again. */
  packet(route: Route, packet: Uint8Array): void {
    this.#arrive({ route, packet })
  }

  helloOpened(result: HelloResult): void {
    this.#turns.task((turn) => this.desk.hello(turn, result))
  }

  /**
   * A relay or a link showed what it holds under this gateway's directory slot. True once what follows from it is on disk: only
   * then may that record be overwritten. Never rejects.
   */
  async ownRecord(route: Route, bytes: Uint8Array): Promise<boolean> {
    if (!this.#restores.mayBeNewer(bytes) || !this.#mayVerify(route)) return true
    const seen = this.#turns.command((turn) => {
      if (this.#restores.seen(turn, bytes)) this.#rotate(turn, true)
    })
    return seen.then(
      () => true,
      () => false,
    )
  }

  linkClosed(link: number): void {
    this.desk.linkClosed(link)
  }

  /** To be called every 50 ms or so. */
  tick(): void {
    const now = this.#options.clock.monoMs()
    if (now - this.#housekeepingAt >= HOUSEKEEPING_MS) {
      this.#housekeepingAt = now
      this.#turns.task((turn) => this.#housekeep(turn))
    }
    const { hold } = this
    if (hold && now - this.#holdLookedAt >= HOLD_LOOK_MS) {
      this.#holdLookedAt = now
      this.#sayHold(now, hold)
    }
    this.#commands.expire(now)
    this.#setAside.tick(now, (arrival) => this.#arrive(arrival), !hold && this.waitingBytes < CALM_BYTES)
    this.#release()
    for (const session of this.#speaking) this.#consider(session, now)
    this.#turns.tick()
  }

  /** One invite for one device, as the line to hand over. */
  async enroll(name: string, options: { replace: boolean; confirm: boolean }): Promise<string> {
    const { random, identity } = this.#options
    const { id, secret } = await this.#turns.command((turn) => {
      if (this.agents.named(name) && !options.replace) {
        const text = `${name} is enrolled already: choose another name, or add --replace if the device is new`
        throw new GatewayError('FW_NAME_TAKEN', text)
      }
      return this.invites.create(turn, random, name, options)
    })
    return encodeInvite({
      siteFingerprint: siteFingerprint(crypto.signingKey(identity.siteSeed).publicKey),
      directorySlot: this.directoryKey.address,
      id,
      secret,
      relays: this.#relays,
    })
  }

  revoke(name: string): Promise<void> {
    return this.#change((turn) => this.#admission.revoke(turn, this.#named(name), false))
  }

  rename(name: string, to: string): Promise<void> {
    return this.#change((turn) => {
      const agent = this.#named(name)
      if (this.agents.named(to)) throw new GatewayError('FW_NAME_TAKEN', `${to} is the name of another agent`)
      this.agents.rename(turn, agent, to)
      this.agents.oweNotice(turn, [agent])
    })
  }

  /** The operator agrees to a device that was enrolled with --confirm. */
  agree(name: string): Promise<void> {
    return this.#change((turn) => {
      const agent = this.#named(name)
      agent.status = 'active'
      this.agents.save(turn, agent)
      turn.then(() => this.#setAside.decided())
    })
  }

  /** The operator says which of two devices with one identity goes on; the sessions of the other one end. */
  decideClone(name: string, decision: 'keep' | 'replace'): Promise<void> {
    return this.#change((turn) => {
      const agent = this.#named(name)
      if (agent.heldFrom === 0) {
        throw new GatewayError('FW_CLONE_NONE', `no copy of ${name} is suspected: there is nothing to decide`)
      }
      this.#lines.decide(turn, agent, decision)
      turn.then(() => this.#setAside.decided())
    })
  }

  /**
   * Has an agent carry out a command, at most once and not later than its time to live, and resolves with what became of it; that takes
   * 15 s more at most. Rejects with GatewayError FW_COMMAND_INVALID, FW_COMMAND_TOO_LARGE, FW_COMMAND_TOO_MANY, FW_COMMAND_HELD,
   * FW_AGENT_UNKNOWN, or why the disk did not take it.
   */
  async command(name: string, request: CommandRequest): Promise<CommandAnswer> {
    return await this.#turns.command((turn) => {
      checkCommand(request)
      const agent = this.#named(name)
      if (agent.status === 'waiting') {
        const text = `${name} waits for the operator: fieldwhisper-gateway confirm ${name}`
        throw new GatewayError('FW_COMMAND_HELD', text)
      }
      const answer = this.#commands.give(turn, agent, request)
      turn.then(() => this.#speakTo(agent))
      return answer
    })
  }

  /** Commands that wait for their answer. */
  get openCommands(): number {
    return this.#commands.size
  }

  /** Its state was just restored from a backup that was made then: to be said before it runs. */
  restoredFromBackup(made: string): Promise<void> {
    return this.#change((turn) => this.#restores.fromBackup(turn, made))
  }

  /** From now on agents are told these relays. */
  setRelays(relays: readonly RelayInfo[]): Promise<void> {
    this.#relays = relays
    return this.#change((turn) => {
      this.meta.revise(turn)
      this.agents.oweNotice(turn, this.agents.all())
      this.#toldRelays.set(turn, relays)
    })
  }

  /**
   * The same, unless they were told these last: for a start, before which the configuration may have changed. A full disk does not
   * stop a start: it is done once there is room.
   */
  async announceRelays(relays: readonly RelayInfo[]): Promise<void> {
    if (this.#toldRelays.are(relays)) return
    await this.setRelays(relays).catch((error: unknown) => {
      if (systemCode(error) !== 'FW_STORE_FULL') throw error
    })
  }

  /** Why readings are not acknowledged at the moment, to everybody. */
  get hold(): HoldReason | undefined {
    return this.#turns.stuck ? 'disk' : this.#options.noRoom()
  }

  /** No handshakes are taken: see FW_SECOND_GATEWAY. */
  get blocked(): boolean {
    return this.#restores.blocked
  }

  get waitingBytes(): number {
    return this.#turns.waitingBytes
  }

  /** Of relays' packets that wait for a budget. */
  get setAsideBytes(): number {
    return this.#setAside.bytes
  }

  /** Resolves when nothing is under way; for tests. */
  settled(): Promise<void> {
    return this.#turns.settled()
  }

  /** What is opened is committed; nothing more is taken. */
  stop(): Promise<void> {
    this.#commands.stop()
    return this.#turns.stop()
  }

  #arrive(arrival: Arrival): void {
    const { route } = arrival
    if (this.#turns.arrive(arrival)) return
    this.desk.counts.dropped++
    if (route.via === 'relay') this.#setAside.missed(route.id)
  }

  /** A record costs two signatures to verify, and anybody may show one. */
  #mayVerify({ via, id }: Route): boolean {
    const now = this.#options.clock.monoMs()
    if (!this.#ownRecords.take(`${via} ${id}`, now)) return false
    return via === 'relay' || this.#ownRecordsByLinks.take(now)
  }

  /** Asks for a turn where this session has something to say, and forgets it where it has not. */
  #consider(session: Session, now: number): void {
    const agent = this.agents.find(session.agentKey)
    const { talk } = session
    if (!agent || this.sessions.named(session.name) !== session) this.#speaking.delete(session)
    else if (talk.queued) return
    else if (this.#answers.due(session, agent, now, this.#holdOf(agent, session))) {
      talk.queued = true
      this.#turns.task(() => session)
    } else if (!talk.ackDue && !this.#answers.setupWanted(session, agent)) this.#speaking.delete(session)
  }

  #speak(touched: ReadonlySet<Session>): void {
    const now = this.#options.clock.monoMs()
    for (const session of touched) {
      session.talk.queued = false
      const agent = this.agents.find(session.agentKey)
      if (!agent || this.sessions.named(session.name) !== session) continue
      const hold = this.#holdOf(agent, session)
      if (session.down.next < session.reserved && this.#answers.due(session, agent, now, hold)) {
        this.#answers.say(session, agent, now, hold)
      }
      this.#speaking.add(session)
    }
  }

  /** Silence means absence, so everybody is told once a minute. While the disk takes nothing, with counters that it has. */
  #sayHold(now: number, hold: HoldReason): void {
    for (const session of this.sessions.all()) {
      const agent = this.agents.find(session.agentKey)
      if (!agent || session.supersededRunning !== undefined) continue
      session.talk.ackDue = true
      this.#speaking.add(session)
      if (!this.#turns.stuck || session.down.next >= session.reserved) continue
      if (this.#answers.due(session, agent, now, hold)) this.#answers.say(session, agent, now, hold)
    }
  }

  /** A command after which agents have something to hear, also where a full disk puts it off. */
  #change(run: (turn: Turn) => void): Promise<void> {
    return this.#turns.command((turn) => {
      run(turn)
      turn.then(() => this.#speakToAll())
    })
  }

  #speakToAll(): void {
    const now = this.#options.clock.monoMs()
    for (const session of this.sessions.all()) {
      session.talk.setupAt = now
      this.#speaking.add(session)
    }
  }

  #speakTo({ key }: Agent): void {
    const now = this.#options.clock.monoMs()
    for (const session of this.sessions.of(key)) {
      Object.assign(session.talk, { setupAt: now, setupStep: 0 })
      this.#speaking.add(session)
      this.#consider(session, now)
    }
  }

  /** What hellos brought meanwhile. */
  #release(): void {
    for (const session of this.sessions.holding()) {
      const agent = this.agents.find(session.agentKey)
      if (agent && !this.#holdOf(agent, session))
        this.#turns.task((turn) => this.desk.release(turn, session, agent))
    }
  }

  #holdOf(agent: Agent, session: Session): HoldReason | undefined {
    return this.#waitsFor(agent, session) ?? this.hold
  }

  /** What the operator has to decide before anything is taken in this session. */
  #waitsFor(agent: Agent, session: Session): 'confirm' | 'clone' | undefined {
    if (agent.status === 'waiting') return 'confirm'
    return this.#lines.isHeld(agent, session) ? 'clone' : undefined
  }

  #housekeep(turn: Turn): undefined {
    for (const old of this.prekeys.expire(turn)) turn.then(() => this.sessions.closeDoorbell(old))
    this.#rotate(turn, false)
    this.invites.expire(turn)
    this.sessions.expire(turn)
    this.ledger.expire(turn)
    this.#failedPackets.tell(turn.now)
    this.#lines.expire()
    if (this.#lines.trustSurvivors(turn)) turn.then(() => this.#setAside.decided())
    return undefined
  }

  #rotate(turn: Turn, force: boolean): void {
    const made = this.prekeys.rotate(turn, this.#options.random, force)
    turn.then(() => {
      if (made) this.sessions.openDoorbell(made)
      const newest = this.prekeys.newest()
      if (newest) this.#options.ports.publish(newest.record)
    })
  }

  #named(name: string): Agent {
    const agent = this.agents.named(name)
    if (agent) return agent
    const text = `no agent is called ${name}: see fieldwhisper-gateway agents`
    throw new GatewayError('FW_AGENT_UNKNOWN', text)
  }

  #siteFacts(): SiteFacts {
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
