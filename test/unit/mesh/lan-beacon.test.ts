import t from 'tap'
import fc from 'fast-check'
import { decodeBeacon, encodeBeacon, lanConstants } from '@fieldwhisper/mesh'

const id = Uint8Array.from({ length: 8 }, (_, i) => 0xa0 + i)
const reserved = Uint8Array.from({ length: 16 }, (_, i) => i)
const golden = '46574231' + '01' + 'a0a1a2a3a4a5a6a7' + '6084' + '000102030405060708090a0b0c0d0e0f'

void t.test('a beacon is the 31 bytes of the specification', async (t) => {
  t.equal(Buffer.from(encodeBeacon({ id, port: 24_708 }, reserved)).toString('hex'), golden)
})

void t.test('what was announced is what is heard, whatever id, port and reserved bytes', async (t) => {
  const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
    fc.uint8Array({ minLength: length, maxLength: length })
  fc.assert(
    fc.property(bytes(8), fc.integer({ min: 1, max: 65_535 }), bytes(16), (someId, port, rest) => {
      const datagram = encodeBeacon({ id: someId, port }, rest)
      t.equal(datagram.length, lanConstants.BEACON_BYTES)
      const heard = decodeBeacon(datagram)
      if (typeof heard === 'string') return false
      return heard.port === port && Buffer.compare(heard.id, someId) === 0
    }),
    { numRuns: 50 },
  )
})

void t.test('the id that was heard does not change with the buffer it came in', async (t) => {
  const datagram = encodeBeacon({ id, port: 1 }, reserved)
  const heard = decodeBeacon(datagram)
  datagram.fill(0)
  t.same(typeof heard === 'string' ? heard : Buffer.from(heard.id), Buffer.from(id))
})

void t.test('a datagram one byte short or one byte long is no beacon', async (t) => {
  const beacon = Buffer.from(golden, 'hex')
  t.equal(decodeBeacon(beacon.subarray(0, 30)), 'length')
  t.equal(decodeBeacon(Buffer.concat([beacon, Buffer.of(0)])), 'length')
  t.equal(decodeBeacon(beacon.subarray(0, 4)), 'length')
  t.equal(decodeBeacon(new Uint8Array(0)), 'length')
})

void t.test('another magic, another version and port 0 are told apart', async (t) => {
  const changed = (offset: number, value: number): Uint8Array => {
    const beacon = Buffer.from(golden, 'hex')
    beacon[offset] = value
    return beacon
  }
  t.equal(decodeBeacon(changed(0, 0x47)), 'magic')
  t.equal(decodeBeacon(changed(3, 0x32)), 'magic')
  t.equal(decodeBeacon(changed(4, 2)), 'version')
  t.equal(
    decodeBeacon(Buffer.concat([changed(4, 2), Buffer.alloc(20)])),
    'version',
    'a longer beacon of a later version too',
  )
  const portless = Buffer.from(golden, 'hex')
  portless.writeUInt16BE(0, 13)
  t.equal(decodeBeacon(portless), 'port')
})

void t.test('no datagram makes the decoder throw', async () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), (bytes, prefixed) => {
      const datagram = prefixed ? Buffer.concat([Buffer.from('FWB1\x01', 'latin1'), bytes]) : bytes
      const heard = decodeBeacon(datagram)
      return typeof heard === 'string' || (datagram.length === 31 && heard.port > 0)
    }),
  )
})

void t.test('a beacon cannot be made with a port or lengths that nobody would read', async (t) => {
  t.throws(() => encodeBeacon({ id, port: 0 }, reserved), { name: 'RangeError', message: /port 0/ })
  t.throws(() => encodeBeacon({ id, port: 65_536 }, reserved), { name: 'RangeError', message: /port 65536/ })
  t.throws(() => encodeBeacon({ id: id.subarray(1), port: 1 }, reserved), {
    name: 'RangeError',
    message: /8 bytes/,
  })
  t.throws(() => encodeBeacon({ id, port: 1 }, id), { name: 'RangeError', message: /16 reserved/ })
})
