import {
  asError,
  openRunningTime,
  openStore,
  refuseNewerFiles,
  systemClock,
  systemRandom,
  type ProgramReporter,
  type ReportedEvent,
  type RunningTime,
  type SnapshotStore,
  type Store,
} from '@fieldwhisper/host'
import { createLan, type Lan } from '@fieldwhisper/mesh'
import {
  decodeBatch,
  directoryKey,
  equalBytes,
  siteFingerprint,
  crypto,
  hex,
  type RelayInfo,
} from '@fieldwhisper/protocol'
import type { RunningRelay } from '@fieldwhisper/relay'
import { join } from 'node:path'
import { Ballast } from './ballast.js'
import { Bridge } from './bridge/bridge.js'
import { BROKER_USERS_FILE } from './bridge/constants.js'
import { BRIDGE_TABLES } from './bridge/outbox-entry.js'
import { lastOutboxSequence } from './bridge/outbox-position.js'
import { command } from './command.js'
import type { GatewayConfig } from './config/index.js'
import { GatewayCore } from './core/gateway-core.js'
import type { GatewayIdentity, Ports } from './core/ports.js'
import { CORE_TABLES, refuseNewerRecords } from './core/tables.js'
import { ownRelayInfo, startEmbeddedRelay, toldRelayInfos } from './embedded-relay.js'
import { EventList, EVENTS_TABLE } from './event-list.js'
import { HandshakeWorker } from './handshake/worker-pool.js'
import { IDENTITY_FILE, STORE_FOLDER } from './identity-file.js'
import { loadRelayList, mergeRelays, RELAYS_FILE } from './relay-list.js'
import { Presence } from './presence.js'
import { Relays } from './relays.js'
import { RememberedLinks } from './remembered-links.js'
import { VERSION } from './version.js'
import { gatewayStatus, type GatewayStatus } from './status.js'

const PRESENCE_STEP_MS = 1_000
const TICK_MS = 50
/** Packets waiting unopened beyond this part of what may wait stop the reading from links; the core drops above all of it. */
const PAUSE_SHARE = 0.5
const RUNNING_TABLE = 'running'
export const GATEWAY_TABLES: readonly string[] = [
  ...CORE_TABLES,
  ...BRIDGE_TABLES,
  RUNNING_TABLE,
  EVENTS_TABLE,
]
/** These are published out of the outbox already, as surely as a reading. */
const IN_OUTBOX: ReadonlySet<string> = new Set([
  'FW_READINGS_LOST',
  'FW_ACKNOWLEDGED_BEFORE_RESTORE',
  'FW_CLONE_SUSPECTED',
])

export interface GatewayOptions {
  readonly stateDir: string
  readonly config: GatewayConfig
  readonly identity: GatewayIdentity | undefined
  readonly reporter: ProgramReporter
  /** The process has to end; its supervisor starts it again on what the disk has. */
  readonly onFatal: (error: Error) => void
}

/** Opens the gateway's store with all tables. Rejects with FW_FILE_NEWER, FW_STORE_NEWER or FW_STATE_NEWER before anything changes. */
export async function openGatewayStore(
  stateDir: string,
  reporter: ProgramReporter,
  onFatal: (error: Error) => void,
): Promise<SnapshotStore> {
  refuseNewerFiles([IDENTITY_FILE, RELAYS_FILE, BROKER_USERS_FILE].map((name) => join(stateDir, name)))
  return openStore({
    dir: join(stateDir, STORE_FOLDER),
    tables: GATEWAY_TABLES,
    reporter,
    onFatal,
    refuseNewer: refuseNewerRecords,
  })
}

export function openGatewayRunningTime(
  store: Store,
  clock: ReturnType<typeof systemClock>,
  reporter: ProgramReporter,
): Promise<RunningTime> {
  return openRunningTime({ store, table: RUNNING_TABLE, key: Buffer.from('running'), clock, reporter })
}

/** Keeps what the reporter says from now on, and what it has said since the program started. */
export function keepEvents(
  store: Store,
  clock: ReturnType<typeof systemClock>,
  running: RunningTime,
  reporter: ProgramReporter,
  kept?: (event: ReportedEvent) => void,
): EventList {
  const events = new EventList({
    store,
    clock,
    runningMs: () => running.nowMs(),
    after: (delayMs, task) => {
      const timer = setTimeout(task, delayMs)
      return () => clearTimeout(timer)
    },
    ...(kept && { kept }),
  })
  for (const event of reporter.recent()) events.take(event)
  reporter.listen(events.take)
  return events
}

/**
 * The running gateway: LAN and relays feed the core, the core fills the outbox, the bridge empties it. Without an identity it
 * takes no packet and makes no site, and goes on publishing what it has.
 */
export class Gateway {
  readonly #options: GatewayOptions
  readonly #closing: (() => Promise<void> | void)[] = []
  readonly #clock: ReturnType<typeof systemClock>
  #core: GatewayCore | undefined
  #store: SnapshotStore | undefined
  #events: EventList | undefined
  /** Reported before there was a bridge to publish it. */
  #unpublished: ReportedEvent[] | undefined = []
  #bridge: Bridge | undefined
  #lan: Lan | undefined
  #relays: Relays | undefined
  #embedded: RunningRelay | undefined
  #started = false

  constructor(options: GatewayOptions) {
    this.#options = options
    this.#clock = systemClock(options.reporter)
  }

  /** Until then its status says nothing: what is not open yet would look like trouble. */
  get started(): boolean {
    return this.#started
  }

  /** False: there is no identity, and no core will come. */
  get identified(): boolean {
    return this.#options.identity !== undefined
  }

  /** The core, for the operator's commands; undefined while it starts. */
  get core(): GatewayCore | undefined {
    return this.#core
  }

  /** For backups; undefined until it is open. */
  get store(): SnapshotStore | undefined {
    return this.#store
  }

  /** What happened; undefined until the store is open. */
  get events(): EventList | undefined {
    return this.#events
  }

  async start(): Promise<void> {
    try {
      await this.#open()
      this.#started = true
    } catch (error) {
      await this.stop().catch(() => undefined)
      throw error
    }
  }

  /** In the reverse order of the start; what is opened is committed first. */
  async stop(): Promise<void> {
    const failures: unknown[] = []
    for (const close of this.#closing.splice(0).reverse()) {
      try {
        await close()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw asError(failures[0])
  }

  status(): GatewayStatus {
    return gatewayStatus({
      identity: this.#options.identity,
      core: this.#core,
      bridge: this.#bridge,
      lan: this.#lan,
      relays: this.#relays,
      embedded: this.#embedded,
      clock: this.#clock,
      reporter: this.#options.reporter,
    })
  }

  /** Users of the embedded broker were added or removed by the operator. */
  brokerUsersChanged(): void {
    this.#bridge?.usersChanged()
  }

  /** Relays were added or removed by the operator: connect to them, and tell the agents. */
  async relaysChanged(): Promise<void> {
    await this.#relays?.use(this.#usedRelays())
    await this.#core?.setRelays(this.#toldRelays())
  }

  async #open(): Promise<void> {
    const { stateDir, config, identity, reporter, onFatal } = this.#options
    const store = await openGatewayStore(stateDir, reporter, onFatal)
    this.#store = store
    this.#closing.push(() => store.close())
    const running = await openGatewayRunningTime(store, this.#clock, reporter)
    this.#closing.push(() => running.stop())
    this.#openEvents(store, running)
    await this.#openBridge(store, running)
    const early = this.#unpublished ?? []
    this.#unpublished = undefined
    for (const event of early) this.#publish(event)
    if (!identity) {
      const text = `${stateDir} has no identity that reads: restore it from a backup. Until then no packet is taken; what waits for MQTT is published`
      reporter.event('error', 'FW_IDENTITY_MISSING', text)
      return
    }
    if (config.relay.enabled) {
      const embedded = { stateDir, config: config.relay, reporter, clock: this.#clock, onFatal }
      this.#embedded = await startEmbeddedRelay(embedded)
      this.#closing.push(() => this.#embedded?.stop())
    }
    await this.#openCore(store, running, identity)
  }

  #openEvents(store: Store, running: RunningTime): void {
    const events = keepEvents(store, this.#clock, running, this.#options.reporter, (event) =>
      this.#publish(event),
    )
    this.#events = events
    this.#closing.push(() => events.stop())
  }

  #publish(event: ReportedEvent): void {
    const { level, code, message, fields } = event
    if (this.#unpublished) return void this.#unpublished.push(event)
    if (level === 'debug' || IN_OUTBOX.has(code)) return
    const { agent, ...rest } = fields
    this.#bridge?.tellEvent({
      level,
      code,
      message,
      ...(typeof agent === 'string' && { agent }),
      ...(Object.keys(rest).length > 0 && { fields: rest }),
    })
  }

  async #openBridge(store: Store, running: RunningTime): Promise<void> {
    const { stateDir, config, identity, reporter } = this.#options
    const { mqtt, outbox } = config
    this.#bridge = new Bridge({
      store,
      stateDir,
      site: config.site ?? identity?.siteName ?? 'site',
      clientId: identity ? `fieldwhisper-${siteFingerprintText(identity).slice(0, 12)}` : 'fieldwhisper',
      mqtt,
      labels: config.labels,
      version: VERSION,
      outbox: { maxBytes: outbox.max_bytes, keepSentMs: outbox.keep_sent },
      reporter,
      clock: this.#clock,
      runningMs: () => running.nowMs(),
      decode: (bytes) => decodeBatch(bytes).readings,
    })
    await this.#bridge.start()
    this.#closing.push(() => this.#bridge?.stop())
  }

  async #openCore(store: Store, running: RunningTime, identity: GatewayIdentity): Promise<void> {
    const { stateDir, reporter, onFatal, config } = this.#options
    const { limits } = config
    const ballast = await Ballast.open({
      dir: stateDir,
      reporter,
      monoMs: () => this.#clock.monoMs(),
      bytesUsed: () => store.bytesUsed(),
    })
    this.#closing.push(() => ballast.stop())
    let sequence = lastOutboxSequence(store)
    const worker = new HandshakeWorker(
      limits.workerShare,
      (result) => core.helloOpened(result),
      (error) => onFatal(asError(error)),
    )
    this.#closing.push(() => worker.stop())
    const slot = directoryKey(identity.master)
    const relays = new Relays(slot, {
      reporter,
      onPacket: (relay, packet) => core.packet({ via: 'relay', id: relay }, packet),
      onRecord: (relay, record) => core.ownRecord({ via: 'relay', id: relay }, record),
    })
    this.#relays = relays
    let newest: Uint8Array | undefined
    const ports: Ports = {
      send: (link, packet) => this.#lan?.send(link, packet) ?? false,
      deposit: (packet) => relays.deposit(packet),
      discard: (relay, address, hash) => relays.discard(relay, address, hash),
      renew: (relay) => relays.renew(relay),
      hold: (key) => relays.hold(key),
      release: (key) => relays.release(key),
      publish: (record) => {
        newest = record
        relays.publish(record)
      },
      openHello: (job) => worker.open(job),
      useful: (link) => {
        this.#lan?.useful(link)
        this.#lan?.acked(link)
      },
      agentGone: (id) => this.#bridge?.forgetAgent(id),
      committed: (writes) => this.#bridge?.committed(writes),
      fatal: (error) => onFatal(asError(error)),
      report: (level, code, message, fields) => reporter.event(level, code, message, fields),
    }
    const core = new GatewayCore({
      store,
      identity,
      ports,
      clock: this.#clock,
      random: systemRandom,
      running: () => running.nowMs(),
      nextSequence: () => ++sequence,
      noRoom: () => (ballast.spent ? 'disk' : this.#bridge?.full ? 'outbox-full' : undefined),
      freeBallast: () => ballast.free(),
      relays: this.#toldRelays(),
      limits,
    })
    this.#core = core
    core.tick()
    await core.announceRelays(this.#toldRelays())
    await core.settled()
    this.#bridge?.takeCommands((order) => command(core, order))
    const presence = new Presence({
      agents: core.agents,
      missing: (key) => core.ledger.missing(key),
      bridge: this.#bridge!,
      clock: this.#clock,
    })
    const presenceTicker = setInterval(() => {
      presence.step()
      this.#bridge?.step()
    }, PRESENCE_STEP_MS)
    this.#closing.push(() => clearInterval(presenceTicker))
    const ticker = setInterval(() => {
      core.tick()
      ballast.tick()
      this.#lan?.setPaused(core.waitingBytes > limits.waitingBytes * PAUSE_SHARE)
    }, TICK_MS)
    this.#closing.push(async () => {
      clearInterval(ticker)
      await core.stop()
    })
    this.#closing.push(() => relays.stop())
    await relays.use(this.#usedRelays())
    await this.#openLan(core, slot.address, () => newest)
  }

  async #openLan(core: GatewayCore, slot: Uint8Array, newest: () => Uint8Array | undefined): Promise<void> {
    const { config, stateDir, reporter } = this.#options
    const { lan } = config
    if (!lan.enabled) return
    const remembered = new RememberedLinks(stateDir, reporter)
    this.#lan = createLan({
      role: 'gateway',
      limits: config.limits,
      loopback: lan.loopback,
      broadcast: lan.broadcast,
      beaconPort: lan.beacon_port,
      peers: lan.peers,
      ...(lan.interfaces && { interfaces: lan.interfaces }),
      ...(lan.listen && { listen: lan.listen }),
      remembered: remembered.load(),
      slot: () => slot,
      handlers: {
        opened: ({ id }) => void this.#lan?.ask(id, slot),
        packet: (link, packet) => core.packet({ via: 'link', id: link }, packet),
        question: (link, asked) => {
          const record = newest()
          if (record && equalBytes(asked, slot)) this.#lan?.answer(link, record)
        },
        record: (link, record) => void core.ownRecord({ via: 'link', id: link }, record),
        closed: (link) => core.linkClosed(link),
        remember: (targets) => remembered.save(targets),
      },
      reporter,
      random: systemRandom,
      clock: this.#clock,
    })
    await this.#lan.start()
    this.#closing.push(() => this.#lan?.stop())
  }

  /** Those this gateway connects to: the embedded one by loopback. */
  #usedRelays(): RelayInfo[] {
    const { config, stateDir, reporter } = this.#options
    const own = this.#embedded ? [ownRelayInfo(this.#embedded, config.relay.tls !== undefined)] : []
    return mergeRelays(own, config.relays, loadRelayList(stateDir, reporter))
  }

  #toldRelays(): RelayInfo[] {
    return toldRelays(this.#options)
  }
}

/** The relays that invites and NOTICEs name. */
export function toldRelays({
  config,
  stateDir,
  reporter,
}: Pick<GatewayOptions, 'config' | 'stateDir' | 'reporter'>): RelayInfo[] {
  const { enabled, urls } = config.relay
  const own = enabled ? toldRelayInfos(stateDir, config.relay, urls, reporter) : []
  return mergeRelays(own, config.relays, loadRelayList(stateDir, reporter))
}

export function siteFingerprintText(identity: GatewayIdentity): string {
  return hex(siteFingerprint(crypto.signingKey(identity.siteSeed).publicKey))
}
