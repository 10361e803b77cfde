import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import {
  decodeClientFrames,
  decodeRelayFrames,
  encodeFrame,
  MAX_DELETE_HASHES,
  MAX_FRAME_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_RECORD_BYTES,
  packMessages,
  STATUS,
  type ClientFrame,
  type RelayFrame,
} from '@fieldwhisper/mesh/relay-frames'
import { MAX_PACKET_BYTES, ProtocolError } from '@fieldwhisper/protocol/packet'

const hex = (text: string): Uint8Array => new Uint8Array(Buffer.from(text.replaceAll(' ', ''), 'hex'))
const bytes = (length: number, value = 0xab): Uint8Array => new Uint8Array(length).fill(value)
const plain = (value: unknown): unknown =>
  JSON.parse(
    JSON.stringify(value, (_key, inner: unknown) =>
      inner instanceof Uint8Array ? Buffer.from(inner).toString('hex') : inner,
    ),
  )

const a16 = '00112233445566778899aabbccddeeff'
const packet = `12 00 ${a16} 00000001 0102030405060708 ${'5a'.repeat(16)}`

const fromClient: { readonly wire: string; readonly frame: ClientFrame }[] = [
  {
    wire: `0066 01 0000002a 03 ${'11'.repeat(32)} ${'22'.repeat(64)}`,
    frame: {
      kind: 'prove',
      request: 42,
      create: true,
      subscribe: true,
      publicKey: bytes(32, 0x11),
      signature: bytes(64, 0x22),
    },
  },
  {
    wire: `0033 02 ffffffff ${packet}`,
    frame: { kind: 'deposit', request: 0xffff_ffff, packet: hex(packet) },
  },
  {
    wire: `0051 03 ${a16} ${'33'.repeat(32)} ${'44'.repeat(32)}`,
    frame: { kind: 'delete', address: hex(a16), hashes: [bytes(32, 0x33), bytes(32, 0x44)] },
  },
  { wire: `0015 04 00000007 ${a16}`, frame: { kind: 'remove', request: 7, address: hex(a16) } },
  {
    wire: `0018 05 00000008 ${a16} c0ffee`,
    frame: { kind: 'publish', request: 8, slot: hex(a16), record: hex('c0ffee') },
  },
  { wire: `0011 06 ${a16}`, frame: { kind: 'lookup', slot: hex(a16) } },
]

const fromRelay: { readonly wire: string; readonly frame: RelayFrame }[] = [
  { wire: `0021 81 ${'77'.repeat(32)}`, frame: { kind: 'challenge', nonce: bytes(32, 0x77) } },
  { wire: '0006 82 0000002a 04', frame: { kind: 'proved', request: 42, status: STATUS.proofInvalid } },
  {
    wire: '000e 83 00000001 02 00000003 00004000',
    frame: { kind: 'stored', request: 1, status: STATUS.full, roomPackets: 3, roomBytes: 16_384 },
  },
  { wire: `002f 84 ${packet}`, frame: { kind: 'packet', packet: hex(packet) } },
  { wire: `0014 85 ${a16} c0ffee`, frame: { kind: 'record', slot: hex(a16), record: hex('c0ffee') } },
  { wire: `0011 85 ${a16}`, frame: { kind: 'record', slot: hex(a16), record: hex('') } },
  { wire: '0006 86 06 73746f70', frame: { kind: 'closing', code: 6, text: 'stop' } },
]

t.test('every frame of a client is these bytes', (t) => {
  for (const { wire, frame } of fromClient) {
    t.equal(Buffer.from(encodeFrame(frame)).toString('hex'), wire.replaceAll(' ', ''), frame.kind)
    t.same(plain(decodeClientFrames(hex(wire))), plain([frame]), frame.kind)
  }
  t.end()
})

t.test('every frame of a relay is these bytes', (t) => {
  for (const { wire, frame } of fromRelay) {
    t.equal(Buffer.from(encodeFrame(frame)).toString('hex'), wire.replaceAll(' ', ''), frame.kind)
    t.same(plain(decodeRelayFrames(hex(wire))), plain([frame]), frame.kind)
  }
  t.end()
})

t.test('several frames stand in one message, and the order is kept', (t) => {
  const all = fromClient.map(({ wire }) => wire).join('')
  t.same(plain(decodeClientFrames(hex(all))), plain(fromClient.map(({ frame }) => frame)))
  t.end()
})

const refusals: { readonly name: string; readonly wire: Uint8Array; readonly code: string }[] = [
  { name: 'an empty message', wire: hex(''), code: 'FW_MALFORMED' },
  { name: 'half a length', wire: hex('00'), code: 'FW_MALFORMED' },
  { name: 'an empty frame', wire: hex('0000'), code: 'FW_MALFORMED' },
  { name: 'an empty frame behind a good one', wire: hex(`0011 06 ${a16} 0000`), code: 'FW_MALFORMED' },
  { name: 'a frame longer than its message', wire: hex(`0012 06 ${a16}`), code: 'FW_MALFORMED' },
  { name: 'an unknown type', wire: hex('0001 07'), code: 'FW_MALFORMED' },
  { name: 'a frame of the other direction', wire: hex(`0021 81 ${'77'.repeat(32)}`), code: 'FW_MALFORMED' },
  {
    name: 'a PROVE with an unknown flag',
    wire: hex(`0066 01 0000002a 04 ${'11'.repeat(96)}`),
    code: 'FW_MALFORMED',
  },
  {
    name: 'a PROVE one byte short',
    wire: hex(`0065 01 0000002a 03 ${'11'.repeat(95)}`),
    code: 'FW_MALFORMED',
  },
  {
    name: 'a DEPOSIT without a whole header',
    wire: hex(`0022 02 00000001 ${'12'.repeat(29)}`),
    code: 'FW_MALFORMED',
  },
  { name: 'a DELETE without a hash', wire: hex(`0011 03 ${a16}`), code: 'FW_MALFORMED' },
  { name: 'a DELETE with half a hash', wire: hex(`0041 03 ${a16} ${'33'.repeat(48)}`), code: 'FW_MALFORMED' },
  { name: 'a REMOVE with a byte too many', wire: hex(`0016 04 00000007 ${a16} 00`), code: 'FW_MALFORMED' },
  { name: 'a PUBLISH without a record', wire: hex(`0015 05 00000008 ${a16}`), code: 'FW_MALFORMED' },
  { name: 'a LOOKUP one byte short', wire: hex(`0010 06 ${a16.slice(2)}`), code: 'FW_MALFORMED' },
  {
    name: 'a record one byte too long',
    wire: join(
      hex(`${(1 + 4 + 16 + MAX_RECORD_BYTES + 1).toString(16)} 05 00000008 ${a16}`),
      bytes(MAX_RECORD_BYTES + 1),
    ),
    code: 'FW_TOO_LARGE',
  },
  {
    name: 'a packet one byte too long',
    wire: join(
      hex(`${(1 + 4 + MAX_PACKET_BYTES + 1).toString(16)} 02 00000008`),
      bytes(MAX_PACKET_BYTES + 1),
    ),
    code: 'FW_TOO_LARGE',
  },
  {
    name: 'a frame one byte too long',
    wire: join(hex((MAX_FRAME_BYTES + 1).toString(16)), bytes(MAX_FRAME_BYTES + 1, 2)),
    code: 'FW_TOO_LARGE',
  },
  { name: 'a message one byte too long', wire: bytes(MAX_MESSAGE_BYTES + 1), code: 'FW_TOO_LARGE' },
]

t.test('what is not a frame is refused with its code, whatever stood before it in the message', (t) => {
  for (const { name, wire, code } of refusals)
    t.throws(() => decodeClientFrames(wire), { name: 'ProtocolError', code }, name)
  t.throws(() => decodeRelayFrames(hex('0006 82 0000002a 08')), { code: 'FW_MALFORMED' }, 'an unknown status')
  t.throws(() => decodeRelayFrames(hex(`0011 06 ${a16}`)), { code: 'FW_MALFORMED' }, 'the other direction')
  t.end()
})

t.test('the largest of everything fits and one more does not', (t) => {
  const hashes = Array.from({ length: MAX_DELETE_HASHES + 1 }, (_, i) => bytes(32, i & 0xff))
  const most = encodeFrame({ kind: 'delete', address: hex(a16), hashes: hashes.slice(1) })
  t.equal(most.length, 2 + MAX_FRAME_BYTES)
  t.equal((decodeClientFrames(most)[0] as any).hashes.length, MAX_DELETE_HASHES)
  t.throws(() => encodeFrame({ kind: 'delete', address: hex(a16), hashes }), { code: 'FW_TOO_LARGE' })
  t.throws(() => encodeFrame({ kind: 'delete', address: hex(a16), hashes: [] }), { code: 'FW_MALFORMED' })
  const deposit = encodeFrame({ kind: 'deposit', request: 1, packet: bytes(MAX_PACKET_BYTES) })
  t.equal(decodeClientFrames(deposit).length, 1)
  t.throws(() => encodeFrame({ kind: 'deposit', request: 1, packet: bytes(MAX_PACKET_BYTES + 1) }), {
    code: 'FW_TOO_LARGE',
  })
  t.throws(() => encodeFrame({ kind: 'lookup', slot: bytes(15) }), { code: 'FW_MALFORMED' })
  t.throws(() => encodeFrame({ kind: 'closing', code: 1, text: 'é'.repeat(129) }), { code: 'FW_TOO_LARGE' })
  t.end()
})

t.test('every truncation of a message is refused or gives a prefix of its frames', (t) => {
  const whole = hex(fromClient.map(({ wire }) => wire).join(''))
  const frames = decodeClientFrames(whole)
  for (let length = 0; length < whole.length; length++) {
    try {
      const got = decodeClientFrames(whole.subarray(0, length))
      t.same(plain(got), plain(frames.slice(0, got.length)))
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
  }
  t.end()
})

const u32 = fc.nat(0xffff_ffff)
const array = (min: number, max = min): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: min, maxLength: max })
const anyFrame: fc.Arbitrary<ClientFrame> = fc.oneof(
  fc.record({
    kind: fc.constant('prove' as const),
    request: u32,
    create: fc.boolean(),
    subscribe: fc.boolean(),
    publicKey: array(32),
    signature: array(64),
  }),
  fc.record({ kind: fc.constant('deposit' as const), request: u32, packet: array(30, 600) }),
  fc.record({
    kind: fc.constant('delete' as const),
    address: array(16),
    hashes: fc.array(array(32), { minLength: 1, maxLength: 20 }),
  }),
  fc.record({ kind: fc.constant('remove' as const), request: u32, address: array(16) }),
  fc.record({ kind: fc.constant('publish' as const), request: u32, slot: array(16), record: array(1, 300) }),
  fc.record({ kind: fc.constant('lookup' as const), slot: array(16) }),
)

t.test('what is encoded and packed is decoded to the same frames, in messages that fit', (t) => {
  const property = fc.property(fc.array(anyFrame, { minLength: 1, maxLength: 300 }), (frames) => {
    const messages = packMessages(frames.map(encodeFrame))
    for (const message of messages) assert.ok(message.length <= MAX_MESSAGE_BYTES)
    assert.deepEqual(plain(messages.flatMap(decodeClientFrames)), plain(frames))
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 60 }))
  t.end()
})

t.test('packing fills a message to the last byte before it begins another', (t) => {
  const half = bytes(MAX_MESSAGE_BYTES / 2)
  t.same(packMessages([]), [])
  t.same(
    packMessages([half, half, bytes(1)]).map(({ length }) => length),
    [MAX_MESSAGE_BYTES, 1],
  )
  t.same(
    packMessages([half, bytes(MAX_MESSAGE_BYTES / 2 + 1)]).map(({ length }) => length),
    [MAX_MESSAGE_BYTES / 2, MAX_MESSAGE_BYTES / 2 + 1],
  )
  t.end()
})

t.test('arbitrary bytes are decoded to frames that encode to the same bytes, or refused with a code', (t) => {
  const property = fc.property(fc.uint8Array({ maxLength: 200 }), (message) => {
    try {
      const again = packMessages(decodeClientFrames(message).map(encodeFrame))
      assert.deepEqual(Buffer.concat(again), Buffer.from(message))
    } catch (error) {
      assert.ok(error instanceof ProtocolError, String(error))
    }
  })
  t.doesNotThrow(() => fc.assert(property, { numRuns: 2_000 }))
  t.end()
})

function join(...parts: Uint8Array[]): Uint8Array {
  return new Uint8Array(Buffer.concat(parts))
}
