import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { askControl } from '@fieldwhisper/host'
import { askStatus, eventually } from '../programs/ask.js'
import { binOf, type ProgramName } from '../programs/bins.js'
import { parseLogLine } from '../programs/lines.js'
import { LogFile } from '../programs/log-file.js'
import { freeTcpPort } from '../programs/ports.js'
import { Program, endingText, runToEnd } from '../programs/program.js'
import type { AgentReport, GatewayReport } from '../start/statuses.js'
import { AGENTS, BROKER_PASSWORD_VARIABLE, JOIN_MS, READY_MS, SITE } from './constants.js'
import { agentConfig, gatewayConfig, relayConfig } from './fleet-configs.js'
import { Gate } from './gate.js'

const BROKER = 'broker'

/** Something did not go as it must for the demonstration to mean anything. */
export class DemoError extends Error {}

/** The programs of the demonstration, each with its own folder below one for temporary files. */
export class Fleet {
  readonly folder = mkdtempSync(join(tmpdir(), 'fieldwhisper-demo-'))
  readonly brokerPassword = randomBytes(18).toString('base64url')
  readonly #signal: AbortSignal
  readonly #running = new Map<string, Program>()
  readonly #failed: (error: DemoError) => void
  #gate: Gate | undefined
  #brokerPort = 0

  /** `failed` hears of a program that ended though nobody ended it. */
  constructor(signal: AbortSignal, failed: (error: DemoError) => void) {
    this.#signal = signal
    this.#failed = failed
  }

  get brokerPort(): number {
    return this.#brokerPort
  }

  /** Broker, relay, gateway and gate. */
  async start(): Promise<void> {
    await this.#startBroker()
    const relayPort = await freeTcpPort(0)
    this.#write('relay.yaml', relayConfig(relayPort))
    await this.startRelay()
    const linkPort = await freeTcpPort(0)
    this.#gate = new Gate(linkPort)
    await this.#gate.mend()
    const config = gatewayConfig({
      linkPort,
      relayPort,
      relayToken: readFileSync(join(this.#state('relay'), 'access-token'), 'utf8').trim(),
      brokerPort: this.#brokerPort,
      brokerPassword: this.brokerPassword,
    })
    this.#write('gateway.yaml', config)
    await this.#command('gateway', 'gateway', ['init', '--site', SITE, '--state', this.#state('gateway')])
    await this.startGateway()
  }

  /** Every agent is invited and joins, as an operator would do it one by one. */
  async join(): Promise<void> {
    await Promise.all(
      AGENTS.map(async (name) => {
        this.#write(`${name}.yaml`, agentConfig(this.gate.port))
        const reply = await askControl(this.#state('gateway'), 'enroll', {
          name,
          replace: false,
          confirm: false,
        })
        if (!reply || !('ok' in reply)) throw new DemoError(`${name} got no invite.`)
        await this.#command(name, 'agent', ['join', String(reply.ok), ...this.#place(name)])
      }),
    )
  }

  /** Their readings begin now. */
  startAgents(): void {
    for (const name of AGENTS) this.#run(name, 'agent')
  }

  async startRelay(): Promise<number> {
    return this.#runUntilReady('relay')
  }

  async startGateway(): Promise<number> {
    return this.#runUntilReady('gateway')
  }

  /** SIGKILL; returns the process id. */
  async kill(name: 'relay' | 'gateway'): Promise<number> {
    const program = this.#running.get(name)
    this.#running.delete(name)
    await program?.kill()
    return program?.pid ?? 0
  }

  get gate(): Gate {
    if (!this.#gate) throw new DemoError('The gate is not there yet.')
    return this.#gate
  }

  /** What an agent says of itself; undefined while it does not answer. */
  async agent(name: string): Promise<AgentReport | undefined> {
    return askStatus<AgentReport>(this.#state(name))
  }

  /** Has every agent both its paths, and the gateway its relay? */
  async connected(): Promise<boolean> {
    const gateway = await askStatus<GatewayReport>(this.#state('gateway'))
    if (!gateway?.relays.every(({ connected }) => connected)) return false
    const agents = await Promise.all(AGENTS.map((name) => this.agent(name)))
    return agents.every(
      (agent) => agent && agent.paths.lan.links > 0 && agent.paths.relays.every(isConnected),
    )
  }

  /** Ends everything; the folder with the logs stays when it may be of use. */
  async stop(keep: boolean): Promise<void> {
    const broker = this.#running.get(BROKER)
    const others = [...this.#running.values()].filter((program) => program !== broker)
    this.#running.clear()
    await Promise.all(others.map((program) => program.stop()))
    await Promise.all([broker?.stop(), this.#gate?.cut()])
    if (!keep) rmSync(this.folder, { recursive: true, force: true, maxRetries: 3 })
  }

  async #startBroker(): Promise<void> {
    const file = fileURLToPath(new URL('./broker.js', import.meta.url))
    const log = new LogFile(join(this.folder, 'broker.log'))
    const broker = new Program(file, [], {
      env: { [BROKER_PASSWORD_VARIABLE]: this.brokerPassword },
      onLine: (line) => log.line(line),
    })
    this.#watch(BROKER, broker)
    const message = await broker.message()
    if (typeof message === 'object' && message !== null && 'port' in message)
      this.#brokerPort = Number(message.port)
    else throw new DemoError(`The MQTT broker did not start; see ${log.path}.`)
  }

  async #runUntilReady(name: 'relay' | 'gateway'): Promise<number> {
    const program = this.#run(name, name)
    const answer = async (): Promise<true | undefined> => {
      // A relay answers a little before it listens.
      const report = await askStatus<{ ok?: boolean }>(this.#state(name))
      return report && report.ok !== false ? true : undefined
    }
    const ready = await eventually(answer, { withinMs: READY_MS, everyMs: 50, signal: this.#signal })
    this.#signal.throwIfAborted()
    if (!ready) throw new DemoError(`The ${name} does not answer; see ${this.#logPath(name)}.`)
    return program.pid ?? 0
  }

  #run(name: string, kind: ProgramName): Program {
    const log = new LogFile(this.#logPath(name))
    const program = new Program(binOf(kind), ['run', ...this.#place(name)], {
      onLine: (line) => log.line(line),
    })
    this.#watch(name, program)
    return program
  }

  #watch(name: string, program: Program): void {
    this.#running.set(name, program)
    void program.ended.then((ending) => {
      if (this.#running.get(name) !== program) return
      this.#running.delete(name)
      this.#failed(
        new DemoError(`${name} ended by itself (${endingText(ending)}); see ${this.#logPath(name)}.`),
      )
    })
  }

  async #command(name: string, kind: ProgramName, args: readonly string[]): Promise<void> {
    const log = new LogFile(this.#logPath(name))
    const limit = AbortSignal.any([this.#signal, AbortSignal.timeout(JOIN_MS)])
    const done = await runToEnd(binOf(kind), args, { signal: limit, onLine: (line) => log.line(line) })
    this.#signal.throwIfAborted()
    if (done.code === 0) return
    const said = done.stderr.split('\n').findLast((line) => parseLogLine(line) !== undefined) ?? ''
    throw new DemoError(`${name}: ${args[0]} failed (${endingText(done)}). ${said}\nIts log is ${log.path}.`)
  }

  #place(name: string): string[] {
    return ['--state', this.#state(name), '--config', join(this.folder, `${name}.yaml`)]
  }

  #state(name: string): string {
    return join(this.folder, name)
  }

  #logPath(name: string): string {
    return join(this.folder, `${name}.log`)
  }

  #write(file: string, text: string): void {
    writeFileSync(join(this.folder, file), text, { mode: 0o600 })
  }
}

function isConnected({ connected }: { readonly connected: boolean }): boolean {
  return connected
}
