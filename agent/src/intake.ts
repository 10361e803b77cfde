import type { Clock, Level, Reporter, EventFields } from '@fieldwhisper/host'
import type { ReadingValue } from '@fieldwhisper/protocol'
import type { Alarms, AlarmStep } from './alarms.js'
import type { Sample, Sink } from './sources/source.js'
import type { Spool } from './spool/index.js'

/** Names whose newest value is kept for `status`. */
const MAX_LATEST = 1_000

export interface Latest {
  readonly name: string
  readonly unit: string
  readonly value: number | string | boolean
  readonly agoMs: number
}

/** Where sources hand over: samples become readings of this machine's clocks and go into the spool. */
export class Intake implements Sink {
  readonly #spool: Pick<Spool, 'append'>
  readonly #alarms: Alarms
  readonly #clock: Clock
  readonly #reporter: Reporter
  readonly #latest = new Map<string, { unit: string; value: ReadingValue; at: number }>()

  constructor(spool: Pick<Spool, 'append'>, clock: Clock, reporter: Reporter, alarms: Alarms) {
    this.#spool = spool
    this.#clock = clock
    this.#reporter = reporter
    this.#alarms = alarms
  }

  accept(sample: Sample): Promise<void> {
    const at = sample.at ?? this.#clock.monoMs()
    const taken = this.#keep({ ...sample, at }, false)
    for (const step of this.#alarms.observe(sample, at)) this.#tell(step)
    return taken
  }

  /** False where no such alarm is raised. */
  acknowledge(alarm: string): boolean {
    const step = this.#alarms.acknowledge(alarm, this.#clock.monoMs())
    if (step) this.#tell(step)
    return step !== undefined
  }

  #tell({ samples, news }: AlarmStep): void {
    if (news) this.#reporter.event(news.level, news.code, news.message)
    for (const sample of samples) {
      this.#keep(sample, true).catch(() => {
        const text = 'An alarm could not be taken into the spool; it stands in this log.'
        this.#reporter.event('error', 'FW_ALARM_NOT_TAKEN', text)
      })
    }
  }

  #keep({ name, unit, value, quality, at }: Sample, urgent: boolean): Promise<void> {
    const now = this.#clock.monoMs()
    const monoMs = at ?? now
    if (this.#latest.size < MAX_LATEST || this.#latest.has(name)) {
      this.#latest.set(name, { unit: unit ?? '', value, at: monoMs })
    }
    const wallMs = this.#clock.wallMs() - (now - monoMs)
    const about = { quality: quality ?? 'good', monoMs, wallMs, clock: this.#clock.quality() } as const
    return this.#spool.append({ name, ...(unit !== undefined && { unit }), value, ...about }, urgent)
  }

  event(level: Level, code: string, message: string, fields?: EventFields): void {
    this.#reporter.event(level, code, message, fields)
  }

  latest(): Latest[] {
    const now = this.#clock.monoMs()
    return [...this.#latest].map(([name, { unit, value, at }]) => ({
      name,
      unit,
      value: value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value,
      agoMs: Math.max(0, Math.round(now - at)),
    }))
  }
}
