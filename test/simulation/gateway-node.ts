import { crypto, directoryKey, equalBytes, openHello, signGatewayCertificate } from '@fieldwhisper/protocol'
import type { RelayInfo } from '@fieldwhisper/protocol'
import type { MemoryStore } from '@fieldwhisper/host/testing'
import {
  BRIDGE_TABLES,
  CORE_TABLES,
  GatewayCore,
  Meta,
  type GatewayIdentity,
  type HelloJob,
  type Ports,
} from '../../gateway/src/core/index.js'
import { BACKUP_TABLES } from '../../gateway/src/backup/make.js'
import { lastOutboxSequence } from '../../gateway/src/bridge/outbox-position.js'
import { Relays } from '../../gateway/src/relays.js'
import type { Checkers } from './checkers.js'
import type { Dice } from './dice.js'
import { Disk } from './disk.js'
import { LanPort, type Lan } from './lan.js'
import { Life } from './life.js'
import { VirtualRelayClient, type Dial } from './relay-client.js'
import { MachineClock } from './running.js'
import type { World } from './world.js'

export interface GatewayParts {
  readonly world: World
  readonly dice: Dice
  readonly checkers: Checkers
  readonly lan: Lan
  readonly dial: Dial
  readonly relays: readonly RelayInfo[]
}

export const GATEWAY = 'gateway'
const TICK_MS = 100

/** The gateway: the real core and its side of the relays, on a virtual disk, links and wires. */
export class GatewayNode {
  readonly disk: Disk
  core: GatewayCore | undefined
  outboxFull = false
  /** Corrupted packets of live sessions that were looked at. */
  failedOpens = 0
  readonly #parts: GatewayParts
  readonly #identity: GatewayIdentity
  #life: Life
  #port: LanPort | undefined
  #clients: VirtualRelayClient[] = []
  readonly clock: MachineClock
  #copy: MemoryStore | undefined
  /** `gateway init` was carried out. */
  #isMade = false
  #wentBack = false
  /** Restored from a backup, and the core was not told yet. */
  #fromBackup = false

  constructor(parts: GatewayParts) {
    const { world, dice, checkers } = parts
    this.#parts = parts
    this.#identity = newIdentity(dice)
    this.clock = new MachineClock(() => world.now, dice.bytes(8), 1_000_000)
    this.disk = new Disk({
      tables: [...CORE_TABLES, ...BRIDGE_TABLES],
      dice: dice.fork(),
      flushed: (writes) => checkers.flushed(writes),
    })
    this.disk.onCrash = () => this.end(() => 10)
    this.#life = new Life(world)
    this.#life.end()
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
    const { world } = this.#parts
    const store = await this.disk.open(life)
    if (!this.#isMade) await store.commit([Meta.initialWrite()])
    this.#isMade = true
    if (!life.alive) return
    this.clock.resume(life)
    const core = this.#open(life)
    if (this.#fromBackup) await core.restoredFromBackup('2026-11-23T00:00:00Z')
    this.#fromBackup = false
    core.tick()
    await core.announceRelays(this.#parts.relays)
    await core.settled()
    if (!life.alive) return
    this.core = core
    life.every(TICK_MS, () => core.tick())
    this.#relays?.use(this.#parts.relays).catch((error: unknown) => world.broken(String(error)))
    this.#openLan(life, core)
    world.log('the gateway is up')
  }

  end(heardInMs: () => number, power = true): void {
    if (!this.#life.alive) return
    const { world } = this.#parts
    this.#life.end()
    this.core = undefined
    this.#port?.end(heardInMs)
    for (const client of this.#clients.splice(0)) client.kill(heardInMs())
    if (power) this.clock.boot(this.#parts.dice.bytes(8))
    world.log('the gateway is down')
  }

  /** Copies its disk; the second time, once in its life, goes back to that, or to the backup that was made of it. */
  copyOrGoBack(way: 'disk' | 'backup'): 'gateway disk copied' | 'gateway restored' | undefined {
    if (this.#wentBack) return undefined
    const copy = this.#copy
    if (!copy) {
      this.#copy = this.disk.image()
      return 'gateway disk copied'
    }
    this.#wentBack = true
    this.end(() => 10)
    this.#fromBackup = way === 'backup'
    const tables = [...CORE_TABLES, ...BRIDGE_TABLES]
    this.disk.restore(
      copy,
      way === 'backup' ? tables.filter((table) => BACKUP_TABLES.includes(table)) : tables,
    )
    this.#parts.checkers.gatewayWentBack(way === 'disk')
    return 'gateway restored'
  }

  #relays: Relays | undefined
  #record: Uint8Array | undefined

  #open(life: Life): GatewayCore {
    const { world, dice, checkers, dial } = this.#parts
    const slot = directoryKey(this.#identity.master)
    const said = (packet: Uint8Array): void => checkers.saidByGateway(packet)
    const relays = new Relays(slot, {
      reporter: { event: (_level, code) => world.log(`gateway ${code}`) },
      onPacket: (relay, packet) => life.alive && core.packet({ via: 'relay', id: relay }, packet),
      onRecord: (relay, record) => core.ownRecord({ via: 'relay', id: relay }, record),
      drive: {
        client: (options) => {
          const client = new VirtualRelayClient(options, life, dice.fork(), dial, said)
          this.#clients.push(client)
          return client
        },
        after: (delayMs, task) => void life.after(delayMs, task),
      },
    })
    this.#relays = relays
    let sequence = lastOutboxSequence(this.disk.store)
    const ports: Ports = {
      send: (link, packet) => {
        if (!life.alive) return false
        said(packet)
        return this.#port?.send(link, packet) ?? false
      },
      deposit: (packet) => life.alive && relays.deposit(packet),
      discard: (relay, address, hash) => relays.discard(relay, address, hash),
      renew: (relay) => relays.renew(relay),
      hold: (key) => relays.hold(key),
      release: (key) => relays.release(key),
      publish: (record) => {
        this.#record = record
        relays.publish(record)
      },
      openHello: (job) => void life.after(dice.between(1, 60), () => work(core, job)),
      useful: () => undefined,
      agentGone: () => undefined,
      committed: () => undefined,
      fatal: () => life.alive && this.end(() => 10, false),
      report: (_level, code) => life.alive && world.log(`gateway ${code}`),
    }
    const core: GatewayCore = new GatewayCore({
      store: this.disk.store,
      identity: this.#identity,
      ports,
      clock: this.clock,
      random: dice.bytes,
      running: () => this.clock.runningMs(),
      nextSequence: () => ++sequence,
      noRoom: () => (this.outboxFull ? 'outbox-full' : undefined),
      freeBallast: () => false,
      relays: this.#parts.relays,
    })
    this.#watch(core)
    return core
  }

  /** A packet that does not open changes nothing: neither the keys of its session nor what is about to be written. */
  #watch(core: GatewayCore): void {
    const { world, lan } = this.#parts
    const { desk, sessions } = core
    const take = desk.packet.bind(desk)
    desk.packet = (turn, arrival) => {
      const { packet } = arrival
      const endpoint = lan.interference.isCorrupted(packet)
        ? sessions.endpoint(packet.subarray(2, 18))
        : undefined
      if (endpoint?.kind !== 'session') return take(turn, arrival)
      const { tree } = endpoint.session.up
      const before = { tree: tree.encode(), writes: turn.size, opened: desk.counts.opened }
      const touched = take(turn, arrival)
      if (desk.counts.opened !== before.opened) world.broken('a corrupted packet opened')
      if (turn.size !== before.writes || !equalBytes(tree.encode(), before.tree))
        world.broken('a packet that did not open changed the state of the gateway')
      this.failedOpens++
      return touched
    }
  }

  #openLan(life: Life, core: GatewayCore): void {
    const slot = directoryKey(this.#identity.master).address
    const port = new LanPort(this.#parts.lan, life, GATEWAY, {
      opened: (link) => void port.ask(link, slot),
      packet: (link, packet) => core.packet({ via: 'link', id: link }, packet),
      question: (link, asked) => {
        if (this.#record && equalBytes(asked, slot)) port.answer(link, this.#record)
      },
      record: (link, record) => void core.ownRecord({ via: 'link', id: link }, record),
      closed: (link) => core.linkClosed(link),
    })
    this.#port = port
  }
}

/** What the worker thread does. */
function work(core: GatewayCore, job: HelloJob): void {
  const opened = openHello(job.packet, job.secrets)
  core.helloOpened({
    id: job.id,
    ...(opened && { opened }),
    agreementKey: opened ? crypto.agreementKey(job.oneTime.prekeySecret).publicKey : new Uint8Array(0),
    kemKey: opened ? crypto.kem.publicKey(job.oneTime.kemSeed) : new Uint8Array(0),
  })
}

function newIdentity(dice: Dice): GatewayIdentity {
  const siteSeed = dice.bytes(32)
  const signingSeed = dice.bytes(32)
  const agreementSecret = dice.bytes(32)
  const certificate = signGatewayCertificate(crypto.signingKey(siteSeed), {
    number: 1,
    signingKey: crypto.signingKey(signingSeed).publicKey,
    agreementKey: crypto.agreementKey(agreementSecret).publicKey,
  })
  return { siteName: 'sim', siteSeed, signingSeed, agreementSecret, master: dice.bytes(32), certificate }
}
