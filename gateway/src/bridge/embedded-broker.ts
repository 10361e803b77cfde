import type { EventEmitter } from 'node:events'
import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { SecureContext } from 'node:tls'
import { errorText, systemCode } from '@fieldwhisper/host'
import type { Reporter, Store } from '@fieldwhisper/host'
import { Aedes } from 'aedes'
import { GatewayError } from '../errors.js'
import { BrokerGate } from './broker-gate.js'
import { guard, type Guard } from './broker-guard.js'
import { BrokerListener } from './broker-listener.js'
import { BrokerLogins } from './broker-logins.js'
import { BrokerReaders } from './broker-readers.js'
import { BrokerSessions, type SessionPersistence } from './broker-sessions.js'
import { BrokerSocket } from './broker-socket.js'
import type { BrokerUser } from './broker-users.js'
import {
  CLIENT_CONNECT_TIMEOUT_MS,
  CLIENT_DRAIN_TIMEOUT_MS,
  EMBEDDED_FALLBACK_PORTS,
  EMBEDDED_PORT,
  EMBEDDED_RETRY_MS,
  MAX_CONNECT_PACKET_BYTES,
  MAX_EARLY_PACKETS,
  MAX_INBOUND_INFLIGHT,
  MAX_TOPIC_LEVELS,
  STOP_TIMEOUT_MS,
  WINDOW_MESSAGES,
} from './constants.js'
import { settleWithin } from './output.js'
import type { MessageHandler, Output, OutputEvents, OutputStatus } from './output.js'
import { readTlsFiles } from './tls-files.js'
import type { Message } from './topics.js'

/** A second door: for TLS, or for WebSockets. */
export interface TlsListener {
  readonly host: string
  readonly port: number
  /** PEM files: the certificate, then any intermediate ones, and its private key. */
  readonly cert: string
  readonly key: string
}

export interface WebSocketListener {
  readonly host: string
  readonly port: number
  /** wss:// with the certificate of `tls`. */
  readonly secure: boolean
}

export interface EmbeddedBrokerOptions {
  /** 127.0.0.1 unless the operator widens it. */
  readonly host: string
  /** Only this port; absent: 1883 or the next free one of the ten after it. */
  readonly port?: number
  readonly tls?: TlsListener
  readonly websocket?: WebSocketListener
  /** Of the user `fieldwhisper`. */
  readonly password: string
  /** Further users, each with rules of its own. */
  readonly users?: readonly BrokerUser[]
  /** First topic level, in which only the gateway publishes. */
  readonly root: string
  readonly store: Store
  /** Should tell the same trouble at a bounded rate. */
  readonly reporter: Reporter
  /** Milliseconds until a port that was taken is asked for again, 10,000 by default. */
  readonly retryMs?: number
  /** Milliseconds that a subscriber may hold up all others, 5,000 by default. */
  readonly drainMs?: number
}

/**
 * The MQTT broker in the gateway's own process: aedes on loopback with users, limits on everything a client sends, and
 * retained values that the outbox gives back after a restart (`restore`). Listeners for TLS and WebSockets by option.
 *
 * All messages take the same way through aedes, not retained and QoS 1: aedes hands on a retained or QoS 0 message some
 * turns sooner or later, and drops at a subscriber whatever comes out of its internal order. What is retained is set beside
 * that.
 */
export class EmbeddedBroker implements Output {
  readonly #options: EmbeddedBrokerOptions
  readonly #readers: BrokerReaders
  readonly #sessions: BrokerSessions
  readonly #logins: BrokerLogins
  readonly #gate = new BrokerGate((what, limit) => this.#full(what, limit))
  readonly #clients = new Set<BrokerSocket>()
  readonly #retained: Message[] = []
  readonly #subscriptions: { readonly filter: string; readonly handler: MessageHandler }[] = []
  readonly #listeners = new Set<BrokerListener>()
  /** Addresses of the further listeners that are open. */
  readonly #also: string[] = []
  readonly #timers = new Set<NodeJS.Timeout>()
  #broker: Aedes | undefined
  #guard: Guard | undefined
  #port: number | undefined
  #lastError: string | undefined
  #up = false
  #stopped = false

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options
    this.#readers = new BrokerReaders(options.store, options.root)
    this.#sessions = new BrokerSessions(options.reporter)
    this.#logins = new BrokerLogins(options.password, options.users ?? [])
  }

  get connected(): boolean {
    return this.#up
  }

  async start(events: OutputEvents): Promise<void> {
    const { root, reporter, drainMs = CLIENT_DRAIN_TIMEOUT_MS } = this.#options
    const broker = new Aedes({
      concurrency: WINDOW_MESSAGES,
      connectTimeout: CLIENT_CONNECT_TIMEOUT_MS,
      drainTimeout: drainMs,
      maxInflightInbound: MAX_INBOUND_INFLIGHT,
      maxTopicLevels: MAX_TOPIC_LEVELS,
      queueLimit: MAX_EARLY_PACKETS,
    })
    this.#broker = broker
    await broker.listen()
    this.#sessions.bound(persistenceOf(broker))
    const admitted = (socket: BrokerSocket): void => this.#admit(socket)
    const guarded = { logins: this.#logins, root, sessions: this.#sessions, reporter, admitted }
    this.#guard = guard(broker, guarded)
    const emitter: EventEmitter = broker
    emitter.on('error', (error: Error) => {
      reporter.event('error', 'FW_BROKER_FAILED', `The embedded MQTT broker had an error: ${error.message}`)
    })
    this.#readers.watch(broker)
    for (const { filter, handler } of this.#subscriptions) this.#hear(broker, filter, handler)
    for (const message of this.#retained.splice(0)) await this.#retain(message)
    await this.#listen(events)
    await this.#listenFurther()
  }

  async stop(farewell: Message): Promise<void> {
    this.#stopped = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#readers.stop()
    if (this.#up) await settleWithin(STOP_TIMEOUT_MS, this.publish(farewell))
    this.#up = false
    const broker = this.#broker
    const closed = [...this.#listeners].map((listener) => listener.close())
    this.#gate.closeStrangers()
    await settleWithin(STOP_TIMEOUT_MS, Promise.all([...this.#clients].map((client) => client.flushed())))
    if (broker) await settleWithin(STOP_TIMEOUT_MS, new Promise<void>((resolve) => broker.close(resolve)))
    this.#gate.closeAll()
    await Promise.all(closed)
  }

  /** In force at once: whoever is connected as a user that is gone, or has other rules now, is cut. */
  setUsers(users: readonly BrokerUser[]): void {
    this.#logins.replace(users)
    this.#guard?.recheck()
  }

  publish({ topic, payload, retain }: Message): Promise<void> {
    const broker = this.#broker
    if (!broker || !this.#up) return Promise.reject(notListening())
    // Before the others hear of it, so that whoever subscribes in between gets it at least once.
    const retained = retain ? this.#retain({ topic, payload, retain }) : undefined
    return new Promise((resolve, reject) => {
      const packet = {
        cmd: 'publish',
        qos: 1,
        topic,
        payload: asBuffer(payload),
        retain: false,
        dup: false,
      } as const
      broker.publish(packet, (error) => {
        if (error) reject(error)
        else void Promise.resolve(retained).then(resolve, reject)
      })
    })
  }

  subscribe(filter: string, handler: MessageHandler): void {
    this.#subscriptions.push({ filter, handler })
    if (this.#broker && this.#guard) this.#hear(this.#broker, filter, handler)
  }

  /** aedes has no connection that could be made anew; a subscriber that stalls is cut by its own deadline. */
  reconnect(): void {}

  async restore(message: Message): Promise<void> {
    if (this.#broker) await this.#retain(message)
    else this.#retained.push(message)
  }

  status(): EmbeddedStatus {
    const port = this.#port ?? this.#options.port ?? EMBEDDED_PORT
    return {
      kind: 'embedded',
      address: addressOf('mqtt', this.#options.host, port),
      ...(this.#also.length > 0 && { also: this.#also }),
      users: this.#logins.count,
      connected: this.#up,
      connects: this.#up ? 1 : 0,
      clients: this.#broker?.connectedClients ?? 0,
      readers: this.#readers.count,
      awaitedReaders: this.#readers.awaited,
      undelivered: this.#sessions.dropped,
      ...(this.#lastError !== undefined && { lastError: this.#lastError }),
    }
  }

  async #listen(events: OutputEvents): Promise<void> {
    const { host, port, reporter } = this.#options
    const first = port ?? EMBEDDED_PORT
    const ports = port === undefined ? EMBEDDED_FALLBACK_PORTS + 1 : 1
    let cause: unknown
    for (let tried = first; tried < first + ports; tried += 1) {
      try {
        this.#port = await this.#open(host, tried, {})
        return this.#opened(this.#port, first, events)
      } catch (error) {
        cause = error
        if (systemCode(error) !== 'EADDRINUSE') break
      }
    }
    const where = ports === 1 ? `port ${first}` : `ports ${first} to ${first + ports - 1}`
    const busy = systemCode(cause) === 'EADDRINUSE'
    const reason = busy ? `${where} of ${host} taken by other programs` : errorText(cause)
    this.#lastError = `The embedded MQTT broker cannot listen: ${reason}.`
    reporter.event('error', 'FW_BROKER_NOT_LISTENING', `${this.#lastError} Readings wait in the outbox.`)
    this.#retry(() => this.#listen(events))
  }

  async #listenFurther(): Promise<void> {
    const { tls, websocket } = this.#options
    if (tls) await this.#listenAlso({ scheme: 'mqtts', tls, ...tls })
    if (!websocket) return
    const { secure, ...where } = websocket
    await this.#listenAlso(secure ? { scheme: 'wss', tls, ...where } : { scheme: 'ws', ...where })
  }

  async #listenAlso(door: Door): Promise<void> {
    const { scheme, host, port, tls } = door
    const { reporter } = this.#options
    try {
      const context = tls && readTlsFiles({ cert: tls.cert, key: tls.key }, reporter).context
      const opened = await this.#open(host, port, {
        websocket: scheme === 'ws' || scheme === 'wss',
        ...(context && { tls: context }),
      })
      const address = addressOf(scheme, host, opened)
      this.#also.push(address)
      if (scheme === 'ws') this.#warnOfOpenness(host, opened)
    } catch (error) {
      const files = systemCode(error) === 'FW_MQTT_TLS_FILES'
      const address = addressOf(scheme, host, port)
      const reason = systemCode(error) === 'EADDRINUSE' ? 'another program has this port' : errorText(error)
      const text = `The embedded MQTT broker cannot listen at ${address}: ${reason}.`
      if (files) reporter.event('error', 'FW_MQTT_TLS_FILES', `${errorText(error)} It is tried again.`)
      else reporter.event('error', 'FW_BROKER_NOT_LISTENING', `${text} It is tried again.`)
      this.#retry(() => this.#listenAlso(door))
    }
  }

  #retry(again: () => Promise<void>): void {
    if (this.#stopped) return
    const timer = setTimeout(() => {
      this.#timers.delete(timer)
      void again()
    }, this.#options.retryMs ?? EMBEDDED_RETRY_MS)
    this.#timers.add(timer)
  }

  async #open(
    host: string,
    port: number,
    kind: { tls?: SecureContext; websocket?: boolean },
  ): Promise<number> {
    const listener = new BrokerListener({
      websocket: false,
      ...kind,
      gate: this.#gate,
      accepted: (stream, below) => this.#accept(stream, below),
      failed: ({ message }) => {
        const text = `The embedded MQTT broker: ${message}`
        this.#options.reporter.event('error', 'FW_BROKER_FAILED', text)
      },
    })
    const opened = await listener.listen(host, port)
    this.#listeners.add(listener)
    if (this.#stopped) void listener.close()
    return opened
  }

  #opened(port: number, wanted: number, events: OutputEvents): void {
    const { reporter, host } = this.#options
    this.#lastError = undefined
    if (wanted !== 0 && port !== wanted) {
      const text = `Port ${wanted} is taken by another program; the embedded MQTT broker listens at ${port}.`
      reporter.event('warn', 'FW_BROKER_PORT_TAKEN', text, { port })
    }
    this.#warnOfOpenness(host, port)
    void this.#readers.returned().then(() => {
      if (this.#stopped) return
      this.#up = true
      events.up()
    })
  }

  #warnOfOpenness(host: string, port: number): void {
    if (LOOPBACK.test(host)) return
    const text =
      'The embedded MQTT broker is open to the network: readings and its password travel there in the clear.'
    this.#options.reporter.event('warn', 'FW_BROKER_OPEN', text, { host, port })
  }

  #accept(stream: Duplex, below: Socket): void {
    if (this.#stopped || !this.#broker) return void below.destroy()
    const client = new BrokerSocket(stream, below, MAX_CONNECT_PACKET_BYTES)
    client.once('close', () => this.#gate.leave(below))
    this.#broker.handle(client)
  }

  #admit(client: BrokerSocket): void {
    this.#gate.admit(client.below)
    this.#clients.add(client)
    client.once('close', () => this.#clients.delete(client))
  }

  #hear(broker: Aedes, filter: string, handler: MessageHandler): void {
    const deliver = (
      packet: { topic: string; payload: Buffer | string; retain: boolean },
      done: () => void,
    ) => {
      handler(packet.topic, Buffer.from(packet.payload), packet.retain, {})
      done()
    }
    broker.subscribe(filter, deliver, () => undefined)
  }

  #full(what: string, limit: number): void {
    const text = `The embedded MQTT broker has too many ${what}; new connections are refused.`
    this.#options.reporter.event('warn', 'FW_BROKER_FULL', text, { limit })
  }

  async #retain({ topic, payload }: Message): Promise<void> {
    const packet = { cmd: 'publish', qos: 1, topic, payload: asBuffer(payload), retain: true, dup: false }
    await persistenceOf(this.#broker!).storeRetained(packet)
  }
}

interface Door {
  readonly scheme: 'mqtts' | 'ws' | 'wss'
  readonly host: string
  readonly port: number
  readonly tls?: TlsListener | undefined
}

export interface EmbeddedStatus extends OutputStatus {
  /** Further addresses that are open. */
  readonly also?: readonly string[]
  /** Beside the gateway's own. */
  readonly users: number
  readonly clients: number
  /** Clients that subscribe to readings. */
  readonly readers: number
  /** Of those from before a restart, how many are not back; until they are, 16 s at most, it is not connected. */
  readonly awaitedReaders: number
  /** Messages not kept for persistent sessions that were full. */
  readonly undelivered: number
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

function addressOf(scheme: string, host: string, port: number): string {
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** aedes does not declare it. */
function persistenceOf(broker: Aedes): SessionPersistence {
  return (broker as unknown as { persistence: SessionPersistence }).persistence
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function notListening(): GatewayError {
  return new GatewayError('FW_MQTT_NOT_CONNECTED', 'The embedded MQTT broker takes no messages yet.')
}
