import { mkdirSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { errorText } from '@fieldwhisper/host'
import { eventually } from '../programs/ask.js'
import { LogFile } from '../programs/log-file.js'
import { endingText } from '../programs/program.js'
import { LOOPBACK, freeTcpPort } from '../programs/ports.js'
import { Supervisor } from '../programs/supervisor.js'
import type { MqttAccess } from '../start/model.js'
import { displayPath } from '../start/paths.js'
import { mqttUrl, StartError, type Tell } from '../start/site.js'
import { GATEWAY_NODE, exampleFlow, type FlowNode } from './flow.js'
import { settingsText } from './settings.js'

const WANTED_PORT = 1_880
/** It loads some hundred files; on a slow card that takes a while. */
const READY_MS = 90_000
/** It may lose the race for a port, but not so often. */
const MAX_FAILED_STARTS = 3
/** It writes the flow to disk and starts it. */
const DEPLOY_MS = 20_000

/** A Node-RED on loopback with a folder of its own, kept running until `stop`. */
export class NodeRed {
  readonly #folder: string
  readonly #log: LogFile
  readonly #tell: Tell
  #supervisor: Supervisor | undefined
  #port = 0
  #listening = false
  #failedStarts = 0

  constructor(folder: string, logFile: string, tell: Tell) {
    this.#folder = folder
    this.#log = new LogFile(logFile)
    this.#tell = tell
  }

  /**
   * Starts it, gives it the example flow if it has none, and tells its gateway node where the broker is.
   * Returns the editor's address; undefined when `signal` came first. Rejects with StartError.
   */
  async start(access: MqttAccess, signal: AbortSignal): Promise<string | undefined> {
    this.#tell('starting Node-RED')
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 })
    await this.#place()
    if (signal.aborted) return undefined
    this.#supervisor = new Supervisor({
      file: programFile(),
      args: ['--userDir', this.#folder, '--settings', this.#settings],
      onLine: (line) => this.#said(line),
      onStart: (pid) => this.#tell(`Node-RED started, process ${pid}`),
      onDeath: (ending, nextMs) => {
        this.#tell(`Node-RED ended (${endingText(ending)}), is started again in ${nextMs / 1_000} s`)
        if (this.#listening) return
        this.#failedStarts += 1
        // Somebody may have been faster at the port. Once its address is known it stays there.
        void this.#place().catch((error: unknown) => this.#tell(errorText(error)))
      },
    })
    this.#supervisor.start()
    const decided = async (): Promise<true | undefined> =>
      this.#listening || this.#failedStarts >= MAX_FAILED_STARTS || undefined
    await eventually(decided, { withinMs: READY_MS, signal })
    if (signal.aborted) return undefined
    if (!this.#listening) throw this.#failed('Node-RED does not start')
    try {
      await this.#deploy(access)
    } catch (error) {
      throw this.#failed(`Node-RED did not take the flow: ${errorText(error)}`, error)
    }
    return this.#address
  }

  /** Ends it, within 5 s or by force. */
  async stop(): Promise<void> {
    await this.#supervisor?.stop()
  }

  async kill(): Promise<void> {
    await this.#supervisor?.kill()
  }

  get #address(): string {
    return `http://${LOOPBACK}:${this.#port}/`
  }

  get #settings(): string {
    // Not .js: the folder may lie in a package whose files are ES modules, as this repository's are.
    return join(this.#folder, 'settings.cjs')
  }

  async #place(): Promise<void> {
    this.#port = await freeTcpPort(WANTED_PORT)
    if (this.#port !== WANTED_PORT)
      this.#tell(`port ${WANTED_PORT} is taken by another program: Node-RED uses ${this.#port}`)
    writeFileSync(this.#settings, settingsText(this.#port), { mode: 0o600 })
  }

  #said(line: string): void {
    this.#log.line(line)
    if (/ - \[info\] /.test(line) && line.includes(this.#address)) this.#listening = true
    const [, problem] = / - \[error\] (.*)$/.exec(line) ?? []
    if (problem !== undefined) this.#tell(`Node-RED: ${problem}`)
  }

  /** What the user made of the flow stays; only address and login of the broker are those of this start. */
  async #deploy(access: MqttAccess): Promise<void> {
    const { flows: found } = (await this.#ask('GET')) as { flows: FlowNode[] }
    const flows = found.length === 0 ? exampleFlow() : found
    if (!flows.some(({ id }) => id === GATEWAY_NODE)) return
    const url = mqttUrl(access)
    await this.#ask('POST', {
      flows: flows.map((node) => (node.id === GATEWAY_NODE ? { ...node, url } : node)),
      credentials: { [GATEWAY_NODE]: { user: access.user, password: access.password } },
    })
  }

  async #ask(method: 'GET' | 'POST', body?: object): Promise<unknown> {
    const response = await fetch(`${this.#address}flows`, {
      method,
      headers: { 'content-type': 'application/json', 'node-red-api-version': 'v2' },
      signal: AbortSignal.timeout(DEPLOY_MS),
      ...(body && { body: JSON.stringify(body) }),
    })
    if (!response.ok) throw new Error(`it answers ${response.status}`)
    return response.json()
  }

  #failed(what: string, cause?: unknown): StartError {
    return new StartError(`${what}. Its log is ${displayPath(this.#log.path)}.`, { cause })
  }
}

/** Node-RED of this repository's `npm ci`. Throws StartError. */
function programFile(): string {
  try {
    return createRequire(import.meta.url).resolve('node-red/red.js')
  } catch (error) {
    throw new StartError(
      'Node-RED is not installed: run `npm ci` without leaving out development packages.',
      {
        cause: error,
      },
    )
  }
}
