import type { Reporter } from '@fieldwhisper/host'

import type { GatewayError } from '../errors.js'
import {
  CONNECTION_PROVEN_MS,
  MAX_WAITING_NOTES,
  RECONNECT_BASE_MS,
  RECONNECT_CAP_MS,
  RECONNECT_FLOOR_MS,
  STOP_TIMEOUT_MS,
} from './constants.js'
import { MqttConnection, type ConnectionEnd, type ProtocolVersion } from './mqtt-connection.js'
import { isVersionRefusal, mqttTrouble, publishError } from './mqtt-errors.js'
import { matches } from './mqtt-filter.js'
import { settleWithin } from './output.js'
import type { MessageHandler, Output, OutputEvents, OutputStatus } from './output.js'
import { readTlsFiles, type TlsPaths } from './tls-files.js'
import type { Message, MessageProperties } from './topics.js'

/** `auto`: 5, or 3.1.1 for the life of this process where the broker does not know 5. */
export type MqttVersion = 'auto' | '5' | '3.1.1'

export interface MqttTls extends TlsPaths {
  /** Name that the broker's certificate must have, where it is another than that of the URL. */
  readonly servername?: string
}

export interface MqttOutputOptions {
  /** `mqtt://`, `mqtts://`, `ws://` or `wss://`, host and port, without user and password. Asked for each connection. */
  readonly url: string | (() => string)
  /** `auto` if absent. */
  readonly version?: MqttVersion
  readonly user?: string
  readonly password?: string
  /** For mqtts:// and wss://. Read anew for every connection, so that a renewed certificate is taken up. */
  readonly tls?: MqttTls
  /** Stays the same over restarts, so that the broker ends a connection that it still believes in. */
  readonly clientId: string
  /** What the broker says in the gateway's place when the connection breaks; asked for before each connection if it changes. */
  readonly will: Message | (() => Promise<Message>)
  /** Should tell the same trouble at a bounded rate. */
  readonly reporter: Reporter
  readonly monoMs: () => number
  /** 0 to below 1. */
  readonly random?: () => number
  /** Longest time between two dials, 10 s by default. */
  readonly reconnectCapMs?: number
}

export interface ExternalStatus extends OutputStatus {
  /** Version of MQTT that is spoken; absent while it is not connected. */
  readonly version?: '5' | '3.1.1'
}

/** An external broker. Every connection is a new one, so that nothing of an old one is sent behind the outbox's back. */
export class MqttOutput implements Output {
  readonly #options: MqttOutputOptions
  readonly #subscriptions: { readonly filter: string; readonly handler: MessageHandler }[] = []
  #events: OutputEvents | undefined
  #connection: MqttConnection | undefined
  #version: ProtocolVersion
  #upAt: number | undefined
  #timer: NodeJS.Timeout | undefined
  #attempt = 0
  #connects = 0
  #oneByOne = 0
  #lastError: string | undefined
  #stopped = false

  constructor(options: MqttOutputOptions) {
    this.#options = options
    this.#version = options.version === '3.1.1' ? 4 : 5
  }

  get connected(): boolean {
    return this.#connection?.up ?? false
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
    const answers = connection.up && (await settleWithin(STOP_TIMEOUT_MS, this.publish(farewell)))
    await settleWithin(STOP_TIMEOUT_MS, connection.end(!answers))
    connection.close()
  }

  async publish(message: Message): Promise<void> {
    const connection = this.#connection
    if (!connection?.up) throw publishError(undefined)
    try {
      await connection.publish(message)
    } catch (error) {
      this.#tellRefusal(error as GatewayError, message)
      throw error
    }
  }

  subscribe(filter: string, handler: MessageHandler): void {
    this.#subscriptions.push({ filter, handler })
    if (this.#connection?.up) this.#subscribe(this.#connection, filter)
  }

  reconnect(): void {
    const connection = this.#connection
    if (!connection) return
    connection.trouble ??= new Error('Keepalive timeout')
    connection.close()
  }

  /** Says DISCONNECT, so that the broker does not say the will, and dials again. */
  leave(): void {
    void this.#connection?.end(false).catch(() => undefined)
  }

  status(): ExternalStatus {
    return {
      kind: 'external',
      address: this.#url,
      connected: this.connected,
      connects: this.#connects,
      ...(this.connected && { version: this.#version === 5 ? ('5' as const) : ('3.1.1' as const) }),
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
    }
  }

  get #url(): string {
    const { url } = this.#options
    return typeof url === 'string' ? url : url()
  }

  #dial(): void {
    const { will } = this.#options
    if (typeof will !== 'function') return this.#connect(will)
    will().then(
      (message) => this.#connect(message),
      (error: unknown) => this.#again(error, false),
    )
  }

  #connect(will: Message): void {
    if (this.#stopped) return
    const { clientId, user, password } = this.#options
    try {
      const tls = this.#tls()
      const connection: MqttConnection = new MqttConnection(
        {
          url: this.#url,
          version: this.#version,
          clientId,
          will,
          oneByOne: this.#oneByOne,
          ...(user !== undefined && { user }),
          ...(password !== undefined && { password }),
          ...(tls && { tls }),
        },
        {
          up: () => this.#up(connection),
          closed: (end) => this.#closed(connection, end),
          message: (...message) => this.#received(...message),
        },
      )
      this.#connection = connection
    } catch (error) {
      this.#again(error, false)
    }
  }

  #tls(): ReturnType<typeof readTlsFiles> | undefined {
    const { tls = {}, reporter } = this.#options
    if (!/^(mqtts|wss):/.test(this.#url)) return undefined
    const { servername, ...paths } = tls
    return { ...readTlsFiles(paths, reporter), ...(servername !== undefined && { servername }) }
  }

  #up(connection: MqttConnection): void {
    this.#upAt = this.#options.monoMs()
    this.#connects += 1
    this.#lastError = undefined
    this.#oneByOne = 0
    for (const filter of new Set(this.#subscriptions.map(({ filter }) => filter)))
      this.#subscribe(connection, filter)
    this.#events?.up()
  }

  #subscribe(connection: MqttConnection, filter: string): void {
    connection.subscribe(filter, () => {
      const text = 'The MQTT broker does not let this gateway subscribe. Look at its rules for this user.'
      this.#options.reporter.event('error', 'FW_MQTT_SUBSCRIBE_REFUSED', text, { filter })
    })
  }

  #received(topic: string, payload: Uint8Array, retain: boolean, properties: MessageProperties): void {
    for (const { filter, handler } of this.#subscriptions)
      if (matches(filter, topic)) handler(topic, payload, retain, properties)
  }

  #closed(connection: MqttConnection, { suspects, convicted }: ConnectionEnd): void {
    this.#connection = undefined
    // The notes that go out first on a new connection count as well.
    if (suspects > 0) this.#oneByOne = suspects + MAX_WAITING_NOTES
    const upAt = this.#upAt
    this.#upAt = undefined
    if (upAt !== undefined) {
      const { monoMs } = this.#options
      if (monoMs() - upAt >= CONNECTION_PROVEN_MS) this.#attempt = 0
      // Whoever published must hear that the message is refused before he hears that everything is to be repeated.
      if (convicted) setImmediate(() => this.#events?.down())
      else this.#events?.down()
    }
    if (!this.#stopped) this.#again(connection.trouble, upAt !== undefined)
  }

  #again(trouble: unknown, wasUp: boolean): void {
    const { version = 'auto', reporter } = this.#options
    const url = this.#url
    if (!wasUp && version === 'auto' && this.#version === 5 && isVersionRefusal(trouble)) {
      this.#version = 4
      const text = `The MQTT broker at ${url} does not speak MQTT 5; 3.1.1 is spoken with it from now on.`
      reporter.event('info', 'FW_MQTT_VERSION_FALLBACK', text)
    } else {
      const { code, message } = mqttTrouble(trouble, url, wasUp)
      this.#lastError = message
      reporter.event('warn', code, `${message} Readings wait in the outbox; it is tried again for ever.`)
    }
    this.#timer = setTimeout(() => this.#dial(), this.#nextDelay())
  }

  #tellRefusal({ code, message }: GatewayError, { topic }: Message): void {
    if (code !== 'FW_MQTT_NOT_CONNECTED') this.#options.reporter.event('error', code, message, { topic })
  }

  /** Full jitter, so that a hundred gateways do not meet at the broker that has just come back. */
  #nextDelay(): number {
    const { random = Math.random, reconnectCapMs = RECONNECT_CAP_MS } = this.#options
    const span = Math.min(reconnectCapMs, RECONNECT_BASE_MS * 2 ** Math.min(this.#attempt, 20))
    this.#attempt += 1
    return RECONNECT_FLOOR_MS + random() * span
  }
}
