/**
 * MQTT programs that nobody here wrote: a private mosquitto broker, and mosquitto_sub as the judge of what arrived.
 * Both run in any `Place`; nothing reads or changes the machine's own mosquitto.
 */
import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../support/until.js'
import { type Place, type Program } from './process.js'

const START_MS = 10_000

export interface BrokerOptions {
  /** Where the configuration goes; a folder of the test. */
  readonly folder: string
  readonly port: number
  /** Address to listen on; 127.0.0.1 if absent. */
  readonly address?: string
  /** With a user only that user may connect, without one anybody may. */
  readonly user?: string
  readonly password?: string
  /** More lines of its configuration. */
  readonly lines?: readonly string[]
}

/** Starts a broker that drops nothing for its queue's length and keeps nothing on disk. Ready when this returns. */
export async function startMosquitto(place: Place, options: BrokerOptions): Promise<Program> {
  const config = join(options.folder, `mosquitto-${options.port}.conf`)
  const lines = [
    `listener ${options.port} ${options.address ?? '127.0.0.1'}`,
    'persistence false',
    // 0 is "no limit": the default of 1,000 queued messages drops readings without a word.
    'max_queued_messages 0',
    'max_inflight_messages 0',
    'log_dest stderr',
    // Started by root it would become user "mosquitto" and could not read the test's folder.
    'user root',
    ...(options.lines ?? []),
  ]
  if (options.user === undefined) {
    lines.push('allow_anonymous true')
  } else {
    const passwords = join(options.folder, `mosquitto-${options.port}.passwords`)
    const made = await place.run('mosquitto_passwd', [
      '-b',
      '-c',
      passwords,
      options.user,
      options.password ?? '',
    ])
    if (made.code !== 0) throw new Error(`mosquitto_passwd failed: ${made.stderr}`)
    chmodSync(passwords, 0o600)
    lines.push('allow_anonymous false', `password_file ${passwords}`)
  }
  writeFileSync(config, `${lines.join('\n')}\n`)
  const broker = place.spawn('mosquitto', ['-c', config])
  await broker.line(/mosquitto version .* running/, START_MS)
  return broker
}

export interface SubscribeOptions {
  readonly host?: string
  readonly port: number
  /** Topic filter; `#` if absent. */
  readonly topic?: string
  readonly user?: string
  readonly password?: string
  /** With MQTT 5, and properties in front of each payload: content type, expiry, response topic, user properties. */
  readonly properties?: boolean
  /** More words of its command line, such as `--cafile FILE`. */
  readonly args?: readonly string[]
  /** With a client id the broker keeps the session while the subscriber is away, and messages wait there. */
  readonly clientId?: string
}

export interface Received {
  /** Unix time in milliseconds at which mosquitto_sub had the message: its own clock, not the test's event loop. */
  readonly atMs: number
  readonly topic: string
  readonly payload: string
  readonly retained: boolean
}

export interface Subscription {
  readonly program: Program
  /** Everything received since the last call of `forget`, in order. */
  readonly messages: readonly Received[]
  /** Empties `messages`, for a new phase of a test. */
  forget(): void
  /** Waits until the messages satisfy `accept`. */
  until(
    accept: (messages: readonly Received[]) => boolean,
    wait: { withinMs: number; what: string },
  ): Promise<void>
}

/** Subscribes with QoS 1. Returns when the broker has confirmed, so that nothing published later can be missed. */
export async function subscribe(place: Place, options: SubscribeOptions): Promise<Subscription> {
  const args = [
    '-h',
    options.host ?? '127.0.0.1',
    '-p',
    String(options.port),
    '-q',
    '1',
    '-t',
    options.topic ?? '#',
  ]
  // -d tells of SUBACK; messages carry a mark, so that the two kinds of line cannot be confused.
  const payload = options.properties ? '%C\\t%E\\t%R\\t%P\\t%p' : '%p'
  args.push('-d', '-F', `${MARK}%U\\t%r\\t%t\\t${payload}`, ...(options.args ?? []))
  if (options.properties) args.push('-V', 'mqttv5')
  if (options.user !== undefined) args.push('-u', options.user, '-P', options.password ?? '')
  if (options.clientId !== undefined) args.push('-i', options.clientId, '-c')
  const messages: Received[] = []
  const program = place.spawn('stdbuf', ['-oL', 'mosquitto_sub', ...args], { name: 'mosquitto_sub' })
  program.onLine((line) => {
    const message = parse(line)
    if (message !== undefined) messages.push(message)
  })
  await program.line(/^Subscribed \(mid/, START_MS)
  return {
    program,
    messages,
    forget: () => void messages.splice(0),
    until: async (accept, wait) => {
      await until(() => accept(messages), wait).catch((cause: unknown) => {
        const text = cause instanceof Error ? cause.message : String(cause)
        throw new Error(`${text}; ${messages.length} messages so far\n${program.output().slice(-2_000)}`, {
          cause,
        })
      })
    },
  }
}

const MARK = '\u0002'

function parse(line: string): Received | undefined {
  if (!line.startsWith(MARK)) return undefined
  const [at, retained, topic, ...payload] = line.slice(MARK.length).split('\t')
  if (at === undefined || topic === undefined) return undefined
  return { atMs: Number(at) * 1_000, topic, payload: payload.join('\t'), retained: retained === '1' }
}

/**
 * Longest time in milliseconds without a message between `fromMs` and `toMs`, both ends counted as silence too.
 * Filter the messages first, e.g. by agent.
 */
export function longestSilenceMs(messages: readonly Received[], fromMs: number, toMs: number): number {
  const times = messages.map((m) => m.atMs).filter((at) => at >= fromMs && at <= toMs)
  const edges = [fromMs, ...times.sort((a, b) => a - b), toMs]
  return edges.slice(1).reduce((longest, at, i) => Math.max(longest, at - (edges[i] ?? at)), 0)
}

/** Keys that occur more than once, each named once. */
export function repeated<T>(items: readonly T[], key: (item: T) => string): string[] {
  const seen = new Map<string, number>()
  for (const item of items) seen.set(key(item), (seen.get(key(item)) ?? 0) + 1)
  return [...seen].flatMap(([name, count]) => (count > 1 ? [name] : []))
}
