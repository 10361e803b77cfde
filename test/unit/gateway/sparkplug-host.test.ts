import t from 'tap'
import type { EdgeEffect } from '../../../gateway/src/sparkplug/events.js'
import { encodePayload, type Metric } from '../../../gateway/src/sparkplug/codec.js'
import {
  DATA_TYPE,
  MAX_COMMAND_BYTES,
  MAX_STATE_BYTES,
  REBIRTH_INTERVAL_MS,
} from '../../../gateway/src/sparkplug/constants.js'
import type { EdgeOptions } from '../../../gateway/src/sparkplug/edge.js'
import { Bench, kinds, reading, reports, sent, topic } from './sparkplug-support.js'

const STATE = 'spBv1.0/STATE/scada'
const state = (online: boolean, timestamp: number): string => JSON.stringify({ online, timestamp })

function waiting(options: Partial<EdgeOptions> = {}): Bench {
  const bench = new Bench({ hostId: 'scada', ...options })
  bench.connect()
  return bench
}

function running(): Bench {
  const bench = new Bench()
  bench.connect()
  bench.batch('pump', [reading('temp', 20), reading('on', false), reading('text', 'a')])
  bench.later(REBIRTH_INTERVAL_MS)
  return bench
}

void t.test(
  'births wait for the primary host, and for no other [tck-id-message-flow-edge-node-birth-publish-phid-wait] ' +
    '[tck-id-message-flow-edge-node-birth-publish-phid-wait-id] ' +
    '[tck-id-message-flow-edge-node-birth-publish-phid-wait-online] ' +
    '[tck-id-operational-behavior-edge-node-birth-sequence-wait]',
  (t) => {
    const bench = new Bench({ hostId: 'scada' })
    bench.do({ kind: 'dial' })
    t.match(bench.do({ kind: 'connected' }), [
      { kind: 'subscribe', topics: [topic('NCMD'), topic('DCMD', '+'), STATE], qos: 1 },
    ])
    t.equal(bench.node.phase, 'waiting')
    t.equal(bench.node.ready, false)
    t.same(bench.say(STATE, state(false, 1)), [])
    t.same(bench.say('spBv1.0/STATE/other', state(true, 2)), [])
    t.same(bench.rebirth(), [], 'nobody can ask for what was not said')
    t.same(kinds(bench.say(STATE, state(true, 2), true)), ['NBIRTH'], 'what the broker kept is its state')
    t.same(bench.say(STATE, state(true, 3)), [], 'once')
    t.end()
  },
)

void t.test(
  'a host that goes ends the session: NDEATH, then DISCONNECT ' +
    '[tck-id-message-flow-edge-node-birth-publish-phid-offline] ' +
    '[tck-id-operational-behavior-edge-node-termination-host-offline] ' +
    '[tck-id-operational-behavior-edge-node-intentional-disconnect-ndeath] ' +
    '[tck-id-operational-behavior-edge-node-intentional-disconnect-packet] ' +
    '[tck-id-payloads-ndeath-will-message-publisher] ' +
    '[tck-id-payloads-ndeath-will-message-publisher-disconnect-mqtt311]',
  (t) => {
    const bench = waiting()
    bench.say(STATE, state(true, 5))
    const effects = bench.say(STATE, state(false, 5))
    t.match(effects, [
      {
        kind: 'publish',
        topic: topic('NDEATH'),
        qos: 1,
        retain: false,
        payload: Buffer.from(bench.will!.payload),
      },
      { kind: 'disconnect' },
    ])
    t.equal(effects.length, 2)
    t.equal(bench.node.phase, 'leaving')
    t.same(bench.say(STATE, state(true, 6)), [], 'the connection is given up')
    bench.do({ kind: 'disconnected' })
    t.match(bench.do({ kind: 'dial' }), [{ kind: 'connect', bdSeq: 1 }])
    bench.do({ kind: 'connected' })
    t.same(kinds(bench.say(STATE, state(true, 6))), ['NBIRTH'])
    t.end()
  },
)

void t.test(
  'an older word of the host is ignored; a new connection begins anew ' +
    '[tck-id-message-flow-edge-node-birth-publish-phid-wait-timestamp] ' +
    '[tck-id-operational-behavior-edge-node-termination-host-offline-timestamp]',
  (t) => {
    const bench = waiting()
    bench.say(STATE, state(false, 100))
    t.same(bench.say(STATE, state(true, 99)), [])
    t.same(kinds(bench.say(STATE, state(true, 100))), ['NBIRTH'])
    t.same(bench.say(STATE, state(false, 99)), [], 'a will of the connection before')
    t.equal(bench.node.phase, 'born')
    bench.do({ kind: 'disconnected' })
    bench.connect()
    t.same(kinds(bench.say(STATE, state(true, 7))), ['NBIRTH'], 'the clock of the host was set back')
    t.end()
  },
)

void t.test('a state that is none is told to the operator and ignored', (t) => {
  const bench = waiting()
  for (const text of [
    'ONLINE',
    '{"online":true}',
    '{"online":"true","timestamp":1}',
    '{"online":true,"timestamp":"1"}',
    '{"online":true,"timestamp":1.5}',
    '[]',
    'null',
    '',
    JSON.stringify({ online: true, timestamp: 1, more: 'x'.repeat(1024) }),
  ]) {
    t.same(reports(bench.say(STATE, text)), ['FW_SPARKPLUG_STATE_INVALID'], text)
    t.equal(bench.node.phase, 'waiting')
  }
  t.end()
})

void t.test('a state is read up to its limit', (t) => {
  const padded = (bytes: number): string => state(true, 1).padEnd(bytes)
  t.same(reports(waiting().say(STATE, padded(MAX_STATE_BYTES + 1))), ['FW_SPARKPLUG_STATE_INVALID'])
  t.same(kinds(waiting().say(STATE, padded(MAX_STATE_BYTES))), ['NBIRTH'])
  t.end()
})

void t.test('the state of Sparkplug 2.2 is believed by option, until the host speaks 3.0', (t) => {
  const old = 'STATE/scada'
  t.same(waiting().say(old, 'ONLINE'), [], 'not without the option')
  const bench = new Bench({ hostId: 'scada', acceptLegacyState: true })
  t.match(bench.connect(), [{ kind: 'subscribe', topics: [topic('NCMD'), topic('DCMD', '+'), STATE, old] }])
  t.same(bench.say(old, 'OFFLINE'), [])
  t.same(reports(bench.say(old, 'online')), ['FW_SPARKPLUG_STATE_INVALID'])
  t.same(kinds(bench.say(old, 'ONLINE')), ['NBIRTH'])
  t.same(kinds(bench.say(old, 'OFFLINE')), ['NDEATH'])
  bench.connect()
  t.same(kinds(bench.say(STATE, state(true, 1))), ['NBIRTH'])
  t.same(bench.say(old, 'OFFLINE'), [], 'what it says in the old form has no time')
  t.end()
})

void t.test('a gateway that stops says its own NDEATH, if there is somebody to hear it', (t) => {
  const bench = running()
  t.match(bench.do({ kind: 'stop' }), [
    { kind: 'publish', topic: topic('NDEATH'), qos: 1 },
    { kind: 'disconnect' },
  ])
  t.same(bench.do({ kind: 'stop' }), [], 'once')
  t.same(new Bench().do({ kind: 'stop' }), [])
  const dialling = new Bench()
  dialling.do({ kind: 'dial' })
  t.same(dialling.do({ kind: 'stop' }), [{ kind: 'disconnect' }])
  t.same(dialling.do({ kind: 'connected' }), [], 'it was too late')
  t.match(waiting().do({ kind: 'stop' }), [{ topic: topic('NDEATH') }, { kind: 'disconnect' }])
  t.end()
})

void t.test(
  'a rebirth says every birth again with the same bdSeq, seq from 0, aliases as they were and no NDEATH ' +
    '[tck-id-operational-behavior-data-commands-rebirth-action-1] ' +
    '[tck-id-operational-behavior-data-commands-rebirth-action-2] ' +
    '[tck-id-operational-behavior-data-commands-rebirth-action-3]',
  (t) => {
    const bench = running()
    const again = sent(bench.rebirth())
    t.same(
      again.map(({ kind, payload }) => [kind, payload.seq]),
      [
        ['NBIRTH', 0],
        ['DBIRTH', 1],
      ],
    )
    t.equal(again[0]?.payload.metrics[0]?.value, 0n)
    t.match(
      new Set(again[1]?.payload.metrics.map(({ name, alias }) => `${name} ${alias}`)),
      new Set(['temp 1', 'on 2', 'text 3']),
    )
    t.match(bench.do({ kind: 'dial' }), [{ kind: 'connect', bdSeq: 1 }])
    t.end()
  },
)

void t.test(
  'a host that asks all the time gets its births at a bounded rate, and no data in between',
  (t) => {
    const bench = running()
    bench.rebirth()
    bench.later(500)
    t.same(bench.rebirth(), [{ kind: 'wake', inMs: REBIRTH_INTERVAL_MS - 500 }])
    t.equal(bench.node.ready, false)
    t.same(bench.rebirth(), [], 'it is under way')
    bench.later(REBIRTH_INTERVAL_MS - 500)
    t.same(kinds(bench.do({ kind: 'wake' })), ['NBIRTH', 'DBIRTH pump'])
    t.equal(bench.node.ready, true)
    t.same(bench.do({ kind: 'wake' }), [])
    t.end()
  },
)

void t.test(
  'only true at the rebirth metric is a rebirth [tck-id-operational-behavior-data-commands-ncmd-rebirth-name] ' +
    '[tck-id-operational-behavior-data-commands-ncmd-rebirth-value]',
  (t) => {
    const bench = running()
    const name = 'Node Control/Rebirth'
    t.same(bench.command(topic('NCMD'), { name, value: { kind: 'boolean', value: false } }), [])
    t.same(bench.command(topic('NCMD'), { name, value: { kind: 'int', value: 1 } }), [])
    t.same(bench.command(topic('NCMD'), { name }), [])
    const other = bench.command(topic('NCMD'), {
      name: 'Node Control/Reboot',
      value: { kind: 'boolean', value: true },
    })
    t.same(reports(other), ['FW_SPARKPLUG_COMMAND_REFUSED'])
    t.equal(other.length, 1)
    t.end()
  },
)

const commands = (effects: readonly EdgeEffect[]): EdgeEffect[] =>
  effects.filter(({ kind }) => kind === 'command')

void t.test(
  'a DCMD becomes a command to the agent, by alias or by name, with a value of the type of the metric',
  (t) => {
    const bench = running()
    const at = topic('DCMD', 'pump')
    const written = (metric: Metric): unknown => {
      const effects = commands(bench.command(at, metric))
      return effects.map((effect) =>
        effect.kind === 'command' ? [effect.agent, effect.metric, effect.value] : [],
      )[0]
    }
    t.same(written({ alias: 1, value: { kind: 'double', value: 4.5 } }), ['pump', 'temp', 4.5])
    t.same(written({ name: 'temp', value: { kind: 'float', value: 0.5 } }), ['pump', 'temp', 0.5])
    t.same(written({ alias: 2, value: { kind: 'boolean', value: true } }), ['pump', 'on', true])
    t.same(written({ alias: 3, value: { kind: 'string', value: '' } }), ['pump', 'text', ''])

    const int = (value: number, datatype?: number): Metric => ({
      alias: 1,
      value: { kind: 'int', value },
      ...(datatype !== undefined && { datatype }),
    })
    const long = (value: bigint, datatype?: number): Metric => ({
      alias: 1,
      value: { kind: 'long', value },
      ...(datatype !== undefined && { datatype }),
    })
    const numbers: [Metric, number | undefined][] = [
      [int(7), 7],
      [int(0xffff_fffe), undefined],
      [int(0xffff_fffe, DATA_TYPE.Int32), -2],
      [int(0xffff_fffe, DATA_TYPE.UInt32), 0xffff_fffe],
      [int(0xfe, DATA_TYPE.Int8), -2],
      [int(0xffff_fffe, DATA_TYPE.Int16), -2],
      [long(2n ** 64n - 2n, DATA_TYPE.Int64), -2],
      [long(2n ** 64n - 2n), undefined],
      [long(2n ** 53n - 1n), Number.MAX_SAFE_INTEGER],
      [long(2n ** 53n + 1n, DATA_TYPE.UInt64), undefined],
    ]
    for (const [metric, value] of numbers) {
      t.same(
        written(metric),
        value === undefined ? undefined : ['pump', 'temp', value],
        JSON.stringify(metric.datatype),
      )
    }
    t.end()
  },
)

void t.test('a command that names nothing that was born, or does not fit, is dropped and told', (t) => {
  const bench = running()
  bench.batch('fan', [reading('rpm', 1)])
  const at = topic('DCMD', 'pump')
  const one: Metric = { alias: 1, value: { kind: 'double', value: 1 } }
  const table: [string, () => readonly EdgeEffect[], string][] = [
    [
      'text for a number',
      () => bench.command(at, { alias: 1, value: { kind: 'string', value: '1' } }),
      'REFUSED',
    ],
    ['null', () => bench.command(at, { alias: 1, value: { kind: 'null' } }), 'REFUSED'],
    ['no value', () => bench.command(at, { alias: 1 }), 'REFUSED'],
    ['no metric', () => bench.command(at, { value: { kind: 'double', value: 1 } }), 'REFUSED'],
    [
      'an alias of another device',
      () => bench.command(at, { alias: 4, value: { kind: 'double', value: 1 } }),
      'REFUSED',
    ],
    [
      'a name of nobody',
      () => bench.command(at, { name: 'rpm', value: { kind: 'double', value: 1 } }),
      'REFUSED',
    ],
    ['an unknown device', () => bench.command(topic('DCMD', 'nobody'), one), 'REFUSED'],
    ['what the broker kept', () => bench.say(at, encodePayload({ metrics: [one] }), true), 'REFUSED'],
    ['no payload', () => bench.say(at, '{"temp":1}'), 'INVALID'],
    ['too much', () => bench.say(at, Buffer.alloc(MAX_COMMAND_BYTES + 1)), 'INVALID'],
  ]
  for (const [what, send, code] of table) {
    const effects = send()
    t.same(commands(effects), [], what)
    t.match(reports(effects).join(), code, what)
  }
  const half = bench.command(at, one, { alias: 99, value: { kind: 'double', value: 1 } })
  t.match(half, [
    { kind: 'command', metric: 'temp' },
    { kind: 'report', code: 'FW_SPARKPLUG_COMMAND_REFUSED' },
  ])
  bench.do({ kind: 'agentGone', agent: 'pump', revoked: false })
  t.same(commands(bench.command(at, one)), [], 'a dead device takes none')
  t.same(bench.say('some/other/topic', 'x'), [])
  t.end()
})
