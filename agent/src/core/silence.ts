import {
  LOST_AFTER_MS,
  LOST_AFTER_NEWER_RECORD_MS,
  LOST_AGAIN_JITTER,
  LOST_AGAIN_MS,
  PROBE_AFTER_MS,
} from './constants.js'
import type { SilenceState } from './state.js'

export type SilenceAction = 'probe' | 'lost' | undefined

/**
 * The clock of silence: runs while something is outstanding and nothing is heard, also across restarts.
 *
 *   none ── 15 min ──▶ probed ── 60 min, or 5 min once a newer record was seen ──▶ lost ── every 6 h ± 20 % ──▶ lost
 *     ▲────────────────────────── anything that opens ─────────────────────────────┘
 */
export class Silence {
  readonly #between: (low: number, high: number) => number
  #step: SilenceState['step']
  #nextMs: number
  /** When the silence began; undefined while nothing is outstanding. */
  #since: number | undefined
  /** Silence of earlier processes, until something is outstanding in this one. */
  #carriedMs: number
  #lastTryMs: number

  constructor(stored: SilenceState, between: (low: number, high: number) => number) {
    this.#between = between
    this.#step = stored.step
    this.#nextMs = stored.nextMs
    this.#carriedMs = stored.silentMs
    this.#lastTryMs = stored.step === 'none' ? 0 : stored.silentMs
  }

  silentMs(now: number): number {
    return this.#since === undefined ? this.#carriedMs : now - this.#since
  }

  state(now: number): SilenceState {
    return { silentMs: this.silentMs(now), nextMs: this.#nextMs, step: this.#step }
  }

  heard(now: number): void {
    this.#step = 'none'
    this.#carriedMs = 0
    this.#nextMs = 0
    this.#lastTryMs = 0
    if (this.#since !== undefined) this.#since = now
  }

  /** A sealed refusal: somebody is there, and asking again is for later. */
  refused(now: number): void {
    this.heard(now)
    this.#since = now
    this.#step = 'lost'
    this.#nextMs = this.#again()
  }

  outstanding(value: boolean, now: number): void {
    if (!value) {
      // What was carried over counts again when something is outstanding again; hearing the gateway ends it.
      if (this.#since !== undefined) this.#carriedMs = this.#step === 'none' ? 0 : now - this.#since
      this.#since = undefined
    } else this.#since ??= now - this.#carriedMs
  }

  due(now: number, newerRecord: boolean): SilenceAction {
    if (this.#since === undefined) return undefined
    const silent = now - this.#since
    if (newerRecord && silent - this.#lastTryMs >= LOST_AFTER_NEWER_RECORD_MS)
      return this.#tried('lost', silent)
    switch (this.#step) {
      case 'none':
        return silent >= PROBE_AFTER_MS ? this.#tried('probe', silent) : undefined
      case 'probed':
        return silent >= LOST_AFTER_MS ? this.#tried('lost', silent) : undefined
      case 'lost':
        return silent >= this.#nextMs ? this.#tried('lost', silent) : undefined
    }
  }

  #tried(action: 'probe' | 'lost', silent: number): SilenceAction {
    this.#lastTryMs = silent
    if (action === 'probe') this.#step = 'probed'
    else {
      this.#step = 'lost'
      this.#nextMs = silent + this.#again()
    }
    return action
  }

  #again(): number {
    return this.#between(LOST_AGAIN_MS * (1 - LOST_AGAIN_JITTER), LOST_AGAIN_MS * (1 + LOST_AGAIN_JITTER))
  }
}
