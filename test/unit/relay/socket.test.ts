import { EventEmitter } from 'node:events'
import type { WebSocket } from 'ws'
import { TokenBucket } from '@fieldwhisper/host'
import { CLOSING, decodeRelayFrames, encodeFrame } from '@fieldwhisper/mesh/relay-frames'
import { DEFAULT_LIMITS, Directory, Mailboxes, relayConstants } from '@fieldwhisper/relay'
import t from 'tap'
import { RelaySocket } from '../../../relay/dist/server/socket.js'
import { rig } from './support.js'

const { BURST_S, HANDSHAKE_MS, SILENT_MS } = relayConstants
const { MEMBER_FRAMES_PER_S, MEMBER_BYTES_PER_S, STRANGER_FRAMES_PER_S, STRANGER_BYTES_PER_S } =
  relayConstants

/** A WebSocket as far as a relay uses one. */
class FakeSocket extends EventEmitter {
  readonly sent: Uint8Array[] = []
  readonly unsent: (() => void)[] = []
  taking = true
  terminated = false
  paused = false
  pause(): void {
    this.paused = true
  }
  resume(): void {
    this.paused = false
  }
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

function connected({ slowMs = DEFAULT_LIMITS.slowMs, member = true } = {}): {
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
    member,
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
  const { ws, at } = connected({ slowMs: 2_000 })
  ws.taking = false
  await turn()
  ws.emit('ping')
  at(1_999)
  t.notOk(ws.terminated)
  at(2_000)
  t.ok(ws.terminated)
  const other = connected({ slowMs: 2_000 })
  other.ws.taking = false
  await turn()
  other.ws.emit('ping')
  other.at(1_999)
  for (const done of other.ws.unsent.splice(0)) done()
  other.at(2_001)
  t.notOk(other.ws.terminated, 'what it took counts')
})

const paces = [
  { who: 'a member', member: true, frames: MEMBER_FRAMES_PER_S, bytes: MEMBER_BYTES_PER_S },
  { who: 'a stranger', member: false, frames: STRANGER_FRAMES_PER_S, bytes: STRANGER_BYTES_PER_S },
]

for (const { who, member, frames, bytes } of paces) {
  t.test(`${who} is read at its pace of frames, ${BURST_S} s of it at once`, async (t) => {
    const { ws } = connected({ member })
    await turn()
    for (let i = 0; i < frames * BURST_S; i++) ws.emit('ping')
    t.notOk(ws.paused)
    ws.emit('ping')
    t.ok(ws.paused, 'one over')
    ws.emit('close')
  })

  t.test(`${who} is read at its pace of bytes`, async (t) => {
    const { ws } = connected({ member })
    await turn()
    const message = encodeFrame({ kind: 'delete', address: new Uint8Array(16), hashes: hashes(500) })
    const most = Math.floor((bytes * BURST_S) / message.length)
    for (let i = 0; i < most; i++) ws.emit('message', Buffer.from(message), true)
    t.notOk(ws.paused)
    ws.emit('message', Buffer.from(message), true)
    t.ok(ws.paused, 'one over')
    ws.emit('close')
  })
}

function hashes(count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, i) => new Uint8Array(32).fill(i))
}
