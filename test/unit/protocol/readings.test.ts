import {
  checkReading,
  decodeBatch,
  encodeBatch,
  encodeCbor,
  MAX_BATCH_BYTES,
  MAX_READING_BYTES,
  readingBytes,
  type CborValue,
  type Reading,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { bytes, refusal } from './support.js'

const MAX_TIME = 253_402_300_799_000
const MIN_WALL = -62_135_596_800_000
const bootId = new Uint8Array(8)
const good: Reading = {
  name: 'temperature',
  unit: 'Cel',
  value: 21.5,
  quality: 'good',
  monoMs: 1_000,
  wallMs: 1_760_000_000_000,
  clock: 'synchronised',
}

/** Anything a source may hand over, proper and improper. */
const anything: fc.Arbitrary<Reading> = fc.record({
  name: fc.oneof(fc.string({ unit: 'binary', maxLength: 20 }), fc.string({ unit: 'grapheme', minLength: 1 })),
  unit: fc.oneof(fc.constant('V'), fc.string({ unit: 'binary', maxLength: 20 })),
  value: fc.oneof(
    fc.double(),
    fc.integer(),
    fc.boolean(),
    fc.string({ unit: 'binary', maxLength: 100 }),
    fc.uint8Array({ maxLength: 9_000 }),
    fc.constantFrom<unknown>(null, undefined, 5n, [1], {}, Symbol('x'), new Date(0)) as fc.Arbitrary<never>,
  ),
  quality: fc.constantFrom('good' as const, 'uncertain' as const, 'bad' as const, 'fine' as never),
  monoMs: fc.oneof(fc.nat(1e9), fc.double(), fc.constant(MAX_TIME)),
  wallMs: fc.oneof(fc.nat(2e12), fc.double(), fc.constantFrom(MAX_TIME, MIN_WALL)),
  clock: fc.constantFrom('unset' as const, 'unknown' as const, 'synchronised' as const, 'gps' as never),
})

void t.test(
  'what passes the check can be encoded and decoded, alone and with others; all else has one code',
  (t) => {
    let passed = 0
    fc.assert(
      fc.property(fc.array(anything, { minLength: 1, maxLength: 6 }), (readings) => {
        const proper = readings.filter((reading) => {
          try {
            checkReading(reading)
            return true
          } catch (error) {
            if ((error as { code?: string }).code !== 'FW_READING_INVALID') throw error
            return false
          }
        })
        passed += proper.length
        let sum = 0
        for (const reading of proper) sum += readingBytes(reading)
        if (sum + 30 > MAX_BATCH_BYTES) return
        const encoded = encodeBatch({ bootId, readings: proper })
        if (encoded.length > sum + 30) throw new Error(`${encoded.length} bytes, counted as ${sum}`)
        const decoded = decodeBatch(encoded).readings
        decoded.forEach((reading, i) => {
          const { name, unit, value, monoMs, wallMs } = proper[i]!
          if (reading.name !== name || (reading.unit ?? '') !== (unit ?? '')) throw new Error('name or unit')
          if (!sameValue(reading.value, value)) throw new Error('value')
          if (Math.abs(reading.monoMs - monoMs) > 0.5) throw new Error('monotonic time')
          if (Math.abs(reading.wallMs - wallMs) > 2) throw new Error('wall time')
          new Date(reading.wallMs).toISOString()
        })
      }),
      { numRuns: 1_500 },
    )
    t.ok(passed > 100, `${passed} readings passed`)
    t.end()
  },
)

function sameValue(a: unknown, b: unknown): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return Buffer.compare(a, b) === 0
  return a === b
}

void t.test('each field of a reading is taken at its limit and refused one step beyond', (t) => {
  const taken: Partial<Reading>[] = [
    {},
    { name: 'x'.repeat(128) },
    { unit: 'u'.repeat(32) },
    { value: '' },
    { value: 'x'.repeat(MAX_READING_BYTES - 32 - 11 - 3 - 5) },
    { value: new Uint8Array(MAX_READING_BYTES - 32 - 11 - 3 - 5) },
    { value: Number.MAX_VALUE },
    { monoMs: 0, wallMs: 0 },
    { monoMs: MAX_TIME, wallMs: MAX_TIME },
    { wallMs: MIN_WALL },
  ]
  const refused: Partial<Record<keyof Reading, unknown>>[] = [
    { name: '' },
    { name: 'x'.repeat(129) },
    { name: 'ä'.repeat(65) },
    { name: 'a\0b' },
    { name: '\uDC00' },
    { name: 5 },
    { unit: 'u'.repeat(33) },
    { unit: '\uD800' },
    { unit: null },
    { value: NaN },
    { value: -Infinity },
    { value: '\uD800x' },
    { value: null },
    { value: 5n },
    { value: 'x'.repeat(MAX_READING_BYTES - 32 - 11 - 3 - 5 + 1) },
    { value: new Uint8Array(MAX_READING_BYTES) },
    { monoMs: -1 },
    { monoMs: MAX_TIME + 1 },
    { monoMs: NaN },
    { wallMs: MAX_TIME + 1 },
    { wallMs: MIN_WALL - 1 },
    { wallMs: '0' },
    { quality: 'fine' },
    { clock: undefined },
  ]
  for (const change of taken)
    t.doesNotThrow(() => checkReading({ ...good, ...change }), Object.keys(change).join())
  for (const change of refused) {
    t.throws(
      () => checkReading({ ...good, ...change } as Reading),
      refusal('FW_READING_INVALID'),
      Object.keys(change).join(),
    )
  }
  t.end()
})

void t.test('a refusal names the reading and never its value', (t) => {
  const value = 'secret-recipe\uD800'
  t.throws(() => checkReading({ ...good, value }), { message: /temperature/ })
  try {
    checkReading({ ...good, value })
  } catch (error) {
    t.notMatch(String(error), /secret/)
  }
  t.end()
})

void t.test('a reading without a unit has none when it comes back', (t) => {
  const { unit: _, ...bare } = good
  const [reading] = decodeBatch(encodeBatch({ bootId, readings: [bare] })).readings
  t.notOk('unit' in reading!)
  t.end()
})

void t.test('a batch is refused one byte above its limit', (t) => {
  const of = (length: number) =>
    encodeBatch({ bootId, readings: [{ ...good, value: new Uint8Array(length) }] })
  const overhead = of(1_000).length - 1_000
  t.equal(of(MAX_BATCH_BYTES - overhead).length, MAX_BATCH_BYTES)
  t.throws(() => of(MAX_BATCH_BYTES - overhead + 1), refusal('FW_TOO_LARGE'))
  t.end()
})

void t.test('a name stands once in a batch, and a steady clock too', (t) => {
  const readings = Array.from({ length: 100 }, (_, i) => ({
    ...good,
    value: i,
    monoMs: i,
    wallMs: good.wallMs + i,
  }))
  const encoded = encodeBatch({ bootId, readings })
  t.equal(Buffer.from(encoded).toString('latin1').split('temperature').length, 2)
  t.ok(encoded.length < 60 + 100 * 6, `${encoded.length} bytes`)
  t.end()
})

const row = [0, 0, 1, 0]
const body: CborValue[] = [1, bootId, [['a', '']], [[0, 0, 2]], 0, row]
const changed = (place: number, value: CborValue) =>
  encodeCbor(body.map((field, i) => (i === place ? value : field)))

void t.test('a batch that no agent makes is refused as a whole', (t) => {
  t.equal(decodeBatch(encodeCbor(body)).readings.length, 1)
  const many = (count: number, item: CborValue) => Array.from({ length: count }, () => item)
  const wrong: [number, CborValue][] = [
    [1, new Uint8Array(7)],
    [2, [['', '']]],
    [2, [['x'.repeat(129), '']]],
    [2, [['a\0b', '']]],
    [2, [['a', 'u'.repeat(33)]]],
    [2, [['a']]],
    [2, []],
    [2, many(4_097, ['a', ''])],
    [3, []],
    [3, [[1, 0, 2]]],
    [3, [[0, 0.5, 2]]],
    [3, [[0, 0, 3]]],
    [3, [[0, 2 ** 53, 2]]],
    [3, [[0, MAX_TIME + 2, 2]]],
    [3, [[0, MIN_WALL - 2, 2]]],
    [3, many(4_097, [0, 0, 2])],
    [4, -1],
    [4, 0.5],
    [4, MAX_TIME + 1],
    [5, [0, 0, 1]],
    [5, [1, 0, 1, 0]],
    [5, [-1, 0, 1, 0]],
    [5, [0, 0.5, 1, 0]],
    [5, [0, -1, 1, 0]],
    [5, [0, MAX_TIME + 1, 1, 0]],
    [5, [0, 2 ** 1000, 1, 0]],
    [5, [0, 0, null, 0]],
    [5, [0, 0, [1], 0]],
    [5, [0, 0, NaN, 0]],
    [5, [0, 0, Infinity, 0]],
    [5, [0, 0, 1, 3]],
    [5, many(4 * 4_096 + 4, 0)],
  ]
  for (const [place, value] of wrong) {
    t.throws(() => decodeBatch(changed(place, value)), refusal('FW_MALFORMED'), `field ${place}`)
  }
  t.throws(() => decodeBatch(changed(0, 2)), refusal('FW_VERSION_UNKNOWN'), 'an encoding of a later release')
  t.throws(() => decodeBatch(encodeCbor(body.slice(1))), refusal('FW_MALFORMED'))
  t.throws(() => decodeBatch(new Uint8Array(0)), refusal('FW_MALFORMED'))
  t.end()
})

void t.test('a batch cut off at any byte is refused, and any altered byte is read or refused', (t) => {
  const readings = [good, { ...good, name: 'running', value: true }, { ...good, value: 'text' }]
  const encoded = encodeBatch({ bootId, readings })
  for (let length = 0; length < encoded.length; length++) {
    t.throws(() => decodeBatch(encoded.subarray(0, length)), refusal('FW_MALFORMED'))
  }
  fc.assert(
    fc.property(fc.nat(encoded.length - 1), bytes(1), (at, [byte]) => {
      const altered = new Uint8Array(encoded)
      altered[at] = byte!
      try {
        for (const reading of decodeBatch(altered).readings) checkReading(reading)
      } catch (error) {
        const { code } = error as { code?: string }
        if (code !== 'FW_MALFORMED' && code !== 'FW_VERSION_UNKNOWN') throw error
      }
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

void t.test('what an agent seals in a batch is held to the limits of checkReading too', (t) => {
  const batch = (offset: number, value: string | number): Uint8Array =>
    encodeCbor([1, bootId, [['x', '']], [[0, offset, 0]], 0, [0, 0, value, 0]])
  const room = MAX_READING_BYTES - 32 - 1 - 5
  checkReading(decodeBatch(batch(0, 'y'.repeat(room))).readings[0]!)
  t.throws(() => decodeBatch(batch(0, 'y'.repeat(room + 1))), refusal('FW_MALFORMED'))
  for (const limit of [-62_135_596_800_000, 253_402_300_799_000]) {
    // One millisecond beyond is rounding, which encodeBatch may have done; two are not.
    const [reading] = decodeBatch(batch(limit + Math.sign(limit), 1)).readings
    t.equal(reading?.wallMs, limit)
    t.throws(() => decodeBatch(batch(limit + 2 * Math.sign(limit), 1)), refusal('FW_MALFORMED'))
  }
  t.end()
})
