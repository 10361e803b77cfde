import { DISCARD_REPORT_INTERVAL_MS } from './constants.js'
import type { SourceContext } from './source.js'

/**
 * Counts what went wrong by reason and says so at a bounded rate: the first time at once, then at most once a minute with the
 * number since. Reasons are fixed words of the program, never input.
 */
export class Tally<Reason extends string> {
  readonly #context: SourceContext
  readonly #report: (counts: ReadonlyMap<Reason, number>) => void
  #counts = new Map<Reason, number>()
  #total = 0
  #lastReportMs: number | undefined
  #cancel: (() => void) | undefined

  constructor(context: SourceContext, report: (counts: ReadonlyMap<Reason, number>) => void) {
    this.#context = context
    this.#report = report
  }

  get total(): number {
    return this.#total
  }

  count(reason: Reason): void {
    this.#total++
    this.#counts.set(reason, (this.#counts.get(reason) ?? 0) + 1)
    if (this.#cancel !== undefined) return
    const sinceMs = this.#context.clock.monoMs() - (this.#lastReportMs ?? -Infinity)
    if (sinceMs >= DISCARD_REPORT_INTERVAL_MS) this.flush()
    else this.#cancel = this.#context.timers.after(DISCARD_REPORT_INTERVAL_MS - sinceMs, () => this.flush())
  }

  /** Says what has not been said yet. */
  flush(): void {
    this.#cancel?.()
    this.#cancel = undefined
    if (this.#counts.size === 0) return
    const counts = this.#counts
    this.#counts = new Map()
    this.#lastReportMs = this.#context.clock.monoMs()
    this.#report(counts)
  }
}
