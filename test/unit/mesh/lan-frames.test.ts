import t from 'tap'
import fc from 'fast-check'
import {
  LinkFrameParser,
  addressBytes,
  addressText,
  lanConstants,
  packetFrame,
  parsePeer,
  pingFrame,
  pongFrame,
  questionFrame,
  recordFrame,
  type FramePieces,
  type LinkFrame,
} from '@fieldwhisper/mesh'

const { MAX_FRAME_BYTES } = lanConstants
const hex = (...pieces: FramePieces): string => Buffer.concat(pieces).toString('hex')
const bytesOf = (...frames: readonly FramePieces[]): Buffer => Buffer.concat(frames.flat())

function parse(...chunks: readonly Uint8Array[]): LinkFrame[] {
  const parser = new LinkFrameParser()
  const frames: LinkFrame[] = []
  for (const chunk of chunks) parser.push(chunk, (frame) => frames.push(frame) > 0)
  return frames
}

const refusal = (code: string) => ({ name: 'MeshError', code })

void t.test('frames are the bytes of the specification', async (t) => {
  t.equal(hex(...pingFrame()), '000100')
  t.equal(hex(...pongFrame()), '000104')
  t.equal(hex(...packetFrame(Buffer.alloc(46, 0x11))), '002f01' + '11'.repeat(46))
  t.equal(hex(...questionFrame(Buffer.alloc(16, 0x22))), '001102' + '22'.repeat(16))
  t.equal(hex(...recordFrame(Buffer.from('abcd', 'hex'), [])), '0004' + '03' + '00' + 'abcd')
  const hints = [
    { address: '192.168.1.7', port: 24_708 },
    { address: 'fe80::1:2%eth0', port: 258 },
  ]
  const named = '04' + 'c0a80107' + '6084' + '06' + 'fe80' + '00'.repeat(10) + '00010002' + '0102'
  t.equal(hex(...recordFrame(new Uint8Array(0), hints)), '001c' + '03' + '02' + named)
})

void t.test('the packet is sent as it is, not copied', async (t) => {
  const packet = Buffer.alloc(100)
  t.equal(packetFrame(packet)[1], packet)
})

void t.test('a stream cut at any places gives the same frames', async (t) => {
  const stream = bytesOf(
    pingFrame(),
    packetFrame(Buffer.alloc(16_384, 7)),
    questionFrame(Buffer.alloc(16, 1)),
    pongFrame(),
    recordFrame(Buffer.alloc(3_000, 9), [{ address: '10.0.0.1', port: 1 }]),
    packetFrame(Buffer.alloc(31, 5)),
  )
  const whole = parse(stream)
  t.strictSame(
    whole.map((frame) => frame.type),
    ['ping', 'packet', 'question', 'pong', 'record', 'packet'],
  )
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: stream.length }), { maxLength: 12 }), (cuts) => {
      const ends = [...cuts.sort((a, b) => a - b), stream.length]
      const chunks = ends.map((end, i) => stream.subarray(i === 0 ? 0 : ends[i - 1], end))
      return Buffer.from(JSON.stringify(parse(...chunks))).equals(Buffer.from(JSON.stringify(whole)))
    }),
    { numRuns: 30 },
  )
  const single = Array.from(stream, (_, i) => stream.subarray(i, i + 1))
  t.strictSame(parse(...single), whole)
})

void t.test('a body does not change with the chunk it came in', async (t) => {
  const chunk = bytesOf(packetFrame(Buffer.alloc(40, 7)))
  const [frame] = parse(chunk)
  chunk.fill(0)
  t.same(frame, { type: 'packet', packet: Buffer.alloc(40, 7) })
})

void t.test(
  'a frame of the largest length passes, one byte more is refused before anything is kept',
  async (t) => {
    const largest = recordFrame(new Uint8Array(MAX_FRAME_BYTES - 2), [])
    t.equal(parse(bytesOf(largest)).length, 1)
    t.throws(() => recordFrame(new Uint8Array(MAX_FRAME_BYTES - 1), []), refusal('FW_LAN_FRAME_TOO_LONG'))
    const parser = new LinkFrameParser()
    const before = process.memoryUsage().arrayBuffers
    t.throws(() => parser.push(Buffer.from('5001', 'hex'), () => true), refusal('FW_LAN_FRAME_TOO_LONG'))
    t.throws(() => parse(Buffer.from('ffff', 'hex')), refusal('FW_LAN_FRAME_TOO_LONG'))
    t.ok(process.memoryUsage().arrayBuffers - before < 1_000_000)
  },
)

void t.test('a frame of length 0 is refused, and the frames before it are handed on first', async (t) => {
  const frames: string[] = []
  const stream = Buffer.concat([bytesOf(pingFrame(), pongFrame()), Buffer.of(0, 0), bytesOf(pingFrame())])
  t.throws(
    () => new LinkFrameParser().push(stream, (frame) => frames.push(frame.type) > 0),
    refusal('FW_LAN_FRAME_EMPTY'),
  )
  t.strictSame(frames, ['ping', 'pong'])
})

void t.test('packets of impossible sizes are refused on both ends, at the limit they pass', async (t) => {
  for (const size of [31, 16_384]) t.equal(parse(bytesOf(packetFrame(Buffer.alloc(size)))).length, 1)
  for (const size of [0, 30, 16_385]) {
    t.throws(() => packetFrame(Buffer.alloc(size)), refusal('FW_LAN_FRAME_MALFORMED'))
    const frame = Buffer.concat([Buffer.of((size + 1) >> 8, (size + 1) & 0xff, 1), Buffer.alloc(size)])
    t.throws(() => parse(frame), refusal('FW_LAN_FRAME_MALFORMED'), `a packet of ${size} bytes`)
  }
})

void t.test('bodies that break their form are refused', async (t) => {
  const broken = {
    'a ping with a body': '000200ff',
    'a pong with a body': '000204ff',
    'a question of 15 bytes': '001002' + '00'.repeat(15),
    'a question of 17 bytes': '001202' + '00'.repeat(17),
    'a record without a count': '000103',
    'a record with five addresses': '00020305',
    'an address of family 5': '0009030105c0a801076084',
    'a record that ends within an address': '00080301' + '04c0a8010760',
    'a record that ends before its address': '00020301',
    'an address with port 0': '0009030104c0a801070000',
  }
  for (const [what, bytes] of Object.entries(broken)) {
    t.throws(() => parse(Buffer.from(bytes, 'hex')), refusal('FW_LAN_FRAME_MALFORMED'), what)
  }
  t.throws(() => questionFrame(new Uint8Array(15)), refusal('FW_LAN_FRAME_MALFORMED'))
})

void t.test('a frame type of a later release is stepped over', async (t) => {
  const stream = Buffer.concat([Buffer.from('00057fdeadbeef', 'hex'), bytesOf(pingFrame())])
  t.strictSame(parse(stream), [{ type: 'unknown' }, { type: 'ping' }])
})

void t.test('hints come back as they were given, without scope, four at most, names left out', async (t) => {
  const given = ['pump.local', '10.1.2.3', 'fe80::1%eth0', '2001:db8::ffff:1', '::1', '10.0.0.9']
  const [frame] = parse(
    bytesOf(
      recordFrame(
        Buffer.from('record'),
        given.map((address) => ({ address, port: 7 })),
      ),
    ),
  )
  t.same(frame, {
    type: 'record',
    hints: ['10.1.2.3', 'fe80::1', '2001:db8::ffff:1', '::1'].map((address) => ({ address, port: 7 })),
    record: Buffer.from('record'),
  })
})

void t.test('reading stops when the receiver says so', async (t) => {
  const frames: string[] = []
  new LinkFrameParser().push(
    bytesOf(pingFrame(), pongFrame(), pingFrame()),
    (frame) => frames.push(frame.type) < 2,
  )
  t.strictSame(frames, ['ping', 'pong'])
})

void t.test('a parser knows when a frame is under way', async (t) => {
  const parser = new LinkFrameParser()
  const push = (bytes: string): boolean => {
    parser.push(Buffer.from(bytes, 'hex'), () => true)
    return parser.midFrame
  }
  t.equal(parser.midFrame, false)
  t.equal(push('00'), true)
  t.equal(push('11'), true)
  t.equal(push('02' + '00'.repeat(15)), true)
  t.equal(push('00'), false)
  t.equal(push('00010000'), true)
})

void t.test('addresses go to bytes and back', async (t) => {
  for (const text of [
    '0.0.0.0',
    '255.255.255.255',
    '::',
    '::1',
    'fe80::1',
    '1:2:3:4:5:6:7:8',
    '2001:db8::1:0:0:1',
  ]) {
    const bytes = addressBytes(text)
    t.equal(bytes && addressText(bytes), text)
  }
  t.equal(addressText(addressBytes('::ffff:1.2.3.4')!), '::ffff:102:304')
  for (const text of ['pump.local', '1.2.3', '1.2.3.256', '1.2.3.4.5', ':::', 'fe80::1::2', '12345::', '']) {
    t.equal(addressBytes(text), undefined, text)
  }
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
      return Buffer.compare(addressBytes(addressText(bytes))!, bytes) === 0
    }),
  )
})

void t.test('peers are read with and without a port, and refused with a code', async (t) => {
  t.same(parsePeer('10.0.0.1:99', 1), { address: '10.0.0.1', port: 99 })
  t.same(parsePeer('gateway.local', 24_708), { address: 'gateway.local', port: 24_708 })
  t.same(parsePeer('[fe80::1%eth0]:5', 1), { address: 'fe80::1%eth0', port: 5 })
  t.same(parsePeer('[::1]', 7), { address: '::1', port: 7 })
  for (const bad of [
    '',
    'a b',
    'host:0',
    'host:65536',
    'host:',
    'fe80::1',
    '[::1',
    'http://x',
    'x'.repeat(254),
  ]) {
    t.throws(() => parsePeer(bad, 1), refusal('FW_LAN_PEER_INVALID'), bad)
  }
})
