import { statfsSync } from 'node:fs'
import {
  openRunningTime,
  openStore,
  systemClock,
  systemRandom,
  type Clock,
  type ControlHandler,
  type ProgramReporter,
} from '@fieldwhisper/host'
import type { Lan } from '@fieldwhisper/mesh'
import { crypto, ProtocolError, verifyAgentCertificate, type RelayInfo } from '@fieldwhisper/protocol'
import { alarmsOf } from './config/alarms.js'
import type { AgentConfig } from './config/schema.js'
import { CommandRunner } from './commands/runner.js'
import { Engine, systemDrive } from './engine.js'
import { starting } from './errors.js'
import { Intake } from './intake.js'
import { spoolHandlers, type AgentNews } from './look/source.js'
import { agentLan } from './paths/lan.js'
import { AgentRelays } from './paths/relays.js'
import { createSources } from './sources/create.js'
import type { Sample, Source } from './sources/source.js'
import { systemTimers } from './sources/timers.js'
import {
  ALWAYS_BYTES,
  markFile,
  META,
  Spool,
  SPOOL_RESERVE_BYTES,
  SPOOL_TABLES,
  TABLE,
} from './spool/index.js'
import { SpoolView } from './spool/view.js'
import { SPOOL_MARK, StateFolder } from './state/folder.js'
import { agentStatus, type AgentStatus } from './status.js'
import { VERSION } from './version.js'

/** What was sealed has so long to leave the machine before the program ends. */
const LEAVE_MS = 2_000
/** Then, where something still waits for a link and nothing is on its way to a relay, it waits no longer. */
const LEAVE_IDLE_MS = 100
const LEAVE_STEP_MS = 20

export interface AgentOptions {
  readonly stateDir: string
  readonly config: AgentConfig
  readonly reporter: ProgramReporter
  /** False: only the handshake, for `join`. */
  readonly sources: boolean
  readonly onJoined?: (name: string) => void
  /** The process has to end; its supervisor starts it again on what the disk has. */
  readonly onFatal: (error: Error) => void
  /** How long `stop` lets what was just sealed leave the machine; 2 s by default. */
  readonly leaveMs?: number
}

/**
 * The running agent: sources fill the spool, core and courier empty it over LAN and relays. Without an identity it goes on
 * keeping readings.
 */
export class Agent {
  readonly #options: AgentOptions
  readonly #folder: StateFolder
  readonly #clock: ReturnType<typeof systemClock>
  readonly #closing: (() => Promise<void> | void)[] = []
  #spool: Spool | undefined
  #view: SpoolView | undefined
  #intake: Intake | undefined
  #sources: readonly Source[] = []
  #engine: Engine | undefined
  #runner: CommandRunner | undefined
  #relays: AgentRelays | undefined
  #lan: Lan | undefined
  #name: string | undefined
  #started = false

  constructor(options: AgentOptions) {
    this.#options = options
    this.#folder = new StateFolder(options.stateDir, options.reporter)
    this.#clock = systemClock(options.reporter)
  }

  async start(): Promise<void> {
    try {
      this.#folder.refuseNewer()
      await this.#openSpool()
      await this.#openPaths()
      await this.#startSources()
      this.#started = true
    } catch (error) {
      await this.stop()
      throw error
    }
  }

  /** In the reverse order of the start; what was read is sealed and sent before the paths close. */
  async stop(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close()
  }

  status(): AgentStatus {
    const now = this.#clock.monoMs()
    return agentStatus({
      version: VERSION,
      name: this.#name ?? this.#options.config.name,
      core: this.#engine?.core.status(now),
      courier: this.#engine?.courierStatus(),
      spool: this.#spool?.counters ?? { accepted: 0, acked: 0, dropped: 0, held: 0, bytes: 0 },
      lan: this.#lan?.status(),
      relays: this.#relays?.list ?? [],
      sources: this.#sources.map((source) => source.status()),
      latest: this.#intake?.latest() ?? [],
      reporter: this.#options.reporter,
      now,
    })
  }

  get clock(): Clock {
    return this.#clock
  }

  /** As a source hands over; see `Sink.accept`. Rejects with AgentError FW_AGENT_STARTING before `start` is done. */
  accept(sample: Sample): Promise<void> {
    return this.#started && this.#intake ? this.#intake.accept(sample) : Promise.reject(starting())
  }

  /** What it answers on its control socket. */
  controls(): Record<string, ControlHandler> {
    const news = (): AgentNews => {
      const { name, joined, inFlight, heardAgoMs } = this.status()
      return { name, joined, inFlight, heardAgoMs: heardAgoMs ?? null }
    }
    const status = (): AgentStatus => {
      if (!this.#started) throw starting()
      return this.status()
    }
    return { status, ...spoolHandlers(() => this.#view, news) }
  }

  async #openSpool(): Promise<void> {
    const { config, reporter, onFatal } = this.#options
    const dir = this.#folder.file('spool')
    const store = await openStore({
      dir,
      tables: SPOOL_TABLES,
      reserveBytes: SPOOL_RESERVE_BYTES,
      reporter,
      onFatal,
    })
    this.#closing.push(() => store.close())
    const clock = this.#clock
    const running = await openRunningTime({
      store,
      table: TABLE.meta,
      key: META.runningTime,
      clock,
      reporter,
    })
    this.#closing.push(() => running.stop())
    const { batch, spool } = config
    const opened = await Spool.open({
      store,
      mark: markFile(this.#folder.file(SPOOL_MARK), reporter),
      clock,
      runningMs: () => running.nowMs(),
      timers: systemTimers,
      random: systemRandom,
      reporter,
      limits: {
        maxBytes: spool.max_bytes,
        maxAgeMs: spool.max_age,
        minFreeBytes: spool.min_free_disk,
        alwaysBytes: ALWAYS_BYTES,
        onFull: spool.on_full,
      },
      batch: { intervalMs: batch.interval, maxReadings: batch.max_readings },
      freeBytes: () => freeBytes(dir),
    })
    this.#spool = opened
    this.#view = new SpoolView(store)
    this.#intake = new Intake(opened, clock, reporter, alarmsOf(config.alarms))
    this.#closing.push(() => opened.close())
  }

  async #openPaths(): Promise<void> {
    const { config, reporter } = this.#options
    const identity = this.#folder.identity()
    if (!identity) {
      const text =
        'This agent has no identity: readings are kept and cannot be sent. Join with a new invite from the gateway.'
      reporter.event('error', 'FW_AGENT_IDENTITY_MISSING', text)
      return
    }
    const standing = this.#folder.standing()
    const site = this.#folder.site()
    const spool = this.#spool!
    const runner = this.#commandRunner()
    this.#runner = runner
    const engine = new Engine({
      drive: systemDrive,
      core: {
        identity: crypto.signingKey(identity.seed),
        standing,
        site,
        session: this.#folder.session(),
        batches: spool,
        order: config.spool.order,
      },
      offerAll: config.lan.offer === 'all',
      limits: config.limits,
      clock: this.#clock,
      reporter,
      relays: () => this.#relays,
      lan: () => this.#lan,
      save: (effect) => {
        this.#folder.save(effect)
        if (effect.file === 'key') this.#name = nameIn(effect.value)
      },
      joined: (name) => this.#joined(name),
      useRelays: (told) => void this.#relays?.use(this.#relaysToUse(told)),
      batchInterval: (atLeastMs) => spool.setBatchInterval(Math.max(config.batch.interval, atLeastMs)),
      command: (command) => {
        void runner.run(command).then((reply) => engine.post({ type: 'replied', id: command.id, reply }))
      },
    })
    this.#engine = engine
    if (standing.state === 'member') this.#name = nameIn(standing.key)
    spool.handlers = {
      closed: (batch, urgent) => engine.post({ type: 'closed', batch, urgent }),
      dropped: (batches) => engine.post({ type: 'dropped', batches }),
    }
    this.#relays = new AgentRelays(reporter, {
      courier: (event) => engine.courier(event),
      packet: (relay, packet) => engine.post({ type: 'packet', path: { relay }, packet }),
      record: (relay, record) => engine.post({ type: 'record', source: relay, record }),
      connected: () => engine.post({ type: 'relayConnected' }),
      mailboxRemoved: (address) => engine.post({ type: 'mailboxRemoved', address }),
    })
    await this.#relays.use(
      this.#relaysToUse(standing.state === 'joining' ? standing.invite.relays : site.relays),
    )
    if (config.lan.enabled) {
      this.#lan = agentLan({
        config: config.lan,
        limits: config.limits,
        core: engine.core,
        folder: this.#folder,
        reporter,
        clock: this.#clock,
        courier: (event) => engine.courier(event),
        packet: (link, packet) => engine.post({ type: 'packet', path: { link }, packet }),
        record: (link, record) => engine.post({ type: 'record', source: `link ${link}`, record }),
      })
    }
    this.#closing.push(async () => {
      engine.stop()
      await Promise.all([this.#lan?.stop(), this.#relays?.use([])])
    })
    this.#closing.push(() => this.#letLeave(engine))
    engine.start()
    await this.#lan?.start()
  }

  #commandRunner(): CommandRunner {
    const { commands } = this.#options.config
    return new CommandRunner({
      allow: commands.allow,
      outputs: new Map(Object.entries(commands.outputs)),
      sources: () => this.#sources,
      sink: () => this.#intake,
      latest: () => this.#intake?.latest() ?? [],
      acknowledge: (alarm) => this.#intake?.acknowledge(alarm) ?? false,
      about: () => ({ version: VERSION, waiting: this.#spool?.counters.held ?? 0 }),
      monoMs: () => this.#clock.monoMs(),
      timers: systemTimers,
      reporter: this.#options.reporter,
    })
  }

  async #startSources(): Promise<void> {
    if (!this.#options.sources) return
    const context = { clock: this.#clock, timers: systemTimers }
    this.#sources = createSources(this.#options.config.sources, context, this.#options.stateDir)
    this.#closing.push(async () => {
      // First of all: a command could start a source again.
      this.#runner?.stop()
      await Promise.all(this.#sources.map((source) => source.stop()))
      await this.#spool?.flush()
    })
    for (const source of this.#sources) await source.start(this.#intake!)
  }

  /** Configured relays replace those of invite and gateway. */
  #relaysToUse(told: readonly RelayInfo[]): readonly RelayInfo[] {
    return (
      this.#options.config.relays?.map(({ url, token, fingerprint }) => ({
        url,
        ...(token !== undefined && { token }),
        ...(fingerprint !== undefined && { fingerprint }),
      })) ?? told
    )
  }

  #joined(name: string): void {
    this.#name = name
    this.#folder.dropInvite()
    const text = `This agent has joined as ${name}.`
    this.#options.reporter.event('info', 'FW_AGENT_JOINED', text, { name })
    this.#options.onJoined?.(name)
  }

  /** Gives what was just sealed a moment to reach links and relays: the agent may be gone for good. */
  async #letLeave(engine: Engine): Promise<void> {
    const begun = this.#clock.monoMs()
    const end = begun + (this.#options.leaveMs ?? LEAVE_MS)
    for (;;) {
      await new Promise<void>((resolve) => systemTimers.after(LEAVE_STEP_MS, resolve))
      const { outstanding, relays } = engine.courierStatus()
      const depositing = (this.#relays?.depositing ?? 0) > 0
      const anywhere = relays.some(({ connected }) => connected) || (this.#lan?.links().length ?? 0) > 0
      if (this.#clock.monoMs() >= end || outstanding === 0 || !anywhere) return
      if (this.#clock.monoMs() > begun + LEAVE_IDLE_MS && !depositing) return
    }
  }
}

function nameIn({
  certificate,
  siteKey,
}: {
  certificate: Uint8Array
  siteKey: Uint8Array
}): string | undefined {
  try {
    return verifyAgentCertificate(siteKey, certificate).name
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

function freeBytes(dir: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(dir)
    return bavail * bsize
  } catch {
    return undefined
  }
}
