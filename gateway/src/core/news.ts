import type { Clock, EventFields, Level } from '@fieldwhisper/host'
import { outboxEventWrite } from '../bridge/outbox-entry.js'
import type { Agent } from './agents.js'
import type { Ports } from './ports.js'
import type { Turn } from './turn.js'

interface Parts {
  readonly ports: Pick<Ports, 'report'>
  readonly clock: Clock
  readonly nextSequence: () => number
}

/** What the core says about an agent: to the operator, and what must not be missed also among the readings. */
export class News {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  report(agent: Agent, level: Level, code: string, message: string, fields: EventFields = {}): void {
    this.#parts.ports.report(level, code, message, { agent: agent.name, ...fields })
  }

  /** To whoever subscribes to events as well, as surely as a reading. */
  tell(
    turn: Turn,
    agent: Agent,
    code: string,
    message: string,
    fields: Readonly<Record<string, string | number>>,
  ): void {
    const { clock, nextSequence } = this.#parts
    const { name } = agent
    const wallMs = clock.wallMs()
    turn.write(
      outboxEventWrite(nextSequence(), { level: 'warn', code, message, wallMs, agent: name, fields }),
    )
    turn.then(() => this.#parts.ports.report('warn', code, message, { agent: name, ...fields }))
  }
}
