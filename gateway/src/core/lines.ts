import type { Agent, Agents } from './agents.js'
import { COPY_SILENT_MS } from './constants.js'
import type { News } from './news.js'
import type { Session } from './session.js'
import type { Sessions } from './sessions.js'
import type { Turn } from './turn.js'

interface Parts {
  readonly agents: Agents
  readonly sessions: Sessions
  readonly news: News
}

/** When a line was heard, in this process. */
interface Signs {
  readonly firstReadyAt: number
  lastReadyAt: number
}

/**
 * Copies of one device (DESIGN section 4, "Clones and restores"). The sessions that a device keeps continue each other: a line.
 * Two lines that are both alive are two disks with one identity. The one confirmed later is held, with all that follows, until the
 * operator decides or the one before it has been silent for ten minutes. What is held is neither published nor acknowledged, so
 * that nothing is lost:
 *
 *   trusted ──two lines, each said ready after the other was confirmed──▶ held ──operator, or silence──▶ trusted
 */
export class Lines {
  readonly #parts: Parts
  /** By line. */
  readonly #signs = new Map<number, Signs>()
  /** By agent: when a line that is not held was last heard. */
  readonly #heardAt = new Map<string, number>()
  readonly #startedAt: number

  constructor(parts: Parts, now: number) {
    this.#parts = parts
    this.#startedAt = now
  }

  /** Nothing of this session is taken for now. */
  isHeld(agent: Agent, session: Session): boolean {
    return agent.heldFrom > 0 && this.#parts.sessions.lineOf(session) >= agent.heldFrom
  }

  /** Something of the agent has opened, in a session that is not held. */
  heard(agent: Agent, now: number): void {
    if (agent.heldFrom > 0) this.#heardAt.set(agent.id, now)
  }

  /** The agent said once more that it keeps this session, which is confirmed. */
  ready(turn: Turn, session: Session, agent: Agent): void {
    const { now } = turn
    const { line } = session
    const own = this.#signs.get(line) ?? { firstReadyAt: now, lastReadyAt: now }
    own.lastReadyAt = now
    this.#signs.set(line, own)
    if (agent.heldFrom > 0) return
    for (const other of this.#parts.sessions.linesOf(agent.key)) {
      const signs = other === line ? undefined : this.#signs.get(other)
      const bothAlive = signs && now > signs.firstReadyAt && signs.lastReadyAt > own.firstReadyAt
      if (!bothAlive || now - signs.lastReadyAt >= COPY_SILENT_MS) continue
      return this.#suspect(turn, agent, Math.max(line, other))
    }
  }

  /** Trusts held lines again where the ones before them have ended or been silent for long. True where there were some. */
  trustSurvivors(turn: Turn): boolean {
    const { agents, sessions } = this.#parts
    let some = false
    for (const agent of agents.all()) {
      if (agent.heldFrom === 0) continue
      const silentMs = turn.now - (this.#heardAt.get(agent.id) ?? this.#startedAt)
      // A restored gateway has no sessions of before.
      const rivalLives = [...sessions.linesOf(agent.key)].some((line) => line < agent.heldFrom)
      if (rivalLives && silentMs < COPY_SILENT_MS) continue
      some = true
      const text = `only one device uses the identity of ${agent.name} now: what it sent and was held back is taken`
      this.#trust(turn, agent, text)
    }
    return some
  }

  /** The operator decided: ends the lines that are held, or those before them. */
  decide(turn: Turn, agent: Agent, decision: 'keep' | 'replace'): void {
    const { sessions } = this.#parts
    for (const session of [...sessions.of(agent.key)]) {
      const line = sessions.lineOf(session)
      if (line > 0 && line >= agent.heldFrom === (decision === 'keep')) sessions.end(turn, session)
    }
    const kept = decision === 'keep' ? 'that was there first' : 'that came later'
    this.#trust(turn, agent, `of the devices with the identity of ${agent.name}, the one ${kept} goes on`)
  }

  /** Forgets lines that have ended. */
  expire(): void {
    const alive = new Set<number>()
    for (const { line } of this.#parts.sessions.all()) alive.add(line)
    for (const line of this.#signs.keys()) if (!alive.has(line)) this.#signs.delete(line)
  }

  #suspect(turn: Turn, agent: Agent, from: number): void {
    const { agents, news } = this.#parts
    agent.heldFrom = from
    agents.save(turn, agent)
    this.#heardAt.set(agent.id, turn.now)
    const text = `two devices use the identity of ${agent.name}: the one that came later is held back. Find out which is the copy, then: fieldwhisper-gateway clone ${agent.name} keep (the first goes on) or replace (the later one does)`
    news.tell(turn, agent, 'FW_CLONE_SUSPECTED', text, {})
  }

  #trust(turn: Turn, agent: Agent, text: string): void {
    const { agents, news } = this.#parts
    agent.heldFrom = 0
    agents.save(turn, agent)
    this.#heardAt.delete(agent.id)
    turn.then(() => news.report(agent, 'info', 'FW_CLONE_SETTLED', text))
  }
}
