import {
  asBytes,
  asFinite,
  asText,
  asUint,
  decodeCbor,
  encodeCbor,
  fromHex,
  hex,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { asInteger } from '../../../protocol/dist/cbor.js'
import { refusal } from './support.js'

void t.test('everything the messages never contain is refused', (t) => {
  const refused = {
    'an empty body': '',
    'bytes behind the item': '0000',
    'a tag': 'c100',
    'a map': 'a10000',
    'an array of indefinite length': '9f00ff',
    'text of indefinite length': '7f6161ff',
    'bytes of indefinite length': '5f4100ff',
    'a map of indefinite length': 'bfff',
    undefined: 'f7',
    'a simple value of one byte': 'f820',
    'a simple value in the head': 'e0',
    'a break': 'ff',
    'a 64-bit integer': '1b0000000000000000',
    'a negative 64-bit integer': '3b0000000000000000',
    'a 64-bit length': '9b0000000000000000',
    'reserved length forms': '1c',
    'a length that is cut off': '1901',
    'text that is cut off': '6361',
    'a float that is cut off': 'fb00000000000000',
    'an array that is cut off': '820000'.slice(0, 4),
    'text that is not UTF-8': '61ff',
    'text with half a surrogate pair': '63eda080',
    'text in a form that is too long': '62c080',
    'text of 65 bytes that is not UTF-8': `7841${'61'.repeat(64)}ff`,
  }
  for (const [what, body] of Object.entries(refused)) {
    t.throws(() => decodeCbor(fromHex(body)), refusal('FW_MALFORMED'), what)
  }
  t.end()
})

void t.test('a huge count is refused before anything is allocated for it', (t) => {
  for (const head of ['9affffffff', '5affffffff', '7affffffff', '99ffff', '9a00010000']) {
    t.throws(() => decodeCbor(fromHex(`${head}00`)), refusal('FW_MALFORMED'))
    t.throws(() => decodeCbor(fromHex(`81${head}`)), refusal('FW_MALFORMED'))
  }
  t.end()
})

void t.test('eight arrays inside each other are read and nine are not', (t) => {
  t.same(decodeCbor(fromHex(`${'81'.repeat(7)}80`)), [[[[[[[[]]]]]]]])
  t.throws(() => decodeCbor(fromHex(`${'81'.repeat(8)}80`)), refusal('FW_MALFORMED'))
  t.throws(() => decodeCbor(fromHex('81'.repeat(16_000))), refusal('FW_MALFORMED'))
  t.end()
})

void t.test('40,000 items are read and one more is not', (t) => {
  const array = (count: number) => Buffer.concat([fromHex(`99${count.toString(16)}`), Buffer.alloc(count)])
  t.equal((decodeCbor(array(39_999)) as unknown[]).length, 39_999)
  t.throws(() => decodeCbor(array(40_000)), refusal('FW_MALFORMED'))
  t.end()
})

void t.test('what is read belongs to the reader: the packet it came in may change', (t) => {
  const body = fromHex('82420102626162')
  const read = decodeCbor(body)
  body.fill(0xff)
  t.same(read, [Uint8Array.of(1, 2), 'ab'])
  t.equal((read as Uint8Array[])[0]!.buffer.byteLength, 2, 'no view of the whole body')
  t.end()
})

void t.test('what is written belongs to the writer alone', (t) => {
  const a = encodeCbor(['a'])
  const b = encodeCbor(['b'])
  t.equal(a.buffer.byteLength, a.length)
  t.not(a.buffer, b.buffer)
  b.fill(0)
  t.equal(hex(a), '816161')
  t.end()
})

void t.test('numbers are written in one form only and read in every allowed one', (t) => {
  const written = { 0: '00', 23: '17', 24: '1818', 65_536: '1a00010000', [-1]: '20', [-25]: '3818' }
  for (const [value, form] of Object.entries(written)) t.equal(hex(encodeCbor(Number(value))), form)
  t.equal(hex(encodeCbor(2 ** 32)), 'fb41f0000000000000', 'above 32 bits a float')
  t.equal(hex(encodeCbor(-0)), '00')
  for (const form of ['05', '1805', '190005', '1a00000005', 'f94500', 'fa40a00000', 'fb4014000000000000']) {
    t.equal(decodeCbor(fromHex(form)), 5)
  }
  t.equal(decodeCbor(fromHex('3affffffff')), -(2 ** 32))
  t.end()
})

void t.test('a byte order mark stays where it is, in short text and in long', (t) => {
  for (const text of ['\uFEFF', '\uFEFFname', `\uFEFF${'x'.repeat(200)}`]) {
    t.equal(decodeCbor(encodeCbor(text)), text)
  }
  t.end()
})

void t.test('random bytes are read or refused, and nothing else happens', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 60 }), (body) => {
      try {
        decodeCbor(body)
      } catch (error) {
        if ((error as { code?: string }).code !== 'FW_MALFORMED') throw error
      }
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

void t.test('the readers of fields take what is within their limits and refuse one step beyond', (t) => {
  const bad = refusal('FW_MALFORMED')
  t.equal(asUint(0xffff_ffff, 'x'), 0xffff_ffff)
  for (const value of [-1, 2 ** 32, 0.5, NaN, '1', null, undefined, [1]])
    t.throws(() => asUint(value, 'x'), bad)
  t.equal(asInteger(-5, 'x', -5, 5), -5)
  for (const value of [-6, 6, 0.5, '0']) t.throws(() => asInteger(value, 'x', -5, 5), bad)
  t.equal(asFinite(-0.5, 'x', -0.5, 0), -0.5)
  for (const value of [NaN, Infinity, -Infinity, '0', true]) t.throws(() => asFinite(value, 'x'), bad)
  t.throws(() => asFinite(0.1, 'x', 0, 0), bad)
  t.equal(asText('ä', 'x', 2, 2), 'ä')
  t.throws(() => asText('ä', 'x', 1, 1), bad, 'bytes count, not letters')
  t.throws(() => asText('', 'x', 1, 5), bad)
  t.throws(() => asText(Uint8Array.of(97), 'x', 1, 5), bad)
  t.same(asBytes(new Uint8Array(3), 'x', 3), new Uint8Array(3))
  for (const length of [2, 4]) t.throws(() => asBytes(new Uint8Array(length), 'x', 3), bad)
  t.throws(() => asBytes('abc', 'x', 3), bad)
  t.end()
})
