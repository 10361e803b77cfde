import { randomBytes } from 'node:crypto'
import { MAX_OPEN_COMMANDS, REPLY_GRACE_MS } from './constants.js'
import { PaletteError } from './errors.js'
import { isRecord, parse } from './readings.js'

/** What the agent answered, or the gateway in its place. */
export interface Reply {
  /** `done`, `refused`, `failed`, `expired` or `unknown`. */
  readonly status: string
  readonly command?: string
  readonly code?: string
  readonly message?: string
  readonly result?: unknown
  /** RFC 3339 in UTC. */
  readonly time?: string
}

export interface Request {
  readonly topic: string
  readonly command: string
  readonly args?: unknown
  readonly ttlMs: number
  /** The node that asks is closed. */
  readonly signal: AbortSignal
}

interface Open {
  readonly reply: (reply: Reply) => void
  readonly fail: (error: PaletteError) => void
}

/** Commands that wait for their reply. Every one ends exactly once: reply, no reply, connection lost, node closed. */
export class Requests {
  readonly #publish: (topic: string, payload: string) => Promise<void>
  readonly #graceMs: number
  readonly #open = new Map<string, Open>()

  constructor(publish: (topic: string, payload: string) => Promise<void>, graceMs = REPLY_GRACE_MS) {
    this.#publish = publish
    this.#graceMs = graceMs
  }

  get open(): number {
    return this.#open.size
  }

  /** Rejects with PaletteError only. */
  ask({ topic, command, args, ttlMs, signal }: Request): Promise<Reply> {
    if (signal.aborted) return Promise.reject(closed())
    if (this.#open.size >= MAX_OPEN_COMMANDS) {
      return Promise.reject(
        new PaletteError('FW_NODERED_TOO_MANY_OPEN', 'error.too-many', { limit: MAX_OPEN_COMMANDS }),
      )
    }
    const correlation = randomBytes(12).toString('hex')
    const payload = JSON.stringify({
      command,
      ...(args !== undefined && { args }),
      ttl: `${ttlMs}ms`,
      correlation,
    })
    return new Promise((resolve, reject) => {
      const settle = (end: () => void): void => {
        if (!this.#open.delete(correlation)) return
        clearTimeout(timer)
        signal.removeEventListener('abort', abort)
        end()
      }
      const fail = (error: PaletteError): void => settle(() => reject(error))
      const abort = (): void => fail(closed())
      const late = (): void => fail(new PaletteError('FW_NODERED_NO_REPLY', 'error.no-reply'))
      const timer = setTimeout(late, ttlMs + this.#graceMs)
      signal.addEventListener('abort', abort)
      this.#open.set(correlation, { reply: (reply) => settle(() => resolve(reply)), fail })
      this.#publish(topic, payload).catch((error: unknown) => {
        fail(error instanceof PaletteError ? error : lost(error))
      })
    })
  }

  /** A message of a reply topic; those of other clients are none of ours. */
  message(payload: Buffer, retained: boolean): void {
    const json = retained ? undefined : parse(payload.toString('utf8'))
    if (!isRecord(json) || typeof json['correlation'] !== 'string') return
    const { correlation, status, command, code, message, result, time } = json
    this.#open.get(correlation)?.reply({
      status: typeof status === 'string' ? status : 'unknown',
      ...(typeof command === 'string' && { command }),
      ...(typeof code === 'string' && { code }),
      ...(typeof message === 'string' && { message }),
      ...(result !== undefined && { result }),
      ...(typeof time === 'string' && { time }),
    })
  }

  /** The connection broke: a reply that was on its way is lost, and nobody knows whether the agent did it. */
  down(): void {
    for (const { fail } of [...this.#open.values()]) fail(lost())
  }
}

function lost(cause?: unknown): PaletteError {
  return new PaletteError('FW_NODERED_CONNECTION_LOST', 'error.lost', {}, { cause })
}

function closed(): PaletteError {
  return new PaletteError('FW_NODERED_CLOSED', 'error.closed')
}
