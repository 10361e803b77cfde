import { readFileSync } from 'node:fs'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { HostError, parseConfig } from '@fieldwhisper/host'
import { loadAgentConfig } from '../../../agent/src/config/load.js'
import { DEFAULT_AGENT_LIMITS } from '../../../agent/src/limits.js'
import {
  agentConfigJsonSchema,
  agentConfigSchema,
  type AgentConfig,
} from '../../../agent/src/config/schema.js'

const parse = (yaml: string): AgentConfig => parseConfig(yaml, agentConfigSchema, 'agent.yaml')

/** The problems of a configuration, without the file name: `line:column path: text`. */
function problems(yaml: string): string[] {
  try {
    parse(yaml)
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== 'FW_CONFIG_INVALID') throw error
    return error.message.split('\n').map((line) => line.replace('agent.yaml:', ''))
  }
  return []
}

void t.test('an empty configuration reports this machine, on the LAN and the relays of the invite', (t) => {
  t.same(loadAgentConfig(), {
    sources: [
      {
        type: 'system',
        prefix: '',
        interval: 5_000,
        readings: ['cpu', 'temperature', 'memory', 'disk', 'network', 'load', 'uptime'],
      },
    ],
    lan: { enabled: true, broadcast: false, peers: [], beacon_port: 24_707, loopback: false, offer: 'two' },
    batch: { interval: 1_000, max_readings: 1_000 },
    spool: {
      max_bytes: 2 ** 30,
      max_age: 90 * 86_400_000,
      min_free_disk: 2 ** 28,
      on_full: 'drop_oldest',
      order: 'live_first',
    },
    alarms: [],
    commands: { allow: ['ping'], outputs: {} },
    limits: DEFAULT_AGENT_LIMITS,
    log: { level: 'info', format: 'text' },
  })
  t.same(parse('{}'), loadAgentConfig())
  t.same(parse('sources: []').sources, [])
  t.same(parse('relays: []').relays, [], 'no relay at all is not the same as those of the invite')
  t.end()
})

void t.test('units, addresses and fingerprints come out as the program needs them', (t) => {
  const digits = 'AB'.repeat(32)
  const config = parse(`
    lan: { listen: '[::]:0', peers: [10.0.0.2, 'gateway.lan:9000', '[fe80::1%eth0]:24708'] }
    relays: [{ url: 'wss://relay.lan:24780', token: secret, fingerprint: '${digits.match(/../g)?.join(':') ?? ''}' }]
    batch: { interval: 250ms }
    spool: { max_bytes: 16MiB, max_age: 24h, min_free_disk: 0B, on_full: block }
  `)
  t.same(config.lan.listen, { host: '::', port: 0 })
  t.same(config.lan.peers, ['10.0.0.2', 'gateway.lan:9000', '[fe80::1%eth0]:24708'])
  t.same(config.relays, [
    { url: 'wss://relay.lan:24780', token: 'secret', fingerprint: digits.toLowerCase() },
  ])
  t.match(config, {
    batch: { interval: 250 },
    spool: { max_bytes: 2 ** 24, max_age: 86_400_000, min_free_disk: 0 },
  })
  t.end()
})

void t.test('every mistake is named with its line and path', (t) => {
  const serial = 'type: serial, path: /dev/ttyUSB0'
  const cases: [yaml: string, expected: RegExp][] = [
    ['batsh: {}', /^1:1 batsh: this key is not known; did you mean "batch"\?/],
    ['lan:\n  peer: []', /^2:3 lan\.peer: this key is not known; did you mean "peers"\?/],
    ['sources:\n  - type: modbus', /^2:5 sources\.0/],
    [
      'sources:\n  - type: system\n    intervall: 5s',
      /^3:5 sources\.0\.intervall: .*did you mean "interval"\?/,
    ],
    ['sources: [{ type: system, interval: 5 }]', /interval: expected a duration/],
    ['sources: [{ type: system, interval: 999ms }]', /interval: expected a duration .*from 1s to 1h/],
    ['sources: [{ type: system, readings: [] }]', /readings/],
    ['sources: [{ type: system, readings: [gpu] }]', /readings\.0/],
    ['sources: [{ type: system, name: "a b" }]', /name: expected 1 to 32 letters/],
    ['sources: [{ type: system, prefix: " a" }]', /prefix: expected text/],
    ['sources: [{ type: serial, format: number }]', /sources\.0\.path: is missing/],
    [`sources: [{ ${serial} }]`, /sources\.0\.format: /],
    [`sources: [{ ${serial}, format: csv, reading: x }]`, /reading: only with format: number/],
    [`sources: [{ ${serial}, format: pairs, unit: Cel }]`, /unit: only with format: number/],
    [`sources: [{ ${serial}, format: pairs, header: [a] }]`, /header: only with format: csv/],
    [`sources: [{ ${serial}, format: json, separator: tab }]`, /separator: only with format: csv/],
    [`sources: [{ ${serial}, format: json, decimal_comma: true }]`, /decimal_comma: not with format: json/],
    [
      `sources: [{ ${serial}, format: csv, decimal_comma: true, separator: "," }]`,
      /separator: a comma is the decimal/,
    ],
    [`sources: [{ ${serial}, format: csv, header: [a, a] }]`, /header: a column stands here twice/],
    [`sources: [{ ${serial}, format: csv, header: [" a"] }]`, /header\.0: expected a name/],
    [`sources: [{ ${serial}, format: pairs, baud_rate: 49 }]`, /baud_rate/],
    [`sources: [{ ${serial}, format: pairs, data_bits: 9 }]`, /data_bits/],
    [`sources: [{ ${serial}, format: pairs, max_line: 65KiB }]`, /max_line: expected a size/],
    [
      `sources: [{ ${serial}, format: pairs, readings: { a: { scale: 2 } } }]`,
      /readings\.a\.scale: this key is not known/,
    ],
    [
      'sources: [{ type: system }, { type: system, prefix: b_ }]',
      /sources\.1: another source is named "system"/,
    ],
    ['sources: [{ type: system }, { type: system, name: b }]', /sources\.1\.prefix: .*same prefix/],
    [
      `sources: [{ ${serial}, format: json }, { ${serial}, format: json, name: b, prefix: b_ }]`,
      /sources\.1\.path: another source reads this port/,
    ],
    ['sources: [{ type: simulate, rate: 0 }]', /rate/],
    ['sources: [{ type: simulate, rate: 10001 }]', /rate/],
    [
      'sources: [{ type: simulate, rate: 10000, readings: [{ name: a, waveform: sine }, { name: b, waveform: sine }, { name: c, waveform: sine }] }]',
      /rate: all readings together are more than 20000 a second/,
    ],
    [
      'sources: [{ type: simulate, readings: [{ name: a, waveform: sine }, { name: a, waveform: sine }] }]',
      /readings\.1\.name: this name is given twice/,
    ],
    [
      'sources: [{ type: simulate, readings: [{ name: a, waveform: sine, min: 2, max: 1 }] }]',
      /min: min is above max/,
    ],
    ['sources: [{ type: simulate, readings: [{ name: a, waveform: zigzag }] }]', /waveform/],
    ['lan: { peers: ["a b"] }', /lan\.peers\.0: expected host:port/],
    ['lan: { peers: ["10.0.0.1:70000"] }', /lan\.peers\.0: expected host:port/],
    ['lan: { listen: "24708" }', /lan\.listen: expected host:port/],
    ['lan: { listen: "0.0.0.0:65536" }', /lan\.listen: the port is at most 65535/],
    ['lan: { beacon_port: 0 }', /beacon_port/],
    ['lan: { interfaces: [] }', /interfaces/],
    ['relays: [{ url: "http://relay.lan" }]', /relays\.0\.url: expected ws:/],
    ['relays: [{ url: "ws://user:secret@relay.lan" }]', /relays\.0\.url: expected ws:/],
    ['relays: [{ url: "ws://relay.lan/v1" }]', /relays\.0\.url: expected ws:/],
    ['relays: [{ url: "ws://relay.lan?token=secret" }]', /relays\.0\.url: expected ws:/],
    [
      'relays: [{ url: "ws://relay.lan", token: "two words" }]',
      /relays\.0\.token: expected 1 to 128 printable/,
    ],
    [
      'relays: [{ url: "wss://relay.lan", fingerprint: abcd }]',
      /relays\.0\.fingerprint: expected the SHA-256/,
    ],
    [`relays: [${Array.from({ length: 9 }, () => '{ url: "ws://r" }').join()}]`, /relays/],
    ['batch: { interval: 19ms }', /interval: expected a duration/],
    ['batch: { max_readings: 4097 }', /max_readings/],
    ['spool: { max_bytes: 1000000B }', /max_bytes: expected a size/],
    ['spool: { on_full: panic }', /on_full/],
    ['log: { level: verbose }', /level/],
    ['name: ""', /name: expected text of 1 to 64 bytes/],
    ['- a', /expected object/],
  ]
  for (const [yaml, expected] of cases) {
    const found = problems(yaml)
    t.equal(found.length, 1, `${yaml}: ${found.join(' | ')}`)
    t.match(found[0], expected, yaml)
    t.notMatch(found[0], /secret|two words/, 'and its value is not shown')
  }
  t.end()
})

void t.test('limits hold at their value and one over', (t) => {
  const sources = (count: number): string =>
    `sources: [${Array.from({ length: count }, (_, n) => `{ type: simulate, name: s${n}, prefix: p${n}_ }`).join()}]`
  t.same(problems(sources(32)), [])
  t.equal(problems(sources(33)).length, 1)

  const series = (count: number): string =>
    `sources: [{ type: simulate, readings: [${Array.from({ length: count }, (_, n) => `{ name: s${n}, waveform: sine }`).join()}] }]`
  t.same(problems(series(100)), [])
  t.equal(problems(series(101)).length, 1)

  const listed = (count: number): string =>
    `sources: [{ type: serial, path: /dev/x, format: pairs, readings: { ${Array.from({ length: count }, (_, n) => `n${n}: {}`).join()} } }]`
  t.same(problems(listed(200)), [])
  t.match(problems(listed(201)), [/at most 200 readings/])

  t.same(problems(`name: ${'é'.repeat(32)}`), [])
  t.equal(problems(`name: ${'é'.repeat(33)}`).length, 1, 'bytes, not characters')
  for (const [key, least, most, under, over] of [
    ['batch: { interval', '20ms', '60s', '19ms', '61s'],
    ['spool: { max_bytes', '1MiB', '1TiB', '1023KiB', '1025GiB'],
    ['spool: { max_age', '1m', '3650d', '59s', '3651d'],
    ['batch: { max_readings', '1', '4096', '0', '4097'],
  ] as const) {
    t.same(problems(`${key}: ${least} }`), [], `${key} ${least}`)
    t.same(problems(`${key}: ${most} }`), [], `${key} ${most}`)
    t.equal(problems(`${key}: ${under} }`).length, 1, `${key} ${under}`)
    t.equal(problems(`${key}: ${over} }`).length, 1, `${key} ${over}`)
  }
  t.end()
})

void t.test('the state folder in a file starts at the folder of the file', (t) => {
  const folder = t.testdir()
  const file = join(folder, 'agent.yaml')
  writeFileSync(file, 'state: ./state\n')
  t.equal(loadAgentConfig(file).state, join(folder, 'state'))
  writeFileSync(file, 'state: /var/lib/agent\n')
  t.equal(loadAgentConfig(file).state, '/var/lib/agent')
  t.throws(() => loadAgentConfig(join(folder, 'none.yaml')), { code: 'FW_CONFIG_UNREADABLE' })
  t.end()
})

const root = new URL('../../../', import.meta.url)
const published = JSON.parse(readFileSync(new URL('docs/schema/agent.json', root), 'utf8')) as unknown

void t.test('the published JSON Schema is the one of this program', (t) => {
  t.same(published, agentConfigJsonSchema(), 'node agent/dist/config/schema-cli.js > docs/schema/agent.json')
  t.end()
})

void t.test('every key of the published schema says what it means', (t) => {
  const silent: string[] = []
  for (const { path, schema } of keys(published)) if (schema['description'] === undefined) silent.push(path)
  t.same(silent, [])
  t.end()
})

void t.test('commands: only what this release knows, and outputs with whole paths', (t) => {
  const commands = (yaml: string): string[] => problems(`commands: ${yaml}`)
  t.same(commands('{ allow: [] }'), [])
  t.same(commands('{ allow: [ping, read_now, set_interval, restart_source, write, acknowledge] }'), [])
  t.ok(commands('{ allow: [reboot] }').length > 0)
  t.ok(commands('{ outputs: { lamp: { type: file, path: lamp } } }').length > 0)
  t.ok(commands('{ outputs: { lamp: { type: exec, program: lamp.sh } } }').length > 0)
  t.ok(commands('{ outputs: { lamp: { type: exec, program: /lamp.sh, shell: true } } }').length > 0)
  t.ok(commands('{ outputs: { "a/b": { type: file, path: /lamp } } }').length > 0)
  const many = (count: number): string =>
    Array.from({ length: count }, (_, i) => `o${i}: { type: file, path: /o }`).join(', ')
  t.same(commands(`{ outputs: { ${many(32)} } }`), [])
  t.ok(commands(`{ outputs: { ${many(33)} } }`).length > 0)
  t.end()
})

const example = readFileSync(new URL('examples/agent.yaml', root), 'utf8')
/** Code stands right behind the `#`, or two blanks behind it; prose one blank. */
const uncommented = example.replaceAll(/^(\s*)#(?! \S)/gm, '$1')

void t.test('the example is the default, word for word, and shows every key in use', (t) => {
  t.same(parse(example), loadAgentConfig())
  const full = parse(uncommented)
  t.same(
    full.sources.map((source) => source.type),
    ['system', 'serial', 'serial', 'serial', 'simulate'],
  )
  const missing = [...keys(published)]
    .map(({ path }) => path.split('.').at(-1) ?? '')
    .filter((key) => !new RegExp(`(^|[\\s{-])${key}:`, 'm').test(uncommented))
  t.same(missing, [])
  t.end()
})

/** Every key that a JSON Schema knows, at any depth. */
function* keys(schema: unknown, path = ''): Generator<{ path: string; schema: Record<string, unknown> }> {
  if (typeof schema !== 'object' || schema === null) return
  const node = schema as Record<string, unknown>
  for (const [key, value] of Object.entries((node['properties'] ?? {}) as Record<string, unknown>)) {
    const here = path === '' ? key : `${path}.${key}`
    yield { path: here, schema: value as Record<string, unknown> }
    yield* keys(value, here)
  }
  yield* keys(node['items'], `${path}[]`)
  yield* keys(node['additionalProperties'], `${path}.*`)
  for (const choice of (node['oneOf'] ?? node['anyOf'] ?? []) as unknown[]) yield* keys(choice, path)
}
