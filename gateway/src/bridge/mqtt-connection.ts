import mqtt from 'mqtt'
import type { IClientOptions, IPublishPacket, MqttClient } from 'mqtt'
import { WebSocket } from 'ws'

import type { GatewayError } from '../errors.js'
import { CONNECT_TIMEOUT_MS, KEEPALIVE_SECONDS, MAX_RECEIVED_BYTES, REASON } from './constants.js'
import { publishError } from './mqtt-errors.js'
import { publishBytes } from './mqtt-size.js'
import { isRefusal } from './output.js'
import type { TlsFiles } from './tls-files.js'
import type { Message, MessageProperties } from './topics.js'

/** As CONNECT says it: 4 is MQTT 3.1.1. */
export type ProtocolVersion = 4 | 5

export interface ConnectionOptions {
  readonly url: string
  readonly version: ProtocolVersion
  readonly clientId: string
  readonly user?: string
  readonly password?: string
  readonly will: Message
  readonly tls?: TlsFiles & { readonly servername?: string }
  /** So many messages go out one by one: one of them made the broker end the last connection. */
  readonly oneByOne: number
}

export interface ConnectionEvents {
  /** CONNACK has come. */
  up(): void
  /** Once, whoever ended it. Messages that had no answer were rejected before. */
  closed(end: ConnectionEnd): void
  message(topic: string, payload: Uint8Array, retain: boolean, properties: MessageProperties): void
}

export interface ConnectionEnd {
  /** The broker ended it because of a message: how many were without an answer, any of which may be the one. */
  readonly suspects: number
  /** There was only one, and it was rejected as refused. */
  readonly convicted: boolean
}

interface Publish {
  readonly message: Message
  readonly resolve: () => void
  readonly reject: (error: GatewayError) => void
}

/**
 * One connection to an external broker, from the dial to its end: a client of mqtt.js that keeps nothing and does not
 * reconnect. It has no more messages on their way than the broker allows (MQTT 5.0, section 3.2.2.3.3), and sends none that
 * is larger than it takes.
 */
export class MqttConnection {
  readonly version: ProtocolVersion
  /** What ended it, as far as the library or the broker told. */
  trouble: unknown
  readonly #client: MqttClient
  readonly #events: ConnectionEvents
  readonly #sent = new Set<Publish>()
  readonly #waiting: Publish[] = []
  #receiveMaximum = Infinity
  #maximumBytes = Infinity
  #retains = true
  #oneByOne: number
  #up = false
  #closed = false

  /** Throws what the library throws for options that it does not take. */
  constructor(options: ConnectionOptions, events: ConnectionEvents) {
    this.version = options.version
    this.#oneByOne = options.oneByOne
    this.#events = events
    this.#client = mqtt.connect(
      options.url,
      clientOptions(options, (error) => (this.trouble ??= error)),
    )
    this.#client.on('connect', ({ properties = {} }) => {
      if (this.#closed) return
      this.#receiveMaximum = properties.receiveMaximum ?? Infinity
      this.#maximumBytes = properties.maximumPacketSize ?? Infinity
      this.#retains = properties.retainAvailable !== false
      this.#up = true
      events.up()
    })
    this.#client.on('error', (error) => (this.trouble ??= error))
    this.#client.on('disconnect', ({ reasonCode }) => {
      this.trouble ??= Object.assign(new Error('DISCONNECT'), { code: reasonCode, disconnect: true })
    })
    this.#client.on('close', () => this.close())
    this.#client.on('message', (topic, payload, { retain, properties }) => {
      events.message(topic, payload, retain, received(properties))
    })
  }

  get up(): boolean {
    return this.#up && !this.#closed
  }

  publish(message: Message): Promise<void> {
    return new Promise((resolve, reject) => {
      if (publishBytes(message) > this.#maximumBytes)
        return reject(publishError({ code: REASON.packetTooLarge }))
      this.#waiting.push({ message, resolve, reject })
      this.#pump()
    })
  }

  /** Calls back with the reason if the broker refuses. */
  subscribe(filter: string, refused: (error: Error) => void): void {
    this.#client.subscribe(filter, { qos: 1, ...(this.version === 5 && { rap: true }) }, (error) => {
      if (error && this.up) refused(error)
    })
  }

  /** Says DISCONNECT, so that the broker does not publish the will. */
  async end(force: boolean): Promise<void> {
    await this.#client.endAsync(force)
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    const sent = [...this.#sent]
    this.#sent.clear()
    const verdict = publishError(this.trouble)
    const blamed = isDisconnect(this.trouble) && isRefusal(verdict)
    // Without one-by-one the last one sent is not the only one that the broker may have been at.
    const convicted = blamed && this.#oneByOne > 0 && sent.length === 1
    for (const { reject } of sent) reject(convicted ? verdict : publishError(undefined))
    for (const { reject } of this.#waiting.splice(0)) reject(publishError(undefined))
    this.#client.end(true)
    this.#events.closed({ suspects: blamed && !convicted ? sent.length : 0, convicted })
  }

  #pump(): void {
    while (this.up && this.#waiting.length > 0 && this.#sent.size < this.#window)
      this.#send(this.#waiting.shift()!)
  }

  get #window(): number {
    return this.#oneByOne > 0 ? 1 : this.#receiveMaximum
  }

  #send(publish: Publish): void {
    const { topic, payload, retain, qos = 1, properties } = publish.message
    this.#sent.add(publish)
    const options = {
      qos,
      retain: retain && this.#retains,
      ...(this.version === 5 && properties && { properties: packetProperties(properties) }),
    }
    this.#client.publish(topic, asBuffer(payload), options, (error) => {
      if (!this.#sent.delete(publish)) return
      if (this.#oneByOne > 0) this.#oneByOne -= 1
      if (error) this.#refused(publish, publishError(error))
      else publish.resolve()
      this.#pump()
    })
  }

  #refused({ reject }: Publish, error: GatewayError): void {
    reject(error)
    if (isRefusal(error)) return
    // Whoever publishes begins again at this one, with those behind it.
    for (const waiting of this.#waiting.splice(0)) waiting.reject(publishError(undefined))
  }
}

function clientOptions(options: ConnectionOptions, trouble: (error: Error) => void): IClientOptions {
  const { url, version, clientId, user, password, will, tls } = options
  const secret = tls && {
    rejectUnauthorized: true,
    ...(tls.ca && { ca: tls.ca }),
    ...(tls.cert && { cert: tls.cert }),
    ...(tls.key && { key: tls.key }),
    ...(tls.servername !== undefined && { servername: tls.servername }),
  }
  return {
    clientId,
    clean: true,
    protocolVersion: version,
    ...(version === 5 && { properties: { maximumPacketSize: MAX_RECEIVED_BYTES } }),
    reconnectPeriod: 0,
    queueQoSZero: false,
    resubscribe: false,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepalive: KEEPALIVE_SECONDS,
    ...(user !== undefined && { username: user }),
    ...(password !== undefined && { password }),
    will: { topic: will.topic, payload: asBuffer(will.payload), qos: 1, retain: will.retain },
    ...secret,
    // The library would hide why no WebSocket came about, and cannot write IPv6 addresses.
    createWebsocket: (_url, protocols) => {
      const limits = { handshakeTimeout: CONNECT_TIMEOUT_MS, maxPayload: MAX_RECEIVED_BYTES }
      const socket = new WebSocket(url, protocols, { ...limits, perMessageDeflate: false, ...secret })
      socket.on('error', trouble)
      return socket
    },
  }
}

function isDisconnect(trouble: unknown): boolean {
  return typeof trouble === 'object' && trouble !== null && 'disconnect' in trouble
}

function packetProperties(properties: MessageProperties): NonNullable<IPublishPacket['properties']> {
  const { user, contentType, expirySeconds, responseTopic, correlation } = properties
  return {
    ...(user && { userProperties: { ...user } }),
    ...(contentType !== undefined && { contentType }),
    ...(expirySeconds !== undefined && { messageExpiryInterval: expirySeconds }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlation && { correlationData: asBuffer(correlation) }),
  }
}

function received(properties: IPublishPacket['properties']): MessageProperties {
  const { userProperties, contentType, messageExpiryInterval, responseTopic, correlationData } =
    properties ?? {}
  // A name may stand there several times; the first counts.
  const pairs = Object.entries(userProperties ?? {}).map(([name, value]) => [name, [value].flat()[0] ?? ''])
  return {
    ...(userProperties && { user: Object.fromEntries(pairs) as Record<string, string> }),
    ...(contentType !== undefined && { contentType }),
    ...(messageExpiryInterval !== undefined && { expirySeconds: messageExpiryInterval }),
    ...(responseTopic !== undefined && { responseTopic }),
    ...(correlationData && { correlation: correlationData }),
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
