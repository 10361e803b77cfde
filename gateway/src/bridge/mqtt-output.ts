import type { Reporter } from '@fieldwhisper/host'
import mqtt from 'mqtt'
import type { MqttClient } from 'mqtt'

import { GatewayError } from '../errors.js'
import {
  CONNECTION_PROVEN_MS,
  CONNECT_TIMEOUT_MS,
  KEEPALIVE_SECONDS,
  RECONNECT_BASE_MS,
  RECONNECT_CAP_MS,
  RECONNECT_FLOOR_MS,
  STOP_TIMEOUT_MS,
} from './constants.js'
import { mqttTrouble } from './mqtt-errors.js'
import { settleWithin, type Output, type OutputEvents, type OutputStatus } from './output.js'
import type { Message } from './topics.js'

export interface MqttOutputOptions {
  /** `mqtt://host:port` or `mqtts://host:port`, without user and password. */
  readonly url: string
  readonly user?: string
  readonly password?: string
  /** Stays the same over restarts, so that the broker ends a connection that it still believes in. */
  readonly clientId: string
  /** What the broker says in the gateway's place when the connection breaks. */
  readonly will: Message
  /** Should tell the same trouble at a bounded rate. */
  readonly reporter: Reporter
  readonly monoMs: () => number
  /** 0 to below 1. */
  readonly random?: () => number
  /** Longest time between two dials, 30 s by default. */
  readonly reconnectCapMs?: number
}

/** One connection and what waits for its PUBACKs. */
interface Connection {
  readonly client: MqttClient
  readonly pending: Set<(error: Error) => void>
  upAt: number | undefined
  trouble: unknown
  closed: boolean
}

/**
 * An external broker over MQTT 3.1.1. Every connection is a new client of mqtt.js, so that nothing of an old one is kept in
 * memory and sent behind the outbox's back; it reconnects for ever with full jitter.
 */
export class MqttOutput implements Output {
  readonly #options: MqttOutputOptions
  #events: OutputEvents | undefined
  #connection: Connection | undefined
  #timer: NodeJS.Timeout | undefined
  #attempt = 0
  #connects = 0
  #lastError: string | undefined
  #stopped = false

  constructor(options: MqttOutputOptions) {
    this.#options = options
  }

  get connected(): boolean {
    return this.#connection?.upAt !== undefined
  }

  start(events: OutputEvents): Promise<void> {
    this.#events = events
    this.#dial()
    return Promise.resolve()
  }

  async stop(farewell: Message): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    const connection = this.#connection
    if (!connection) return
    const { client } = connection
    const answers =
      connection.upAt !== undefined && (await settleWithin(STOP_TIMEOUT_MS, this.publish(farewell)))
    // Without force mqtt.js says DISCONNECT, so that the broker does not publish the will.
    await settleWithin(STOP_TIMEOUT_MS, client.endAsync(!answers))
    this.#close(connection)
  }

  publish({ topic, payload, retain }: Message): Promise<void> {
    const connection = this.#connection
    if (connection?.upAt === undefined) return Promise.reject(notConnected())
    return new Promise((resolve, reject) => {
      connection.pending.add(reject)
      connection.client.publish(topic, Buffer.from(payload), { qos: 1, retain }, (error) => {
        if (!connection.pending.delete(reject)) return
        if (error) reject(notConnected(error))
        else resolve()
      })
    })
  }

  reconnect(): void {
    const connection = this.#connection
    if (!connection) return
    connection.trouble ??= new Error('Keepalive timeout')
    this.#close(connection)
  }

  status(): OutputStatus {
    return {
      kind: 'external',
      address: this.#options.url,
      connected: this.connected,
      connects: this.#connects,
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
    }
  }

  #dial(): void {
    const { url, user, password, clientId, will } = this.#options
    const client = mqtt.connect(url, {
      clientId,
      clean: true,
      protocolVersion: 4,
      reconnectPeriod: 0,
      queueQoSZero: false,
      resubscribe: false,
      connectTimeout: CONNECT_TIMEOUT_MS,
      keepalive: KEEPALIVE_SECONDS,
      ...(user !== undefined && { username: user }),
      ...(password !== undefined && { password }),
      will: { topic: will.topic, payload: Buffer.from(will.payload), qos: 1, retain: will.retain },
    })
    const connection: Connection = {
      client,
      pending: new Set(),
      upAt: undefined,
      trouble: undefined,
      closed: false,
    }
    this.#connection = connection
    client.on('connect', () => this.#up(connection))
    client.on('error', (error) => (connection.trouble ??= error))
    client.on('close', () => this.#close(connection))
  }

  #up(connection: Connection): void {
    if (connection.closed) return
    connection.upAt = this.#options.monoMs()
    this.#connects += 1
    this.#lastError = undefined
    this.#events?.up()
  }

  /** Once for every connection, whoever ended it. */
  #close(connection: Connection): void {
    if (connection.closed) return
    connection.closed = true
    this.#connection = undefined
    const { client, pending, upAt, trouble } = connection
    for (const reject of pending) reject(notConnected())
    pending.clear()
    client.end(true)
    if (upAt !== undefined) this.#events?.down()
    if (this.#stopped) return
    const { url, reporter, monoMs } = this.#options
    const { code, message } = mqttTrouble(trouble, url, upAt !== undefined)
    this.#lastError = message
    reporter.event('warn', code, `${message} Readings wait in the outbox; it is tried again for ever.`)
    if (upAt !== undefined && monoMs() - upAt >= CONNECTION_PROVEN_MS) this.#attempt = 0
    this.#timer = setTimeout(() => this.#dial(), this.#nextDelay())
  }

  /** Full jitter, so that a hundred gateways do not meet at the broker that has just come back. */
  #nextDelay(): number {
    const { random = Math.random, reconnectCapMs = RECONNECT_CAP_MS } = this.#options
    const span = Math.min(reconnectCapMs, RECONNECT_BASE_MS * 2 ** Math.min(this.#attempt, 20))
    this.#attempt += 1
    return RECONNECT_FLOOR_MS + random() * span
  }
}

function notConnected(cause?: unknown): GatewayError {
  return new GatewayError('FW_MQTT_NOT_CONNECTED', 'The MQTT broker is not connected.', { cause })
}
