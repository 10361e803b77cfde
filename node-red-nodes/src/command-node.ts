import { DEFAULT_TTL_MS, MAX_ARGS_CHARS, MAX_COMMAND_CHARS, MAX_TTL_MS, MIN_TTL_MS } from './constants.js'
import { PaletteError } from './errors.js'
import type { GatewayLink } from './link.js'
import { parse } from './readings.js'
import type { Reply } from './requests.js'
import { textOf, type Config, type Message, type Node, type Red, type Send, type Status } from './red.js'
import { escapeLevel } from './topics.js'
import { useGateway } from './user.js'

interface Asked {
  readonly agent: string
  readonly command: string
  readonly args?: unknown
  readonly ttlMs: number
}

/** A message asks an agent; the answer leaves as a message, and what was not done as an error. */
export function registerCommand(RED: Red): void {
  function FieldwhisperCommand(this: Node, config: Config): void {
    RED.nodes.createNode(this, config)
    const abort = new AbortController()
    const running = new Set<Promise<void>>()
    let last: Status | undefined

    const status = (link: GatewayLink): Status => {
      if (!link.allowed(link.topics.replies(link.site))) {
        return { fill: 'red', shape: 'ring', text: RED._('status.forbidden') }
      }
      if (running.size > 0) {
        return { fill: 'blue', shape: 'dot', text: RED._('status.waiting', { count: running.size }) }
      }
      return last ?? { fill: 'green', shape: 'dot', text: RED._('status.connected') }
    }
    const user = useGateway(RED, this, config, {
      status,
      closed: async () => {
        clearImmediate(due)
        abort.abort()
        endReplies?.()
        await Promise.allSettled(running)
      },
    })
    const { link } = user
    const endReplies = link?.expectReplies()
    let due: NodeJS.Immediate | undefined
    /** A flood of messages is one change of the status. */
    const refresh = (): void => {
      due ??= setImmediate(() => {
        due = undefined
        user.refresh()
      })
    }

    const answer = async (message: Message, send: Send): Promise<void> => {
      if (!link) throw new PaletteError('FW_NODERED_SETTINGS_INVALID', 'error.no-gateway')
      const { agent, ...request } = asked(config, message)
      const reply = await link.command(agent, { ...request, signal: abort.signal })
      if (reply.status !== 'done') throw notDone(agent, request.command, reply)
      // The message that came in belongs to the flow: the answer is a copy of it.
      send({ ...RED.util.cloneMessage(message), payload: reply.result, reply: { agent, ...reply } })
    }

    this.on('input', (message, send, done) => {
      const work = answer(message, send).then(
        () => {
          last = { fill: 'green', shape: 'dot', text: RED._('status.done') }
          return undefined
        },
        (error: unknown) => {
          const explained = explain(RED, user.explain, error)
          const text = RED._((error instanceof PaletteError && STATUS[error.code]) || 'status.failed')
          last = { fill: 'red', shape: 'ring', text }
          return explained
        },
      )
      const end = work
        .then((error) => {
          running.delete(end)
          refresh()
          done(error)
        })
        // Whatever the rest of the flow does with the answer, the runtime goes on.
        .catch((error: unknown) => this.warn(String(error)))
      running.add(end)
      refresh()
    })
  }
  RED.nodes.registerType('fieldwhisper-command', FieldwhisperCommand)
}

const STATUS: Readonly<Partial<Record<PaletteError['code'], string>>> = {
  FW_NODERED_COMMAND_NOT_DONE: 'status.not-done',
  FW_NODERED_CONNECTION_LOST: 'status.lost',
  FW_NODERED_INPUT_INVALID: 'status.invalid',
  FW_NODERED_NOT_CONNECTED: 'status.not-connected',
  FW_NODERED_NO_REPLY: 'status.no-reply',
  FW_NODERED_SETTINGS_INVALID: 'status.no-gateway',
  FW_NODERED_SITE_UNKNOWN: 'status.no-site',
  FW_NODERED_TOO_MANY_OPEN: 'status.too-many',
}

/** Sentences of this node's own catalogue, and those of the gateway node's. */
function explain(RED: Red, common: (error: unknown) => Error, error: unknown): Error {
  if (!(error instanceof PaletteError) || !OWN.has(error.key)) return common(error)
  const { code, key, details, cause } = error
  // The reply of an agent that did not do it reaches the Catch node as `msg.error.cause`.
  return Object.assign(new Error(RED._(key, details), cause === undefined ? {} : { cause }), { code })
}

const OWN = new Set([
  'error.agent',
  'error.command',
  'error.args',
  'error.ttl',
  'error.no-gateway',
  'error.not-done',
])

function notDone(agent: string, command: string, reply: Reply): PaletteError {
  const { status, code = '', message = '' } = reply
  const details = { agent, command, status, reason: [message, code && `(${code})`].filter(Boolean).join(' ') }
  return new PaletteError('FW_NODERED_COMMAND_NOT_DONE', 'error.not-done', details, { cause: reply })
}

/** What the node's fields say goes before what the message says. Throws PaletteError `FW_NODERED_INPUT_INVALID`. */
function asked(config: Config, message: Message): Asked {
  const agent = textOf(config, 'agent') || message['agent']
  const command = textOf(config, 'command') || message['command']
  if (typeof agent !== 'string' || agent === '') throw invalid('error.agent')
  escapeLevel(agent)
  if (typeof command !== 'string' || command === '' || command.length > MAX_COMMAND_CHARS)
    throw invalid('error.command')
  const args = argumentsOf(config, message)
  return { agent, command, ttlMs: ttlOf(config, message), ...(args !== undefined && { args }) }
}

function argumentsOf(config: Config, message: Message): unknown {
  const fixed = textOf(config, 'args')
  const args = fixed === '' ? message['args'] : parse(fixed)
  if (fixed !== '' && args === undefined) throw invalid('error.args')
  let text: string | undefined
  try {
    text = JSON.stringify(args)
  } catch {
    throw invalid('error.args')
  }
  if ((text?.length ?? 0) > MAX_ARGS_CHARS || (args !== undefined && text === undefined))
    throw invalid('error.args')
  return args
}

/** Seconds, in the node's field or in `msg.ttl`. */
function ttlOf(config: Config, message: Message): number {
  const given = config['ttl'] === '' || config['ttl'] === undefined ? message['ttl'] : config['ttl']
  const ttlMs = given === undefined ? DEFAULT_TTL_MS : Math.round(Number(given) * 1_000)
  if (!(ttlMs >= MIN_TTL_MS && ttlMs <= MAX_TTL_MS)) throw invalid('error.ttl')
  return ttlMs
}

function invalid(key: string): PaletteError {
  return new PaletteError('FW_NODERED_INPUT_INVALID', key)
}
