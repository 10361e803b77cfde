import assert from 'node:assert/strict'
import {
  decodeClientFrames,
  decodeRelayFrames,
  encodeFrame,
  packMessages,
} from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame, RelayFrame } from '@fieldwhisper/mesh/relay-frames'
import { ProtocolError } from '@fieldwhisper/protocol'
import { concat } from '@fieldwhisper/protocol'
import { bounded, sameBytes, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'

const bytes = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value)

export const CLIENT_FRAMES: readonly ClientFrame[] = [
  {
    kind: 'prove',
    request: 1,
    create: true,
    subscribe: true,
    publicKey: bytes(32, 1),
    signature: bytes(64, 2),
  },
  { kind: 'deposit', request: 2, packet: bytes(60, 0x12) },
  { kind: 'delete', address: bytes(16, 3), hashes: [bytes(32, 4), bytes(32, 5)] },
  { kind: 'remove', request: 3, address: bytes(16, 3) },
  { kind: 'publish', request: 4, slot: bytes(16, 3), record: bytes(40, 6) },
  { kind: 'lookup', slot: bytes(16, 3) },
]

const RELAY_FRAMES: readonly RelayFrame[] = [
  { kind: 'challenge', nonce: bytes(32, 1) },
  { kind: 'proved', request: 1, status: 0 },
  { kind: 'stored', request: 2, status: 1, roomPackets: 3, roomBytes: 4 },
  { kind: 'packet', packet: bytes(60, 0x12) },
  { kind: 'record', slot: bytes(16, 3), record: bytes(0, 0) },
  { kind: 'closing', code: 1, text: 'why' },
]

function frames<T extends ClientFrame | RelayFrame>(
  name: string,
  samples: readonly T[],
  decode: (message: Uint8Array) => T[],
): Target {
  return {
    name,
    contract:
      'All frames of a message, which encode to the bytes they were read from, or ProtocolError and none of them.',
    maxBytes: 65_600,
    testInputs: 6_000,
    seeds: () => [...samples.map(encodeFrame), ...packMessages(samples.map(encodeFrame))],
    run(input) {
      const value = valueOrRefusal([ProtocolError], () => decode(input))
      if (value === undefined) return
      assert.ok(value.length > 0)
      bounded(value, input.length, 200)
      let at = 0
      for (const frame of value) {
        const length = 2 + ((input[at]! << 8) | input[at + 1]!)
        // The text of a goodbye is shown to people: what is no UTF-8 in it was replaced.
        if (frame.kind !== 'closing')
          sameBytes(encodeFrame(frame), input.subarray(at, at + length), frame.kind)
        at += length
      }
      assert.equal(at, input.length)
      const packed = packMessages(value.filter(({ kind }) => kind !== 'closing').map(encodeFrame))
      if (value.every(({ kind }) => kind !== 'closing')) sameBytes(concat(...packed), input, 'the message')
    },
  }
}

export const relayClientFrames = frames('relay-client-frames', CLIENT_FRAMES, decodeClientFrames)
export const relayFrames = frames('relay-frames', RELAY_FRAMES, decodeRelayFrames)
