import type { EventFields, Level, Reporter } from '@fieldwhisper/host'
import type { ReadingQuality } from '@fieldwhisper/protocol'
import type { SourceContext, SourceProblem, SourceStatus } from './source.js'

interface Problem extends SourceProblem {
  readonly harmless: boolean
}

/** The counters a status shows and health does not keep itself. */
export type Counters = Pick<SourceStatus, 'accepted' | 'refused' | 'discarded'>

/**
 * How a source is: which of its parts fail and why. Each failure becomes one event when it begins and one when it is over,
 * however often it is raised in between.
 */
export class Health {
  readonly #problems = new Map<string, Problem>()
  readonly #source: { readonly name: string; readonly type: string }
  readonly #parts: number
  readonly #clock: SourceContext['clock']
  #reporter: Reporter | undefined
  #sinceMs: number
  #lastSampleMs: number | undefined

  /** `parts`: how many parts can fail on their own; all failing is `bad`, some is `uncertain`. */
  constructor(source: { name: string; type: string }, parts: number, clock: SourceContext['clock']) {
    this.#source = source
    this.#parts = parts
    this.#clock = clock
    this.#sinceMs = clock.monoMs()
  }

  started(reporter: Reporter): void {
    this.#reporter = reporter
    this.#problems.clear()
    this.#lastSampleMs = undefined
    this.#sinceMs = this.#clock.monoMs()
  }

  stopped(): void {
    this.#reporter = undefined
    this.#problems.clear()
    this.#sinceMs = this.#clock.monoMs()
  }

  raise(part: string, code: string, message: string, level: Level = 'warn'): void {
    this.#set(part, { code, message, harmless: false }, level)
  }

  /** Something the machine does not have: said once, no fault. */
  note(part: string, code: string, message: string): void {
    this.#set(part, { code, message, harmless: true }, 'info')
  }

  clear(part: string): void {
    const problem = this.#problems.get(part)
    if (problem === undefined) return
    const before = this.#state()
    this.#problems.delete(part)
    this.#changed(before)
    if (!problem.harmless) {
      this.event('info', 'FW_SOURCE_RECOVERED', `${this.#source.name}: ${part} works again`)
    }
  }

  delivered(atMs: number): void {
    this.#lastSampleMs = Math.max(atMs, this.#lastSampleMs ?? atMs)
  }

  event(level: Level, code: string, message: string, fields: EventFields = {}): void {
    this.#reporter?.event(level, code, message, { source: this.#source.name, ...fields })
  }

  status(counters: Counters): SourceStatus {
    return {
      ...this.#source,
      state: this.#state(),
      quality: this.#quality(),
      sinceMs: this.#sinceMs,
      ...(this.#lastSampleMs === undefined ? {} : { lastSampleMs: this.#lastSampleMs }),
      ...counters,
      problems: [...this.#problems.values()].map(({ code, message }) => ({ code, message })),
    }
  }

  #set(part: string, problem: Problem, level: Level): void {
    if (this.#reporter === undefined || this.#problems.get(part)?.code === problem.code) return
    const before = this.#state()
    this.#problems.set(part, problem)
    this.#changed(before)
    this.event(level, problem.code, problem.message)
  }

  #changed(before: SourceStatus['state']): void {
    if (this.#state() !== before) this.#sinceMs = this.#clock.monoMs()
  }

  #failures(): number {
    let failures = 0
    for (const problem of this.#problems.values()) if (!problem.harmless) failures++
    return failures
  }

  #state(): SourceStatus['state'] {
    if (this.#reporter === undefined) return 'stopped'
    return this.#failures() === 0 ? 'running' : 'failing'
  }

  #quality(): ReadingQuality {
    const failures = this.#failures()
    if (failures >= this.#parts) return 'bad'
    return failures > 0 || this.#reporter === undefined || this.#lastSampleMs === undefined
      ? 'uncertain'
      : 'good'
  }
}
