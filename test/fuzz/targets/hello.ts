import assert from 'node:assert/strict'
import {
  finishHello,
  helloHash,
  openHello,
  parseHello,
  checkKnock,
  ProtocolError,
} from '@fieldwhisper/protocol'
import { decodeBox1, encodeBox1, padBox1 } from '../../../protocol/dist/handshake/layout.js'
import { unpad } from '../../../protocol/dist/packet/padding.js'
import { sameBytes, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { golden } from '../support.js'
import { makeWorld, seededRandom } from '../../unit/protocol/support.js'
import { beginHello } from '@fieldwhisper/protocol'

const world = makeWorld()
const KINDS = ['join', 'continue', 'lost'] as const
const hellos = KINDS.map((kind) => beginHello(world.requests[kind], seededRandom(kind)).packet)
/** All that is signed or sealed: everything but hops, box2 and knock. */
const core = (packet: Uint8Array): string => Buffer.from(packet.subarray(2, 1_550)).toString('hex')
const genuine = new Set(hellos.map(core))

export const hello: Target = {
  name: 'hello',
  contract:
    'Parsed or ProtocolError; accepted only where header, keys and box1 are those of an agent, else undefined, whatever the knock.',
  maxBytes: 8_200,
  testInputs: 300,
  maxMs: 100,
  seeds: () => hellos,
  run(input) {
    const parsed = valueOrRefusal([ProtocolError], () => parseHello(input))
    if (parsed === undefined) return
    assert.equal(checkKnock(parsed, new Uint8Array(32)), false)
    for (const secrets of [world.prekeys.join, world.prekeys.continue]) {
      assert.equal(helloHash(parsed, secrets.record).length, 32)
      const opened = openHello(input, secrets)
      if (!opened) continue
      assert.ok(genuine.has(core(input)), 'a hello that no agent made was accepted')
      const wrong = finishHello(input, opened, new Uint8Array(32), new Uint8Array(32))
      assert.equal(wrong, undefined, 'box2 opened without K')
    }
  },
}

export const box1: Target = {
  name: 'hello-box1',
  contract: 'What an agent may have sealed in box1 or box2 encodes to the same bytes, or ProtocolError.',
  maxBytes: 384,
  testInputs: 8_000,
  seeds: () => [
    ...KINDS.map((kind) => {
      const { continuity, siteRevision, identity } = world.requests[kind]
      const rest = encodeBox1({ kind, continuity, siteRevision, identity })
      return padBox1(rest, new Uint8Array(64).fill(7))
    }),
    ...golden('padding', 'padded').filter(({ length }) => length <= 384),
  ],
  run(input) {
    if (input.length >= 2) valueOrRefusal([ProtocolError], () => unpad(input))
    // box1 is never shorter: the packet has a fixed place for it.
    const plaintext = new Uint8Array(384)
    plaintext.set(input)
    const value = valueOrRefusal([ProtocolError], () => decodeBox1(plaintext))
    if (value === undefined) return
    sameBytes(encodeBox1(value.box), value.rest, 'the rest of box1')
    sameBytes(padBox1(value.rest, value.signature), plaintext, 'box1')
  },
}
