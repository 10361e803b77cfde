import fc from 'fast-check'
import t from 'tap'
import { encodePayload, readingId, readingPayload, rfc3339 } from '../../../gateway/src/bridge/payload.js'
import { WALL_MS, reading, stream } from './bridge-support.js'

const batch = {
  stream: stream(7, 0xab),
  number: 41,
  path: 'relay',
  historical: false,
  receivedWallMs: WALL_MS + 5_000,
} as const

function text(
  change: Parameters<typeof reading>[0],
  facts: Partial<Parameters<typeof readingPayload>[0]> = {},
) {
  return Buffer.from(encodePayload(readingPayload({ ...batch, ...facts }, 3, reading(change)))).toString()
}

void t.test('a reading as subscribers see it', (t) => {
  t.equal(
    text({}),
    '{"value":21.5,"unit":"Cel","time":"2026-03-04T05:06:07.890Z","quality":"good","clock":"synchronised",' +
      '"id":"00000007abababababababab-41-3","path":"relay","historical":false}',
  )
  t.equal(readingId(stream(1, 0), 0, 0), '000000010000000000000000-0-0')
  t.end()
})

void t.test('a reading without unit has none', (t) => {
  const { unit: _unit, ...rest } = reading()
  t.notHas(readingPayload(batch, 0, rest), { unit: /./ })
  t.end()
})

void t.test('numbers read back as the same number', (t) => {
  for (const value of [-0, 5e-324, Number.MAX_VALUE, Number.MAX_SAFE_INTEGER, 0.1 + 0.2, -273.15]) {
    t.ok(Object.is(JSON.parse(text({ value })).value, value), String(value))
  }
  fc.assert(
    fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
      return Object.is(JSON.parse(text({ value })).value, value)
    }),
  )
  t.end()
})

void t.test('a number that is none is null and bad', (t) => {
  for (const value of [NaN, Infinity, -Infinity]) {
    t.match(JSON.parse(text({ value })), { value: null, quality: 'bad' })
  }
  t.end()
})

void t.test('text stays text, truth stays truth, bytes become base64 and say so', (t) => {
  t.match(JSON.parse(text({ value: 'an "apple"\n\u2028' })), {
    value: 'an "apple"\n\u2028',
    encoding: undefined,
  })
  t.match(JSON.parse(text({ value: false })), { value: false, encoding: undefined })
  const bytes = Uint8Array.from([0, 255, 128, 1]).subarray(1)
  t.match(JSON.parse(text({ value: bytes })), { value: '/4AB', encoding: 'base64' })
  t.end()
})

void t.test('the time and where it comes from', (t) => {
  const clockOffsetMs = WALL_MS + 60_000
  const at = (change: object, facts = {}) => {
    const { time, clock } = JSON.parse(text(change, facts))
    return [Date.parse(time) - WALL_MS, clock]
  }
  t.same(at({ clock: 'synchronised' }), [0, 'synchronised'])
  t.same(
    at({ clock: 'synchronised' }, { clockOffsetMs }),
    [0, 'synchronised'],
    'a good clock is not corrected',
  )
  t.same(at({ clock: 'unknown' }), [0, 'unknown'])
  t.same(at({ clock: 'unknown', monoMs: 500 }, { clockOffsetMs }), [60_500, 'corrected'])
  t.same(at({ clock: 'unset', wallMs: 17, monoMs: 500 }, { clockOffsetMs }), [60_500, 'corrected'])
  t.same(at({ clock: 'unset', wallMs: 17 }), [5_000, 'received'], 'an agent in 1970 is not believed')
  t.same(at({ clock: 'synchronised', wallMs: 1e17 }), [5_000, 'received'], 'nor one in the year 3 million')
  t.equal(rfc3339(0), '1970-01-01T00:00:00.000Z')
  t.equal(rfc3339(-1), undefined)
  t.equal(rfc3339(253_402_300_799_999), '9999-12-31T23:59:59.999Z')
  t.equal(rfc3339(253_402_300_800_000), undefined)
  t.end()
})
