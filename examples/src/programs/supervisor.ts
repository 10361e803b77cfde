import { RESTART_BASE_MS, RESTART_CAP_MS, RESTART_PROVEN_MS } from './constants.js'
import { Program, type Ending } from './program.js'

export interface SupervisorOptions {
  readonly file: string
  readonly args: readonly string[]
  readonly onLine: (line: string) => void
  readonly onStart?: (pid: number) => void
  /** It ended without being asked; it is started again after `nextMs`. */
  readonly onDeath?: (ending: Ending, nextMs: number) => void
}

export type Supervised = 'running' | 'restarting' | 'stopped'

/** Keeps one program running: one that dies is started again, at once if it ran well, later and later if it does not. */
export class Supervisor {
  readonly #options: SupervisorOptions
  #program: Program | undefined
  #timer: NodeJS.Timeout | undefined
  #startedMs = 0
  #failures = 0
  #stopped = false

  constructor(options: SupervisorOptions) {
    this.#options = options
  }

  get state(): Supervised {
    if (this.#program?.running) return 'running'
    return this.#stopped ? 'stopped' : 'restarting'
  }

  get pid(): number | undefined {
    return this.#program?.running ? this.#program.pid : undefined
  }

  start(): void {
    if (this.#stopped) return
    const { file, args, onLine, onStart } = this.#options
    const program = new Program(file, args, { onLine })
    this.#program = program
    this.#startedMs = performance.now()
    if (program.pid !== undefined) onStart?.(program.pid)
    void program.ended.then((ending) => this.#ended(ending))
  }

  /** Resolves when it is gone: at the latest 5 s later. */
  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#program?.stop()
  }

  /** Ends it without mercy. */
  async kill(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#program?.kill()
  }

  #ended(ending: Ending): void {
    if (this.#stopped) return
    if (performance.now() - this.#startedMs >= RESTART_PROVEN_MS) this.#failures = 0
    const waitMs = restartDelayMs(this.#failures)
    this.#failures += 1
    this.#options.onDeath?.(ending, waitMs)
    this.#timer = setTimeout(() => this.start(), waitMs)
  }
}

/** Wait before the start that follows `failures` short lives. */
export function restartDelayMs(failures: number): number {
  return Math.min(RESTART_CAP_MS, RESTART_BASE_MS * 2 ** Math.min(failures, 10))
}
