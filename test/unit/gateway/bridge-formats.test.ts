import t from 'tap'
import { Expiry } from '../../../gateway/src/bridge/expiry.js'
import { readingPayload, type BridgedReading } from '../../../gateway/src/bridge/payload.js'
import { readingFormat, type PayloadFormat } from '../../../gateway/src/bridge/payload-format.js'
import { batchOf, bridgeStore, entry, eventually, fill, reading, rig, WALL_MS } from './bridge-support.js'

const ORIGIN = { agent: 'pump-7', name: 'temp' }

function text(format: PayloadFormat, change: Partial<BridgedReading> = {}, name = 'temp'): string {
  const content = readingPayload(entry(), 3, { ...reading(), ...change, name })
  return Buffer.from(readingFormat(format).encode(content, { ...ORIGIN, name })).toString()
}

void t.test('SenML: a pack of one record with the labels of RFC 8428', (t) => {
  const [record] = JSON.parse(text('senml')) as Record<string, unknown>[]
  t.match(record, { bn: 'pump-7/', n: 'temp', u: 'Cel', v: 21.5, t: WALL_MS / 1_000, path: 'lan' })
  t.notHas(record, { quality: /./ })
  t.match(JSON.parse(text('senml', { value: true })), [{ vb: true }])
  t.match(JSON.parse(text('senml', { value: 'on' })), [{ vs: 'on' }])
  t.match(JSON.parse(text('senml', { value: Uint8Array.of(0xfb, 0xff) })), [{ vd: '-_8' }])
  const [none] = JSON.parse(text('senml', { value: NaN })) as Record<string, unknown>[]
  t.notOk('v' in none!, 'a number that is none has no value')
  t.equal(none!['quality'], 'bad')
  t.match(
    JSON.parse(text('senml', {}, 'Wärme')),
    [{ n: 'W_rme', name: 'Wärme' }],
    'a name that SenML cannot write',
  )
  t.end()
})

void t.test('a bare value is the shortest text that reads back, and never empty', (t) => {
  const table: [BridgedReading['value'], string][] = [
    [21.5, '21.5'],
    [-0, '-0'],
    [1e300, '1e+300'],
    [NaN, 'NaN'],
    [false, 'false'],
    ['auto', 'auto'],
    [Uint8Array.of(1, 2), 'AQI='],
  ]
  for (const [value, wanted] of table) t.equal(text('value', { value }), wanted)
  t.end()
})

void t.test('a bare value that was taken long ago goes below its topic and is not retained', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, [entry(), entry({ number: 1, historical: true })])
  const { outbox, output } = await rig(store, { format: readingFormat('value') })
  await eventually('both are published', () => output.sent.length === 2)
  t.match(output.sent, [
    { topic: 'fieldwhisper/hall/pump-7/temp', retain: true },
    { topic: 'fieldwhisper/hall/pump-7/temp/$history', retain: false },
  ])
  await outbox.stop()
})

void t.test('the first rule that fits says how long a reading is current', (t) => {
  const expiry = new Expiry([
    { name: 'temp.*', afterMs: 1 },
    { name: '*.raw', afterMs: 2 },
    { name: 'a*c', afterMs: 3 },
  ])
  const table: [string, number | undefined][] = [
    ['temp.', 1],
    ['temp.raw', 1],
    ['x.raw', 2],
    ['ac', 3],
    ['abbc', 3],
    ['abcd', undefined],
    ['ab', undefined],
    ['tempx', undefined],
    ['TEMP.x', undefined],
  ]
  for (const [name, wanted] of table) t.equal(expiry.afterMs(name), wanted, name)
  t.equal(new Expiry([]).afterMs('x'), undefined)
  t.end()
})

void t.test(
  'what is older than its time to live is told as historical, not retained, and counted',
  async (t) => {
    const store = bridgeStore()
    const aged = (ms: number, change = {}) => batchOf([reading({ wallMs: WALL_MS - ms, ...change })])
    await fill(store, 1, [
      entry({ number: 0, batch: aged(1_000) }),
      entry({ number: 1, batch: aged(1_001) }),
      entry({ number: 2, batch: aged(5_000, { name: 'other' }) }),
      entry({ number: 3, batch: aged(1e12, { clock: 'unknown' }), receivedWallMs: WALL_MS - 500 }),
    ])
    const { outbox, output } = await rig(store, {
      expiry: new Expiry([{ name: 'temp', afterMs: 1_000 }]),
      withProperties: true,
      wallMs: () => WALL_MS,
    })
    await eventually('all are published', () => output.sent.length === 4)
    const told = output.payloads() as { historical: boolean; id: string }[]
    t.same(
      told.map(({ historical }) => historical),
      [false, true, false, false],
      'the last has no time of its own: it counts from its arrival',
    )
    t.same(
      output.sent.map(({ retain }) => retain),
      [true, false, true, true],
    )
    t.equal(outbox.status().expired, 1)
    t.same(
      output.sent.map(({ properties }) => properties?.expirySeconds),
      [1, undefined, undefined, 1],
      'a broker of MQTT 5 removes a current value when its time is over',
    )
    t.match(output.sent[1], {
      properties: {
        contentType: 'application/json',
        user: { id: told[1]!.id, seq: '2', historical: 'true' },
      },
    })
    await outbox.stop()
  },
)
