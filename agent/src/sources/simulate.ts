import { SIMULATE_CATCH_UP_MS, SIMULATE_TICK_MS } from './constants.js'
import { Delivery } from './delivery.js'
import { Health } from './health.js'
import type { Sink, Source, SourceContext, SourceStatus } from './source.js'
import { seededUniform, waveformValue, type Series } from './waveform.js'

export interface SimulateOptions {
  readonly name: string
  /** Put in front of every name. */
  readonly prefix: string
  readonly series: readonly Series[]
  /** Readings a second of each series; a fraction is a reading every few seconds. */
  readonly rateHz: number
  /** Readings of each series, then silence. Absent: without end. */
  readonly count?: number
  readonly seed: number
}

/**
 * Made-up readings, the same ones for the same options: number n of a series is due n / rate seconds after the start and
 * carries that time. When the disk is behind it waits; when the process was stopped for long it makes up one second and
 * starts the rest late. It never leaves a number out.
 */
export class SimulateSource implements Source {
  readonly name: string
  readonly #options: SimulateOptions
  readonly #context: SourceContext
  readonly #health: Health
  readonly #delivery: Delivery
  #uniform: () => number
  #startMs = 0
  #made = 0
  #cancelTick: (() => void) | undefined
  #running = false

  constructor(options: SimulateOptions, context: SourceContext) {
    this.name = options.name
    this.#options = options
    this.#context = context
    this.#health = new Health({ name: options.name, type: 'simulate' }, 1, context.clock)
    this.#delivery = new Delivery(context, this.#health)
    this.#uniform = seededUniform(options.seed)
  }

  start(sink: Sink): void {
    if (this.#running) return
    this.#running = true
    this.#health.started(sink)
    this.#delivery.open(sink)
    this.#uniform = seededUniform(this.#options.seed)
    this.#made = 0
    this.#startMs = this.#context.clock.monoMs()
    this.#tick()
  }

  stop(): Promise<void> {
    this.#running = false
    this.#cancelTick?.()
    this.#delivery.close()
    this.#health.stopped()
    return Promise.resolve()
  }

  status(): SourceStatus {
    return this.#health.status({
      accepted: this.#delivery.accepted,
      refused: this.#delivery.refused,
      discarded: this.#delivery.overflowed,
    })
  }

  #tick(): void {
    const nowMs = this.#context.clock.monoMs()
    const stepMs = 1_000 / this.#options.rateHz
    const lateMs = nowMs - (this.#startMs + this.#made * stepMs)
    if (lateMs > SIMULATE_CATCH_UP_MS + stepMs) this.#startMs += lateMs - SIMULATE_CATCH_UP_MS

    const last = this.#options.count ?? Infinity
    while (this.#made < last && this.#delivery.hasRoom(this.#options.series.length)) {
      const elapsedMs = this.#made * stepMs
      if (this.#startMs + elapsedMs > nowMs) break
      this.#emit(this.#made, elapsedMs)
      this.#made++
    }
    if (this.#made >= last) return
    const dueMs = this.#startMs + this.#made * stepMs - nowMs
    this.#cancelTick = this.#context.timers.after(Math.max(SIMULATE_TICK_MS, dueMs), () => this.#tick())
  }

  #emit(index: number, elapsedMs: number): void {
    for (const series of this.#options.series) {
      this.#delivery.push({
        name: this.#options.prefix + series.name,
        ...(series.unit === undefined ? {} : { unit: series.unit }),
        value: waveformValue(series, index, elapsedMs, this.#uniform),
        at: Math.floor(this.#startMs + elapsedMs),
      })
    }
  }
}
