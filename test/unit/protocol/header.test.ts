import { packetHash, parseHeader } from '@fieldwhisper/protocol'
import { MAX_HELLO_BYTES, MAX_PACKET_BYTES } from '@fieldwhisper/protocol/packet'
import fc from 'fast-check'
import t from 'tap'
import { headerWithoutHops } from '../../../protocol/dist/packet/header.js'
import { bytes, flipped, refusal } from './support.js'

const HELLO = 0x11
const DATA = 0x12

function packet(first: number, length: number): Uint8Array {
  const made = new Uint8Array(length).map((_, i) => i)
  made[0] = first
  return made
}

void t.test('the header is read from where it stands', (t) => {
  const header = parseHeader(packet(DATA, 100))
  t.equal(header.type, 2)
  t.equal(header.hops, 1)
  t.same(
    [...header.address],
    Array.from({ length: 16 }, (_, i) => 2 + i),
  )
  t.equal(header.counter, 0x12131415)
  t.same(
    [...header.nonce],
    Array.from({ length: 12 }, (_, i) => 18 + i),
  )
  t.equal(parseHeader(packet(HELLO, 100)).type, 1)
  t.end()
})

void t.test('a counter with its top bit set is not negative', (t) => {
  const made = packet(DATA, 46)
  made.fill(0xff, 18, 22)
  t.equal(parseHeader(made).counter, 2 ** 32 - 1)
  t.end()
})

void t.test('a packet is refused below its smallest and above its largest size, and taken at both', (t) => {
  t.throws(() => parseHeader(new Uint8Array(0)), refusal('FW_MALFORMED'))
  t.throws(() => parseHeader(packet(DATA, 45)), refusal('FW_MALFORMED'))
  t.doesNotThrow(() => parseHeader(packet(DATA, 46)))
  t.doesNotThrow(() => parseHeader(packet(DATA, MAX_PACKET_BYTES)))
  t.throws(() => parseHeader(packet(DATA, MAX_PACKET_BYTES + 1)), refusal('FW_TOO_LARGE'))
  t.doesNotThrow(() => parseHeader(packet(HELLO, MAX_HELLO_BYTES)))
  t.throws(() => parseHeader(packet(HELLO, MAX_HELLO_BYTES + 1)), refusal('FW_TOO_LARGE'))
  t.end()
})

void t.test('every other version is unknown, older and newer ones', (t) => {
  for (let version = 0; version < 16; version++) {
    const read = () => parseHeader(packet((version << 4) | 2, 100))
    if (version === 1) t.doesNotThrow(read)
    else t.throws(read, refusal('FW_VERSION_UNKNOWN'))
  }
  t.end()
})

void t.test('every type but hello and data is malformed', (t) => {
  for (let type = 0; type < 16; type++) {
    const read = () => parseHeader(packet(0x10 | type, 100))
    if (type === 1 || type === 2) t.doesNotThrow(read)
    else t.throws(read, refusal('FW_MALFORMED'))
  }
  t.end()
})

void t.test('hops count neither for the hash nor for what is authenticated; every other bit does', (t) => {
  fc.assert(
    fc.property(bytes(60), fc.nat(59), fc.nat(7), (body, at, bit) => {
      const changed = flipped(body, at, bit)
      const sameHash = Buffer.compare(packetHash(body), packetHash(changed)) === 0
      if (sameHash !== (at === 1)) throw new Error(`hash, byte ${at}`)
      const sameHeader = Buffer.compare(headerWithoutHops(body), headerWithoutHops(changed)) === 0
      if (sameHeader !== (at === 1 || at >= 30)) throw new Error(`header, byte ${at}`)
    }),
  )
  t.end()
})
