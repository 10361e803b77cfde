import {
  decodeDown,
  encodeMessages,
  MAX_COMMAND_BYTES,
  MAX_COMMAND_TTL_MS,
  ProtocolError,
  type CommandMessage,
  type Fields,
  type ReplyMessage,
} from '@fieldwhisper/protocol'
import { GatewayError } from '../errors.js'
import type { Agent, Agents } from './agents.js'
import {
  COMMAND_BYTES_A_PACKET,
  COMMAND_GRACE_MS,
  COMMANDS_A_PACKET,
  COMMAND_WORK_MS,
  MAX_COMMANDS_AN_AGENT,
  MAX_OPEN_COMMANDS,
} from './constants.js'
import type { News } from './news.js'
import type { Session } from './session.js'
import type { Turn } from './turn.js'

export interface CommandRequest {
  /** Such as `read_now`. */
  readonly command: string
  readonly args: Fields
  /** It is not carried out later than so many milliseconds from now; 1 to 600,000. */
  readonly ttlMs: number
}

/** What became of a command. */
export type CommandAnswer = Omit<ReplyMessage, 'kind' | 'id'>

interface Open {
  id: number
  readonly agent: Agent
  readonly request: CommandRequest
  readonly givenAt: number
  /** Its id is on disk. */
  committed: boolean
  /** The session it was last sealed in. */
  sentIn: string | undefined
  taken: boolean
  readonly settle: (answer: CommandAnswer) => void
}

interface Parts {
  readonly agents: Pick<Agents, 'save'>
  readonly news: Pick<News, 'report'>
}

/**
 * Commands that are waited for, in memory only: whoever gave one has gone when this process has. Their ids are on disk before they are
 * sent, so that none is used twice (docs/protocol.md 6.8).
 *
 *   given ──sealed, and again in each session──▶ taken ──REPLY──▶ answered
 *     └── time over: expired                       └── no word for 15 s after its time: unknown
 */
export class Commands {
  readonly #parts: Parts
  /** By agent, in the order of their ids. */
  readonly #open = new Map<string, Open[]>()
  #size = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get size(): number {
    return this.#size
  }

  /** Resolves when it is answered. Throws GatewayError FW_COMMAND_TOO_MANY. */
  give(turn: Turn, agent: Agent, request: CommandRequest): Promise<CommandAnswer> {
    const mine = this.#of(agent)
    if (this.#size >= MAX_OPEN_COMMANDS || mine.length >= MAX_COMMANDS_AN_AGENT) {
      const text = `${this.#size} commands have no answer yet, ${mine.length} of them to ${agent.name}: wait for some of them`
      throw new GatewayError('FW_COMMAND_TOO_MANY', text)
    }
    const id = agent.noticeNext++
    this.#parts.agents.save(turn, agent)
    return new Promise((settle) => {
      const state = { committed: false, sentIn: undefined, taken: false }
      const open: Open = { id, agent, request, givenAt: turn.now, ...state, settle }
      this.#open.set(agent.id, [...mine, open])
      this.#size++
      turn.then(() => (open.committed = true))
      // Whoever gave it is told why by the turn.
      turn.otherwise(() => this.#remove(open))
    })
  }

  /**
   * What is to be sealed in this session now, and the id below which nothing is left out: taking a higher one would pass over a command
   * that still waits.
   */
  next(agent: Agent, session: Session, now: number): { commands: CommandMessage[]; below: number } {
    const commands: CommandMessage[] = []
    let bytes = 0
    for (const open of this.#of(agent)) {
      if (open.taken) continue
      const message = open.committed && session.confirmed ? sealable(open, session, now) : undefined
      if (message) bytes += encodeMessages([message]).length
      const isFull = bytes > COMMAND_BYTES_A_PACKET || commands.length >= COMMANDS_A_PACKET
      if (!message || isFull) return { commands, below: open.id }
      open.sentIn = session.name
      commands.push(message)
    }
    return { commands, below: agent.noticeNext }
  }

  /** Whether the id belongs to a command that may still be taken. */
  isOpen(agent: Agent, id: number): boolean {
    return this.#of(agent).some((open) => open.id === id && !open.taken)
  }

  /** The one that is next was not sealed in this session, and could be. */
  isDue(agent: Agent, session: Session, now: number): boolean {
    const first = this.#of(agent).find(({ taken }) => !taken)
    if (!first?.committed || !session.confirmed || first.sentIn === session.name) return false
    return sealable(first, session, now) !== undefined
  }

  /** The agent has everything up to this id. */
  taken(agent: Agent, through: number): void {
    for (const open of this.#of(agent)) if (open.id <= through && open.committed) open.taken = true
  }

  /** The agent knows higher ids than this gateway: what waits would count as taken long ago. */
  renumber(agent: Agent): void {
    for (const open of this.#of(agent)) if (!open.taken) open.id = agent.noticeNext++
  }

  replied(turn: Turn, agent: Agent, { id, status, code, text, result }: ReplyMessage): void {
    const open = this.#of(agent).find((one) => one.id === id)
    if (open) turn.then(() => this.#answer(open, { status, code, text, result }))
  }

  /** No REPLY of this agent up to this id is waited for. */
  replyThrough(agent: Agent): number {
    return (this.#of(agent)[0]?.id ?? agent.noticeNext) - 1
  }

  /** Answers what nobody will answer any more. */
  expire(now: number): void {
    for (const open of [...this.#open.values()].flat()) {
      const { agent, taken, sentIn, givenAt, request } = open
      const over = givenAt + request.ttlMs
      if (taken) {
        if (now > over + COMMAND_WORK_MS) this.#answer(open, unanswered(agent))
      } else if (now > over + (sentIn === undefined ? 0 : COMMAND_GRACE_MS)) {
        const how = sentIn === undefined ? 'was not heard from' : 'did not take it'
        const text = `${agent.name} ${how} within ${request.ttlMs / 1_000} s; it carries it out no more`
        this.#answer(open, { status: 'expired', code: 'FW_COMMAND_EXPIRED', text, result: [] })
      }
    }
  }

  /** The device is shut out. */
  gone(agent: Agent): void {
    const text = `${agent.name} was revoked before the command was sent`
    for (const open of [...this.#of(agent)]) {
      if (open.sentIn !== undefined) this.#answer(open, unanswered(agent))
      else this.#answer(open, { status: 'refused', code: 'FW_COMMAND_REVOKED', text, result: [] })
    }
  }

  /** The process ends. */
  stop(): void {
    const text = 'the gateway ended before the answer came'
    for (const open of [...this.#open.values()].flat())
      this.#answer(open, { status: 'unknown', code: 'FW_GATEWAY_STOPPED', text, result: [] })
  }

  #of({ id }: Agent): readonly Open[] {
    return this.#open.get(id) ?? []
  }

  #answer(open: Open, answer: CommandAnswer): void {
    if (!this.#remove(open)) return
    const { agent, request } = open
    const { status, code } = answer
    const level = status === 'done' ? 'debug' : 'info'
    const text = `${agent.name} was given the command ${request.command}: ${status}`
    this.#parts.news.report(agent, level, 'FW_COMMAND_ANSWERED', text, {
      command: request.command,
      status,
      answer: code,
    })
    open.settle(answer)
  }

  #remove(open: Open): boolean {
    const mine = this.#of(open.agent)
    const rest = mine.filter((one) => one !== open)
    if (rest.length === mine.length) return false
    this.#size--
    if (rest.length > 0) this.#open.set(open.agent.id, rest)
    else this.#open.delete(open.agent.id)
    return true
  }
}

/** Throws GatewayError FW_COMMAND_INVALID, FW_COMMAND_TOO_LARGE. */
export function checkCommand({ command, args, ttlMs }: CommandRequest): void {
  if (!/^[a-z][a-z0-9_.-]{0,63}$/.test(command))
    throw invalid('a command is 1 to 64 small letters, digits and _ . - (such as read_now)')
  if (!Number.isSafeInteger(ttlMs) || ttlMs < 1 || ttlMs > MAX_COMMAND_TTL_MS)
    throw invalid(`a command lives for 1 ms to ${MAX_COMMAND_TTL_MS / 60_000} minutes`)
  try {
    // As it will be sent, with the largest id and stamp.
    const id = 0xffff_ffff
    decodeDown(encodeMessages([{ kind: 'command', id, stampMs: 0.5, ttlMs, name: command, args }]))
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    if (error.code !== 'FW_TOO_LARGE')
      throw invalid('arguments are named texts, numbers, true, false or null, at most 64', error)
    const text = `a command and its arguments take at most ${MAX_COMMAND_BYTES} bytes`
    throw new GatewayError('FW_COMMAND_TOO_LARGE', text, { cause: error })
  }
}

export function invalid(text: string, cause?: unknown): GatewayError {
  return new GatewayError('FW_COMMAND_INVALID', text, cause === undefined ? undefined : { cause })
}

/** Undefined where the session has brought no stamp yet, or the time is over. */
function sealable(
  { id, request, givenAt }: Open,
  { talk }: Session,
  now: number,
): CommandMessage | undefined {
  const { command: name, args, ttlMs } = request
  if (!talk.stamp || now > givenAt + ttlMs) return undefined
  // In the agent's time, and never later than it was: the stamp took its while to come.
  const since = givenAt - talk.stamp.at
  const left = Math.floor(ttlMs + Math.min(0, since))
  if (left < 1) return undefined
  return { kind: 'command', id, stampMs: talk.stamp.stampMs + Math.max(0, since), ttlMs: left, name, args }
}

function unanswered({ name }: Agent): CommandAnswer {
  const text = `${name} may have carried it out; its answer did not come`
  return { status: 'unknown', code: 'FW_COMMAND_UNANSWERED', text, result: [] }
}
