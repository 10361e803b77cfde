import { MAX_CONTENT_BYTES } from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { pad, paddedLength, unpad } from '../../../protocol/dist/packet/padding.js'
import { refusal } from './support.js'

void t.test('what is padded comes back', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4_000 }), (content) => {
      if (Buffer.compare(unpad(pad(content)), content) !== 0) throw new Error('another content')
    }),
  )
  t.end()
})

void t.test('a padded size is never smaller, at most an eighth larger, and is its own padded size', (t) => {
  for (let length = 0; length <= 15_872; length++) {
    const padded = paddedLength(length)
    if (padded < length || padded < 256) t.fail(`${length} became ${padded}`)
    if (length > 256 && padded > length * 1.125) t.fail(`${length} became ${padded}`)
    if (paddedLength(padded) !== padded) t.fail(`${padded} is not stable`)
  }
  t.equal(paddedLength(15_872), 15_872)
  t.end()
})

void t.test('contents of up to 254 bytes all have one size', (t) => {
  t.same(
    [0, 1, 128, 254].map((length) => pad(new Uint8Array(length)).length),
    [256, 256, 256, 256],
  )
  t.equal(pad(new Uint8Array(255)).length, 272)
  t.end()
})

void t.test('the largest content fits and one byte more does not', (t) => {
  t.equal(pad(new Uint8Array(MAX_CONTENT_BYTES)).length, 15_872)
  t.throws(() => pad(new Uint8Array(MAX_CONTENT_BYTES + 1)), refusal('FW_TOO_LARGE'))
  t.end()
})

void t.test('a filling that is not zero, a wrong size and a length beyond the end are refused', (t) => {
  const padded = pad(Buffer.from('content'))
  for (let at = 9; at < padded.length; at++) {
    const changed = new Uint8Array(padded)
    changed[at] = 1
    t.throws(() => unpad(changed), refusal('FW_MALFORMED'))
  }
  t.throws(() => unpad(padded.subarray(0, 255)), refusal('FW_MALFORMED'), 'too short')
  t.throws(() => unpad(new Uint8Array(257)), refusal('FW_MALFORMED'), 'no padded size')
  t.throws(() => unpad(new Uint8Array(272)), refusal('FW_MALFORMED'), 'larger than its content needs')
  t.throws(() => unpad(Uint8Array.from(padded, (byte, i) => (i < 2 ? 0xff : byte))), refusal('FW_MALFORMED'))
  t.throws(() => unpad(new Uint8Array(0)), refusal('FW_MALFORMED'))
  t.end()
})
