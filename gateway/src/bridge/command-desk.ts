import { errorText, parseDuration, type Reporter } from '@fieldwhisper/host'
import { DEFAULT_TTL_MS, type CommandLine, type CommandOrder } from '../command.js'
import { invalid } from '../core/commands.js'
import { GatewayError } from '../errors.js'
import { MAX_CORRELATION_BYTES, MAX_COMMAND_REQUEST_BYTES, MAX_KNOWN_REQUESTS } from './constants.js'
import { encodePayload, rfc3339, type CommandReplyPayload } from './payload.js'
import { unescapeLevel, type Message, type MessageProperties, type Topics } from './topics.js'

export interface CommandDeskOptions {
  readonly topics: Topics
  readonly publish: (message: Message) => void
  /** Gives the command to the core. Rejects with GatewayError where it cannot even be sent. */
  readonly run: (order: CommandOrder) => Promise<CommandLine>
  readonly reporter: Reporter
  /** Unix time in milliseconds. */
  readonly wallMs: () => number
}

/** What a request says, as far as it could be read. */
interface Asked {
  readonly agent: string
  readonly command?: string
  readonly correlation?: string
  readonly order?: CommandOrder
}

/** Where the answer goes, and what MQTT 5 has it carry. */
interface Envelope {
  readonly topic: string
  readonly properties?: MessageProperties
}

/**
 * Commands by MQTT: a JSON request on `.../$agents/AGENT/command` becomes a sealed command, its answer a JSON reply on
 * `.../$agents/AGENT/reply`, or where an MQTT 5 client wants it. Every request gets one reply; one that a broker brings again, told by
 * its correlation, is not carried out again.
 */
export class CommandDesk {
  readonly #options: CommandDeskOptions
  /** By agent and correlation: the reply, once there is one. Oldest first. */
  readonly #known = new Map<string, Message | undefined>()

  constructor(options: CommandDeskOptions) {
    this.#options = options
  }

  /** A message of the command topics. Never throws. */
  received(topic: string, payload: Uint8Array, retain: boolean, properties: MessageProperties): void {
    const { topics, reporter } = this.#options
    const agent = agentOf(topic)
    if (agent === undefined || payload.length === 0) return
    if (retain) {
      // It would come again with every connection of this gateway, and a valve would open again.
      const text = `a command to ${agent} is retained at the broker: it is not carried out. Publish commands without retain, and an empty retained message to ${topic}`
      return reporter.event('warn', 'FW_COMMAND_RETAINED', text, { agent })
    }
    const correlation = properties.correlation && Buffer.from(properties.correlation).toString('base64')
    const envelope = envelopeOf(agent, topics, properties)
    let asked: Asked = { agent, ...(correlation !== undefined && { correlation }) }
    try {
      asked = { ...asked, ...readRequest(agent, payload) }
      if (this.#isRepeat(asked, envelope)) return
      this.#options.run(asked.order!).then(
        (line) => this.#answer(asked, envelope, line),
        (error: unknown) => this.#answer(asked, envelope, refusal(error)),
      )
    } catch (error) {
      this.#answer(asked, envelope, refusal(error))
    }
  }

  /** True where this request is known: what was answered is answered again. */
  #isRepeat({ agent, correlation }: Asked, envelope: Envelope): boolean {
    if (correlation === undefined) return false
    const key = `${agent}/${correlation}`
    if (this.#known.has(key)) {
      const reply = this.#known.get(key)
      if (reply) this.#options.publish({ ...reply, ...envelope })
      return true
    }
    this.#known.set(key, undefined)
    if (this.#known.size > MAX_KNOWN_REQUESTS) this.#known.delete(this.#known.keys().next().value!)
    return false
  }

  #answer(asked: Asked, envelope: Envelope, answer: Answer): void {
    const { agent, command, correlation } = asked
    const content: CommandReplyPayload = {
      ...(command !== undefined && { command }),
      ...(correlation !== undefined && { correlation }),
      status: answer.status,
      code: answer.code,
      message: answer.message,
      result: answer.result,
      time: rfc3339(this.#options.wallMs()) ?? new Date(0).toISOString(),
    }
    const reply = { ...envelope, payload: encodePayload(content), retain: false }
    const key = `${agent}/${correlation}`
    if (this.#known.has(key) && asked.order) this.#known.set(key, reply)
    this.#options.publish(reply)
  }
}

type Answer = Pick<CommandLine, 'status' | 'code' | 'message' | 'result'>

/** Nothing was sent. */
function refusal(error: unknown): Answer {
  const code = error instanceof GatewayError ? error.code : 'FW_COMMAND_INVALID'
  return { status: 'refused', code, message: errorText(error), result: {} }
}

/** `.../$agents/AGENT/command` */
function agentOf(topic: string): string | undefined {
  try {
    return unescapeLevel(topic.split('/').at(-2) ?? '')
  } catch {
    return undefined
  }
}

/**
 * An MQTT 5 client may name another topic for its answer, outside what the gateway publishes: nobody gets the gateway to say under its
 * own name what it did not say.
 */
function envelopeOf(agent: string, topics: Topics, properties: MessageProperties): Envelope {
  const { responseTopic, correlation } = properties
  const own = topics.reply(agent)
  const isForeign =
    responseTopic !== undefined &&
    responseTopic !== '' &&
    !/[+#\0]/.test(responseTopic) &&
    !responseTopic.startsWith('$') &&
    responseTopic.split('/', 1)[0] !== topics.root
  return {
    topic: isForeign ? responseTopic : own,
    ...(correlation && { properties: { correlation, contentType: 'application/json' } }),
  }
}

/** Throws GatewayError FW_COMMAND_INVALID, FW_COMMAND_TOO_LARGE. */
function readRequest(agent: string, payload: Uint8Array): Required<Pick<Asked, 'order' | 'command'>> & Asked {
  if (payload.length > MAX_COMMAND_REQUEST_BYTES) {
    const text = `a request has at most ${MAX_COMMAND_REQUEST_BYTES} bytes`
    throw new GatewayError('FW_COMMAND_TOO_LARGE', text)
  }
  const { command, args, ttl, correlation } = parseObject(payload)
  if (typeof command !== 'string')
    throw invalid('a request is a JSON object such as {"command":"read_now","correlation":"a1"}')
  if (correlation !== undefined && !isCorrelation(correlation))
    throw invalid(`correlation is a text of 1 to ${MAX_CORRELATION_BYTES} bytes`)
  const ttlMs = ttl === undefined ? DEFAULT_TTL_MS : typeof ttl === 'string' ? parseDuration(ttl) : undefined
  if (ttlMs === undefined) throw invalid('ttl is a time such as "10s", 10 minutes at most')
  return {
    agent,
    command,
    ...(correlation !== undefined && { correlation }),
    order: { agent, command, args, ttlMs },
  }
}

function parseObject(payload: Uint8Array): Record<string, unknown> {
  try {
    const value = JSON.parse(Buffer.from(payload).toString('utf8')) as unknown
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Record<string, unknown>
  } catch {
    // Said below, without the payload: it may hold what nobody should read in a log.
  }
  throw invalid('the payload is not a JSON object')
}

function isCorrelation(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && Buffer.byteLength(value) <= MAX_CORRELATION_BYTES
}
