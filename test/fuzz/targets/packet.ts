import assert from 'node:assert/strict'
import {
  KeyTree,
  OpeningDirection,
  packetHash,
  parseHeader,
  ProtocolError,
  SealingDirection,
  type Opened,
} from '@fieldwhisper/protocol'
import { sameBytes, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { seededRandom } from '../../support/seeded-random.js'
import { golden } from '../support.js'

const SECRETS = { addressSeed: new Uint8Array(32).fill(1), treeRoot: new Uint8Array(32).fill(2) }

function sealed(): Uint8Array[] {
  const random = seededRandom(1)
  const direction = SealingDirection.begin(SECRETS)
  return ['', 'a', 'x'.repeat(300)].map((text) => direction.seal(Buffer.from(text), random).packet)
}

/** Who was sealed for this session, with hops taken as 0. */
const genuine = new Set(sealed().map((packet) => Buffer.from(packetHash(packet)).toString('hex')))
const { address } = OpeningDirection.begin(SECRETS).addressKey
const fresh = OpeningDirection.begin(SECRETS).tree.encode()

export const packet: Target = {
  name: 'packet',
  contract:
    'A header whose fields are the bytes of the packet, or ProtocolError; a session opens what was sealed for it and nothing else, and what does not open leaves its key tree byte for byte.',
  maxBytes: 16_400,
  testInputs: 4_000,
  seeds: () => [...sealed(), ...golden('packets', 'packet').slice(0, 6)],
  run(input) {
    const header = valueOrRefusal([ProtocolError], () => parseHeader(input))
    if (header === undefined) return
    sameBytes(header.address, input.subarray(2, 18), 'the address')
    sameBytes(header.nonce, input.subarray(18, 30), 'the nonce')
    const hops = new Uint8Array(input)
    hops[1] = 0
    sameBytes(packetHash(hops), packetHash(input), 'the hash')
    if (Buffer.compare(header.address, address) !== 0) return
    const tree = KeyTree.decode(fresh)
    const direction = new OpeningDirection(SECRETS.addressSeed, tree)
    const opened: Opened = direction.open(header, input)
    const isGenuine = genuine.has(Buffer.from(packetHash(input)).toString('hex'))
    assert.equal(opened.outcome, isGenuine ? 'opened' : 'failed')
    if (opened.outcome === 'failed') sameBytes(tree.encode(), fresh, 'the key tree')
  },
}
