import type { Clock } from '@fieldwhisper/host'
import { rfc3339, type AgentPresence, type AgentStatusPayload } from './bridge/payload.js'
import type { Agent } from './core/agents.js'

/** An agent with nothing to say is heard every 60 s: two of those may be lost. */
const ONLINE_MS = 150_000
const LATE_MS = 10 * 60_000
/** Told again so often, since counters change and brokers forget. */
const REPEAT_MS = 60_000
/** Messages of one step: all agents of a large site come to a new connection over some seconds. */
const MAX_A_STEP = 200

interface Parts {
  readonly agents: { all(): readonly Agent[] }
  /** Batches of this agent that it has announced and that did not arrive. */
  readonly missing: (key: Uint8Array) => number
  readonly bridge: {
    readonly connected: boolean
    /** Without a status: it is gone, and what was told of it is removed. */
    tellAgent(name: string, status?: AgentStatusPayload): void
  }
  readonly clock: Pick<Clock, 'monoMs' | 'wallMs'>
}

/** What was told of one agent. */
interface Told {
  readonly name: string
  readonly key: string
  readonly at: number
}

/** Tells MQTT of every agent whether it is there: a change at once, everything once a minute, and all of it to a new connection. */
export class Presence {
  readonly #parts: Parts
  readonly #startedAt: number
  readonly #told = new Map<string, Told>()
  #connected = false

  constructor(parts: Parts) {
    this.#parts = parts
    this.#startedAt = parts.clock.monoMs()
  }

  /** To be called every second or so. */
  step(): void {
    const { agents, bridge, clock } = this.#parts
    if (bridge.connected !== this.#connected) {
      this.#connected = bridge.connected
      this.#told.clear()
    }
    if (!this.#connected) return
    const now = clock.monoMs()
    let left = MAX_A_STEP
    for (const agent of agents.all()) {
      if (left === 0) return
      if (this.#tell(agent, now)) left--
    }
  }

  /** True where something was said. */
  #tell(agent: Agent, now: number): boolean {
    const { bridge } = this.#parts
    const before = this.#told.get(agent.id)
    if (agent.status === 'revoked') return this.#remove(agent, before)
    const state = this.#state(agent, now)
    if (state === undefined) return false
    const paths = { lan: isFresh(agent.heardAt.lan, now), relay: isFresh(agent.heardAt.relay, now) }
    const key = JSON.stringify([state, paths])
    if (before?.name === agent.name && before.key === key && now - before.at < REPEAT_MS) return false
    if (before && before.name !== agent.name) bridge.tellAgent(before.name)
    bridge.tellAgent(agent.name, this.#payload(agent, state, paths))
    this.#told.set(agent.id, { name: agent.name, key, at: now })
    return true
  }

  /** Of a device that was shut out nothing stays; another one may have its name by now. */
  #remove(agent: Agent, before: Told | undefined): boolean {
    if (!before) return false
    const taken = this.#parts.agents
      .all()
      .some(({ name, status }) => name === before.name && status !== 'revoked')
    if (!taken) this.#parts.bridge.tellAgent(before.name)
    this.#told.delete(agent.id)
    return !taken
  }

  /** Undefined right after a start: nobody knows yet. */
  #state({ status, heldFrom, heardAt, lastSeenWallMs }: Agent, now: number): AgentPresence | undefined {
    if (status === 'waiting') return 'waiting'
    if (heldFrom > 0) return 'copied'
    const heard = Math.max(heardAt.lan ?? -Infinity, heardAt.relay ?? -Infinity)
    if (heard === -Infinity && now - this.#startedAt < ONLINE_MS) return undefined
    const age = heard === -Infinity ? this.#parts.clock.wallMs() - lastSeenWallMs : now - heard
    if (heard !== -Infinity && age <= ONLINE_MS) return 'online'
    return age <= LATE_MS ? 'late' : 'offline'
  }

  #payload(agent: Agent, state: AgentPresence, paths: AgentStatusPayload['paths']): AgentStatusPayload {
    const { lastSeenWallMs, lastPath, readings, lost, key } = agent
    return {
      state,
      time: rfc3339(this.#parts.clock.wallMs()) ?? new Date(0).toISOString(),
      last_seen: (lastSeenWallMs > 0 ? rfc3339(lastSeenWallMs) : undefined) ?? null,
      path: lastPath ?? null,
      paths,
      readings,
      waiting: this.#parts.missing(key),
      lost,
    }
  }
}

function isFresh(heardAt: number | undefined, now: number): boolean {
  return heardAt !== undefined && now - heardAt <= ONLINE_MS
}
