/**
 * `node --import=tsx lying-relay.ts STATE_DIR PORT URL`: in front of the real relay at URL, with whatever lie the control socket of
 * STATE_DIR asks for. It speaks the relay's own frames and has no key, as a relay whose operator is hostile has none.
 */
import { mkdirSync } from 'node:fs'
import { createReporter, serveControl } from '@fieldwhisper/host'
import {
  decodeClientFrames,
  decodeRelayFrames,
  encodeFrame,
  packMessages,
  type ClientFrame,
  type RelayFrame,
} from '@fieldwhisper/mesh/relay-frames'
import { WebSocket, WebSocketServer } from 'ws'

/**
 * forget: says "stored" and forgets. withhold: stores, and hands nothing over; with the next command it comes, backwards.
 * replay: everything three times, and something old each time. reorder: eight at a time, backwards. corrupt: a changed copy
 * before each true one.
 */
export type Lie = 'honest' | 'forget' | 'withhold' | 'replay' | 'reorder' | 'corrupt'
export type Lies = Readonly<Record<Exclude<Lie, 'honest'>, number>>

const HELD_AT_ONCE = 8
const HELD_MS = 200
const REMEMBERED = 256

const [stateDir, port, url] = process.argv.slice(2)
let lie: Lie = 'honest'
const told = { forget: 0, withhold: 0, replay: 0, reorder: 0, corrupt: 0 }
const victims = new Set<Victim>()

class Victim {
  readonly #client: WebSocket
  readonly #relay: WebSocket
  #held: Uint8Array[] = []
  #old: Uint8Array[] = []
  readonly #timer: NodeJS.Timeout

  constructor(client: WebSocket, relay: WebSocket) {
    this.#client = client
    this.#relay = relay
    client.on('message', (message: Buffer) => this.#fromClient(decodeClientFrames(message)))
    relay.on('message', (message: Buffer) => this.#toClient(decodeRelayFrames(message)))
    for (const [one, other] of [[client, relay] as const, [relay, client] as const]) {
      one.on('error', () => other.terminate())
      one.on('close', () => other.terminate())
    }
    this.#timer = setInterval(() => lie !== 'withhold' && this.release(), HELD_MS)
    client.on('close', () => this.#forgetMe())
    victims.add(this)
  }

  /** What was held back, the newest first. */
  release(): void {
    this.#send(this.#client, this.#held.splice(0).reverse())
  }

  cut(): void {
    this.#client.terminate()
  }

  #fromClient(frames: readonly ClientFrame[]): void {
    const on: Uint8Array[] = []
    const back: Uint8Array[] = []
    for (const frame of frames) {
      if (frame.kind !== 'deposit' || lie !== 'forget') {
        on.push(encodeFrame(frame))
        continue
      }
      told.forget++
      const { request } = frame
      back.push(encodeFrame({ kind: 'stored', request, status: 0, roomPackets: 1_000, roomBytes: 1_000_000 }))
    }
    this.#send(this.#relay, on)
    this.#send(this.#client, back)
  }

  #toClient(frames: readonly RelayFrame[]): void {
    for (const frame of frames) {
      const bytes = encodeFrame(frame)
      if (frame.kind !== 'packet' || lie === 'honest' || lie === 'forget') this.#send(this.#client, [bytes])
      else this.#handOver(bytes, frame.packet)
    }
  }

  #handOver(bytes: Uint8Array, packet: Uint8Array): void {
    if (lie === 'honest' || lie === 'forget') return
    told[lie]++
    if (lie === 'withhold' || lie === 'reorder') {
      this.#held.push(bytes)
      if (lie === 'reorder' && this.#held.length >= HELD_AT_ONCE) this.release()
      return
    }
    if (lie === 'replay') {
      const old = this.#old[told.replay % Math.max(1, this.#old.length)]
      this.#send(this.#client, [bytes, bytes, ...(old ? [old] : []), bytes])
      this.#old = [...this.#old, bytes].slice(-REMEMBERED)
      return
    }
    const changed = Uint8Array.from(packet)
    // Each time another place: header, ciphertext and tag have their turn.
    const at = (told.corrupt * 37) % changed.length
    changed[at] = changed[at]! ^ (1 << (told.corrupt % 8))
    this.#send(this.#client, [encodeFrame({ kind: 'packet', packet: changed }), bytes])
  }

  #send(to: WebSocket, frames: readonly Uint8Array[]): void {
    if (to.readyState !== WebSocket.OPEN) return
    for (const message of packMessages(frames)) to.send(message)
  }

  #forgetMe(): void {
    clearInterval(this.#timer)
    victims.delete(this)
  }
}

const server = new WebSocketServer({
  port: Number(port),
  host: '0.0.0.0',
  path: '/v1',
  perMessageDeflate: false,
})
server.on('connection', (client, request) => {
  const { authorization } = request.headers
  const relay = new WebSocket(new URL('/v1', url), {
    perMessageDeflate: false,
    headers: authorization === undefined ? {} : { authorization },
  })
  // No frame of the client is read before the real relay can have it.
  client.pause()
  relay.once('open', () => client.resume())
  new Victim(client, relay)
})

mkdirSync(stateDir!, { recursive: true, mode: 0o700 })
await serveControl(
  stateDir!,
  {
    status: () => told,
    lie: (args) => {
      lie = (args as { readonly lie: Lie }).lie
      for (const victim of victims) victim.release()
    },
    cut: () => {
      for (const victim of [...victims]) victim.cut()
    },
  },
  createReporter(),
)
