import { spawn, type ChildProcess } from 'node:child_process'
import { GUARD } from './bins.js'
import { OUTPUT_LINES, STOP_MS } from './constants.js'
import { eachLine } from './lines.js'

export interface Ending {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
}

export interface ProgramOptions {
  readonly onLine?: (line: string, stream: 'stdout' | 'stderr') => void
  /** Added to this process's own environment. */
  readonly env?: Readonly<Record<string, string>>
}

/** `exit code 1`, `SIGKILL`. */
export function endingText({ code, signal }: Ending): string {
  return signal ?? `exit code ${code}`
}

/** A Node program as a child of this process, ended by its pid and never by its name. */
export class Program {
  readonly ended: Promise<Ending>
  readonly #child: ChildProcess
  #ending: Ending | undefined

  constructor(file: string, args: readonly string[], { onLine, env }: ProgramOptions = {}) {
    this.#child = spawn(process.execPath, [...GUARD, file, ...args], {
      // A process group of its own: Ctrl-C in the terminal reaches this process alone, which then ends the others in order.
      detached: process.platform !== 'win32',
      windowsHide: true,
      stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
      env: { ...process.env, ...env },
    })
    const { stdout, stderr } = this.#child
    if (stdout) eachLine(stdout, (line) => onLine?.(line, 'stdout'))
    if (stderr) eachLine(stderr, (line) => onLine?.(line, 'stderr'))
    this.ended = new Promise((resolve) => {
      const end = (ending: Ending): void => {
        this.#ending ??= ending
        resolve(this.#ending)
      }
      this.#child.once('error', () => end({ code: null, signal: null }))
      this.#child.once('exit', (code, signal) => (this.#ending = { code, signal }))
      // After the last line of output.
      this.#child.once('close', (code, signal) => end({ code, signal }))
    })
  }

  /** Undefined when it could not be started. */
  get pid(): number | undefined {
    return this.#child.pid
  }

  get running(): boolean {
    return this.#ending === undefined
  }

  /** The first message that it sends by `process.send`; undefined when it ends without one. */
  message(): Promise<unknown> {
    const sent = new Promise<unknown>((resolve) => this.#child.once('message', resolve))
    return Promise.race([sent, this.ended.then(() => undefined)])
  }

  /** SIGKILL, as a crash: nothing is tidied up. */
  async kill(): Promise<Ending> {
    if (this.running) this.#child.kill('SIGKILL')
    return this.ended
  }

  /** Asks it to end, and insists after 5 s. */
  async stop(withinMs = STOP_MS): Promise<Ending> {
    if (this.running) this.#child.kill('SIGTERM')
    const late = setTimeout(() => this.#child.kill('SIGKILL'), withinMs)
    try {
      return await this.ended
    } finally {
      clearTimeout(late)
    }
  }
}

export interface Finished extends Ending {
  readonly stdout: string
  readonly stderr: string
}

/** Runs a command to its end; `signal` ends it earlier. */
export async function runToEnd(
  file: string,
  args: readonly string[],
  options: ProgramOptions & { readonly signal?: AbortSignal } = {},
): Promise<Finished> {
  const kept = { stdout: [] as string[], stderr: [] as string[] }
  const program = new Program(file, args, {
    ...options,
    onLine: (line, stream) => {
      if (kept[stream].length < OUTPUT_LINES) kept[stream].push(line)
      options.onLine?.(line, stream)
    },
  })
  const stop = (): void => void program.stop()
  options.signal?.addEventListener('abort', stop, { once: true })
  if (options.signal?.aborted) stop()
  const ending = await program.ended
  options.signal?.removeEventListener('abort', stop)
  return { ...ending, stdout: kept.stdout.join('\n'), stderr: kept.stderr.join('\n') }
}
