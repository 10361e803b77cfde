import { CONFIRM_AFTER_MS, GAP_REPEAT_MAX_MS, GAP_REPEAT_MIN_MS, GAPS_A_PACKET } from './constants.js'
import type { Composer } from './composer.js'
import type { CoreEffect } from './events.js'
import type { BatchPort } from './ports.js'
import type { Sealer } from './sealer.js'
import type { SessionBook } from './session-book.js'

/**
 * What is said without a batch: that K and a PREKEY are kept, a NOTICE taken, an older session over, a stream at its end; and
 * the gaps, until they are acknowledged. The gateway repeats what it wants confirmed, so a confirmation is sent once.
 */
export class Confirmations {
  readonly #batches: BatchPort
  readonly #composer: Composer
  readonly #sealer: Sealer
  #confirmAt: number | undefined
  #gapsAt = -Infinity
  #gapStepMs = GAP_REPEAT_MIN_MS

  constructor(batches: BatchPort, composer: Composer, sealer: Sealer) {
    this.#batches = batches
    this.#composer = composer
    this.#sealer = sealer
  }

  /** Something is to be confirmed soon, with a batch or without. */
  due(now: number): void {
    this.#confirmAt ??= now + CONFIRM_AFTER_MS
  }

  /** A new session was answered: everything may be said at once. */
  sessionChanged(): void {
    this.#gapsAt = -Infinity
    this.#gapStepMs = GAP_REPEAT_MIN_MS
  }

  /** `heard`: the gateway was heard lately; gaps are not said into silence. */
  step(book: SessionBook, heard: boolean, now: number, out: CoreEffect[]): void {
    const session = book.answered
    if (!session || book.isExhausted(session)) return
    if (heard && this.#composer.hasUnsaidEnd) this.due(now)
    const gaps = heard && now >= this.#gapsAt ? this.#batches.gaps(GAPS_A_PACKET) : []
    if (gaps.length > 0) {
      this.#gapsAt = now + this.#gapStepMs
      this.#gapStepMs = Math.min(GAP_REPEAT_MAX_MS, this.#gapStepMs * 2)
    } else if (now >= this.#gapsAt) this.#gapStepMs = GAP_REPEAT_MIN_MS
    const confirm = this.#confirmAt !== undefined && now >= this.#confirmAt
    if (!confirm && gaps.length === 0) return
    this.#confirmAt = undefined
    this.#sealer.sendOnce(book, session, gaps, now, out)
  }
}
