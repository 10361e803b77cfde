import {
  decodeBatch,
  decodeUp,
  hex,
  ProtocolError,
  type Batch,
  type ClockReport,
  type DataMessage,
  type GapMessage,
  type ReplyMessage,
  type SealedBatch,
  type UpMessage,
} from '@fieldwhisper/protocol'
import type { Clock } from '@fieldwhisper/host'
import { outboxWrite } from '../bridge/outbox-entry.js'
import type { Agent, Agents } from './agents.js'
import type { Commands } from './commands.js'
import { MAX_NOTICE_ID, MAX_OPEN_STREAMS, SETUP_REPEAT_MAX_MS } from './constants.js'
import type { Invites } from './invites.js'
import type { Ledger } from './ledger.js'
import type { Lines } from './lines.js'
import { Losses } from './losses.js'
import type { News } from './news.js'
import type { Path, Session } from './session.js'
import type { Sessions } from './sessions.js'
import type { Turn } from './turn.js'

interface Parts {
  readonly agents: Agents
  readonly commands: Commands
  readonly invites: Invites
  readonly ledger: Ledger
  readonly lines: Lines
  readonly news: News
  readonly sessions: Sessions
  readonly clock: Clock
  readonly nextSequence: () => number
  /** This gateway knows that its ledger is older than its agents'. */
  readonly restored: () => boolean
}

/** One opened packet on its way. */
interface Opened {
  readonly turn: Turn
  readonly session: Session
  readonly agent: Agent
  readonly path: Path
  readonly losses: Losses
}

/** What the messages of an agent change: ledger, outbox, and the life of its sessions. */
export class Inbox {
  readonly #parts: Parts

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** Takes one opened content; a content that does not read counts as empty and is reported. */
  take(turn: Turn, session: Session, agent: Agent, content: Uint8Array, path: Path): void {
    const { news, clock, lines, sessions, commands } = this.#parts
    sessions.revive(turn, session)
    lines.heard(agent, turn.now)
    session.talk.heardAt = turn.now
    session.talk.setupAt = Math.min(session.talk.setupAt, turn.now + SETUP_REPEAT_MAX_MS)
    agent.lastPath = path
    agent.heardAt[path] = turn.now
    agent.lastSeenWallMs = clock.wallMs()
    let messages: UpMessage[]
    try {
      messages = decodeUp(content)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const text = `${agent.name} sent a packet that opens and does not read: update the agent or the gateway`
      return news.report(agent, 'error', 'FW_CONTENT_MALFORMED', text)
    }
    const opened = { turn, session, agent, path, losses: new Losses() }
    for (const message of messages) {
      if (message.kind === 'gap') this.#gap(opened, message)
      else if (message.kind === 'reply') this.#reply(opened, message)
      else this.#data(opened, message)
    }
    opened.losses.tell(turn, agent, news)
    // A command that waited for this session, or for a stamp in it, goes out at once.
    if (commands.isDue(agent, session, turn.now)) session.talk.setupAt = turn.now
  }

  #data(opened: Opened, data: DataMessage): void {
    const { turn, session, agent, losses } = opened
    const { ledger, sessions } = this.#parts
    if (data.clock) agent.clock = data.clock
    if (!session.talk.stamp || data.stampMs > session.talk.stamp.stampMs) {
      session.talk.stamp = { stampMs: data.stampMs, at: turn.now }
    }
    for (const state of data.streams) {
      this.#noteStream(agent, state.stream)
      const unknown = ledger.declare(turn, agent.key, state)
      if (unknown > 0) this.#unknownBelowFloor(turn, agent, unknown, losses)
      mention(session, state.stream)
    }
    if (data.batch) this.#batch(opened, data.batch)
    this.#noticed(turn, session, agent, data.downThrough)
    if (data.ready) this.#ready(turn, session, agent)
    if (data.oldestSession) sessions.endBefore(turn, session, hex(data.oldestSession))
    session.talk.ackDue = true
  }

  #batch({ turn, session, agent, path }: Opened, sealed: SealedBatch): void {
    const { ledger, agents, clock, nextSequence, news } = this.#parts
    const { stream, number } = sealed
    mention(session, stream)
    if (ledger.has(agent.key, stream, number)) return
    this.#noteStream(agent, stream)
    const batch = read(sealed)
    if (batch === 'newer') {
      const text = `${agent.name} packs its readings in a way that this gateway does not know: update the gateway. Until then the agent keeps them`
      return news.report(agent, 'error', 'FW_BATCH_NEWER', text)
    }
    if (ledger.receive(turn, agent.key, stream, number) === 'refused') {
      const text = `${agent.name} numbers its batches beyond what can be kept: they are not acknowledged`
      return news.report(agent, 'error', 'FW_BATCH_REFUSED', text)
    }
    agents.save(turn, agent)
    if (!batch) {
      agent.lost++
      const text = `${agent.name} sent a batch that does not read: it is counted as lost`
      return news.report(agent, 'error', 'FW_BATCH_MALFORMED', text)
    }
    agent.readings += batch.readings.length
    const offset = correction(agent.clock, batch.bootId)
    turn.write(
      outboxWrite(nextSequence(), {
        agent: agent.id,
        name: agent.name,
        path,
        stream: new Uint8Array(stream),
        number,
        historical: sealed.historical,
        receivedWallMs: clock.wallMs(),
        ...(offset !== undefined && { clockOffsetMs: offset }),
        batch: sealed.bytes,
      }),
    )
  }

  #gap({ turn, session, agent, losses }: Opened, { what, cause, readings }: GapMessage): void {
    const { ledger, agents } = this.#parts
    session.talk.ackDue = true
    if ('stream' in what) {
      mention(session, what.stream)
      const missing = ledger.gap(turn, agent.key, what.stream, what.ranges)
      if (missing === 0) return
      const declared = what.ranges.reduce((sum, { from, to }) => sum + to - from, 0)
      // Of batches that had arrived all the same no reading is lost; how many each held, nobody knows any more.
      if (readings === undefined) losses.add(cause, { batches: missing })
      else losses.add(cause, { readings: Math.round((readings * missing) / declared) })
    } else {
      const { startsBefore } = what
      session.talk.startsBefore = Math.max(session.talk.startsBefore, startsBefore)
      const missing = ledger.gapBefore(turn, agent.key, startsBefore)
      const known = startsBefore <= agent.lostBefore
      if (known && missing === 0) return
      agent.lostBefore = Math.max(agent.lostBefore, startsBefore)
      losses.add(cause, readings === undefined ? { batches: missing, unknown: !known } : { readings })
    }
    agents.save(turn, agent)
  }

  #reply({ turn, session, agent }: Opened, message: ReplyMessage): void {
    this.#parts.commands.replied(turn, agent, message)
    session.talk.replied = true
    session.talk.ackDue = true
  }

  /** NOTICEs and COMMANDs up to this id have arrived. */
  #noticed(turn: Turn, session: Session, agent: Agent, through: number): void {
    let from = Math.min(through + 1, agent.noticeNext)
    if (through >= agent.noticeNext && through < MAX_NOTICE_ID) {
      // From a life of this gateway that it does not remember. What it has to say now needs an id above that.
      from = through + 1
      agent.noticeNext = from + 1
      this.#parts.commands.renumber(agent)
    } else this.#parts.commands.taken(agent, through)
    if (from <= agent.noticeFrom) return
    agent.noticeFrom = from
    session.talk.setupAt = turn.now
    this.#parts.agents.save(turn, agent)
  }

  #ready(turn: Turn, session: Session, agent: Agent): void {
    const { sessions, agents, invites, news, lines } = this.#parts
    sessions.confirm(turn, session)
    lines.ready(turn, session, agent)
    if (agent.confirmed) return
    agent.confirmed = true
    agents.save(turn, agent)
    const invite = invites.find(agent.inviteId)
    if (invite && invite.state === 'bound') invites.set(turn, invite, 'used')
    news.report(agent, 'info', 'FW_AGENT_JOINED', `${agent.name} has joined`)
  }

  /** A start has one stream. Two with one start number: the device went back to an older disk, or there are two of it. */
  #noteStream(agent: Agent, stream: Uint8Array): void {
    const { ledger, news } = this.#parts
    if (!ledger.isSecondOfStart(agent.key, stream)) return
    const text = `${agent.name} counts its starts anew: its disk was put back from a copy, or a copy of it runs somewhere else`
    news.report(agent, 'warn', 'FW_AGENT_RESTORED', text)
  }

  /** The agent was told that these are safe, and this ledger does not have them. */
  #unknownBelowFloor(turn: Turn, agent: Agent, batches: number, losses: Losses): void {
    if (this.#parts.restored()) return losses.addBeforeRestore(batches)
    losses.add('ledger', { batches })
    this.#parts.agents.save(turn, agent)
  }
}

/** The stream is to be acknowledged in the next answers, before those that were mentioned longer ago. */
function mention({ talk: { streams, unanswered } }: Session, stream: Uint8Array): void {
  const name = hex(stream)
  for (const set of [streams, unanswered]) {
    set.delete(name)
    set.add(name)
  }
  const [oldest] = streams
  if (streams.size <= MAX_OPEN_STREAMS || oldest === undefined) return
  streams.delete(oldest)
  unanswered.delete(oldest)
}

/** Undefined where it does not read; 'newer' where a later release might read it. */
function read({ bytes }: SealedBatch): Batch | 'newer' | undefined {
  try {
    return decodeBatch(bytes)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return error.code === 'FW_VERSION_UNKNOWN' ? 'newer' : undefined
  }
}

/** Where the agent knows how far its own clock is off, and speaks of the boot the readings come from. */
function correction(clock: ClockReport | undefined, bootId: Uint8Array): number | undefined {
  return clock && hex(clock.bootId) === hex(bootId) ? clock.offsetMs : undefined
}
