import { TokenBucket, TokenBuckets } from '@fieldwhisper/host'
import type { Agent } from './agents.js'
import { FAILURE_BUDGET, FAILURES_IN_ALL, FAILURES_TOLD_MS } from './constants.js'
import type { News } from './news.js'

/**
 * What does not open costs the link that brought it a token, or, from a relay, the address it was for. An empty bucket slows and
 * never closes. Above the sum for all, those who brought failures lately wait; who brought none is not made to pay for them.
 */
export class Failures {
  readonly #each = new TokenBuckets(FAILURE_BUDGET)
  readonly #all: TokenBucket

  constructor(now: number) {
    this.#all = new TokenBucket(FAILURES_IN_ALL, now)
  }

  mayTry(who: string, now: number): boolean {
    return this.#each.available(who, now) && (this.#all.available(now) || this.#each.idle(who, now))
  }

  note(who: string, now: number): void {
    this.#each.take(who, now)
    this.#all.take(now)
  }
}

/** What an operator hears of packets that did not open: counted by device, and not as often as somebody makes them. */
export class FailedPackets {
  readonly #news: News
  readonly #counts = new Map<Agent, number>()
  #toldAt = -Infinity

  constructor(news: News) {
    this.#news = news
  }

  note(agent: Agent): void {
    this.#counts.set(agent, (this.#counts.get(agent) ?? 0) + 1)
  }

  tell(now: number): void {
    if (this.#counts.size === 0 || now - this.#toldAt < FAILURES_TOLD_MS) return
    this.#toldAt = now
    for (const [agent, packets] of this.#counts) {
      const text = `packets for ${agent.name} did not open: they were altered on the way, or somebody forges them; true ones are not affected`
      this.#news.report(agent, 'warn', 'FW_PACKETS_FAILED', text, { packets })
    }
    this.#counts.clear()
  }
}
