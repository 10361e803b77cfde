import t from 'tap'
import {
  MAX_DATA_METRICS,
  MAX_DATA_TEXT_BYTES,
  MAX_UNCONFIRMED,
  WINDOW_MESSAGES,
} from '../../../gateway/src/sparkplug/constants.js'
import { Bench, OPTIONS, WALL_MS, fences, kinds, reading, reports, sent, topic } from './sparkplug-support.js'

/** Born, with the one name of one device known to the host. */
function running(): Bench {
  const bench = new Bench()
  bench.connect()
  bench.batch('pump', [reading('temp', 20, { agoMs: 60_000 })])
  return bench
}

void t.test(
  'data goes by alias, with time, value and quality, without name and type [tck-id-topics-ddata-mqtt] ' +
    '[tck-id-topics-ddata-seq-num] [tck-id-topics-ddata-timestamp] [tck-id-topics-ddata-payload] ' +
    '[tck-id-payloads-ddata-timestamp] [tck-id-payloads-ddata-seq] [tck-id-payloads-ddata-seq-inc] ' +
    '[tck-id-payloads-ddata-qos] [tck-id-payloads-ddata-retain] [tck-id-payloads-alias-data-cmd-requirement] ' +
    '[tck-id-payloads-metric-datatype-not-req] [tck-id-operational-behavior-data-publish-dbirth-change] ' +
    '[tck-id-principles-rbe-recommended]',
  (t) => {
    const bench = running()
    const [data, ...more] = sent(bench.batch('pump', [reading('temp', 21.5, { agoMs: 5 })]))
    t.same(more, [])
    t.match(data?.publish, { topic: topic('DDATA', 'pump'), qos: 0, retain: false })
    t.strictSame(data?.payload, {
      timestamp: WALL_MS,
      seq: 3,
      metrics: [
        {
          alias: 1,
          timestamp: WALL_MS - 5,
          properties: { Quality: { type: 3, value: 192 } },
          field: 13,
          value: 21.5,
        },
      ],
    })
    t.end()
  },
)

void t.test(
  'seq counts through births, data and deaths of all devices, and 0 follows 255 ' +
    '[tck-id-payloads-sequence-num-always-included] [tck-id-payloads-sequence-num-incrementing]',
  (t) => {
    const bench = new Bench()
    const all = sent(bench.connect())
    for (let i = 0; i < 300; i += 1) {
      const agent = `a${i % 7}`
      const effects = [...bench.batch(agent, [reading('x', i)])]
      if (i % 11 === 0) effects.push(...bench.do({ kind: 'agentGone', agent, revoked: false }))
      for (const fence of fences(effects)) bench.do({ kind: 'fenced', fence })
      all.push(...sent(effects))
    }
    t.ok(all.length > 300)
    t.same(
      all.map(({ payload }) => payload.seq),
      all.map((_, i) => i % 256),
    )
    t.end()
  },
)

void t.test(
  'values in one message stand in the order of time, and one that is older than what was told is historical ' +
    '[tck-id-operational-behavior-data-publish-dbirth-order]',
  (t) => {
    const bench = running()
    const batch = [
      reading('temp', 3, { agoMs: 10 }),
      reading('temp', 1, { agoMs: 30 }),
      reading('temp', 2, { agoMs: 20 }),
    ]
    t.match(sent(bench.batch('pump', batch))[0]?.payload.metrics, [
      { value: 1, timestamp: WALL_MS - 30 },
      { value: 2, timestamp: WALL_MS - 20 },
      { value: 3, timestamp: WALL_MS - 10 },
    ])
    const late = sent(bench.batch('pump', [reading('temp', 0, { agoMs: 15 }), reading('temp', 4)]))[0]
    t.match(late?.payload.metrics, [
      { value: 0, historical: true },
      { value: 4, timestamp: WALL_MS },
    ])
    t.equal(late?.payload.metrics[1]?.historical, undefined)
    t.end()
  },
)

void t.test('one reading of a clock that was ahead does not make history of all that follow', (t) => {
  const bench = running()
  bench.batch('pump', [reading('temp', 99, { agoMs: -86_400_000 })])
  const [data] = sent(bench.batch('pump', [reading('temp', 5)]))
  t.equal(data?.payload.metrics[0]?.historical, undefined)
  bench.do({ kind: 'disconnected' })
  const [, birth] = sent(bench.connect())
  t.match(birth?.payload.metrics, [{ value: 5 }], 'nor is it the current value for ever')
  t.end()
})

void t.test(
  'what waited is historical: at the agent, while there was no connection, or no proof that it arrived',
  (t) => {
    const bench = new Bench()
    bench.position = 10
    bench.do({ kind: 'committed', position: 10 })
    bench.do({ kind: 'agentHere', agent: 'pump' })
    bench.connect()
    const flags = (position: number, historical: boolean, value: number): unknown[] =>
      sent(
        bench.do({ kind: 'batch', position, agent: 'pump', historical, readings: [reading('temp', value)] }),
      )
        .filter(({ kind }) => kind === 'DDATA')
        .map(({ payload }) => payload.metrics[0]?.historical)
    t.same(flags(10, false, 1), [true], 'was there before the birth')
    t.same(flags(11, false, 2), [undefined], 'came after it')
    t.same(flags(12, true, 3), [true], 'had waited at the agent')
    bench.do({ kind: 'committed', position: 12 })
    bench.do({ kind: 'disconnected' })
    bench.connect()
    t.same(flags(11, false, 2), [true], 'is sent again')
    t.end()
  },
)

void t.test('a window of data is followed by a fence of QoS 1, whose acknowledgement moves the mark', (t) => {
  const bench = running()
  let fence: number | undefined
  for (let sentSoFar = 1; sentSoFar < WINDOW_MESSAGES; sentSoFar += 1) {
    t.equal(fence, undefined)
    const effects = bench.batch('pump', [reading('temp', sentSoFar)])
    fence = fences(effects)[0]
    if (fence !== undefined) {
      t.match(effects.at(-1), { kind: 'publish', topic: OPTIONS.fenceTopic, qos: 1, retain: false, fence })
      t.same(JSON.parse(Buffer.from((effects.at(-1) as { payload: Uint8Array }).payload).toString()), {
        fence,
      })
    }
  }
  t.equal(bench.position, WINDOW_MESSAGES)
  t.type(fence, 'number')
  t.same(bench.do({ kind: 'fenced', fence: 999 }), [], 'nobody sent that one')
  t.same(bench.do({ kind: 'fenced', fence: fence! }), [{ kind: 'through', position: WINDOW_MESSAGES }])
  t.same(bench.do({ kind: 'fenced', fence: fence! }), [], 'once')
  t.end()
})

void t.test('when there is no more to send, what was sent is fenced at once', (t) => {
  const bench = running()
  const [fence] = fences(bench.do({ kind: 'idle' }))
  t.same(fences(bench.do({ kind: 'idle' })), [], 'nothing more to prove')
  t.same(bench.do({ kind: 'fenced', fence: fence! }), [{ kind: 'through', position: 1 }])
  t.end()
})

void t.test(
  'an acknowledgement covers the fences before it, and those of a broken connection mean nothing',
  (t) => {
    const bench = running()
    const [first] = fences(bench.do({ kind: 'idle' }))
    bench.batch('pump', [reading('temp', 1)])
    const [second] = fences(bench.do({ kind: 'idle' }))
    t.same(bench.do({ kind: 'fenced', fence: second! }), [{ kind: 'through', position: 2 }])
    t.same(bench.do({ kind: 'fenced', fence: first! }), [])
    bench.batch('pump', [reading('temp', 2)])
    const [lost] = fences(bench.do({ kind: 'idle' }))
    bench.do({ kind: 'disconnected' })
    bench.connect()
    t.same(bench.do({ kind: 'fenced', fence: lost! }), [])
    t.end()
  },
)

void t.test('only so much is under way without proof, and a batch beyond it is refused loudly', (t) => {
  const bench = new Bench()
  bench.connect()
  const open: number[] = []
  while (bench.node.ready && bench.position < 10_000) {
    open.push(...fences(bench.batch('pump', [reading('temp', bench.position)])))
  }
  t.equal(bench.position, MAX_UNCONFIRMED)
  t.equal(open.length, MAX_UNCONFIRMED / WINDOW_MESSAGES)
  t.throws(() => bench.batch('pump', [reading('temp', 0)]), /takes no batch/)
  bench.do({ kind: 'fenced', fence: open[0]! })
  t.equal(bench.node.ready, true)
  t.end()
})

void t.test('a batch that is too much for one message is cut', (t) => {
  const bench = running()
  const whole = Array.from({ length: MAX_DATA_METRICS }, (_, i) => reading('temp', i))
  t.same(kinds(bench.batch('pump', whole)), ['DDATA pump'])
  const many = Array.from({ length: 2 * MAX_DATA_METRICS + 1 }, (_, i) => reading('temp', i))
  const counts = sent(bench.batch('pump', many)).map(({ payload }) => payload.metrics.length)
  t.same(counts, [MAX_DATA_METRICS, MAX_DATA_METRICS, 1])
  const size = 8_192
  const long = (count: number): string[] =>
    kinds(
      bench.batch(
        'pump',
        Array.from({ length: count }, (_, i) => reading('text', `${i}`.padEnd(size))),
      ),
    )
  bench.batch('pump', [reading('text', '')])
  t.same(long(MAX_DATA_TEXT_BYTES / size), ['DDATA pump'])
  t.same(long(MAX_DATA_TEXT_BYTES / size + 1), ['DDATA pump', 'DDATA pump'])
  t.end()
})

void t.test('an empty batch says nothing and still moves the mark', (t) => {
  const bench = new Bench()
  bench.connect()
  t.same(bench.batch('pump', []), [])
  const [fence] = fences(bench.do({ kind: 'idle' }))
  t.same(bench.do({ kind: 'fenced', fence: fence! }), [{ kind: 'through', position: 1 }])
  t.end()
})

void t.test(
  'a silent or revoked agent has a DDEATH with time and seq, and is born again when it is back ' +
    '[tck-id-operational-behavior-device-ddeath] [tck-id-topics-ddeath-mqtt] [tck-id-topics-ddeath-seq-num] ' +
    '[tck-id-payloads-ddeath-timestamp] [tck-id-payloads-ddeath-seq] [tck-id-payloads-ddeath-seq-inc] ' +
    '[tck-id-payloads-ddeath-seq-number]',
  (t) => {
    const bench = running()
    const gone = bench.do({ kind: 'agentGone', agent: 'pump', revoked: false })
    t.match(sent(gone)[0]?.publish, { topic: topic('DDEATH', 'pump'), qos: 0, retain: false })
    t.strictSame(sent(gone)[0]?.payload, { timestamp: WALL_MS, seq: 3, metrics: [] })
    t.same(bench.do({ kind: 'agentGone', agent: 'pump', revoked: false }), [], 'it is dead already')
    t.same(bench.do({ kind: 'agentGone', agent: 'nobody', revoked: true }), [])

    const back = sent(bench.do({ kind: 'agentHere', agent: 'pump' }))
    t.match(back, [
      { kind: 'DBIRTH', device: 'pump', payload: { seq: 4, metrics: [{ name: 'temp', value: 20 }] } },
    ])
    t.same(bench.do({ kind: 'agentHere', agent: 'pump' }), [], 'it is alive already')
    t.same(bench.do({ kind: 'agentHere', agent: 'new' }), [], 'of which nothing is known yet')

    t.same(kinds(bench.do({ kind: 'agentGone', agent: 'pump', revoked: true })), ['DDEATH pump'])
    t.same(
      kinds(bench.batch('pump', [reading('temp', 1)])),
      ['DBIRTH pump', 'DDATA pump'],
      'live data is life',
    )
    t.end()
  },
)

void t.test('history of an agent that is gone is told between a birth and a death', (t) => {
  const bench = running()
  bench.do({ kind: 'agentGone', agent: 'pump', revoked: false })
  t.same(kinds(bench.batch('pump', [reading('temp', 1)], true)), ['DBIRTH pump', 'DDATA pump'])
  t.same(kinds(bench.batch('pump', [reading('temp', 2)], true)), ['DDATA pump'])
  const end = bench.do({ kind: 'idle' })
  t.same(kinds(end), ['DDEATH pump'])
  t.equal(fences(end).length, 1)
  t.end()
})

void t.test('before a birth, no data is taken and nothing of agents is told', (t) => {
  const bench = new Bench()
  t.equal(bench.node.ready, false)
  t.same(bench.do({ kind: 'agentHere', agent: 'pump' }), [])
  t.same(bench.do({ kind: 'agentGone', agent: 'pump', revoked: false }), [])
  t.same(bench.do({ kind: 'idle' }), [])
  t.same(reports(bench.do({ kind: 'wake' })), [])
  t.throws(() => bench.batch('pump', [reading('temp', 1)]), /takes no batch/)
  t.end()
})
