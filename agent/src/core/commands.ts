import { printable } from '@fieldwhisper/host'
import {
  encodeMessages,
  ProtocolError,
  type CommandMessage,
  type Fields,
  type ReplyMessage,
} from '@fieldwhisper/protocol'
import {
  MAX_COMMANDS,
  MAX_STAMP_AHEAD_MS,
  REPLIES_A_PACKET,
  REPLY_KEPT_MS,
  REPLY_REPEAT_MAX_MS,
  REPLY_REPEAT_MIN_MS,
} from './constants.js'
import type { CoreEffect } from './events.js'
import type { Keeping } from './keeping.js'

/** A command that is to be carried out now. */
export interface DueCommand {
  readonly id: number
  readonly name: string
  readonly args: Fields
}

/** What became of one. `text` is for the person who gave it, `code` has a heading in docs/errors.md. */
export type CommandReply = Omit<ReplyMessage, 'kind' | 'id'>

interface Waiting {
  readonly message: ReplyMessage
  readonly madeAt: number
  dueAt: number
  stepMs: number
}

/**
 * Commands of the gateway (docs/protocol.md 6.8 and 6.9): each is carried out at most once, because its id is on disk before that, and
 * never too late by this machine's own clock.
 *
 *   taken ──on disk──▶ late? ──no──▶ carried out ──▶ REPLY repeated ──reply through, or 15 min──▶ forgotten
 *                        └──yes──▶ expired ────────────┘
 */
export class Commands {
  readonly #keeping: Keeping
  /** Taken, and their ids are not known to be on disk. */
  readonly #taken: CommandMessage[] = []
  /** Being carried out: their names. */
  readonly #running = new Map<number, string>()
  readonly #replies = new Map<number, Waiting>()
  #answeredThrough = 0

  constructor(keeping: Keeping) {
    this.#keeping = keeping
  }

  /** False: there is no room for it, and it may come again. Nothing behind it may be taken before. */
  take(message: CommandMessage, now: number, out: CoreEffect[]): boolean {
    const { site, standing } = this.#keeping
    const isFull = this.#taken.length + this.#running.size + this.#replies.size >= MAX_COMMANDS
    if (standing.state !== 'member') return false
    if (message.id <= site.downThrough) {
      this.#again(message, isFull, now, out)
      return true
    }
    if (isFull) return false
    this.#taken.push(message)
    this.#keeping.saveSite({ ...site, downThrough: message.id }, now, out)
    return true
  }

  /** Begins what is on disk, and forgets replies that nobody waits for any more. */
  step(now: number, out: CoreEffect[]): void {
    for (let next = this.#taken[0]; next && next.id <= this.#keeping.downThrough; next = this.#taken[0]) {
      this.#taken.shift()
      this.#begin(next, now, out)
    }
    for (const [id, { madeAt }] of this.#replies) if (now - madeAt > REPLY_KEPT_MS) this.#replies.delete(id)
  }

  finished(id: number, reply: CommandReply, now: number, out: CoreEffect[]): void {
    const name = this.#running.get(id)
    if (name === undefined) return
    this.#running.delete(id)
    this.#answer(id, name, reply, now, out)
  }

  /** Replies to say now. */
  due(now: number): ReplyMessage[] {
    const due = [...this.#replies.values()].filter(({ dueAt }) => now >= dueAt).slice(0, REPLIES_A_PACKET)
    for (const waiting of due) {
      waiting.dueAt = now + waiting.stepMs
      waiting.stepMs = Math.min(REPLY_REPEAT_MAX_MS, waiting.stepMs * 2)
    }
    return due.map(({ message }) => message)
  }

  /** The gateway waits for no reply up to this id. */
  acknowledged(through: number): void {
    this.#answeredThrough = Math.max(this.#answeredThrough, through)
    for (const id of [...this.#replies.keys()]) if (id <= through) this.#replies.delete(id)
  }

  /** A new session was answered: everything may be said at once. */
  sessionChanged(): void {
    for (const waiting of this.#replies.values()) {
      waiting.dueAt = -Infinity
      waiting.stepMs = REPLY_REPEAT_MIN_MS
    }
  }

  /** The gateway has not heard that this one was taken. */
  #again({ id, name }: CommandMessage, isFull: boolean, now: number, out: CoreEffect[]): void {
    const waiting = this.#replies.get(id)
    if (waiting) waiting.dueAt = now
    const known =
      waiting !== undefined || this.#running.has(id) || this.#taken.some((taken) => taken.id === id)
    if (known || isFull || id <= this.#answeredThrough) return
    const text = 'The agent was restarted after it took this command: nobody knows how far it came.'
    this.#answer(id, name, { status: 'unknown', code: 'FW_COMMAND_FORGOTTEN', text, result: [] }, now, out)
  }

  #begin({ id, name, args, stampMs, ttlMs }: CommandMessage, now: number, out: CoreEffect[]): void {
    if (now - stampMs > ttlMs || stampMs - now > MAX_STAMP_AHEAD_MS) {
      const text = 'The command came too late and was not carried out.'
      this.#answer(id, name, { status: 'expired', code: 'FW_COMMAND_EXPIRED', text, result: [] }, now, out)
      return
    }
    this.#running.set(id, name)
    out.push({ type: 'command', command: { id, name, args } })
  }

  #answer(id: number, name: string, reply: CommandReply, now: number, out: CoreEffect[]): void {
    const message = sendable({ kind: 'reply', id, ...reply })
    this.#replies.set(id, { message, madeAt: now, dueAt: now, stepMs: REPLY_REPEAT_MIN_MS })
    const { status, code, text } = message
    // Never the arguments, nor the result: they may hold what is nobody's business on this machine.
    const fields = { command: printable(name, 64), id, status }
    out.push({ type: 'event', level: status === 'done' ? 'info' : 'warn', code, message: text, fields })
  }
}

/** As it is, or without a result that is too large for a packet. */
function sendable(message: ReplyMessage): ReplyMessage {
  try {
    encodeMessages([message])
    return message
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    return { ...message, result: [] }
  }
}
