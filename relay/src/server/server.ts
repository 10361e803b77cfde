import { createServer } from 'node:http'
import type { IncomingMessage, Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import { errorText, systemRandom } from '@fieldwhisper/host'
import type { Reporter } from '@fieldwhisper/host'
import { CLOSING, MAX_MESSAGE_BYTES, NONCE_BYTES, RELAY_PATH } from '@fieldwhisper/mesh/relay-frames'
import type { ListenAddress } from '../config.js'
import {
  CLOSE_MS,
  HANDSHAKE_MS,
  MAX_FRAGMENTS,
  MAX_HTTP_HEADER_BYTES,
  SPARE_SOCKETS,
  WATCH_MS,
} from '../constants.js'
import type { Shared } from '../core/conversation.js'
import { RelayError } from '../errors.js'
import type { RelayLimits } from '../limits.js'
import { admissions, sourceOf, type Admission } from './admission.js'
import { httpHandler } from './http.js'
import type { RelayHealth } from './http.js'
import { RelaySocket } from './socket.js'
import type { TlsFiles } from './tls.js'

export interface RelayServerOptions {
  readonly listen: ListenAddress
  readonly tls: TlsFiles | undefined
  /** Lets clients without the access token in, to their part of everything. */
  readonly open: boolean
  readonly isMember: (authorization: string | undefined) => boolean
  readonly limits: RelayLimits
  readonly shared: Shared
  readonly health: () => RelayHealth
  readonly monoMs: () => number
  readonly reporter: Reporter
}

/** The header of the answer to an upgrade that tells a client how it was let in. */
export const ACCESS_HEADER = 'fieldwhisper-access'

/** The relay's one port: WebSocket at /v1, HTTP beside it. Inert until `start`. */
export class RelayServer {
  readonly #options: RelayServerOptions
  readonly #server: Server
  readonly #ws: WebSocketServer
  readonly #sockets = new Set<RelaySocket>()
  readonly #outbound = { bytes: 0 }
  readonly #members = new WeakSet<IncomingMessage>()
  readonly #all: Admission
  readonly #strangers: Admission
  #watch: NodeJS.Timeout | undefined

  constructor(options: RelayServerOptions) {
    this.#options = options
    const { limits, tls } = options
    const { all, strangers } = admissions(limits)
    this.#all = all
    this.#strangers = strangers
    const http = {
      headersTimeout: HANDSHAKE_MS,
      requestTimeout: HANDSHAKE_MS,
      connectionsCheckingInterval: WATCH_MS,
      keepAliveTimeout: WATCH_MS,
      maxHeaderSize: MAX_HTTP_HEADER_BYTES,
    }
    const handler = httpHandler({
      health: options.health,
      lookup: (slot) => options.shared.directory.lookup(slot),
      source: (request) => sourceOf(request.socket.remoteAddress),
      nowMs: options.monoMs,
    })
    this.#server = tls
      ? createTlsServer({ ...http, cert: tls.cert, key: tls.key, handshakeTimeout: HANDSHAKE_MS }, handler)
      : createServer(http, handler)
    // A second net below the count per source; sockets beyond it are closed by Node itself.
    this.#server.maxConnections = limits.connections + SPARE_SOCKETS
    const ws = {
      noServer: true,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      maxFragments: MAX_FRAGMENTS,
      clientTracking: false,
      closeTimeout: CLOSE_MS,
    }
    this.#ws = new WebSocketServer(ws)
    this.#ws.on('headers', (headers, request) => {
      headers.push(`${ACCESS_HEADER}: ${this.#members.has(request) ? 'member' : 'stranger'}`)
    })
    this.#server.on('connection', (socket: Socket) => this.#onConnection(socket))
    this.#server.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head))
  }

  get connections(): number {
    return this.#sockets.size
  }

  /** Resolves with the port. Rejects with RelayError `FW_RELAY_LISTEN_FAILED`. */
  async start(): Promise<number> {
    const { host, port } = this.#options.listen
    await new Promise<void>((resolve, reject) => {
      const refused = (error: Error): void => {
        const text = `The relay cannot listen on ${host} port ${port}: ${errorText(error)}`
        reject(new RelayError('FW_RELAY_LISTEN_FAILED', text, { cause: error }))
      }
      this.#server.once('error', refused)
      this.#server.listen({ host, port }, () => {
        this.#server.off('error', refused)
        resolve()
      })
    })
    this.#server.on('error', (error) => {
      const text = 'The relay could not take a connection.'
      this.#options.reporter.event('warn', 'FW_RELAY_ACCEPT_FAILED', text, { reason: errorText(error) })
    })
    this.#watch = setInterval(() => {
      const now = this.#options.monoMs()
      for (const socket of this.#sockets) socket.watch(now)
    }, WATCH_MS)
    return (this.#server.address() as AddressInfo).port
  }

  /** Tells every client, closes every socket, and resolves when the port is free. */
  async stop(): Promise<void> {
    clearInterval(this.#watch)
    const closed = new Promise((resolve) => this.#server.close(resolve))
    const gone = [...this.#sockets].map((socket) => socket.ended)
    for (const socket of this.#sockets) socket.end(CLOSING.shutdown, 'The relay stops.')
    await Promise.all(gone)
    this.#server.closeAllConnections()
    await closed
  }

  #onConnection(socket: Socket): void {
    const leave = this.#all.enter(sourceOf(socket.remoteAddress))
    if (!leave) {
      socket.destroy()
      return
    }
    socket.on('close', leave)
  }

  #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on('error', () => socket.destroy())
    if ((request.url ?? '').split('?')[0] !== RELAY_PATH) return refuse(socket, '404 Not Found')
    const member = this.#options.isMember(request.headers.authorization)
    if (!member && !this.#options.open) return refuse(socket, '401 Unauthorized')
    const source = sourceOf(request.socket.remoteAddress)
    const leave = member ? () => undefined : this.#strangers.enter(source)
    if (!leave || this.#sockets.size >= this.#options.limits.connections) {
      leave?.()
      return refuse(socket, '503 Service Unavailable')
    }
    socket.on('close', leave)
    if (member) this.#members.add(request)
    this.#ws.handleUpgrade(request, socket, head, (ws) => {
      const { shared, limits, monoMs, reporter } = this.#options
      const relaySocket = new RelaySocket({
        ws,
        shared,
        member,
        nonce: systemRandom(NONCE_BYTES),
        nowMs: monoMs,
        slowMs: limits.slowMs,
        outbound: this.#outbound,
        onClosed: () => this.#sockets.delete(relaySocket),
        onError: (error) => {
          const text = 'The relay failed while it served a connection; the connection was closed.'
          reporter.event('error', 'FW_RELAY_INTERNAL', text, { reason: errorText(error) })
        },
      })
      this.#sockets.add(relaySocket)
    })
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`, () => socket.destroy())
}
