import t from 'tap'
import {
  DATA_TYPE,
  MAX_BIRTH_TEXT_BYTES,
  MAX_METRICS,
  MAX_METRICS_PER_DEVICE,
} from '../../../gateway/src/sparkplug/constants.js'
import { readPayload } from '../../support/protobuf-reader.js'
import { Bench, WALL_MS, kinds, reading, reports, sent, topic } from './sparkplug-support.js'

const bdSeqOf = (payload: Uint8Array): number => Number(readPayload(payload).metrics[0]?.value)

void t.test(
  'the will is the NDEATH: QoS 1, not retained, bdSeq and nothing else [tck-id-topics-ndeath-payload] ' +
    '[tck-id-topics-ndeath-seq] [tck-id-payloads-ndeath-seq] [tck-id-payloads-ndeath-will-message] ' +
    '[tck-id-payloads-ndeath-will-message-qos] [tck-id-payloads-ndeath-will-message-retain] ' +
    '[tck-id-message-flow-edge-node-birth-publish-will-message] ' +
    '[tck-id-message-flow-edge-node-birth-publish-will-message-topic] ' +
    '[tck-id-message-flow-edge-node-birth-publish-will-message-payload] ' +
    '[tck-id-message-flow-edge-node-birth-publish-will-message-qos] ' +
    '[tck-id-message-flow-edge-node-birth-publish-will-message-will-retained]',
  (t) => {
    const bench = new Bench()
    t.match(bench.do({ kind: 'dial' }), [{ kind: 'connect', bdSeq: 0 }])
    t.match(bench.will, { topic: topic('NDEATH'), qos: 1, retain: false })
    t.strictSame(readPayload(bench.will!.payload), {
      metrics: [{ name: 'bdSeq', datatype: DATA_TYPE.Int64, properties: {}, field: 11, value: 0n }],
    })
    t.end()
  },
)

void t.test(
  'bdSeq grows by one with every CONNECT, 0 after 255, and goes on after a restart ' +
    '[tck-id-topics-nbirth-bdseq-increment] ' +
    '[tck-id-message-flow-edge-node-birth-publish-will-message-payload-bdSeq] [tck-id-payloads-ndeath-bdseq]',
  (t) => {
    const bench = new Bench()
    for (let i = 0; i < 258; i += 1) {
      t.match(bench.do({ kind: 'dial' }), [{ kind: 'connect', bdSeq: i % 256 }])
      t.equal(bdSeqOf(bench.will!.payload), i % 256)
      // A CONNECT that was never answered counts as well.
      bench.do({ kind: 'disconnected' })
    }
    const after = new Bench({ bdSeq: 41 })
    t.match(after.do({ kind: 'dial' }), [{ kind: 'connect', bdSeq: 42 }])
    t.end()
  },
)

void t.test(
  'NBIRTH comes once the connection stands: seq 0, the bdSeq of the will, Rebirth false and without alias ' +
    '[tck-id-message-flow-edge-node-birth-publish-connect] [tck-id-topics-nbirth-mqtt] [tck-id-topics-nbirth-seq-num] ' +
    '[tck-id-topics-nbirth-timestamp] [tck-id-topics-nbirth-metric-reqs] [tck-id-topics-nbirth-metrics] ' +
    '[tck-id-topics-nbirth-bdseq-included] [tck-id-topics-nbirth-bdseq-matching] [tck-id-topics-nbirth-rebirth-metric] ' +
    '[tck-id-message-flow-edge-node-birth-publish-nbirth-topic] ' +
    '[tck-id-message-flow-edge-node-birth-publish-nbirth-payload] ' +
    '[tck-id-message-flow-edge-node-birth-publish-nbirth-payload-bdSeq] ' +
    '[tck-id-message-flow-edge-node-birth-publish-nbirth-payload-seq] ' +
    '[tck-id-message-flow-edge-node-birth-publish-nbirth-qos] ' +
    '[tck-id-message-flow-edge-node-birth-publish-nbirth-retained] [tck-id-payloads-nbirth-timestamp] ' +
    '[tck-id-payloads-nbirth-seq] [tck-id-payloads-nbirth-bdseq] [tck-id-payloads-nbirth-bdseq-repeat] ' +
    '[tck-id-payloads-nbirth-rebirth-req] [tck-id-payloads-nbirth-qos] [tck-id-payloads-nbirth-retain] ' +
    '[tck-id-payloads-sequence-num-req-nbirth] [tck-id-payloads-timestamp-in-UTC] ' +
    '[tck-id-operational-behavior-data-commands-rebirth-name] ' +
    '[tck-id-operational-behavior-data-commands-rebirth-name-aliases] ' +
    '[tck-id-operational-behavior-data-commands-rebirth-datatype] ' +
    '[tck-id-operational-behavior-data-commands-rebirth-value] [tck-id-operational-behavior-data-publish-nbirth] ' +
    '[tck-id-operational-behavior-data-publish-nbirth-values] ' +
    '[tck-id-operational-behavior-data-publish-nbirth-order]',
  (t) => {
    const bench = new Bench({ bdSeq: 6 })
    t.same(bench.do({ kind: 'connected' }), [], 'nobody dialled')
    t.same(kinds(bench.do({ kind: 'dial' })), [], 'no birth before the connection')
    const births = sent(bench.do({ kind: 'connected' }))
    t.equal(births.length, 1)
    t.match(births[0]?.publish, { topic: topic('NBIRTH'), qos: 0, retain: false })
    t.strictSame(births[0]?.payload, {
      timestamp: WALL_MS,
      seq: 0,
      metrics: [
        {
          name: 'bdSeq',
          timestamp: WALL_MS,
          datatype: DATA_TYPE.Int64,
          properties: {},
          field: 11,
          value: 7n,
        },
        {
          name: 'Node Control/Rebirth',
          timestamp: WALL_MS,
          datatype: DATA_TYPE.Boolean,
          properties: {},
          field: 14,
          value: false,
        },
      ],
    })
    t.equal(bdSeqOf(bench.will!.payload), 7)
    t.same(bench.do({ kind: 'connected' }), [], 'once a connection')
    t.end()
  },
)

void t.test(
  'commands are subscribed to before anything is published [tck-id-message-flow-edge-node-ncmd-subscribe] ' +
    '[tck-id-message-flow-device-dcmd-subscribe]',
  (t) => {
    const [first, ...rest] = new Bench().connect()
    t.same(first, { kind: 'subscribe', topics: [topic('NCMD'), topic('DCMD', '+')], qos: 1 })
    t.same(kinds(rest), ['NBIRTH'])
    t.end()
  },
)

void t.test(
  'a device is born with names, aliases, types, units, quality and current values, oldest first, null where none is ' +
    'known [tck-id-topics-dbirth-mqtt] [tck-id-topics-dbirth-seq] [tck-id-topics-dbirth-timestamp] ' +
    '[tck-id-topics-dbirth-metric-reqs] [tck-id-topics-dbirth-metrics] [tck-id-payloads-dbirth-timestamp] ' +
    '[tck-id-payloads-dbirth-seq] [tck-id-payloads-dbirth-seq-inc] [tck-id-payloads-dbirth-qos] ' +
    '[tck-id-payloads-dbirth-retain] [tck-id-message-flow-device-birth-publish-nbirth-wait] ' +
    '[tck-id-message-flow-device-birth-publish-dbirth-topic] ' +
    '[tck-id-message-flow-device-birth-publish-dbirth-match-edge-node-topic] ' +
    '[tck-id-message-flow-device-birth-publish-dbirth-payload] [tck-id-message-flow-device-birth-publish-dbirth-qos] ' +
    '[tck-id-message-flow-device-birth-publish-dbirth-retained] ' +
    '[tck-id-message-flow-device-birth-publish-dbirth-payload-seq] [tck-id-payloads-alias-birth-requirement] ' +
    '[tck-id-payloads-name-requirement] [tck-id-payloads-name-birth-data-requirement] ' +
    '[tck-id-payloads-metric-timestamp-in-UTC] [tck-id-payloads-metric-datatype-value-type] ' +
    '[tck-id-payloads-metric-datatype-value] [tck-id-payloads-metric-datatype-req] ' +
    '[tck-id-payloads-propertyset-keys-array-size] [tck-id-payloads-propertyset-values-array-size] ' +
    '[tck-id-payloads-metric-propertyvalue-type-type] [tck-id-payloads-metric-propertyvalue-type-value] ' +
    '[tck-id-payloads-metric-propertyvalue-type-req] [tck-id-payloads-propertyset-quality-value-type] ' +
    '[tck-id-payloads-propertyset-quality-value-value] [tck-id-operational-behavior-data-publish-dbirth] ' +
    '[tck-id-operational-behavior-data-publish-dbirth-values] ' +
    '[tck-id-operational-behavior-data-publish-dbirth-order]',
  (t) => {
    const bench = new Bench()
    const known = [
      reading('temp', 21.5, { agoMs: 1_000, unit: 'Cel' }),
      reading('state', 'ok', { agoMs: 3_000, quality: 'uncertain' }),
      reading('on', true, { agoMs: 2_000, quality: 'bad' }),
      reading('raw', new Uint8Array([1, 2]), { agoMs: 2_500 }),
      reading('none', NaN, { agoMs: 2_200 }),
    ]
    t.same(bench.do({ kind: 'current', agent: 'pump', readings: known }), [], 'publishes nothing')
    bench.do({ kind: 'agentHere', agent: 'pump' })
    const [, birth] = sent(bench.connect())
    t.match(birth?.publish, { topic: topic('DBIRTH', 'pump'), qos: 0, retain: false })
    const quality = (value: number): object => ({ Quality: { type: DATA_TYPE.Int32, value } })
    t.strictSame(birth?.payload, {
      timestamp: WALL_MS,
      seq: 1,
      metrics: [
        {
          name: 'state',
          alias: 2,
          timestamp: WALL_MS - 3_000,
          datatype: 12,
          properties: quality(500),
          field: 15,
          value: 'ok',
        },
        {
          name: 'raw',
          alias: 4,
          timestamp: WALL_MS - 2_500,
          datatype: 17,
          properties: quality(192),
          field: 16,
          value: new Uint8Array([1, 2]),
        },
        {
          name: 'none',
          alias: 5,
          timestamp: WALL_MS - 2_200,
          datatype: 10,
          isNull: true,
          properties: quality(0),
        },
        {
          name: 'on',
          alias: 3,
          timestamp: WALL_MS - 2_000,
          datatype: 11,
          properties: quality(0),
          field: 14,
          value: true,
        },
        {
          name: 'temp',
          alias: 1,
          timestamp: WALL_MS - 1_000,
          datatype: 10,
          properties: { ...quality(192), engUnit: { type: DATA_TYPE.String, value: 'Cel' } },
          field: 13,
          value: 21.5,
        },
      ],
    })
    t.end()
  },
)

void t.test('a name that has no value yet is born null, and its first value comes as data', (t) => {
  const bench = new Bench()
  bench.connect()
  const [birth, data] = sent(bench.batch('fan', [reading('rpm', 900)]))
  t.match(birth?.payload.metrics, [{ name: 'rpm', alias: 1, datatype: 10, isNull: true, timestamp: WALL_MS }])
  t.equal(birth?.payload.metrics[0]?.field, undefined)
  t.match(data?.payload.metrics, [{ alias: 1, value: 900 }])
  t.end()
})

void t.test(
  'every living device is born right after the node, before any data [tck-id-payloads-dbirth-order] ' +
    '[tck-id-principles-birth-certificates-order] [tck-id-payloads-ddata-order]',
  (t) => {
    const bench = new Bench()
    bench.connect()
    bench.batch('pump', [reading('temp', 1)])
    bench.batch('fan', [reading('rpm', 2)])
    bench.batch('old', [reading('x', 3)])
    bench.do({ kind: 'agentGone', agent: 'old', revoked: false })
    bench.do({ kind: 'disconnected' })
    const births = sent(bench.connect())
    t.same(
      births.map(({ kind, device }) => [kind, device]),
      [
        ['NBIRTH', undefined],
        ['DBIRTH', 'pump'],
        ['DBIRTH', 'fan'],
      ],
    )
    t.same(
      births.map(({ payload }) => payload.seq),
      [0, 1, 2],
    )
    t.match(births[1]?.payload.metrics, [{ name: 'temp', value: 1 }], 'with its current value')
    t.same(kinds(bench.batch('pump', [reading('temp', 4)])), ['DDATA pump'])
    t.end()
  },
)

void t.test(
  'aliases are unique in the whole node, stay, and are never given again [tck-id-payloads-alias-uniqueness]',
  (t) => {
    const bench = new Bench()
    bench.connect()
    const aliases = (agent: string, ...names: string[]): (number | undefined)[] => {
      const birth = sent(
        bench.batch(
          agent,
          names.map((name) => reading(name, 1)),
        ),
      ).find(({ kind }) => kind === 'DBIRTH')
      return birth?.payload.metrics.map(({ alias }) => alias) ?? []
    }
    t.same(aliases('a', 'x', 'y'), [1, 2])
    t.same(aliases('b', 'x'), [3])
    t.same(aliases('a', 'z'), [1, 2, 4], 'a new name leaves the others as they are')
    bench.do({ kind: 'agentGone', agent: 'a', revoked: true })
    t.same(aliases('a', 'x'), [5], 'a revoked agent is forgotten')
    t.end()
  },
)

void t.test('a device has at most so many names; what does not fit is told to the operator', (t) => {
  const bench = new Bench()
  bench.connect()
  const names = Array.from({ length: MAX_METRICS_PER_DEVICE }, (_, i) => reading(`n${i}`, i))
  t.same(reports(bench.batch('pump', names)), [])
  const effects = bench.batch('pump', [reading('n0', 1), reading('one more', 2), reading('one more', 3)])
  t.match(
    effects.filter(({ kind }) => kind === 'report'),
    [
      {
        code: 'FW_SPARKPLUG_NAMES_LIMIT',
        fields: { agent: 'pump', held: MAX_METRICS_PER_DEVICE, refused: 2 },
      },
    ],
  )
  t.same(kinds(effects), ['DDATA pump'])
  t.match(sent(effects)[0]?.payload.metrics, [{ alias: 1 }], 'the known name goes on')
  t.end()
})

void t.test('all devices together have at most so many names', (t) => {
  const bench = new Bench()
  bench.connect()
  const names = Array.from({ length: MAX_METRICS_PER_DEVICE }, (_, i) => reading(`n${i}`, i))
  for (let i = 1; i < MAX_METRICS / MAX_METRICS_PER_DEVICE; i += 1) {
    bench.do({ kind: 'current', agent: `a${i}`, readings: names })
  }
  t.same(reports(bench.batch('last', names)), [])
  t.same(reports(bench.batch('one more', [reading('x', 1)])), ['FW_SPARKPLUG_NAMES_LIMIT'])
  bench.do({ kind: 'agentGone', agent: 'a1', revoked: true })
  t.same(reports(bench.batch('one more', [reading('x', 1)])), [], 'a revoked agent makes room')
  t.end()
})

void t.test('long texts beyond the room of a birth are null in it, and come whole as data', (t) => {
  const bench = new Bench()
  const text = 'x'.repeat(8_000)
  const count = Math.floor(MAX_BIRTH_TEXT_BYTES / text.length) + 1
  const readings = Array.from({ length: count }, (_, i) => reading(`n${i}`, text))
  bench.do({ kind: 'current', agent: 'pump', readings })
  bench.do({ kind: 'agentHere', agent: 'pump' })
  const [, birth] = sent(bench.connect())
  t.equal(birth?.payload.metrics.filter(({ isNull }) => isNull).length, 1)
  const data = sent(bench.batch('pump', readings))
  t.same(
    data.flatMap(({ payload }) => payload.metrics.map(({ value }) => value)),
    readings.map(() => text),
  )
  t.end()
})

void t.test('a changed type or unit is a new birth of the device', (t) => {
  const bench = new Bench()
  bench.connect()
  bench.batch('pump', [reading('p', 1, { unit: 'bar' })])
  const typed = sent(bench.batch('pump', [reading('p', 'off', { unit: 'bar' })]))
  t.same(
    typed.map(({ kind }) => kind),
    ['DBIRTH', 'DDATA'],
  )
  t.match(typed[0]?.payload.metrics, [{ name: 'p', alias: 1, datatype: 12, value: '1' }])
  const back = sent(bench.batch('pump', [reading('p', 2, { unit: 'Pa' })]))
  t.match(back[0]?.payload.metrics, [
    { datatype: 10, isNull: true, properties: { engUnit: { value: 'Pa' } } },
  ])
  t.same(kinds(bench.batch('pump', [reading('p', 3, { unit: 'Pa' })])), ['DDATA pump'])
  t.end()
})

void t.test(
  'a batch in which a name changes its type makes one birth, and everything is told as text',
  (t) => {
    const bench = new Bench()
    bench.connect()
    const mixed = [
      reading('p', 1.5),
      reading('p', 'off'),
      reading('p', false),
      reading('p', new Uint8Array([255])),
    ]
    const effects = sent(bench.batch('pump', mixed))
    t.same(
      effects.map(({ kind }) => kind),
      ['DBIRTH', 'DDATA'],
    )
    t.same(
      effects[1]?.payload.metrics.map(({ value }) => value),
      ['1.5', 'off', 'false', '/w=='],
    )
    t.end()
  },
)
