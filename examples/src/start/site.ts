import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { errorText, serveControl, type ControlServer } from '@fieldwhisper/host'
import { askStatus, eventually, isRunning } from '../programs/ask.js'
import { binOf, type ProgramName } from '../programs/bins.js'
import { parseLogLine } from '../programs/lines.js'
import { LogFile } from '../programs/log-file.js'
import { endingText, runToEnd, type Finished } from '../programs/program.js'
import { Supervisor } from '../programs/supervisor.js'
import { countsOf, mqttAccess, programViews, sensorsOf } from './build-view.js'
import { Configs, type PlacedPorts } from './configs.js'
import { DeliveredReadings } from './delivered.js'
import { foldersIn, type Folders } from './folders.js'
import { agentName, joinAgent, membership } from './join.js'
import type { MqttAccess, View, Warning } from './model.js'
import { displayPath } from './paths.js'
import type { AgentReport, GatewayReport, RelayReport } from './statuses.js'

const SITE_NAME = 'home'
const PROGRAMS: readonly ProgramName[] = ['relay', 'gateway', 'agent']
/** A program on a slow card, behind a store that has to be checked, may take this long to answer. */
const READY_MS = 90_000
/** Programs of an earlier start that was killed end within 5 s of it. */
const LEFTOVER_MS = 8_000

/** Hears of everything that happens, in a line each. */
export type Tell = (text: string) => void

/** Something that ends the start, in words for whoever sits there. */
export class StartError extends Error {}

/**
 * A relay, a gateway and an agent as three programs on loopback:
 *
 *   1. claim the folder, wait for what an earlier start left running
 *   2. configurations, with ports that are free
 *   3. relay; then gateway (made at the first start, told the relay); then agent (joined at the first start)
 *   4. each is kept running until `stop`
 */
export class Site {
  readonly folders: Folders
  readonly #tell: Tell
  readonly #startedMs = performance.now()
  readonly #supervisors = new Map<ProgramName, Supervisor>()
  readonly #ending = new AbortController()
  readonly #delivered = new DeliveredReadings(agentName())
  readonly #logs: Readonly<Record<ProgramName, LogFile>>
  #control: ControlServer | undefined
  #configs: Configs | undefined
  #step: string | undefined = 'starting'
  #warning: Warning | undefined
  #access: MqttAccess | undefined
  #newSite = false

  constructor(root: string, tell: Tell) {
    this.folders = foldersIn(root)
    this.#tell = tell
    const log = (name: ProgramName): LogFile => new LogFile(join(this.folders.logs, `${name}.log`))
    this.#logs = { relay: log('relay'), gateway: log('gateway'), agent: log('agent') }
  }

  /** Rejects with StartError, and quietly returns early when `stop` is called meanwhile. */
  async start(): Promise<void> {
    try {
      await this.#claim()
      await this.#configure((configs) => configs.placeRelay())
      await this.#run('relay', ['--config', this.folders.relayConfig])
      await this.#startGateway()
      await this.#startAgent()
      this.#say(undefined)
    } catch (error) {
      if (!this.#ending.signal.aborted) throw error
    }
  }

  /** Ends the three programs, within 5 s or by force. */
  async stop(): Promise<void> {
    this.#ending.abort()
    const ends = [...this.#supervisors.values()].map((supervisor) => supervisor.stop())
    await Promise.all([...ends, this.#delivered.stop()])
    await this.#control?.close()
  }

  /** Ends them at once, for somebody who is in a hurry. */
  async kill(): Promise<void> {
    this.#ending.abort()
    await Promise.all([...this.#supervisors.values()].map((supervisor) => supervisor.kill()))
  }

  /** Asks the programs and puts together what there is to see. */
  async view(): Promise<View> {
    const { relay, gateway, agent, root } = this.folders
    const [relayReport, gatewayReport, agentReport] = await Promise.all([
      askStatus<RelayReport>(relay),
      askStatus<GatewayReport>(gateway),
      askStatus<AgentReport>(agent),
    ])
    const access = mqttAccess(gatewayReport, (file) => this.#passwordOf(file))
    if (access) {
      this.#access = access
      if (!this.#ending.signal.aborted) this.#delivered.use(access)
    }
    const { byName, lastPath } = this.#delivered
    const counts = countsOf(agentReport, lastPath)
    const states = {
      relay: this.#state('relay'),
      gateway: this.#state('gateway'),
      agent: this.#state('agent'),
    }
    return {
      site: gatewayReport?.site ?? SITE_NAME,
      folder: displayPath(root),
      upMs: performance.now() - this.#startedMs,
      programs: programViews(states, { relay: relayReport, gateway: gatewayReport, agent: agentReport }),
      sensors: sensorsOf(agentReport, byName, Date.now()),
      ...(this.#step !== undefined && { step: this.#step }),
      ...(counts && { counts }),
      ...(this.#access && { mqtt: gatewayReport ? this.#access : { ...this.#access, connected: false } }),
      ...(this.#warning && { warning: this.#warning }),
    }
  }

  async #claim(): Promise<void> {
    const { root, logs } = this.folders
    const status = (): object => ({ pid: process.pid, mqtt: this.#access && mqttUrl(this.#access) })
    try {
      this.#control = await serveControl(root, { status }, { event: () => undefined })
    } catch (error) {
      const other = await askStatus<{ pid: number; mqtt?: string }>(root)
      if (!other)
        throw new StartError(`${displayPath(root)} cannot be used: ${errorText(error)}`, { cause: error })
      const where = other.mqtt === undefined ? '' : ` Its readings are at ${other.mqtt}.`
      throw new StartError(
        `Fieldwhisper already runs in ${displayPath(root)}, as process ${other.pid}.${where} End that one first (Ctrl-C there), or start in another folder.`,
        { cause: error },
      )
    }
    for (const name of PROGRAMS) {
      const folder = this.folders[name]
      if (!existsSync(folder) || !(await isRunning(folder))) continue
      this.#say(`waiting for the ${name} of an earlier start to end`)
      const gone = async (): Promise<true | undefined> => ((await isRunning(folder)) ? undefined : true)
      const ended = await eventually(gone, { withinMs: LEFTOVER_MS, signal: this.#ending.signal })
      if (!ended)
        throw new StartError(
          `A ${name} that was started otherwise runs in ${displayPath(folder)}. End it first; see also ${displayPath(logs)}.`,
        )
    }
  }

  async #configure(place: (configs: Configs) => Promise<PlacedPorts>): Promise<void> {
    try {
      this.#configs ??= new Configs(this.folders)
      const { ports, moved } = await place(this.#configs)
      for (const text of moved) this.#tell(text)
      this.#tell(`on 127.0.0.1: ${ports.map(({ what, port }) => `${what} port ${port}`).join(', ')}`)
    } catch (error) {
      throw new StartError(errorText(error), { cause: error })
    }
  }

  async #startGateway(): Promise<void> {
    const { gateway, relay, gatewayConfig } = this.folders
    // It answers a little before it listens.
    const { listen } = await this.#ready<RelayReport>('relay', ({ ok }) => ok)
    const port = Number(/:(\d+)$/.exec(listen)?.[1])
    if (!existsSync(join(gateway, 'identity.json')) && !existsSync(join(gateway, 'store'))) {
      this.#say('making the site')
      await this.#command('gateway', ['init', '--site', SITE_NAME, '--state', gateway])
      this.#newSite = true
      this.#tell(`made the site "${SITE_NAME}" in ${displayPath(gateway)}`)
    }
    const token = readFileSync(join(relay, 'access-token'), 'utf8').trim()
    await this.#configure((configs) => configs.placeGateway(port, token))
    await this.#run('gateway', ['--config', gatewayConfig])
    await this.#ready<GatewayReport>('gateway')
  }

  async #startAgent(): Promise<void> {
    if (this.#newSite || membership(this.folders.agent) === 'none') {
      this.#say('the agent joins the site')
      await joinAgent(this.folders, {
        gateway: (args) => this.#command('gateway', args),
        agent: (args, onLine) => this.#command('agent', args, onLine),
        progress: (text) => this.#say(`the agent joins the site: ${text}`),
      })
      this.#tell(`the agent joined as ${agentName()}`)
    }
    await this.#run('agent', ['--config', this.folders.agentConfig])
    await this.#ready<AgentReport>('agent')
  }

  async #run(name: ProgramName, options: readonly string[]): Promise<void> {
    this.#ending.signal.throwIfAborted()
    this.#say(`starting the ${name}`)
    const supervisor = new Supervisor({
      file: binOf(name),
      args: ['run', '--state', this.folders[name], ...options],
      onLine: (line) => this.#logged(name, line),
      onStart: (pid) => this.#tell(`${name} started, process ${pid}`),
      onDeath: (ending, nextMs) => {
        const lostPort = name === 'relay' && this.#warning?.text.startsWith('FW_RELAY_LISTEN_FAILED')
        this.#warn(name, `ended (${endingText(ending)}), is started again in ${nextMs / 1_000} s`)
        // Somebody was faster at that port. Later on nobody could be told of another one.
        if (lostPort && !this.#supervisors.has('gateway')) void this.#replaceRelay()
      },
    })
    this.#supervisors.set(name, supervisor)
    supervisor.start()
  }

  async #replaceRelay(): Promise<void> {
    await this.#configure((configs) => configs.placeRelay()).catch((error: unknown) => {
      this.#warn('npm start', errorText(error))
    })
  }

  async #ready<T>(name: ProgramName, accept: (report: T) => boolean = () => true): Promise<T> {
    const ask = async (): Promise<T | undefined> => {
      const report = await askStatus<T>(this.folders[name])
      return report !== undefined && accept(report) ? report : undefined
    }
    const report = await eventually(ask, { withinMs: READY_MS, signal: this.#ending.signal })
    this.#ending.signal.throwIfAborted()
    if (report !== undefined) return report
    throw new StartError(`The ${name} does not start. ${this.#reason(name)}`)
  }

  /** Runs one command of a program to its end. Throws StartError unless it ends with 0. */
  async #command(
    name: ProgramName,
    args: readonly string[],
    onLine: (line: string) => void = () => undefined,
  ): Promise<Finished> {
    const done = await runToEnd(binOf(name), args, {
      signal: this.#ending.signal,
      onLine: (line, stream) => {
        if (stream === 'stderr') this.#logged(name, line)
        else onLine(line)
      },
    })
    this.#ending.signal.throwIfAborted()
    if (done.code === 0) return done
    throw new StartError(
      `fieldwhisper-${name} ${args[0]} failed (${endingText(done)}). ${this.#reason(name)}`,
    )
  }

  #reason(name: ProgramName): string {
    const last = this.#warning?.program === name ? `It said: ${this.#warning.text}. ` : ''
    return `${last}Its log is ${displayPath(this.#logs[name].path)}.`
  }

  #logged(name: ProgramName, line: string): void {
    this.#logs[name].line(line)
    const event = parseLogLine(line)
    if (event?.level === 'warn' || event?.level === 'error') this.#warn(name, `${event.code} ${event.text}`)
  }

  #warn(program: string, text: string): void {
    // Programs that see each other end are no news.
    if (this.#ending.signal.aborted) return
    this.#warning = { atMs: Date.now(), program, text }
    this.#tell(`${program}: ${text}`)
  }

  #say(step: string | undefined): void {
    this.#step = step
    if (step !== undefined) this.#tell(step)
  }

  #state(name: ProgramName): 'starting' | 'running' | 'restarting' | 'stopped' {
    return this.#supervisors.get(name)?.state ?? 'starting'
  }

  #passwordOf(file: string | undefined): string | undefined {
    if (file === undefined) return this.#configs?.externalPassword
    try {
      return readFileSync(file, 'utf8').split('\n')[0]?.trim()
    } catch {
      return undefined
    }
  }
}

export function mqttUrl({ host, port }: MqttAccess): string {
  return `mqtt://${host.includes(':') ? `[${host}]` : host}:${port}`
}
