import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { WebSocketServer, type WebSocket } from 'ws'
import { decodeClientFrames, encodeFrame, packMessages } from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame, RelayFrame } from '@fieldwhisper/mesh/relay-frames'
import { until } from '../../support/until.js'

export const SOON_MS = 5_000

/** One connection as a relay sees it, under the control of a test. */
export class FakeConnection {
  readonly ws: WebSocket
  readonly frames: ClientFrame[] = []
  messages = 0
  pings = 0

  constructor(ws: WebSocket, onFrame: (frame: ClientFrame, connection: FakeConnection) => void) {
    this.ws = ws
    ws.on('error', () => undefined)
    ws.on('ping', () => this.pings++)
    ws.on('message', (data: Buffer) => {
      this.messages++
      for (const frame of decodeClientFrames(new Uint8Array(data))) {
        this.frames.push(frame)
        onFrame(frame, this)
      }
    })
  }

  send(...frames: RelayFrame[]): void {
    for (const message of packMessages(frames.map(encodeFrame))) this.ws.send(message)
  }

  of<K extends ClientFrame['kind']>(kind: K): Extract<ClientFrame, { kind: K }>[] {
    return this.frames.filter((frame): frame is Extract<ClientFrame, { kind: K }> => frame.kind === kind)
  }
}

export interface FakeOptions {
  /** Send a challenge on connecting; true if absent. */
  readonly challenge?: boolean
  readonly onFrame?: (frame: ClientFrame, connection: FakeConnection) => void
  readonly port?: number
}

/** A server that speaks the relay's frames and does only what a test tells it. */
export class FakeRelay {
  readonly connections: FakeConnection[] = []
  readonly #server: Server
  readonly #ws: WebSocketServer

  private constructor(options: FakeOptions) {
    this.#server = createServer()
    this.#ws = new WebSocketServer({ server: this.#server, maxPayload: 64 * 1024 })
    this.#ws.on('connection', (ws) => {
      const connection = new FakeConnection(ws, options.onFrame ?? (() => undefined))
      this.connections.push(connection)
      if (options.challenge !== false)
        connection.send({ kind: 'challenge', nonce: new Uint8Array(32).fill(7) })
    })
  }

  static async start(
    t: { teardown(handler: () => Promise<void>): void },
    options: FakeOptions = {},
  ): Promise<FakeRelay> {
    const relay = new FakeRelay(options)
    await new Promise<void>((resolve) => relay.#server.listen(options.port ?? 0, '127.0.0.1', resolve))
    t.teardown(() => relay.stop())
    return relay
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get url(): string {
    return `ws://127.0.0.1:${this.port}`
  }

  /** The connection with that number, counted from 0, when it is there. */
  connection(index: number): Promise<FakeConnection> {
    return until(() => this.connections[index], {
      withinMs: SOON_MS,
      what: `connection ${index}`,
      everyMs: 5,
    })
  }

  async stop(): Promise<void> {
    for (const { ws } of this.connections) ws.terminate()
    this.#ws.close()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}
