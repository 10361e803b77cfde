import assert from 'node:assert/strict'
import { EventEmitter } from 'node:events'
import type { WebSocket } from 'ws'
import { TokenBucket } from '@fieldwhisper/host'
import { decodeRelayFrames, encodeFrame } from '@fieldwhisper/mesh/relay-frames'
import { concat } from '@fieldwhisper/protocol'
import { DEFAULT_LIMITS, Directory, Mailboxes } from '@fieldwhisper/relay'
import { RelaySocket } from '../../../relay/dist/server/socket.js'
import type { Target } from '../engine/target.js'
import { storeOf } from '../support.js'
import { CLIENT_FRAMES } from './relay-frames.js'

/** A WebSocket as far as a relay uses one; what is sent has left at once. */
class FakeSocket extends EventEmitter {
  readonly sent: Uint8Array[] = []
  closed = 0
  pause(): void {}
  resume(): void {}
  terminate(): void {}
  close(): void {
    this.closed++
  }
  send(message: Uint8Array, _options: unknown, done: () => void): void {
    this.sent.push(message)
    done()
  }
}

/** Messages one after the other: flags u8 (1 text, 2 ping) ‖ length u16 ‖ bytes. */
function* messagesOf(input: Uint8Array): Generator<{ flags: number; data: Buffer }> {
  for (let at = 0; at + 3 <= input.length;) {
    const end = Math.min(input.length, at + 3 + ((input[at + 1]! << 8) | input[at + 2]!))
    yield { flags: input[at]!, data: Buffer.from(input.subarray(at + 3, end)) }
    at = end
  }
}

function message(flags: number, data: Uint8Array): Uint8Array {
  return concat(Uint8Array.of(flags, data.length >>> 8, data.length), data)
}

export const relaySocket: Target = {
  name: 'relay-socket',
  contract:
    'No message makes the relay fail; one that does not read ends its own connection, and after that nothing is said.',
  maxBytes: 16_384,
  testInputs: 2_000,
  seeds: () => {
    const messages = CLIENT_FRAMES.map((frame) => message(0, encodeFrame(frame)))
    return [
      ...messages,
      concat(...messages),
      concat(message(2, new Uint8Array(0)), message(1, Buffer.from('hello'))),
    ]
  },
  async run(input) {
    const ws = new FakeSocket()
    const store = storeOf([])
    const failures: unknown[] = []
    const proofs = new TokenBucket({ perSecond: 20, burst: 20 }, 0)
    const shared = {
      mailboxes: new Mailboxes({ store, limits: DEFAULT_LIMITS, alarm: () => undefined }, 0),
      directory: new Directory(store, DEFAULT_LIMITS),
      names: () => ['relay.test'],
      runningMs: () => 0,
      memberProofs: proofs,
      strangerProofs: proofs,
    }
    const outbound = { bytes: 0 }
    const socket = new RelaySocket({
      ws: ws as unknown as WebSocket,
      shared,
      member: true,
      nonce: new Uint8Array(32),
      nowMs: () => 0,
      slowMs: 1_000,
      outbound,
      onClosed: () => undefined,
      onError: (error) => failures.push(error),
    })
    for (const { flags, data } of messagesOf(input)) {
      if (flags & 2) ws.emit('ping')
      else ws.emit('message', data, (flags & 1) === 0)
    }
    await new Promise((resolve) => setImmediate(resolve))
    ws.emit('close')
    await socket.ended
    if (failures.length > 0) throw failures[0]
    assert.ok(ws.closed <= 1, 'closed more than once')
    assert.equal(outbound.bytes, 0, 'bytes on their way are counted for ever')
    for (const one of ws.sent) decodeRelayFrames(new Uint8Array(one))
  },
}
