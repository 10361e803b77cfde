import {
  hex,
  KeyTree,
  MAX_CONTENT_BYTES,
  OpeningDirection,
  parseHeader,
  ProtocolError,
  SealingDirection,
  TREE_LEAVES,
  type Opened,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { leaf } from '../../vectors/reference/packet.js'
import { seal } from '../../vectors/reference/primitives.js'
import { flipped, refusal, seededRandom } from './support.js'

const random = seededRandom('directions')
const secrets = { addressSeed: random(32), treeRoot: random(32) }
const content = (text: string) => Buffer.from(text)

function pair(next = 0): { readonly sealing: SealingDirection; readonly opening: OpeningDirection } {
  const sealing = new SealingDirection(secrets.addressSeed, KeyTree.fromRoot(secrets.treeRoot), next)
  return { sealing, opening: OpeningDirection.begin(secrets) }
}

/** As a receiver does: what has no header or another address never comes to the direction. */
function receive(opening: OpeningDirection, packet: Uint8Array): Opened['outcome'] | 'not for it' {
  try {
    const header = parseHeader(packet)
    if (hex(header.address) !== hex(opening.addressKey.address)) return 'not for it'
    return opening.open(header, packet).outcome
  } catch (error) {
    if (error instanceof ProtocolError) return 'not for it'
    throw error
  }
}

void t.test('packets open in any order, each once; a second copy is a duplicate', (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 20 }),
      fc.infiniteStream(fc.nat()),
      (contents, order) => {
        const { sealing, opening } = pair()
        const packets = contents.map((content) => sealing.seal(content, random))
        const shuffled = packets
          .map((packet) => ({ packet, at: order.next().value as number }))
          .sort((a, b) => a.at - b.at)
        for (const { packet } of shuffled) {
          const opened = opening.open(parseHeader(packet.packet), packet.packet)
          if (opened.outcome !== 'opened') throw new Error(opened.outcome)
          if (hex(opened.content) !== hex(contents[packet.counter]!)) throw new Error('another content')
          if (receive(opening, packet.packet) !== 'duplicate') throw new Error('opened twice')
        }
      },
    ),
    { numRuns: 30 },
  )
  t.end()
})

void t.test(
  'one bit turned round anywhere but in hops opens nothing and leaves the state byte-identical',
  (t) => {
    const { sealing, opening } = pair()
    receive(opening, sealing.seal(content('before'), random).packet)
    const { packet } = sealing.seal(content('a reading'), random)
    const before = hex(opening.tree.encode())
    const seen = new Set<string>()
    for (let at = 0; at < packet.length; at++) {
      if (at === 1) continue
      for (let bit = 0; bit < 8; bit++) {
        const outcome = receive(opening, flipped(packet, at, bit))
        seen.add(outcome)
        if (outcome === 'opened') t.fail(`byte ${at}, bit ${bit} opened`)
        if (hex(opening.tree.encode()) !== before) t.fail(`byte ${at}, bit ${bit} changed the state`)
      }
    }
    t.same([...seen].sort(), ['duplicate', 'failed', 'not for it'])
    t.equal(receive(opening, packet), 'opened', 'the true one opens afterwards')
    t.end()
  },
)

void t.test('a packet cut off or lengthened at any byte opens nothing and changes nothing', (t) => {
  const { sealing, opening } = pair()
  const { packet } = sealing.seal(content('a reading'), random)
  const before = hex(opening.tree.encode())
  for (let length = 0; length < packet.length; length++) {
    const outcome = receive(opening, packet.subarray(0, length))
    if (outcome !== 'failed' && outcome !== 'not for it') t.fail(`${length} bytes: ${outcome}`)
  }
  t.equal(receive(opening, Buffer.concat([packet, Uint8Array.of(0)])), 'failed')
  t.equal(hex(opening.tree.encode()), before)
  t.equal(receive(opening, packet), 'opened')
  t.end()
})

void t.test('hops may change on the way', (t) => {
  const { sealing, opening } = pair()
  const { packet } = sealing.seal(content('a reading'), random)
  const forwarded = new Uint8Array(packet)
  forwarded[1] = 7
  t.equal(receive(opening, forwarded), 'opened')
  t.equal(receive(opening, packet), 'duplicate')
  t.end()
})

void t.test(
  'a counter far ahead, the last one and one beyond the tree are harmless to whoever cannot seal',
  (t) => {
    const { sealing, opening } = pair()
    const { packet } = sealing.seal(content('a reading'), random)
    const before = hex(opening.tree.encode())
    for (const counter of [1, 4_096, 32_768, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1]) {
      const forged = Buffer.from(packet)
      forged.writeUInt32BE(counter, 18)
      t.equal(receive(opening, forged), 'failed', `counter ${counter}`)
    }
    t.equal(hex(opening.tree.encode()), before)
    t.end()
  },
)

void t.test('a packet under a right key whose padding is wrong fails and uses nothing', (t) => {
  const { opening } = pair()
  const forged = sealedWith(Uint8Array.from({ length: 256 }, (_, i) => (i === 255 ? 1 : 0)))
  const before = hex(opening.tree.encode())
  t.equal(receive(opening, forged), 'failed')
  t.equal(receive(opening, sealedWith(new Uint8Array(0))), 'failed', 'nothing but a tag')
  t.equal(hex(opening.tree.encode()), before)
  t.equal(receive(opening, sealedWith(new Uint8Array(256))), 'opened')
  t.end()
})

void t.test("a hello's type on a session's address opens nothing", (t) => {
  const { sealing, opening } = pair()
  const packet = new Uint8Array(sealing.seal(content('a reading'), random).packet)
  packet[0] = 0x11
  t.equal(receive(opening, packet), 'failed')
  t.equal(receive(opening, sealedWith(new Uint8Array(256), 0x11)), 'failed', 'be it sealed so')
  t.end()
})

void t.test('a packet for another address is an error of the caller', (t) => {
  const other = new SealingDirection(random(32), KeyTree.fromRoot(secrets.treeRoot), 0)
  const { packet } = other.seal(content('a reading'), random)
  const { opening } = pair()
  t.throws(() => opening.open(parseHeader(packet), packet), { name: 'Error', message: /another address/ })
  t.end()
})

void t.test('agent to gateway and gateway to agent never open each other', (t) => {
  const { sealing } = pair()
  const { packet } = sealing.seal(content('a reading'), random)
  const otherTree = OpeningDirection.begin({ ...secrets, treeRoot: random(32) })
  t.equal(otherTree.open(parseHeader(packet), packet).outcome, 'failed')
  t.end()
})

void t.test('the largest content is sealed in a packet that fits, one byte more uses up no key', (t) => {
  const { sealing, opening } = pair()
  t.throws(() => sealing.seal(new Uint8Array(MAX_CONTENT_BYTES + 1), random), refusal('FW_TOO_LARGE'))
  t.equal(sealing.next, 0)
  const { packet, counter } = sealing.seal(new Uint8Array(MAX_CONTENT_BYTES), random)
  t.equal(counter, 0)
  t.equal(packet.length, 30 + 15_872 + 16)
  t.equal(receive(opening, packet), 'opened')
  t.end()
})

void t.test('after 2^16 packets a direction is exhausted', (t) => {
  const { sealing, opening } = pair(TREE_LEAVES - 1)
  t.equal(receive(opening, sealing.seal(content('the last'), random).packet), 'opened')
  t.equal(sealing.next, TREE_LEAVES)
  t.throws(() => sealing.seal(content('one more'), random), refusal('FW_TREE_EXHAUSTED'))
  t.end()
})

void t.test('a key that is gone is never sealed with again', (t) => {
  const tree = KeyTree.fromRoot(secrets.treeRoot)
  tree.dropBelow(5)
  const sealing = new SealingDirection(secrets.addressSeed, tree, 4)
  t.throws(() => sealing.seal(content('again'), random), refusal('FW_TREE_EXHAUSTED'))
  t.equal(sealing.next, 4)
  t.end()
})

void t.test('a holder that stored a block ahead goes on behind it after a restart', (t) => {
  const { sealing, opening } = pair()
  sealing.seal(content('0'), random)
  const stored = sealing.treeFrom(64)
  const { packet: unstored } = sealing.seal(content('1'), random)
  const restarted = new SealingDirection(secrets.addressSeed, KeyTree.decode(stored), 64)
  const { packet, counter } = restarted.seal(content('64'), random)
  t.equal(counter, 64)
  t.equal(receive(opening, packet), 'opened')
  t.equal(receive(opening, unstored), 'opened', 'what left before the restart still opens')
  const early = new SealingDirection(secrets.addressSeed, KeyTree.decode(stored), 63)
  t.throws(() => early.seal(content('63'), random), refusal('FW_TREE_EXHAUSTED'))
  t.end()
})

void t.test('the first bytes that differ between two packets of one content are the counter', (t) => {
  const { sealing } = pair()
  const [a, b] = [sealing.seal(content('x'), random).packet, sealing.seal(content('x'), random).packet]
  t.equal(hex(a.subarray(0, 18)), hex(b.subarray(0, 18)))
  t.not(hex(a.subarray(30)), hex(b.subarray(30)))
  t.end()
})

/** A packet of counter 0 whose plaintext is exactly this. */
function sealedWith(plaintext: Uint8Array, first = 0x12): Uint8Array {
  const { addressKey } = OpeningDirection.begin(secrets)
  const header = Buffer.concat([Uint8Array.of(first, 0), addressKey.address, new Uint8Array(12)])
  const bare = Buffer.concat([header.subarray(0, 1), header.subarray(2)])
  const key = leaf(secrets.treeRoot, 0)
  return Buffer.concat([header, seal(key, new Uint8Array(12), bare, plaintext)])
}
