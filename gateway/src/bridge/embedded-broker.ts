import type { EventEmitter } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { errorText, systemCode } from '@fieldwhisper/host'
import type { Reporter, Store } from '@fieldwhisper/host'
import { Aedes } from 'aedes'
import { GatewayError } from '../errors.js'
import { guard } from './broker-guard.js'
import { BrokerReaders } from './broker-readers.js'
import { BrokerSessions, type SessionPersistence } from './broker-sessions.js'
import { BrokerSocket } from './broker-socket.js'
import {
  CLIENT_CONNECT_TIMEOUT_MS,
  CLIENT_DRAIN_TIMEOUT_MS,
  EMBEDDED_FALLBACK_PORTS,
  EMBEDDED_PORT,
  EMBEDDED_RETRY_MS,
  KEEPALIVE_SECONDS,
  MAX_CLIENTS,
  MAX_CONNECT_PACKET_BYTES,
  MAX_EARLY_PACKETS,
  MAX_INBOUND_INFLIGHT,
  MAX_STRANGERS,
  MAX_TOPIC_LEVELS,
  STOP_TIMEOUT_MS,
  WINDOW_MESSAGES,
} from './constants.js'
import { settleWithin, type Output, type OutputEvents, type OutputStatus } from './output.js'
import type { Message } from './topics.js'

export interface EmbeddedBrokerOptions {
  /** 127.0.0.1 unless the operator widens it. */
  readonly host: string
  /** Only this port; absent: 1883 or the next free one of the ten after it. */
  readonly port?: number
  readonly password: string
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
 * The MQTT broker in the gateway's own process: aedes on loopback with one user, limits on everything a client sends, and
 * retained values that the outbox gives back after a restart (`restore`).
 *
 * All messages take the same way through aedes, not retained and QoS 1: aedes hands on a retained or QoS 0 message some
 * turns sooner or later, and drops at a subscriber whatever comes out of its internal order. What is retained is set beside
 * that.
 */
export class EmbeddedBroker implements Output {
  readonly #options: EmbeddedBrokerOptions
  readonly #readers: BrokerReaders
  readonly #sessions: BrokerSessions
  readonly #strangers = new Set<BrokerSocket>()
  readonly #clients = new Set<BrokerSocket>()
  readonly #retained: Message[] = []
  #broker: Aedes | undefined
  #server: Server | undefined
  #port: number | undefined
  #timer: NodeJS.Timeout | undefined
  #lastError: string | undefined
  #up = false
  #stopped = false

  constructor(options: EmbeddedBrokerOptions) {
    this.#options = options
    this.#readers = new BrokerReaders(options.store, options.root)
    this.#sessions = new BrokerSessions(options.reporter)
  }

  get connected(): boolean {
    return this.#up
  }

  async start(events: OutputEvents): Promise<void> {
    const { password, root, reporter, drainMs = CLIENT_DRAIN_TIMEOUT_MS } = this.#options
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
    guard(broker, { password, root, sessions: this.#sessions, reporter, admitted })
    const emitter: EventEmitter = broker
    emitter.on('error', (error: Error) => {
      reporter.event('error', 'FW_BROKER_FAILED', `The embedded MQTT broker had an error: ${error.message}`)
    })
    this.#readers.watch(broker)
    for (const message of this.#retained.splice(0)) await this.#retain(message)
    await this.#listen(events)
  }

  async stop(farewell: Message): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    this.#readers.stop()
    if (this.#up) await settleWithin(STOP_TIMEOUT_MS, this.publish(farewell))
    this.#up = false
    const server = this.#server
    const broker = this.#broker
    const closed = server && new Promise<void>((resolve) => server.close(() => resolve()))
    for (const stranger of this.#strangers) stranger.destroy()
    await settleWithin(STOP_TIMEOUT_MS, Promise.all([...this.#clients].map((client) => client.flushed())))
    if (broker) await settleWithin(STOP_TIMEOUT_MS, new Promise<void>((resolve) => broker.close(resolve)))
    await closed
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

  /** aedes has no connection that could be made anew; a subscriber that stalls is cut by its own deadline. */
  reconnect(): void {}

  async restore(message: Message): Promise<void> {
    if (this.#broker) await this.#retain(message)
    else this.#retained.push(message)
  }

  status(): EmbeddedStatus {
    const { host } = this.#options
    const port = this.#port ?? this.#options.port ?? EMBEDDED_PORT
    return {
      kind: 'embedded',
      address: `mqtt://${host.includes(':') ? `[${host}]` : host}:${port}`,
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
        this.#server = await this.#open(host, tried)
        return this.#opened(this.#server, first, events)
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
    if (!this.#stopped)
      this.#timer = setTimeout(() => void this.#listen(events), this.#options.retryMs ?? EMBEDDED_RETRY_MS)
  }

  #open(host: string, port: number): Promise<Server> {
    const server = createServer((socket) => this.#accept(socket))
    server.maxConnections = MAX_CLIENTS
    server.on('drop', () => this.#full('clients', MAX_CLIENTS))
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port, backlog: MAX_STRANGERS }, () => {
        server.off('error', reject)
        server.on('error', (error) => {
          this.#options.reporter.event(
            'error',
            'FW_BROKER_FAILED',
            `The embedded MQTT broker: ${error.message}`,
          )
        })
        resolve(server)
      })
    })
  }

  #opened(server: Server, wanted: number, events: OutputEvents): void {
    const { reporter, host } = this.#options
    this.#port = (server.address() as AddressInfo).port
    this.#lastError = undefined
    if (wanted !== 0 && this.#port !== wanted) {
      const text = `Port ${wanted} is taken by another program; the embedded MQTT broker listens at ${this.#port}.`
      reporter.event('warn', 'FW_BROKER_PORT_TAKEN', text, { port: this.#port })
    }
    if (!LOOPBACK.test(host)) {
      const text =
        'The embedded MQTT broker is open to the network: readings and its password travel there in the clear.'
      reporter.event('warn', 'FW_BROKER_OPEN', text, { host, port: this.#port })
    }
    void this.#readers.returned().then(() => {
      if (this.#stopped) return
      this.#up = true
      events.up()
    })
  }

  #accept(socket: Socket): void {
    if (this.#stopped || this.#strangers.size >= MAX_STRANGERS) {
      this.#full('clients that have not logged in', MAX_STRANGERS)
      socket.destroy()
      return
    }
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEPALIVE_SECONDS * 1_000)
    const client = new BrokerSocket(socket, MAX_CONNECT_PACKET_BYTES)
    this.#strangers.add(client)
    client.once('close', () => this.#strangers.delete(client))
    this.#broker?.handle(client)
  }

  #admit(client: BrokerSocket): void {
    this.#strangers.delete(client)
    this.#clients.add(client)
    client.once('close', () => this.#clients.delete(client))
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

export interface EmbeddedStatus extends OutputStatus {
  readonly clients: number
  /** Clients that subscribe to readings. */
  readonly readers: number
  /** Of those from before a restart, how many are not back; until they are, 16 s at most, it is not connected. */
  readonly awaitedReaders: number
  /** Messages not kept for persistent sessions that were full. */
  readonly undelivered: number
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/

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
