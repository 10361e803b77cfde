import type { Clock, Level, Reporter, EventFields } from '@fieldwhisper/host'
import type { ReadingValue } from '@fieldwhisper/protocol'
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
  readonly #spool: Spool
  readonly #clock: Clock
  readonly #reporter: Reporter
  readonly #latest = new Map<string, { unit: string; value: ReadingValue; at: number }>()

  constructor(spool: Spool, clock: Clock, reporter: Reporter) {
    this.#spool = spool
    this.#clock = clock
    this.#reporter = reporter
  }

  accept({ name, unit, value, quality, at }: Sample): Promise<void> {
    const now = this.#clock.monoMs()
    const monoMs = at ?? now
    if (this.#latest.size < MAX_LATEST || this.#latest.has(name)) {
      this.#latest.set(name, { unit: unit ?? '', value, at: monoMs })
    }
    return this.#spool.append({
      name,
      ...(unit !== undefined && { unit }),
      value,
      quality: quality ?? 'good',
      monoMs,
      wallMs: this.#clock.wallMs() - (now - monoMs),
      clock: this.#clock.quality(),
    })
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
