import {
  CONFIRM_AFTER_MS,
  GAP_REPEAT_MAX_MS,
  GAP_REPEAT_MIN_MS,
  GAPS_A_PACKET,
  HEARTBEAT_MS,
} from './constants.js'
import type { Commands } from './commands.js'
import type { Composer } from './composer.js'
import type { CoreEffect } from './events.js'
import type { BatchPort } from './ports.js'
import type { Sealer } from './sealer.js'
import type { SessionBook } from './session-book.js'

/**
 * What is said without a batch: that the agent is there, that K and a PREKEY are kept, a NOTICE or COMMAND taken, an older session over, a stream at its end;
 * and gaps and replies, until they are acknowledged. The gateway repeats what it wants confirmed, so a confirmation is sent once.
 */
export class Confirmations {
  readonly #batches: BatchPort
  readonly #composer: Composer
  readonly #sealer: Sealer
  readonly #commands: Commands
  #confirmAt: number | undefined
  /** Packets of this process, and since when there were no more and none is waited for: those are sent again by themselves. */
  #sealed = -1
  #quietSince = 0
  #gapsAt = -Infinity
  #gapStepMs = GAP_REPEAT_MIN_MS

  constructor(batches: BatchPort, composer: Composer, sealer: Sealer, commands: Commands) {
    this.#batches = batches
    this.#composer = composer
    this.#sealer = sealer
    this.#commands = commands
  }

  /** Something is to be confirmed soon, with a batch or without. */
  due(now: number): void {
    this.#confirmAt ??= now + CONFIRM_AFTER_MS
  }

  /** A new session was answered: everything may be said at once. */
  sessionChanged(): void {
    this.#gapsAt = -Infinity
    this.#gapStepMs = GAP_REPEAT_MIN_MS
    this.#commands.sessionChanged()
  }

  /** `heard`: the gateway was heard lately; gaps and replies are not said into silence. */
  step(book: SessionBook, heard: boolean, now: number, out: CoreEffect[]): void {
    const session = book.answered
    if (!session || book.isExhausted(session)) return
    if (heard && this.#composer.hasUnsaidEnd) this.due(now)
    if (this.#sealer.sealed !== this.#sealed || this.#sealer.inFlight > 0) {
      this.#sealed = this.#sealer.sealed
      this.#quietSince = now
    } else if (now - this.#quietSince >= HEARTBEAT_MS) this.due(now)
    const gaps = heard && now >= this.#gapsAt ? this.#batches.gaps(GAPS_A_PACKET) : []
    if (gaps.length > 0) {
      this.#gapsAt = now + this.#gapStepMs
      this.#gapStepMs = Math.min(GAP_REPEAT_MAX_MS, this.#gapStepMs * 2)
    } else if (now >= this.#gapsAt) this.#gapStepMs = GAP_REPEAT_MIN_MS
    const confirm = this.#confirmAt !== undefined && now >= this.#confirmAt
    const replies = heard ? this.#commands.due(now) : []
    if (!confirm && gaps.length === 0 && replies.length === 0) return
    this.#confirmAt = undefined
    this.#sealer.sendOnce(book, session, [...gaps, ...replies], now, out)
  }
}
