import {
  createReporter,
  ensureStateDir,
  parseConfig,
  serveControl,
  type ControlServer,
  type ReportedEvent,
} from '@fieldwhisper/host'
import {
  checkReading,
  decodeInvite,
  ProtocolError,
  type ReadingQuality,
  type ReadingValue,
} from '@fieldwhisper/protocol'
import { Agent } from './app.js'
import { agentConfigSchema, type AgentConfigInput } from './config/schema.js'
import { useInvite } from './join.js'
import type { Sample } from './sources/source.js'
import { StateFolder } from './state/folder.js'
import type { AgentStatus } from './status.js'

/** Whoever stops its program waits less long than a supervisor does. */
const LEAVE_MS = 300
/** A reading may be so much newer than this machine's clock: clocks are set, and sensors have theirs. */
const AHEAD_MS = 60_000

/** A reading as a program says it. */
export interface ProgramReading {
  /** 1 to 128 bytes of UTF-8, the same for every reading of one series. */
  readonly name: string
  /** A finite number, text, a boolean, or bytes; with name and unit at most 8 KiB. */
  readonly value: ReadingValue
  /** Symbol of the SenML units registry (RFC 8428 section 12.1), at most 32 bytes: `Cel`, `%RH`, `V`. */
  readonly unit?: string
  /** Absent: good. */
  readonly quality?: ReadingQuality
  /** When it was measured, in milliseconds of Unix time, by this machine's clock and since its boot. Absent: now. */
  readonly time?: number
}

/** As `agent.yaml` (docs/schema/agent.json), without what a program decides itself. */
export type EmbeddedAgentConfig = Omit<AgentConfigInput, 'name' | 'sources' | 'state' | 'log'>

export interface EmbeddedAgentOptions {
  /** Folder for identity and spool, of this agent alone; made with mode 0700 if it is not there. */
  readonly stateDir: string
  /** What it calls itself until it has joined, 1 to 64 characters. */
  readonly name?: string
  /**
   * The line that `fieldwhisper-gateway enroll` prints; a secret. An agent that joined with it needs it no longer and may still be
   * given it. Another one makes this a new device, which keeps the readings that wait.
   */
  readonly invite?: string
  readonly config?: EmbeddedAgentConfig
  /** Each event of the agent; codes stand in docs/errors.md. */
  readonly onEvent?: (event: ReportedEvent) => void
}

/** What was seen of it beside its status. */
interface Seen {
  failed: boolean
  lastError?: Pick<ReportedEvent, 'code' | 'message'>
}

export interface EmbeddedAgentStatus extends Pick<
  AgentStatus,
  'name' | 'joined' | 'paths' | 'heardAgoMs' | 'hold' | 'refused' | 'lost' | 'problems'
> {
  /** It belongs to no site and joins none: readings are kept and cannot be sent. */
  readonly needsInvite: boolean
  /** Readings on disk that the gateway has not confirmed. */
  readonly waiting: number
  /** Readings taken, ever. accepted = confirmed + waiting + lost. */
  readonly accepted: number
  /** The disk failed for good: no reading is taken any more, and only a new process can trust that disk again. */
  readonly failed: boolean
  /** The newest event of level error since it was opened. */
  readonly lastError?: Pick<ReportedEvent, 'code' | 'message'>
}

/**
 * An agent inside another program: readings that the program accepts are sealed and reach the gateway as those of
 * `fieldwhisper-agent` do. It joins by itself, goes on trying, installs no handler of the process and writes nothing to standard
 * output or error. Several can run in one process, each in a folder of its own; `fieldwhisper-agent status --state DIR` shows them.
 *
 * ```ts
 * const agent = await EmbeddedAgent.open({ stateDir: '/var/lib/mixer', invite: 'fw1-AQID...' })
 * await agent.accept({ name: 'temperature', value: 21.5, unit: 'Cel' })
 * await agent.close()
 * ```
 */
export class EmbeddedAgent {
  readonly #agent: Agent
  readonly #control: ControlServer
  readonly #seen: Seen
  readonly #needsInvite: boolean
  #ended: Promise<void> | undefined

  private constructor(agent: Agent, control: ControlServer, seen: Seen, needsInvite: boolean) {
    this.#agent = agent
    this.#control = control
    this.#seen = seen
    this.#needsInvite = needsInvite
  }

  /**
   * Resolves when readings are taken; whether the gateway is there makes no difference. Throws ProtocolError
   * `FW_INVITE_INVALID`, HostError `FW_CONFIG_INVALID`, `FW_STATE_IN_USE` (another process, or another agent of this one, has the
   * folder), `FW_STATE_DIR`, `FW_FILE_NEWER`, `FW_FILE_FAILED`, `FW_STORE_OPEN_FAILED`, `FW_STORE_NEWER`. Then nothing of it runs.
   */
  static async open(options: EmbeddedAgentOptions): Promise<EmbeddedAgent> {
    const { stateDir, name, onEvent } = options
    const invite = options.invite === undefined ? undefined : decodeInvite(options.invite)
    const text = JSON.stringify({ ...options.config, ...(name !== undefined && { name }), sources: [] })
    const config = parseConfig(text, agentConfigSchema, 'the settings of the agent')
    const seen: Seen = { failed: false }
    const reporter = createReporter({ write: () => undefined })
    reporter.listen((event) => {
      if (event.level === 'error') seen.lastError = { code: event.code, message: event.message }
      onEvent?.(event)
    })
    ensureStateDir(stateDir, reporter)
    const agent = new Agent({
      stateDir,
      config,
      reporter,
      sources: true,
      onFatal: () => (seen.failed = true),
      leaveMs: LEAVE_MS,
    })
    const control = await serveControl(stateDir, agent.controls(), reporter)
    try {
      const folder = new StateFolder(stateDir, reporter)
      folder.refuseNewer()
      if (invite) useInvite(folder, invite, reporter)
      const needsInvite = folder.identity() === undefined || folder.standing().state === 'stranger'
      await agent.start()
      return new EmbeddedAgent(agent, control, seen, needsInvite)
    } catch (error) {
      await control.close()
      throw error
    }
  }

  /**
   * Resolves when all of them are kept on disk: from there on they reach the gateway, or are counted as lost in status and at the
   * gateway. Where one is invalid none is taken. Rejects with ProtocolError `FW_READING_INVALID`, AgentError `FW_SPOOL_FULL` (no
   * room; counted as lost), `FW_SPOOL_BUSY` (16,384 readings wait for the disk: slow down), `FW_SPOOL_CLOSED` (`close` was called),
   * or HostError `FW_STORE_FAILED`; of several readings some may be kept then.
   */
  async accept(...readings: readonly ProgramReading[]): Promise<void> {
    const samples = readings.map((reading) => this.#sample(reading))
    const taken = await Promise.allSettled(samples.map((sample) => this.#agent.accept(sample)))
    const refused = taken.find((one) => one.status === 'rejected')
    if (refused) throw refused.reason
  }

  status(): EmbeddedAgentStatus {
    const { name, joined, paths, heardAgoMs, hold, refused, lost, problems, spool } = this.#agent.status()
    return {
      ...{ name, joined, paths, lost, problems },
      ...(heardAgoMs !== undefined && { heardAgoMs }),
      ...(hold !== undefined && { hold }),
      ...(refused !== undefined && { refused }),
      needsInvite: this.#needsInvite,
      waiting: spool.held,
      accepted: spool.accepted,
      ...this.#seen,
    }
  }

  /** Writes what it took, gives what was just sealed 0.3 s to leave, and frees everything. Within a second, if the disk works. */
  close(): Promise<void> {
    this.#ended ??= this.#agent.stop().finally(() => this.#control.close())
    return this.#ended
  }

  /** The clock of the readings is the monotonic one; a time of the wall clock is as far behind it now as behind the wall clock. */
  #sample({ name, value, unit, quality = 'good', time }: ProgramReading): Sample {
    const { clock } = this.#agent
    const [now, wallMs] = [clock.monoMs(), clock.wallMs()]
    const at = time === undefined ? now : now - (wallMs - time)
    const about = { name, value, quality, ...(unit !== undefined && { unit }) }
    checkReading({ ...about, monoMs: now, wallMs, clock: 'unknown' })
    if (!(at >= 0 && at <= now + AHEAD_MS)) {
      const text = `the time of "${name}" must lie between the boot of this machine and now, in milliseconds of Unix time`
      throw new ProtocolError('FW_READING_INVALID', text)
    }
    return { ...about, at }
  }
}
