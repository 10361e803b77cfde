import type { EmbeddedAgent, EmbeddedAgentStatus, ProgramReading } from '@fieldwhisper/agent' with {
  'resolution-mode': 'import',
}
import {
  AGENT_LOOK_MS,
  AGENT_OPEN_WAIT_MS,
  AGENT_RETRY_MS,
  AGENT_STOP_MS,
  HEARD_WITHIN_MS,
  MAX_WAITING_FOR_AGENT,
} from './constants.js'
import { PaletteError } from './errors.js'
import type { Badge } from './link.js'

export interface HostedAgentOptions {
  readonly stateDir: string
  /** What it calls itself until it has joined; at most 64 characters. */
  readonly name: string
  /** Empty: it has joined, or the operator has yet to enter one. */
  readonly invite: string
  readonly lan: boolean
  /** Room for readings that wait, as in `spool.max_bytes`; empty: the agent's default. */
  readonly room: string
  readonly onFull: 'drop_oldest' | 'drop_newest'
  /** Something that the operator should read: an event of the agent, or why it does not open. */
  readonly onProblem: (text: string) => void
}

const OPENING: Badge = { fill: 'grey', shape: 'ring', key: 'agent.opening', details: {} }

type State =
  | { readonly kind: 'opening' }
  | { readonly kind: 'open'; readonly agent: EmbeddedAgent; readonly lostBefore: number }
  | { readonly kind: 'failed'; readonly code: string; readonly error: unknown }

/** One agent of a Node-RED: opened at once, tried again where that fails, and kept until the node is closed. */
export class HostedAgent {
  readonly #options: HostedAgentOptions
  readonly #listeners = new Set<() => void>()
  readonly #taking = new Set<Promise<void>>()
  #state: State = { kind: 'opening' }
  readonly #look: NodeJS.Timeout
  #opened: Promise<void>
  #retry: NodeJS.Timeout | undefined
  #waiting = 0
  #ending = false
  #told = ''
  #badge: Badge = OPENING

  constructor(options: HostedAgentOptions) {
    this.#options = options
    this.#opened = this.#open()
    this.#look = setInterval(() => this.#tell(), AGENT_LOOK_MS)
  }

  /** `changed` is called when `badge` may say something else; returns how to end it. */
  join(changed: () => void): () => void {
    this.#listeners.add(changed)
    return () => this.#listeners.delete(changed)
  }

  /** Resolves when they are kept on disk. Rejects with PaletteError `FW_NODERED_AGENT_NOT_OPEN`, or what the agent says. */
  accept(readings: readonly ProgramReading[]): Promise<void> {
    const taken = this.#take(readings, this.#ending)
    const settled = taken.then(ignore, ignore).then(() => void this.#taking.delete(settled))
    this.#taking.add(settled)
    return taken
  }

  /** What a node that uses it shows. Keys are those of the agent node's catalogue. */
  badge(): Badge {
    return this.#badge
  }

  /** Ends the agent, which writes what it took. Resolves in any case, in 3 s at most. */
  async stop(): Promise<void> {
    this.#ending = true
    clearTimeout(this.#retry)
    clearInterval(this.#look)
    this.#listeners.clear()
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, AGENT_STOP_MS)))
    await Promise.race([this.#close(), late])
    clearTimeout(timer)
  }

  /** What came while it was opening is kept before it ends. */
  async #close(): Promise<void> {
    await this.#opened
    await Promise.all(this.#taking)
    if (this.#state.kind !== 'open') return
    await this.#state.agent.close().catch((error: unknown) => this.#options.onProblem(String(error)))
  }

  async #take(readings: readonly ProgramReading[], ending: boolean): Promise<void> {
    if (this.#state.kind === 'opening') await this.#wait()
    const state = this.#state
    if (state.kind === 'open' && !ending) return state.agent.accept(...readings)
    const key = state.kind === 'failed' ? failure(state.code) : 'agent.opening'
    const cause = state.kind === 'failed' ? { cause: state.error } : {}
    throw new PaletteError('FW_NODERED_AGENT_NOT_OPEN', key, {}, cause)
  }

  async #open(): Promise<void> {
    const { stateDir, name, invite, lan, room, onFull, onProblem } = this.#options
    try {
      const { EmbeddedAgent } = await import('@fieldwhisper/agent')
      const agent = await EmbeddedAgent.open({
        stateDir,
        ...(name !== '' && { name }),
        ...(invite !== '' && { invite }),
        config: {
          lan: { enabled: lan },
          spool: { on_full: onFull, ...(room !== '' && { max_bytes: room }) },
        },
        onEvent: ({ level, code, message }) => {
          if (level === 'error' || TOLD.has(code)) onProblem(`${message} (${code})`)
        },
      })
      this.#state = { kind: 'open', agent, lostBefore: agent.status().lost }
    } catch (error) {
      const code = codeOf(error)
      this.#state = { kind: 'failed', code, error }
      const text = error instanceof Error ? `${error.message} (${code})` : String(error)
      if (text !== this.#told) onProblem((this.#told = text))
      // These two are the operator's to correct: a deploy follows.
      if (this.#ending || code === 'FW_INVITE_INVALID' || code === 'FW_CONFIG_INVALID') return
      this.#retry = setTimeout(() => {
        this.#opened = this.#open()
      }, AGENT_RETRY_MS)
    } finally {
      this.#tell()
    }
  }

  /** For messages that come right after a deploy. */
  async #wait(): Promise<void> {
    if (this.#waiting >= MAX_WAITING_FOR_AGENT) return
    this.#waiting++
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => (timer = setTimeout(resolve, AGENT_OPEN_WAIT_MS)))
    await Promise.race([this.#opened, late])
    clearTimeout(timer)
    this.#waiting--
  }

  /** Looked at so often whatever the flow does: a status costs a walk through the agent. */
  #tell(): void {
    const state = this.#state
    if (state.kind === 'open') this.#badge = badgeOf(state)
    else if (state.kind === 'failed') {
      this.#badge = { fill: 'red', shape: 'ring', key: failure(state.code), details: {} }
    }
    for (const listener of [...this.#listeners]) listener()
  }
}

/** Below level error and yet of interest to whoever looks at the flow. */
const TOLD = new Set(['FW_SPOOL_FULL', 'FW_SPOOL_AGED', 'FW_AGENT_IDENTITY_NEW'])

const FAILURES: Readonly<Record<string, string>> = {
  FW_INVITE_INVALID: 'agent.invite-invalid',
  FW_CONFIG_INVALID: 'agent.settings-invalid',
  FW_STATE_IN_USE: 'agent.in-use',
  FW_STATE_DIR: 'agent.folder',
  FW_FILE_NEWER: 'agent.newer',
  FW_STORE_NEWER: 'agent.newer',
  ERR_MODULE_NOT_FOUND: 'agent.not-installed',
}

function failure(code: string): string {
  return FAILURES[code] ?? 'agent.failed'
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : 'unknown'
}

const REFUSED = {
  'invite-expired': 'agent.invite-expired',
  'invite-used': 'agent.invite-used',
  'name-taken': 'agent.name-taken',
  revoked: 'agent.revoked',
} as const

const HELD = {
  clone: 'agent.clone',
  confirm: 'agent.confirm',
  disk: 'agent.gateway-full',
  'outbox-full': 'agent.gateway-full',
} as const

function badgeOf({ agent, lostBefore }: { agent: EmbeddedAgent; lostBefore: number }): Badge {
  try {
    return wordsFor(agent.status(), lostBefore)
  } catch {
    // A database engine that failed does not even count.
    return { fill: 'red', shape: 'ring', key: 'agent.disk-failed', details: {} }
  }
}

/** The first of these that is true is what the operator has to know; `lostBefore`: readings lost before this start. */
export function wordsFor(status: EmbeddedAgentStatus, lostBefore: number): Badge {
  const { waiting, refused, hold } = status
  const lost = status.lost - lostBefore
  const details = { waiting, lost, name: status.name ?? '' }
  if (status.failed) return { fill: 'red', shape: 'ring', key: 'agent.disk-failed', details }
  if (status.needsInvite) return { fill: 'red', shape: 'ring', key: 'agent.no-invite', details }
  if (refused) return { fill: 'red', shape: 'ring', key: REFUSED[refused], details }
  if (hold) return { fill: 'yellow', shape: 'ring', key: HELD[hold], details }
  if (!status.joined) return { fill: 'yellow', shape: 'ring', key: 'agent.joining', details }
  if (waiting > 0 && (status.heardAgoMs ?? Infinity) > HEARD_WITHIN_MS) {
    return { fill: 'yellow', shape: 'ring', key: 'agent.silent', details }
  }
  if (lost > 0) return { fill: 'yellow', shape: 'dot', key: 'agent.lost', details }
  if (waiting > 0) return { fill: 'green', shape: 'dot', key: 'agent.waiting', details }
  return { fill: 'green', shape: 'dot', key: 'agent.sent', details }
}

function ignore(): void {}
