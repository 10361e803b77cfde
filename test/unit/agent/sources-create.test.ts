import t from 'tap'
import { parseConfig } from '@fieldwhisper/host'
import { agentConfigSchema } from '../../../agent/src/config/schema.js'
import {
  createSources,
  serialOptions,
  simulateOptions,
  systemOptions,
} from '../../../agent/src/sources/create.js'
import { Basket, HandClock } from './fixtures/sources.js'

const configs = (yaml: string) => parseConfig(`sources: ${yaml}`, agentConfigSchema, 'agent.yaml').sources

function serial(yaml: string) {
  const [config] = configs(`[{ type: serial, path: /dev/ttyUSB0, ${yaml} }]`)
  if (config?.type !== 'serial') throw new Error('not a serial source')
  return serialOptions(config)
}

void t.test(
  'sources are made in the order of the configuration and do nothing until they are started',
  async (t) => {
    const clock = new HandClock()
    const basket = new Basket()
    const sources = createSources(
      configs(`[{ type: system, name: host }, { type: serial, path: /dev/none, format: json },
      { type: simulate, rate: 100, prefix: x_, count: 3 }]`),
      clock,
    )
    t.same(
      sources.map(({ name }) => name),
      ['host', 'serial', 'simulate'],
    )
    t.same(
      sources.map((source) => source.status()).map(({ type, state, quality }) => [type, state, quality]),
      ['system', 'serial', 'simulate'].map((type) => [type, 'stopped', 'uncertain']),
    )
    t.equal(clock.waiting, 0)

    await sources[2]?.start(basket)
    await clock.pass(1_000)
    t.same(basket.values('x_counter'), [0, 1, 2])
    for (const source of sources) await source.stop()
  },
)

void t.test('the options of a system source', (t) => {
  const [config] = configs(
    '[{ type: system, interval: 10s, readings: [cpu, cpu, disk], interfaces: [eth0] }]',
  )
  if (config?.type !== 'system') throw new Error('not a system source')
  t.same(systemOptions(config, '/state'), {
    name: 'system',
    prefix: '',
    intervalMs: 10_000,
    readings: ['cpu', 'disk'],
    interfaces: ['eth0'],
    stateFolder: '/state',
  })
  t.end()
})

void t.test('the options of a serial port', (t) => {
  t.match(
    serial(
      'format: pairs, baud_rate: 115200, parity: even, stop_bits: 2, data_bits: 7, flow_control: hardware',
    ),
    {
      name: 'serial',
      port: {
        path: '/dev/ttyUSB0',
        baudRate: 115_200,
        dataBits: 7,
        parity: 'even',
        stopBits: 2,
        flowControl: 'hardware',
      },
      lineEnd: '\n',
      encoding: 'utf8',
      maxLineBytes: 4_096,
      onlyListed: false,
    },
  )
  t.match(serial('format: pairs, line_end: cr, encoding: latin1, max_line: 16B, only_listed: true'), {
    lineEnd: '\r',
    encoding: 'latin1',
    maxLineBytes: 16,
    onlyListed: true,
  })
  t.end()
})

void t.test('every format of a serial port is made as configured', (t) => {
  t.same(serial('format: number, name: scale').format.parse('1.5'), [['scale', 1.5]])
  t.same(serial('format: number, reading: weight, decimal_comma: true').format.parse('1,5'), [
    ['weight', 1.5],
  ])
  t.same(serial('format: pairs').format.parse('a=1'), [['a', 1]])
  t.same(serial('format: json').format.parse('{"a":1}'), [['a', 1]])
  t.same(serial('format: csv, header: [a, b]').format.parse('1,2').length, 2)
  t.same(serial('format: csv, header: [a, b], decimal_comma: true').format.parse('1,5;2').length, 2)
  t.same(serial('format: csv, header: [a, b], separator: tab').format.parse('1\t2').length, 2)
  t.end()
})

void t.test('units and names reach the readings of a serial port', (t) => {
  t.same([...serial('format: number, reading: weight, unit: kg').readings], [['weight', { unit: 'kg' }]])
  t.same(
    [...serial('format: pairs, readings: { T1: { name: inlet, unit: Cel }, __proto__x: {} }').readings],
    [
      ['T1', { name: 'inlet', unit: 'Cel' }],
      ['__proto__x', {}],
    ],
  )
  t.end()
})

void t.test('the options of a simulation', (t) => {
  const [config] = configs(
    '[{ type: simulate, rate: 20, count: 5, seed: 9, readings: [{ name: a, unit: V, waveform: square, max: 5, period: 2s }] }]',
  )
  if (config?.type !== 'simulate') throw new Error('not a simulation')
  t.same(simulateOptions(config), {
    name: 'simulate',
    prefix: '',
    rateHz: 20,
    count: 5,
    seed: 9,
    series: [{ name: 'a', unit: 'V', waveform: 'square', min: 0, max: 5, periodMs: 2_000 }],
  })
  t.end()
})
