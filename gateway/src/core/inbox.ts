import {
  decodeBatch,
  decodeUp,
  hex,
  ProtocolError,
  type ClockReport,
  type DataMessage,
  type GapMessage,
  type SealedBatch,
} from '@fieldwhisper/protocol'
import type { Clock } from '@fieldwhisper/host'
import { outboxEventWrite, outboxWrite } from '../bridge/outbox-entry.js'
import type { Agent, Agents } from './agents.js'
import type { Invites } from './invites.js'
import type { Ledger } from './ledger.js'
import type { Ports, Route } from './ports.js'
import type { Session } from './session.js'
import type { Sessions } from './sessions.js'
import type { Turn } from './turn.js'

/** What the messages of an agent change: ledger, outbox, and the life of its sessions. */
export class Inbox {
  readonly #parts: {
    agents: Agents
    invites: Invites
    ledger: Ledger
    sessions: Sessions
    ports: Ports
    clock: Clock
    nextSequence: () => number
    restored: () => boolean
  }

  constructor(parts: {
    agents: Agents
    invites: Invites
    ledger: Ledger
    sessions: Sessions
    ports: Ports
    clock: Clock
    nextSequence: () => number
    /** This gateway knows that its ledger is older than its agents'. */
    restored: () => boolean
  }) {
    this.#parts = parts
  }

  /** Takes one opened content; a content that does not read counts as empty and is reported. */
  take(turn: Turn, session: Session, agent: Agent, content: Uint8Array, route: Route): void {
    const { talk } = session
    talk.openedAt = turn.now
    if (route.via === 'link') talk.link = route.id
    agent.lastPath = route.via === 'link' ? 'lan' : 'relay'
    agent.lastSeenWallMs = this.#parts.clock.wallMs()
    let messages
    try {
      messages = decodeUp(content)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      this.#report(
        agent,
        'error',
        'FW_CONTENT_MALFORMED',
        `${agent.name} sent a packet that opens and does not read: update the agent or the gateway`,
      )
      return
    }
    for (const message of messages) {
      if (message.kind === 'gap') this.#gap(turn, session, agent, message)
      else this.#data(turn, session, agent, message, route)
    }
  }

  #data(turn: Turn, session: Session, agent: Agent, data: DataMessage, route: Route): void {
    const { ledger, agents, sessions } = this.#parts
    if (data.clock) agent.clock = data.clock
    if (!session.talk.stamp || data.stampMs > session.talk.stamp.stampMs) {
      session.talk.stamp = { stampMs: data.stampMs, at: turn.now }
    }
    for (const state of data.streams) {
      const unknown = ledger.declare(turn, agent.key, state)
      if (unknown > 0) this.#unknownBelowFloor(turn, agent, unknown)
      this.#mention(session, state.stream)
    }
    if (data.batch) this.#batch(turn, session, agent, data.batch, route)
    if (data.downThrough >= agent.noticeFrom) {
      agent.noticeFrom = Math.min(data.downThrough + 1, agent.noticeNext)
      session.talk.setupAt = turn.now
      agents.save(turn, agent)
    }
    if (data.ready) this.#ready(turn, session, agent)
    if (data.oldestSession) sessions.endBefore(turn, session, hex(data.oldestSession))
    session.talk.ackDue = true
  }

  #batch(turn: Turn, session: Session, agent: Agent, batch: SealedBatch, route: Route): void {
    const { ledger, agents, clock, nextSequence } = this.#parts
    this.#mention(session, batch.stream)
    const readings = readable(batch)
    const receipt = ledger.receive(turn, agent.key, batch.stream, batch.number)
    if (receipt === 'refused') {
      this.#report(
        agent,
        'error',
        'FW_BATCH_REFUSED',
        `${agent.name} numbers its batches beyond what can be kept: they are not acknowledged`,
      )
      return
    }
    if (receipt === 'seen') return
    if (!readings) {
      this.#report(
        agent,
        'error',
        'FW_BATCH_MALFORMED',
        `${agent.name} sent a batch that does not read: it is counted as lost`,
      )
      agent.lost++
      agents.save(turn, agent)
      return
    }
    agent.readings += readings.count
    agents.save(turn, agent)
    const offset = correction(agent.clock, readings.bootId)
    turn.write(
      outboxWrite(nextSequence(), {
        agent: agent.id,
        name: agent.name,
        path: route.via === 'link' ? 'lan' : 'relay',
        stream: new Uint8Array(batch.stream),
        number: batch.number,
        historical: batch.historical,
        receivedWallMs: clock.wallMs(),
        ...(offset !== undefined && { clockOffsetMs: offset }),
        batch: batch.bytes,
      }),
    )
  }

  #gap(turn: Turn, session: Session, agent: Agent, gap: GapMessage): void {
    const { ledger, agents } = this.#parts
    const missing =
      'stream' in gap.what
        ? ledger.gap(turn, agent.key, gap.what.stream, gap.what.ranges)
        : ledger.gapBefore(turn, agent.key, gap.what.startsBefore)
    if ('stream' in gap.what) this.#mention(session, gap.what.stream)
    else session.talk.startsBefore = Math.max(session.talk.startsBefore, gap.what.startsBefore)
    session.talk.ackDue = true
    if (missing === 0) return
    const lost = gap.readings ?? missing
    agent.lost += lost
    agents.save(turn, agent)
    const what = gap.readings === undefined ? `${missing} batches` : `${gap.readings} readings`
    this.#tell(turn, agent, 'FW_READINGS_LOST', `${agent.name} lost ${what} (${CAUSE_TEXT[gap.cause]})`, {
      lost,
      cause: gap.cause,
    })
  }

  #ready(turn: Turn, session: Session, agent: Agent): void {
    const { sessions, agents, invites } = this.#parts
    sessions.confirm(turn, session)
    if (agent.confirmed) return
    agent.confirmed = true
    agents.save(turn, agent)
    const invite = invites.find(agent.inviteId)
    if (invite && invite.state === 'bound') invites.set(turn, invite, 'used')
    this.#report(agent, 'info', 'FW_AGENT_JOINED', `${agent.name} has joined`)
  }

  /** The agent was told that these are safe, and this ledger does not have them. */
  #unknownBelowFloor(turn: Turn, agent: Agent, batches: number): void {
    if (this.#parts.restored()) {
      const text = `${batches} batches of ${agent.name} were acknowledged before this gateway was restored`
      this.#tell(turn, agent, 'FW_ACKNOWLEDGED_BEFORE_RESTORE', text, { batches })
      return
    }
    agent.lost += batches
    this.#parts.agents.save(turn, agent)
    const text = `${batches} batches of ${agent.name} were acknowledged and are not in this gateway's ledger`
    this.#tell(turn, agent, 'FW_READINGS_LOST', text, { lost: batches, cause: 'ledger' })
  }

  #mention(session: Session, stream: Uint8Array): void {
    const name = hex(stream)
    session.talk.streams.delete(name)
    session.talk.streams.add(name)
  }

  /** To the operator and, with the readings, to whoever subscribes to events. */
  #tell(
    turn: Turn,
    agent: Agent,
    code: string,
    message: string,
    fields: Record<string, string | number>,
  ): void {
    const wallMs = this.#parts.clock.wallMs()
    turn.write(
      outboxEventWrite(this.#parts.nextSequence(), {
        level: 'warn',
        code,
        message,
        wallMs,
        agent: agent.name,
        fields,
      }),
    )
    turn.then(() => this.#parts.ports.report('warn', code, message, { agent: agent.name, ...fields }))
  }

  #report(agent: Agent, level: 'info' | 'error', code: string, message: string): void {
    this.#parts.ports.report(level, code, message, { agent: agent.name })
  }
}

const CAUSE_TEXT = {
  full: 'its spool was full',
  age: 'they grew too old in its spool',
  lost: 'its spool was lost',
  corrupt: 'its spool was damaged',
} as const

function readable(batch: SealedBatch): { readonly count: number; readonly bootId: Uint8Array } | undefined {
  try {
    const { readings, bootId } = decodeBatch(batch.bytes)
    return { count: readings.length, bootId }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

/** Where the agent knows how far its own clock is off, and speaks of the boot the readings come from. */
function correction(clock: ClockReport | undefined, bootId: Uint8Array): number | undefined {
  return clock && hex(clock.bootId) === hex(bootId) ? clock.offsetMs : undefined
}
