import { randomBytes } from 'node:crypto'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import {
  CONNECTION_PROVEN_MS,
  CONNECT_TIMEOUT_MS,
  KEEPALIVE_SECONDS,
  RECONNECT_BASE_MS,
  RECONNECT_CAP_MS,
  RECONNECT_FLOOR_MS,
  STOP_TIMEOUT_MS,
  SUBACK_FAILURE,
} from './constants.js'
import { PaletteError } from './errors.js'
import { troubleOf, type Trouble } from './trouble.js'

export interface Access {
  /** `mqtt://host:port`, `mqtts:`, `ws:` or `wss:`, without user and password. */
  readonly url: string
  readonly user?: string
  readonly password?: string
  /** What Node-RED's TLS node adds: keys and certificates. */
  readonly tls?: Readonly<Record<string, unknown>>
}

export interface ConnectionEvents {
  /** The state is another one. */
  changed(): void
  /** Connected, with nothing subscribed. */
  up(): void
  message(topic: string, payload: Buffer, retained: boolean): void
  /** The broker has answered a subscription; it does not let this user read the ones that are named. */
  subscribed(refused: readonly string[]): void
}

/**
 *             start               CONNACK
 *   stopped ─────────► connecting ───────► connected
 *      ▲                   │  trouble          │ lost
 *      │ stop              ▼                   │
 *      └──────────────  waiting ◄──────────────┘        waiting dials again for ever; it keeps its trouble until CONNACK
 */
export type ConnectionState =
  | { readonly kind: 'stopped' }
  | { readonly kind: 'connecting' }
  | { readonly kind: 'connected'; readonly since: number }
  | { readonly kind: 'waiting'; readonly trouble: Trouble }

export interface ConnectionOptions extends Access {
  readonly events: ConnectionEvents
  /** 0 to below 1. */
  readonly random?: () => number
  /** Longest time between two dials, 10 s by default. */
  readonly reconnectCapMs?: number
}

/** The settings of every connection to a gateway's broker: MQTT 3.1.1, no session, nothing kept in memory behind our back. */
export function clientOptions({ user, password, tls }: Access): IClientOptions {
  return {
    ...(tls as IClientOptions | undefined),
    clientId: `node-red-${randomBytes(8).toString('hex')}`,
    clean: true,
    protocolVersion: 4,
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepalive: KEEPALIVE_SECONDS,
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
  }
}

/** `host:port` of a broker's URL. */
export function addressOf(url: string): string {
  const { host, port, protocol } = new URL(url)
  return port === '' ? `${host}:${DEFAULT_PORTS[protocol] ?? ''}` : host
}

const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  'mqtt:': '1883',
  'mqtts:': '8883',
  'ws:': '80',
  'wss:': '443',
}

/** One dial: a new client of mqtt.js each time. */
interface Dial {
  readonly client: MqttClient
  readonly pending: Set<(error: Error) => void>
  trouble: unknown
  closed: boolean
}

/** The connection of one gateway node. The constructor touches nothing; nothing here ever throws. */
export class Connection {
  readonly #options: ConnectionOptions
  readonly #address: string
  #state: ConnectionState = { kind: 'stopped' }
  #dial: Dial | undefined
  #timer: NodeJS.Timeout | undefined
  #attempt = 0

  constructor(options: ConnectionOptions) {
    this.#options = options
    this.#address = addressOf(options.url)
  }

  get state(): ConnectionState {
    return this.#state
  }

  /** Dials, and dials again for ever. */
  start(): void {
    if (this.#state.kind !== 'stopped') return
    this.#set({ kind: 'connecting' })
    this.#connect()
  }

  /** Resolves when the socket is closed, half a second later at most. */
  async stop(): Promise<void> {
    clearTimeout(this.#timer)
    const dial = this.#dial
    const connected = this.#state.kind === 'connected'
    this.#set({ kind: 'stopped' })
    if (!dial) return
    if (connected) await ended(dial.client)
    this.#close(dial)
  }

  /**
   * Resolves when the broker has taken the message (QoS 1).
   * Rejects with PaletteError `FW_NODERED_NOT_CONNECTED` if it was not sent, `FW_NODERED_CONNECTION_LOST` if nobody knows.
   */
  publish(topic: string, payload: string): Promise<void> {
    const dial = this.#dial
    if (!dial || this.#state.kind !== 'connected') return Promise.reject(notConnected())
    return new Promise((resolve, reject) => {
      dial.pending.add(reject)
      dial.client.publish(topic, payload, { qos: 1 }, (error) => {
        if (!dial.pending.delete(reject)) return
        if (error) reject(lost(error))
        else resolve()
      })
    })
  }

  subscribe(filters: readonly string[]): void {
    const dial = this.#dial
    if (!dial || this.#state.kind !== 'connected' || filters.length === 0) return
    dial.client.subscribe([...filters], { qos: 1 }, (error, _granted, packet) => {
      if (dial.closed) return
      // With an error, the answer of the broker says which ones it refused.
      const answer = packet ?? (error as { packet?: typeof packet }).packet
      const codes: readonly unknown[] = answer?.granted ?? []
      const refused = filters.filter((_, index) => codes[index] === SUBACK_FAILURE)
      this.#options.events.subscribed(error ? refused : [])
    })
  }

  unsubscribe(filters: readonly string[]): void {
    if (this.#state.kind !== 'connected' || filters.length === 0) return
    this.#dial?.client.unsubscribe([...filters], ignore)
  }

  #set(state: ConnectionState): void {
    this.#state = state
    this.#options.events.changed()
  }

  #connect(): void {
    const { url, events } = this.#options
    let client: MqttClient
    try {
      client = mqtt.connect(url, clientOptions(this.#options))
    } catch (error) {
      // Keys or certificates that do not read.
      return this.#retry(error, false)
    }
    const dial: Dial = { client, pending: new Set(), trouble: undefined, closed: false }
    this.#dial = dial
    client.on('connect', () => {
      if (dial.closed || this.#state.kind === 'stopped') return
      this.#set({ kind: 'connected', since: performance.now() })
      events.up()
    })
    client.on('message', (topic, payload, { retain }) => {
      if (!dial.closed) events.message(topic, payload, retain)
    })
    client.on('error', (error) => (dial.trouble ??= error))
    client.on('close', () => this.#close(dial))
  }

  /** Once for every dial, whoever ended it. */
  #close(dial: Dial): void {
    if (dial.closed) return
    dial.closed = true
    this.#dial = undefined
    const { client, pending, trouble } = dial
    client.end(true)
    const state = this.#state
    for (const reject of pending) reject(lost(trouble))
    pending.clear()
    if (state.kind === 'stopped') return
    const connected = state.kind === 'connected'
    if (connected && performance.now() - state.since >= CONNECTION_PROVEN_MS) this.#attempt = 0
    this.#retry(trouble, connected)
  }

  #retry(trouble: unknown, connected: boolean): void {
    this.#timer = setTimeout(() => this.#connect(), this.#nextDelay())
    this.#set({ kind: 'waiting', trouble: troubleOf(trouble, this.#address, connected) })
  }

  /** Full jitter, so that all flows of a hall do not meet at the gateway that has just come back. */
  #nextDelay(): number {
    const { random = Math.random, reconnectCapMs = RECONNECT_CAP_MS } = this.#options
    const span = Math.min(reconnectCapMs, RECONNECT_BASE_MS * 2 ** Math.min(this.#attempt, 20))
    this.#attempt += 1
    return RECONNECT_FLOOR_MS + random() * span
  }
}

/** Says DISCONNECT; gives up waiting for the socket's end after a while. */
function ended(client: MqttClient): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, STOP_TIMEOUT_MS)
    client.end(false, {}, () => {
      clearTimeout(timer)
      resolve()
    })
  })
}

function notConnected(): PaletteError {
  return new PaletteError('FW_NODERED_NOT_CONNECTED', 'error.not-connected')
}

function lost(cause: unknown): PaletteError {
  return new PaletteError('FW_NODERED_CONNECTION_LOST', 'error.lost', {}, { cause })
}

function ignore(): void {}
