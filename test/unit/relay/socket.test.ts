import { EventEmitter } from 'node:events'
import type { WebSocket } from 'ws'
import { TokenBucket } from '@fieldwhisper/host'
import { CLOSING, decodeRelayFrames } from '@fieldwhisper/mesh/relay-frames'
import { DEFAULT_LIMITS, Directory, Mailboxes, relayConstants } from '@fieldwhisper/relay'
import t from 'tap'
import { RelaySocket } from '../../../relay/dist/server/socket.js'
import { rig } from './support.js'

const { HANDSHAKE_MS, SILENT_MS } = relayConstants

/** A WebSocket as far as a relay uses one. */
class FakeSocket extends EventEmitter {
  readonly sent: Uint8Array[] = []
  readonly unsent: (() => void)[] = []
  taking = true
  terminated = false
  pause(): void {}
  resume(): void {}
  close(): void {}
  terminate(): void {
    this.terminated = true
  }
  send(message: Uint8Array, _options: unknown, done: () => void): void {
    this.sent.push(message)
    if (this.taking) done()
    else this.unsent.push(done)
  }
  get closing(): number | undefined {
    const frames = this.sent.flatMap((message) => decodeRelayFrames(new Uint8Array(message)))
    return frames.find((frame) => frame.kind === 'closing')?.code
  }
}

function connected(slowMs = DEFAULT_LIMITS.slowMs): {
  readonly ws: FakeSocket
  readonly socket: RelaySocket
  readonly at: (now: number) => void
} {
  const ws = new FakeSocket()
  const { store } = rig()
  let now = 0
  const proofs = new TokenBucket({ perSecond: 10, burst: 10 }, 0)
  const socket = new RelaySocket({
    ws: ws as unknown as WebSocket,
    shared: {
      mailboxes: new Mailboxes({ store, limits: DEFAULT_LIMITS, alarm: () => undefined }, 0),
      directory: new Directory(store, DEFAULT_LIMITS),
      names: () => ['relay.test'],
      runningMs: () => now,
      memberProofs: proofs,
      strangerProofs: proofs,
    },
    member: true,
    nonce: new Uint8Array(32),
    nowMs: () => now,
    slowMs,
    outbound: { bytes: 0 },
    onClosed: () => undefined,
    onError: (error) => {
      throw error
    },
  })
  const at = (time: number): void => {
    now = time
    socket.watch(now)
  }
  return { ws, socket, at }
}

/** What is queued in a turn leaves at its end. */
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

t.test('a challenge is waited for until HANDSHAKE_MS and not longer', async (t) => {
  const { ws, at } = connected()
  await turn()
  at(HANDSHAKE_MS - 1)
  t.equal(ws.closing, undefined)
  at(HANDSHAKE_MS)
  t.equal(ws.closing, CLOSING.silent)
})

t.test('a client that answered may be silent until SILENT_MS and not longer', async (t) => {
  const { ws, at } = connected()
  await turn()
  ws.emit('ping')
  at(SILENT_MS - 1)
  t.equal(ws.closing, undefined)
  at(SILENT_MS)
  t.equal(ws.closing, CLOSING.silent)
})

t.test('a client that takes nothing is cut after slowMs and not before', async (t) => {
  const { ws, at } = connected(2_000)
  ws.taking = false
  await turn()
  ws.emit('ping')
  at(1_999)
  t.notOk(ws.terminated)
  at(2_000)
  t.ok(ws.terminated)
  const other = connected(2_000)
  other.ws.taking = false
  await turn()
  other.ws.emit('ping')
  other.at(1_999)
  for (const done of other.ws.unsent.splice(0)) done()
  other.at(2_001)
  t.notOk(other.ws.terminated, 'what it took counts')
})
