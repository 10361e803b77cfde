import t from 'tap'
import { decodePayload, encodePayload } from '../../../gateway/src/sparkplug/codec.js'
import { EdgeNode } from '../../../gateway/src/sparkplug/edge.js'
import type { EdgeEvent } from '../../../gateway/src/sparkplug/events.js'
import { temporaryFolder } from '../../support/folder.js'
import { ask, decode, missingProtoc } from '../support/sparkplug.js'

/*
 * The payloads of the edge node and Google's own implementation of protocol buffers, as Debian ships it, read each other.
 */

const skip = missingProtoc()

void t.test('what the edge node says is read by protoc and Python as it was meant', { skip }, (t) => {
  const node = new EdgeNode({ group: 'plant', edge: 'gw', fenceTopic: 'fence', bdSeq: 254 })
  const now = { monoMs: 5, wallMs: 1_800_000_000_000 }
  const said: Uint8Array[] = []
  const tell = (event: EdgeEvent): void => {
    for (const effect of node.handle(event, now)) {
      if (effect.kind === 'connect') said.push(effect.will.payload)
      if (effect.kind === 'publish' && effect.fence === undefined) said.push(effect.payload)
    }
  }
  const at = { quality: 'good' as const, timeMs: now.wallMs }
  tell({ kind: 'dial' })
  tell({ kind: 'connected' })
  tell({
    kind: 'batch',
    position: 1,
    agent: 'pump',
    historical: false,
    readings: [
      { name: 'Wärme', unit: 'Cel', value: -21.25, ...at },
      { name: 'on', value: true, ...at, quality: 'bad' },
      { name: 'text', value: 'läuft', ...at, quality: 'uncertain' },
      { name: 'raw', value: new Uint8Array([0, 255]), ...at },
      { name: 'none', value: Infinity, ...at },
    ],
  })
  const late = [{ name: 'on', value: false, quality: 'good' as const, timeMs: 1_000 }]
  tell({ kind: 'batch', position: 2, agent: 'pump', historical: true, readings: late })
  tell({ kind: 'agentGone', agent: 'pump', revoked: false })

  const timestamp = String(now.wallMs)
  const quality = (code: number, unit?: string): unknown => ({
    keys: ['Quality', ...(unit === undefined ? [] : ['engUnit'])],
    values: [{ type: 3, int_value: code }, ...(unit === undefined ? [] : [{ type: 12, string_value: unit }])],
  })
  const bdSeq = { name: 'bdSeq', datatype: 4, long_value: '255' }
  const born = { timestamp, is_null: true }
  const expected = [
    { metrics: [bdSeq] },
    {
      timestamp,
      seq: '0',
      metrics: [
        { ...bdSeq, timestamp },
        { name: 'Node Control/Rebirth', timestamp, datatype: 11, boolean_value: false },
      ],
    },
    {
      timestamp,
      seq: '1',
      metrics: [
        { name: 'Wärme', alias: '1', datatype: 10, properties: quality(500, 'Cel'), ...born },
        { name: 'on', alias: '2', datatype: 11, properties: quality(500), ...born },
        { name: 'text', alias: '3', datatype: 12, properties: quality(500), ...born },
        { name: 'raw', alias: '4', datatype: 17, properties: quality(500), ...born },
        { name: 'none', alias: '5', datatype: 10, properties: quality(500), ...born },
      ],
    },
    {
      timestamp,
      seq: '2',
      metrics: [
        { alias: '1', timestamp, properties: quality(192), double_value: -21.25 },
        { alias: '2', timestamp, properties: quality(0), boolean_value: true },
        { alias: '3', timestamp, properties: quality(500), string_value: 'läuft' },
        { alias: '4', timestamp, properties: quality(192), bytes_value: 'AP8=' },
        { alias: '5', timestamp, properties: quality(0), is_null: true },
      ],
    },
    {
      timestamp,
      seq: '3',
      metrics: [
        {
          alias: '2',
          timestamp: '1000',
          is_historical: true,
          properties: quality(192),
          boolean_value: false,
        },
      ],
    },
    { timestamp, seq: '4' },
  ]
  t.strictSame(decode(temporaryFolder(t), said), expected)
  t.end()
})

void t.test('commands that Python wrote are read here, to the bit', { skip }, (t) => {
  const commands = [
    {
      timestamp: '1800000000000',
      metrics: [{ name: 'Node Control/Rebirth', datatype: 11, boolean_value: true }],
    },
    {
      timestamp: '9007199254740991',
      uuid: 'skipped',
      body: 'c2tpcHBlZA==',
      metrics: [
        { alias: '1', timestamp: '5', double_value: -0.1 },
        { alias: '2', int_value: 4294967295, is_transient: true },
        { alias: '3', long_value: '18446744073709551615' },
        { alias: '4', float_value: 0.5, is_historical: true },
        { alias: '5', string_value: '\u0000ä' },
        { alias: '6', bytes_value: '/w==' },
        { alias: '7', is_null: true },
        {
          alias: '8',
          properties: { keys: ['k'], values: [{ type: 12, string_value: 'v' }] },
          boolean_value: false,
        },
      ],
    },
  ]
  const payloads = ask(
    temporaryFolder(t),
    commands.map((command) => `e ${JSON.stringify(command)}`),
  ).map((line) => decodePayload(Buffer.from(line, 'hex')))
  t.strictSame(payloads, [
    {
      metrics: [{ name: 'Node Control/Rebirth', datatype: 11, value: { kind: 'boolean', value: true } }],
      timestamp: 1_800_000_000_000,
    },
    {
      metrics: [
        { alias: 1, timestamp: 5, value: { kind: 'double', value: -0.1 } },
        { alias: 2, value: { kind: 'int', value: 0xffff_ffff } },
        { alias: 3, value: { kind: 'long', value: 2n ** 64n - 1n } },
        { alias: 4, historical: true, value: { kind: 'float', value: 0.5 } },
        { alias: 5, value: { kind: 'string', value: '\0ä' } },
        { alias: 6, value: { kind: 'bytes', value: new Uint8Array([255]) } },
        { alias: 7, value: { kind: 'null' } },
        { alias: 8, value: { kind: 'boolean', value: false } },
      ],
      timestamp: Number.MAX_SAFE_INTEGER,
    },
  ])
  t.end()
})

void t.test('integers of 64 bits arrive whole on the other side', { skip }, (t) => {
  const numbers = [0n, 1n, 2n ** 31n, 2n ** 32n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]
  const payloads = numbers.map((value) =>
    encodePayload({ metrics: [{ alias: 1, value: { kind: 'long', value } }] }),
  )
  t.strictSame(
    decode(temporaryFolder(t), payloads),
    numbers.map((value) => ({ metrics: [{ alias: '1', long_value: String(value) }] })),
  )
  t.end()
})
