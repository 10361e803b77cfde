import type { CourierEvent, RelayClientOptions } from '@fieldwhisper/mesh'
import type { MemoryStore } from '@fieldwhisper/host/testing'
import { crypto, decodeInvite, type Reading } from '@fieldwhisper/protocol'
import {
  NO_SESSION,
  NO_SITE,
  type BatchPort,
  type SaveEffect,
  type SessionState,
  type SiteState,
  type Standing,
} from '../../agent/src/core/index.js'
import { Engine } from '../../agent/src/engine.js'
import { AgentRelays } from '../../agent/src/paths/relays.js'
import { Spool, SPOOL_TABLES, type MarkFile, type SpoolLimits } from '../../agent/src/spool/index.js'
import type { Checkers } from './checkers.js'
import type { Dice } from './dice.js'
import { Disk } from './disk.js'
import { LanPort, type Lan } from './lan.js'
import { Life } from './life.js'
import { VirtualRelayClient, type Dial } from './relay-client.js'
import { MachineClock } from './running.js'
import type { World } from './world.js'

/** How often the engine is woken. */
const TICK_MS = 200

export interface AgentParts {
  readonly name: string
  readonly world: World
  readonly dice: Dice
  readonly checkers: Checkers
  readonly lan: Lan
  readonly dial: Dial
  /** Whom it looks for on the LAN. */
  readonly peers: readonly string[]
  readonly limits: SpoolLimits
  readonly batchMs: number
  readonly nextId: () => number
}

/** What survives a process, beside the spool. */
interface Files {
  standing: Standing
  site: SiteState
  session: SessionState
  mark: MarkFile | undefined
}

/** An agent: the real engine, core, courier, relays and spool, on virtual files, links and wires. */
export class AgentNode {
  readonly name: string
  /** What its gateway calls it. */
  readonly agentName: string
  readonly disk: Disk
  readonly clock: MachineClock
  /** Its state files cannot be written. */
  readOnly = false
  spool: Spool | undefined
  engine: Engine | undefined
  refused = 0
  saves = 0
  /** The process dies at this save of a state file. */
  crashAtSave: (save: number, moment: 'before' | 'after') => boolean = () => false
  readonly #parts: AgentParts
  readonly #identity: ReturnType<typeof crypto.signingKey>
  readonly #files: Files
  #copy: { readonly files: Files; readonly image: MemoryStore } | undefined
  #restored = false
  #life: Life
  #port: LanPort | undefined
  #relays: AgentRelays | undefined
  #opening: Uint8Array | undefined

  /** A new device with an invite, or a copy of another one, which must be off. */
  constructor(parts: AgentParts, from: string | AgentNode) {
    this.#parts = parts
    this.name = parts.name
    if (from instanceof AgentNode) {
      this.#identity = from.#identity
      this.#files = { ...from.#files }
      this.agentName = from.agentName
    } else {
      this.#identity = crypto.signingKey(parts.dice.bytes(32))
      const { siteFingerprint: fingerprint, ...rest } = decodeInvite(from)
      this.#files = {
        standing: { state: 'joining', invite: { fingerprint, ...rest } },
        site: NO_SITE,
        session: NO_SESSION,
        mark: undefined,
      }
      this.agentName = parts.name
    }
    this.disk = new Disk({ tables: SPOOL_TABLES, dice: parts.dice.fork() })
    this.#life = new Life(parts.world)
    this.#life.end()
    if (from instanceof AgentNode) this.disk.restore(from.disk.image())
    const { world, dice } = parts
    this.clock = new MachineClock(() => world.now, dice.bytes(8), dice.int(1_000, 1_000_000))
  }

  /** It has its key. */
  get isMember(): boolean {
    return this.#files.standing.state === 'member'
  }

  get alive(): boolean {
    return this.#life.alive
  }

  start(): void {
    if (this.#life.alive) return
    const life = (this.#life = new Life(this.#parts.world))
    life.begin(
      () => this.#start(life),
      () => this.end(() => 10, false),
    )
  }

  async #start(life: Life): Promise<void> {
    const { world, checkers, dice, limits, batchMs, name } = this.#parts
    const store = await this.disk.open(life)
    this.clock.resume(life)
    const { bootId } = this.clock
    const spool = await Spool.open({
      store,
      mark: { load: () => this.#files.mark, save: (mark) => void (life.alive && (this.#files.mark = mark)) },
      clock: { monoMs: () => this.clock.monoMs(), bootId },
      runningMs: () => this.clock.runningMs(),
      timers: { after: (delayMs, task) => life.after(delayMs, task) },
      random: dice.bytes,
      reporter: { event: (_level, code) => life.alive && world.log(`${name} ${code}`) },
      limits,
      batch: { intervalMs: batchMs, maxReadings: 1_000 },
    })
    if (!life.alive) return
    this.spool = spool
    if (this.#restored) checkers.restored(name, spool)
    this.#restored = false
    checkers.recovered(name, spool)
    this.#openPaths(life, spool)
    world.log(`${name} is up`)
  }

  /** The process dies; without power the machine loses its clock too. */
  end(heardInMs: () => number, power: boolean): void {
    if (!this.#life.alive) return
    const { world, dice, name } = this.#parts
    this.#life.end()
    this.engine?.stop()
    this.#port?.end(heardInMs)
    this.#leaveRelays(heardInMs)
    this.engine = undefined
    this.spool = undefined
    this.#port = undefined
    this.#relays = undefined
    if (power) this.clock.boot(dice.bytes(8))
    world.log(`${name} is down`)
  }

  /**
   * Copies its whole disk, or, where there is a copy, puts that back. Never to before it joined: the invite is used then, and it takes a
   * hand to make another.
   */
  copyOrRestore(): 'agent disk copied' | 'agent restored' | undefined {
    const copy = this.#copy
    if (!copy && !this.isMember) return undefined
    this.#copy = undefined
    if (!copy) {
      this.#copy = { files: { ...this.#files }, image: this.disk.image() }
      return 'agent disk copied'
    }
    this.end(() => 10, true)
    Object.assign(this.#files, copy.files)
    this.disk.restore(copy.image)
    this.forget()
    return 'agent restored'
  }

  /** What is not on its disk now was only there. */
  forget(): void {
    this.#restored = true
  }

  /** One reading of a source. */
  read(): void {
    const { spool } = this
    const { checkers, dice, nextId } = this.#parts
    if (!spool) return
    const id = nextId()
    const reading: Reading = {
      name: `sensor-${id % 5}`,
      unit: 'Cel',
      value: id,
      quality: dice.chance(0.1) ? 'uncertain' : 'good',
      monoMs: this.clock.monoMs(),
      wallMs: this.clock.wallMs(),
      clock: this.clock.quality(),
    }
    checkers.given(this.name, reading, this.agentName)
    spool.append(reading).then(
      () => checkers.acceptedReading(id),
      () => void this.refused++,
    )
  }

  #openPaths(life: Life, spool: Spool): void {
    const { world, dice, lan, name, peers, batchMs } = this.#parts
    const reporter = {
      event: (level: string, code: string) => life.alive && world.log(`${name} ${level} ${code}`),
    }
    const soon = (task: () => void): (() => void) => life.after(0, task)
    const engine = new Engine({
      drive: { random: dice.bytes, every: (_ms, task) => life.poll(TICK_MS, task), soon },
      core: {
        identity: this.#identity,
        standing: this.#files.standing,
        site: this.#files.site,
        session: this.#files.session,
        batches: this.#watched(spool),
      },
      offerAll: false,
      clock: this.clock,
      reporter,
      relays: () => this.#relays,
      lan: () => this.#lanFor(port),
      save: (effect) => this.#save(life, effect),
      joined: () => undefined,
      useRelays: (told) => void relays.use(told),
      batchInterval: (atLeastMs) => spool.setBatchInterval(Math.max(batchMs, atLeastMs)),
      command: () => undefined,
    })
    const courier = (event: CourierEvent): void => engine.courier(event)
    const take = (path: { link: number } | { relay: string }, packet: Uint8Array): void => {
      this.#opening = packet
      engine.post({ type: 'packet', path, packet })
      this.#opening = undefined
    }
    const port = new LanPort(lan, life, name, {
      opened: (link) => {
        const slot = engine.core.directorySlot
        if (slot && engine.core.wantsRecord(this.clock.monoMs())) port.ask(link, slot)
        courier({ type: 'linkOpened', link })
      },
      packet: (link, packet) => take({ link }, packet),
      question: (link, slot) => {
        const newest = engine.core.recordFor(slot)
        if (newest) port.answer(link, newest)
      },
      record: (link, record) => engine.post({ type: 'record', source: `link ${link}`, record }),
      closed: (link) => courier({ type: 'linkClosed', link }),
    })
    const relays = new AgentRelays(
      reporter,
      {
        courier,
        packet: (relay, packet) => take({ relay }, packet),
        record: (relay, record) => engine.post({ type: 'record', source: relay, record }),
        connected: () => engine.post({ type: 'relayConnected' }),
        mailboxRemoved: (address) => engine.post({ type: 'mailboxRemoved', address }),
      },
      { client: (options) => this.#client(options, life), soon },
    )
    spool.handlers = {
      closed: (batch) => engine.post({ type: 'closed', batch }),
      dropped: (batches) => engine.post({ type: 'dropped', batches }),
    }
    this.engine = engine
    this.#relays = relays
    this.#port = port
    const { standing, site } = this.#files
    void relays.use(standing.state === 'joining' ? standing.invite.relays : site.relays)
    engine.start()
    for (const peer of peers) life.after(dice.between(0, 3_000), () => port.seek(peer))
  }

  /** The spool as the core has it, with an eye on what it says of its batches and on what it frees. */
  #watched(spool: Spool): BatchPort {
    const { checkers } = this.#parts
    const eyes: Partial<BatchPort> = {
      ack: (streams, startsBefore) => {
        checkers.acknowledged(this.name, this.#opening, spool, streams)
        spool.ack(streams, startsBefore)
      },
      gaps: (limit) => {
        const gaps = spool.gaps(limit)
        checkers.givenUp(gaps)
        return gaps
      },
      streams: (limit) => {
        const states = spool.streams(limit)
        for (const state of states) checkers.floorSaid(state)
        return states
      },
      stream: (id) => {
        const state = spool.stream(id)
        if (state) checkers.floorSaid(state)
        return state
      },
    }
    return new Proxy(spool, {
      get: (target, key) => {
        const value: unknown = Reflect.get(eyes, key) ?? Reflect.get(target, key, target)
        return typeof value === 'function' ? (value.bind(target) as unknown) : value
      },
    })
  }

  #lanFor(port: LanPort): ReturnType<ConstructorParameters<typeof Engine>[0]['lan']> {
    return {
      send: (link, packet) => {
        this.#parts.checkers.sealed(this.name, packet)
        return port.send(link, packet)
      },
      ask: (link, slot) => port.ask(link, slot),
      links: () => port.links(),
      acked: () => undefined,
      useful: () => undefined,
      outstanding: () => undefined,
    }
  }

  #clients: VirtualRelayClient[] = []

  #client(options: RelayClientOptions, life: Life): VirtualRelayClient {
    const { dice, dial, checkers } = this.#parts
    const client = new VirtualRelayClient(options, life, dice.fork(), dial, (packet) =>
      checkers.sealed(this.name, packet),
    )
    this.#clients.push(client)
    return client
  }

  #leaveRelays(heardInMs: () => number): void {
    for (const client of this.#clients.splice(0)) client.kill(heardInMs())
  }

  #save(life: Life, effect: SaveEffect): void {
    if (!life.alive) return
    if (this.readOnly) throw new Error('the virtual disk takes no files')
    const save = ++this.saves
    const power = (): number => 10
    if (this.crashAtSave(save, 'before')) return this.end(power, true)
    const files = this.#files
    if (effect.file === 'key') files.standing = { state: 'member', key: effect.value }
    else if (effect.file === 'site') files.site = effect.value
    else files.session = effect.value
    if (this.crashAtSave(save, 'after')) this.end(power, true)
  }
}
