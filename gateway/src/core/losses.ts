import type { GapCause } from '@fieldwhisper/protocol'
import type { Agent } from './agents.js'
import type { News } from './news.js'
import type { Turn } from './turn.js'

export type LossCause = GapCause | 'ledger' | 'revoked'

const CAUSE_TEXT: Record<LossCause, string> = {
  full: 'its spool was full',
  age: 'they grew too old in its spool',
  lost: 'its spool was lost',
  corrupt: 'its spool was damaged',
  ledger: "they were acknowledged and are not in this gateway's ledger",
  revoked: 'it was shut out before it delivered them',
}

interface Loss {
  readings: number
  batches: number
  /** There is more, and nobody knows how much. */
  unknown: boolean
}

/** What one packet declares lost, told once for each cause, however many messages it took. */
export class Losses {
  readonly #byCause = new Map<LossCause, Loss>()
  #beforeRestore = 0

  add(cause: LossCause, { readings = 0, batches = 0, unknown = false }: Partial<Loss>): void {
    const loss = this.#byCause.get(cause) ?? { readings: 0, batches: 0, unknown: false }
    loss.readings += readings
    loss.batches += batches
    loss.unknown ||= unknown
    this.#byCause.set(cause, loss)
  }

  /** Batches that were published, by a ledger that is gone. */
  addBeforeRestore(batches: number): void {
    this.#beforeRestore += batches
  }

  /** Counts it at the agent, whose record the caller saves, and tells it. */
  tell(turn: Turn, agent: Agent, news: News): void {
    for (const [cause, loss] of this.#byCause) {
      const lost = loss.readings + loss.batches
      if (lost === 0 && !loss.unknown) continue
      agent.lost += lost
      const text = `${agent.name} lost ${amount(loss)} (${CAUSE_TEXT[cause]})`
      news.tell(turn, agent, 'FW_READINGS_LOST', text, { lost, cause })
    }
    if (this.#beforeRestore > 0) {
      const text = `${this.#beforeRestore} batches of ${agent.name} were acknowledged before this gateway was restored`
      news.tell(turn, agent, 'FW_ACKNOWLEDGED_BEFORE_RESTORE', text, { batches: this.#beforeRestore })
    }
  }
}

function amount({ readings, batches, unknown }: Loss): string {
  const parts = [
    ...(readings > 0 ? [`${readings} readings`] : []),
    ...(batches > 0 ? [`${batches} batches`] : []),
    ...(unknown ? ['an unknown number of readings that it had not announced'] : []),
  ]
  return parts.join(' and ')
}
