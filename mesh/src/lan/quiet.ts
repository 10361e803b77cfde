import type { EventFields, Level, Reporter } from '@fieldwhisper/host'

const QUIET_MS = 60_000

/**
 * Passes each code on at most once a minute, with the number of events kept back since: what a stranger can cause at
 * will must not fill the log. Codes are the program's own and few.
 */
export class QuietReporter implements Reporter {
  readonly #reporter: Reporter
  readonly #now: () => number
  readonly #last = new Map<string, { at: number; suppressed: number }>()

  constructor(reporter: Reporter, now: () => number) {
    this.#reporter = reporter
    this.#now = now
  }

  event(level: Level, code: string, message: string, fields: EventFields = {}): void {
    const last = this.#last.get(code)
    if (last !== undefined && this.#now() - last.at < QUIET_MS) {
      last.suppressed++
      return
    }
    this.#last.set(code, { at: this.#now(), suppressed: 0 })
    this.#reporter.event(
      level,
      code,
      message,
      last?.suppressed ? { ...fields, suppressed: last.suppressed } : fields,
    )
  }
}
