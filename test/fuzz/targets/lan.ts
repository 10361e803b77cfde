import assert from 'node:assert/strict'
import {
  decodeBeacon,
  encodeBeacon,
  LinkFrameParser,
  MeshError,
  packetFrame,
  pingFrame,
  pongFrame,
  questionFrame,
  recordFrame,
  type FramePieces,
  type LinkFrame,
} from '@fieldwhisper/mesh'
import { concat } from '@fieldwhisper/protocol'
import { bounded, sameBytes } from '../engine/contract.js'
import type { Target } from '../engine/target.js'

interface Read {
  readonly frames: LinkFrame[]
  readonly code: string | undefined
}

function read(input: Uint8Array, piece: number): Read {
  const parser = new LinkFrameParser()
  const frames: LinkFrame[] = []
  try {
    for (let at = 0; at < input.length; at += piece) {
      parser.push(input.subarray(at, at + piece), (frame) => {
        frames.push(frame)
        return true
      })
    }
  } catch (error) {
    if (!(error instanceof MeshError)) throw error
    assert.match(error.code, /^FW_LAN_FRAME_/)
    return { frames, code: error.code }
  }
  return { frames, code: undefined }
}

function encoded(frame: Exclude<LinkFrame, { type: 'unknown' }>): FramePieces {
  switch (frame.type) {
    case 'ping':
      return pingFrame()
    case 'pong':
      return pongFrame()
    case 'packet':
      return packetFrame(frame.packet)
    case 'question':
      return questionFrame(frame.slot)
    case 'record':
      return recordFrame(frame.record, frame.hints)
  }
}

const SAMPLES = [
  pingFrame(),
  pongFrame(),
  packetFrame(new Uint8Array(60).fill(0x12)),
  questionFrame(new Uint8Array(16).fill(3)),
  recordFrame(new Uint8Array(0), []),
  recordFrame(new Uint8Array(40).fill(9), [
    { address: '192.168.1.20', port: 24_708 },
    { address: 'fe80::1', port: 1 },
  ]),
].map((pieces) => concat(...pieces))

export const lanFrames: Target = {
  name: 'lan-frames',
  contract:
    'The same frames and the same MeshError however the bytes are cut; the frames encode to the bytes they were read from.',
  maxBytes: 41_000,
  testInputs: 5_000,
  seeds: () => [...SAMPLES, concat(...SAMPLES), new Uint8Array(3)],
  run(input) {
    const whole = read(input, input.length || 1)
    bounded(whole.frames, input.length, 100)
    for (const piece of [1, 7]) assert.deepEqual(read(input, piece), whole, `cut into pieces of ${piece}`)
    let at = 0
    for (const frame of whole.frames) {
      const length = 2 + ((input[at]! << 8) | input[at + 1]!)
      if (frame.type !== 'unknown') {
        sameBytes(concat(...encoded(frame)), input.subarray(at, at + length), `a ${frame.type} frame`)
      }
      at += length
    }
  },
}

export const beacon: Target = {
  name: 'beacon',
  contract:
    'Never throws; a beacon encodes to the datagram it was read from, anything else is one of four words.',
  maxBytes: 128,
  testInputs: 10_000,
  seeds: () => [encodeBeacon({ id: new Uint8Array(8).fill(5), port: 24_708 }, new Uint8Array(16).fill(6))],
  run(input) {
    const value = decodeBeacon(input)
    if (typeof value === 'string') assert.ok(['length', 'magic', 'version', 'port'].includes(value))
    else sameBytes(encodeBeacon(value, input.subarray(15)), input, 'the beacon')
  },
}
