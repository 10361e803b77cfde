import type { AckMessage, ClockReport } from '@fieldwhisper/protocol'
import { MAX_ECHO_ROUND_TRIP_MS } from './constants.js'

/** A report gets worse as the two clocks drift apart: 50 ppm, a cheap crystal. */
const DRIFT = 50e-6

/**
 * What the gateway's clock says about ours, from the echo of a stamp in an ACK (DESIGN 6.7). A packet that was held back for
 * hours has a round trip of hours and tells nothing.
 */
export class TimeEcho {
  readonly #bootId: Uint8Array
  #best: { readonly report: ClockReport; readonly at: number } | undefined

  constructor(bootId: Uint8Array) {
    this.#bootId = bootId
  }

  get report(): ClockReport | undefined {
    return this.#best?.report
  }

  take({ echo, wallMs }: AckMessage, now: number): void {
    if (!echo || wallMs === undefined) return
    const roundTrip = now - echo.stampMs - echo.delayMs
    if (roundTrip < 0 || roundTrip > MAX_ECHO_ROUND_TRIP_MS || echo.delayMs < 0) return
    const errorMs = roundTrip / 2
    if (this.#best && errorMs > this.#best.report.errorMs + (now - this.#best.at) * DRIFT) return
    const report = { bootId: this.#bootId, offsetMs: wallMs + roundTrip / 2 - now, errorMs }
    this.#best = { report, at: now }
  }
}
