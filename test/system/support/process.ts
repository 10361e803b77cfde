/**
 * Real programs under test: start one, wait for a line of it, read its `status --json`, kill it, and prove that nothing
 * of it is left. Works the same on this machine (`here`) and inside a network namespace (a `Host` of net.ts).
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { until, within } from '../../support/until.js'
import { processes } from './proc.js'

/** Output that is kept of one program; beyond that the oldest lines go. */
const KEEP_LINES = 20_000
/** How long a killed program may take to be gone. SIGKILL is immediate, a disk in mid-flush is not. */
const KILL_WAIT_MS = 10_000

export interface SpawnOptions {
  /** Name in error messages; the command if absent. */
  readonly name?: string
  /** Added to a bare environment (PATH, HOME, LANG, TMPDIR); nothing of the test runner's own is inherited. */
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
}

export interface RunOptions extends SpawnOptions {
  /** Longest run in milliseconds, 20,000 if absent; then SIGKILL and an error. */
  readonly withinMs?: number
  readonly input?: string
}

export interface Finished {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

/** Where programs run: this machine or a host of a private network. */
export interface Place {
  /** Starts a program and returns at once. */
  spawn(command: string, args: readonly string[], options?: SpawnOptions): Program
  /** Runs a program to its end, whatever its exit code. */
  run(command: string, args: readonly string[], options?: RunOptions): Promise<Finished>
}

/** A place whose programs are started behind `prefix`, e.g. `['ip', 'netns', 'exec', name]`. */
export function placeBehind(prefix: readonly string[]): Place {
  const start = (command: string, args: readonly string[], options: SpawnOptions): Program =>
    new Program([...prefix, command, ...args], { name: command, ...options })
  return {
    spawn: (command, args, options = {}) => start(command, args, options),
    run: async (command, args, options = {}) => {
      const program = start(command, args, options)
      program.endInput(options.input)
      try {
        return await program.exited(options.withinMs ?? 20_000)
      } finally {
        await program.kill()
      }
    },
  }
}

/** This machine, where the test itself runs. */
export const here: Place = placeBehind([])

const repository = fileURLToPath(new URL('../../../', import.meta.url))

/** Command and first argument of one of the project's own programs, as npm links it: `[node, .../fieldwhisper-agent.js]`. */
export function cli(name: 'agent' | 'gateway' | 'relay'): readonly [string, string] {
  return [process.execPath, `${repository}${name}/bin/fieldwhisper-${name}.js`]
}

/** Programs die with the test that started them, also when that is killed; only Linux can promise it. */
const dieWithTest = existsSync('/usr/bin/setpriv') ? ['/usr/bin/setpriv', '--pdeathsig', 'KILL', '--'] : []
const bareEnvironment = Object.fromEntries(
  ['PATH', 'HOME', 'LANG', 'TMPDIR'].flatMap((key) => {
    const value = process.env[key]
    return value === undefined ? [] : [[key, value]]
  }),
)

type Watcher = () => void
type LineListener = (line: string, stream: 'stdout' | 'stderr') => void

export class Program {
  readonly name: string
  /** The pid of the program itself, also inside a namespace: `ip netns exec` replaces itself by the program. */
  readonly pid: number
  /** Complete lines as they came, without line end. */
  readonly stdout: string[] = []
  readonly stderr: string[] = []
  readonly #child: ChildProcess
  readonly #watchers = new Set<Watcher>()
  readonly #listeners: LineListener[] = []
  readonly #ended: Promise<void>
  #exit: { code: number | null; signal: NodeJS.Signals | null } | undefined

  /** Use `here.spawn` or `host.spawn`. */
  constructor(command: readonly string[], options: SpawnOptions & { readonly name: string }) {
    this.name = options.name
    // tap instruments what its tests spawn (NODE_OPTIONS with a hook that takes over signals). `env -i` undoes that.
    const environment = Object.entries({ ...bareEnvironment, ...options.env }).map(
      ([key, value]) => `${key}=${value}`,
    )
    const [file, ...args] = [...dieWithTest, 'env', '-i', ...environment, ...command]
    // A session of its own (`detached`) lets `survivors` find whatever the program leaves behind.
    this.#child = spawn(file ?? '', args, {
      detached: true,
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    })
    this.pid = this.#child.pid ?? -1
    this.#child.stdin?.on('error', () => undefined)
    this.#collect('stdout')
    this.#collect('stderr')
    this.#ended = new Promise((resolve) => {
      this.#child.once('error', (error) => {
        this.stderr.push(`could not start: ${error.message}`)
        this.#exit = { code: null, signal: null }
        resolve()
        this.#notify()
      })
      // 'close' comes after the last byte of output, unless a child of the program still holds the pipe.
      this.#child.once('exit', (code, signal) => {
        this.#exit = { code, signal }
        const done = (): void => {
          resolve()
          this.#notify()
        }
        this.#child.once('close', done)
        setTimeout(done, 500).unref()
      })
    })
  }

  get running(): boolean {
    return this.#exit === undefined
  }

  /** The first line, printed already or yet to come, for which `accept` holds. Fails early when the program ends. */
  async line(accept: RegExp | ((line: string) => boolean), withinMs: number): Promise<string> {
    const holds = (line: string): boolean =>
      typeof accept === 'function' ? accept(line) : line.search(accept) >= 0
    const found = (): string | undefined => this.stdout.find(holds) ?? this.stderr.find(holds)
    return within(
      new Promise<string>((resolve, reject) => {
        const watcher = (): void => {
          const line = found()
          if (line === undefined && this.running) return
          this.#watchers.delete(watcher)
          if (line === undefined) reject(new Error(`${this.name} ended (${this.#how()})`))
          else resolve(line)
        }
        this.#watchers.add(watcher)
        watcher()
      }),
      { withinMs, what: `a line ${String(accept)} from ${this.name}` },
    ).catch((error: unknown) => {
      throw this.#explain(error)
    })
  }

  /** Hears every line from now on, for output longer than what is kept. */
  onLine(listener: LineListener): void {
    this.#listeners.push(listener)
  }

  /** Waits for the end of the program. */
  async exited(withinMs: number): Promise<Finished> {
    await within(this.#ended, { withinMs, what: `the end of ${this.name}` }).catch((error: unknown) => {
      throw this.#explain(error)
    })
    return {
      code: this.#exit?.code ?? null,
      signal: this.#exit?.signal ?? null,
      stdout: this.stdout.join('\n'),
      stderr: this.stderr.join('\n'),
    }
  }

  /** Sends a signal and does not wait. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal)
  }

  /** SIGKILL to the program alone, as a crash would; returns when it is gone. Harmless when it has ended. */
  async kill(): Promise<void> {
    this.signal('SIGKILL')
    await this.exited(KILL_WAIT_MS)
  }

  /** Asks the program to end (SIGTERM, or SIGINT for Ctrl-C) and waits; the caller asserts the exit code. */
  async stop(withinMs = 10_000, signal: NodeJS.Signals = 'SIGTERM'): Promise<Finished> {
    this.signal(signal)
    return this.exited(withinMs)
  }

  /** Writes to standard input and ends it. */
  endInput(text?: string): void {
    this.#child.stdin?.end(text)
  }

  /** Processes of the program's session that are alive after it ended: `pid command`. Empty is what a test expects. */
  survivors(): string[] {
    return processes().flatMap((p) =>
      p.session === this.pid && p.pid !== this.pid ? [`${p.pid} ${p.command}`] : [],
    )
  }

  /** Everything it printed, for a failing test to show. */
  output(): string {
    return [...this.stdout.map((line) => `| ${line}`), ...this.stderr.map((line) => `! ${line}`)].join('\n')
  }

  #collect(stream: 'stdout' | 'stderr'): void {
    const source = this.#child[stream]
    const lines = this[stream]
    let rest = ''
    const keep = (line: string): void => {
      if (lines.push(line) > KEEP_LINES) lines.splice(0, KEEP_LINES / 10)
      for (const listener of this.#listeners) listener(line, stream)
    }
    source?.setEncoding('utf8')
    source?.on('data', (chunk: string) => {
      const parts = (rest + chunk).split('\n')
      rest = parts.pop() ?? ''
      parts.forEach(keep)
      if (parts.length > 0) this.#notify()
    })
    source?.on('end', () => {
      if (rest !== '') keep(rest)
      rest = ''
      this.#notify()
    })
  }

  #how(): string {
    return this.#exit?.signal ?? `exit code ${String(this.#exit?.code)}`
  }

  #explain(error: unknown): Error {
    const tail = this.output().split('\n').slice(-30).join('\n')
    return new Error(
      `${error instanceof Error ? error.message : String(error)}\nlast output of ${this.name}:\n${tail}`,
    )
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}

/** Runs `command ... --json` and parses what it printed; the exit code comes along (0 healthy, 1 not, 2 usage). */
export async function runJson(
  place: Place,
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<{ code: number | null; json: unknown }> {
  const done = await place.run(command, args, options)
  try {
    return { code: done.code, json: JSON.parse(done.stdout) as unknown }
  } catch (cause) {
    throw new Error(`${[command, ...args].join(' ')} printed no JSON: ${done.stdout}${done.stderr}`, {
      cause,
    })
  }
}

/** Asks for a status until it satisfies `accept`; a program that does not answer yet is asked again. Returns the status. */
export async function untilStatus<T = Record<string, unknown>>(
  ask: () => Promise<{ json: unknown }>,
  accept: (status: T) => boolean,
  wait: { readonly withinMs: number; readonly what: string },
): Promise<T> {
  let last: unknown = 'no answer'
  try {
    return await until(
      async () => {
        const answer = await ask().catch((error: unknown) => {
          last = error
          return undefined
        })
        if (answer === undefined) return undefined
        last = answer.json
        return accept(answer.json as T) ? { status: answer.json as T } : undefined
      },
      // Each question starts a process: asked more often they slow down what is waited for.
      { ...wait, everyMs: 250 },
    ).then((found) => found.status)
  } catch (cause) {
    const shown = last instanceof Error ? last.message : JSON.stringify(last)
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}; last status: ${shown}`, {
      cause,
    })
  }
}
