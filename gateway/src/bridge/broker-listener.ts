import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { TLSSocket, type SecureContext } from 'node:tls'
import { createWebSocketStream, WebSocketServer } from 'ws'
import type { BrokerGate } from './broker-gate.js'
import {
  CLIENT_CONNECT_TIMEOUT_MS,
  KEEPALIVE_SECONDS,
  MAX_CLIENT_PACKET_BYTES,
  MAX_FRAGMENTS,
  MAX_STRANGERS,
  MAX_UPGRADE_BYTES,
} from './constants.js'

export interface ListenerOptions {
  /** With it the listener speaks TLS. */
  readonly tls?: SecureContext
  readonly websocket: boolean
  readonly gate: BrokerGate
  /** A stream of MQTT packets, and the TCP connection below it. */
  readonly accepted: (stream: Duplex, socket: Socket) => void
  readonly failed: (error: Error) => void
}

/**
 * One port of the embedded broker:
 *
 *   TCP connection -> gate -> (TLS handshake) -> (HTTP upgrade to a WebSocket) -> MQTT
 *
 * Each stage has 10 s. No server of Node's but the one for TCP listens, so that the gate stands before everything else.
 */
export class BrokerListener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #http: HttpServer | undefined
  readonly #below = new WeakMap<Duplex, { readonly socket: Socket; readonly late: NodeJS.Timeout }>()

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#server = createServer((socket) => this.#connection(socket))
    this.#http = options.websocket ? this.#upgrades() : undefined
  }

  /** Resolves with the port. */
  listen(host: string, port: number): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host, port, backlog: MAX_STRANGERS }, () => {
        this.#server.off('error', reject)
        this.#server.on('error', this.#options.failed)
        resolve((this.#server.address() as AddressInfo).port)
      })
    })
  }

  /** Takes nobody any more; resolves when the last connection has ended. */
  close(): Promise<void> {
    return new Promise((resolve) => this.#server.close(() => resolve()))
  }

  #connection(socket: Socket): void {
    const { gate, tls } = this.#options
    socket.on('error', () => socket.destroy())
    if (!gate.take(socket)) return
    socket.setNoDelay(true)
    socket.setKeepAlive(true, KEEPALIVE_SECONDS * 1_000)
    if (!tls) return this.#stream(socket, socket)
    const secure = new TLSSocket(socket, { isServer: true, secureContext: tls })
    const late = deadline(socket)
    secure.on('error', () => socket.destroy())
    secure.once('secure', () => {
      clearTimeout(late)
      this.#stream(secure, socket)
    })
  }

  #stream(stream: Duplex, socket: Socket): void {
    if (!this.#http) return this.#options.accepted(stream, socket)
    this.#below.set(stream, { socket, late: deadline(socket) })
    this.#http.emit('connection', stream)
  }

  #upgrades(): HttpServer {
    const http = createHttpServer({ maxHeaderSize: MAX_UPGRADE_BYTES }, (_request, response) => {
      response.writeHead(426, { connection: 'close', 'content-type': 'text/plain' })
      response.end('MQTT over WebSocket is spoken here.\n')
    })
    const sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MAX_CLIENT_PACKET_BYTES * 2,
      maxFragments: MAX_FRAGMENTS,
      handleProtocols: (offered) => (offered.has('mqtt') ? 'mqtt' : offered.has('mqttv3.1') && 'mqttv3.1'),
    })
    http.on('clientError', (_error, stream) => stream.destroy())
    http.on('upgrade', (request, stream, head) => {
      const below = this.#below.get(stream)
      if (!below) return void stream.destroy()
      sockets.handleUpgrade(request, stream, head, (socket) => {
        clearTimeout(below.late)
        this.#options.accepted(createWebSocketStream(socket), below.socket)
      })
    })
    return http
  }
}

function deadline(socket: Socket): NodeJS.Timeout {
  const timer = setTimeout(() => socket.destroy(), CLIENT_CONNECT_TIMEOUT_MS)
  socket.once('close', () => clearTimeout(timer))
  return timer
}
