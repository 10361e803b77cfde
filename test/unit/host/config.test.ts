import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { z } from 'zod'
import {
  configSchemaJson,
  duration,
  loadConfig,
  nearest,
  parseConfig,
  parseDuration,
  parseSize,
  size,
} from '@fieldwhisper/host'
import type { HostError } from '@fieldwhisper/host'
import { folder } from './support.js'

const source = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('modbus'), unit_id: z.int().min(1).max(247) }),
  z.strictObject({ kind: z.literal('random'), every: duration({ min: '10ms', max: '1h' }) }),
])
const schema = z.strictObject({
  site: z.string(),
  spool: z
    .strictObject({
      max_bytes: size({ min: '1MiB', max: '1TiB' }).prefault('2GiB'),
      max_age: duration({ min: '1m', max: '365d' }).prefault('7d'),
      when_full: z.enum(['drop_oldest', 'drop_newest', 'block']).default('drop_oldest'),
    })
    .prefault({}),
  relays: z.array(z.strictObject({ url: z.url(), token: z.string().optional() })).default([]),
  sources: z.array(source).default([]),
})

function problems(text: string, against: z.ZodType = schema): string[] {
  try {
    parseConfig(text, against, 'agent.yaml')
    return []
  } catch (error) {
    if ((error as HostError).code !== 'FW_CONFIG_INVALID') throw error
    return (error as HostError).message.split('\n')
  }
}

void t.test('units and defaults arrive as milliseconds and bytes', (t) => {
  const config = parseConfig(
    'site: north\nspool:\n  max_bytes: 64MiB\nsources:\n  - kind: random\n    every: 500ms\n',
    schema,
    'agent.yaml',
  )
  t.strictSame(config, {
    site: 'north',
    spool: { max_bytes: 64 * 2 ** 20, max_age: 7 * 86_400_000, when_full: 'drop_oldest' },
    relays: [],
    sources: [{ kind: 'random', every: 500 }],
  })
  t.end()
})

void t.test('every problem is told at once, with its place, what is allowed and the nearest key', (t) => {
  const text = [
    'spol:',
    '  max_bytes: 1GiB',
    'spool:',
    '  max_age: 5',
    '  when_full: drop',
    'relays:',
    '  - url: nonsense',
    '    tokn: s3cret',
    'sources:',
    '  - kind: modbus',
    '    unit_id: 300',
  ].join('\n')
  const found = problems(text)
  t.match(found, [
    /^agent\.yaml:1:1 site: is missing: expected string$/,
    /^agent\.yaml:4:3 spool\.max_age: expected a duration such as 500ms, 10s, 5m, 24h or 7d, from 1m to 365d$/,
    /^agent\.yaml:5:3 spool\.when_full: Invalid option: expected one of "drop_oldest"\|"drop_newest"\|"block"$/,
    /^agent\.yaml:7:5 relays\.0\.url: /,
    /^agent\.yaml:8:5 relays\.0\.tokn: this key is not known; did you mean "token"\? \(allowed: url, token\)$/,
    /^agent\.yaml:11:5 sources\.0\.unit_id: /,
    /^agent\.yaml:1:1 spol: this key is not known; did you mean "spool"\? \(allowed: site, spool, relays, sources\)$/,
  ])
  t.equal(found.length, 7)
  t.notMatch(found.join(), /s3cret|nonsense/)
  t.end()
})

for (const [what, text, expected] of [
  ['an empty file lacks what must be there', '', /^agent\.yaml:1:1 site: is missing/],
  ['a list where a map should be', '- a\n', /^agent\.yaml:1:1 expected object, received array/],
  ['a key given twice', 'site: a\nsite: b\n', /^agent\.yaml:2:1 Map keys must be unique/],
  ['broken YAML', 'site: [a\n', /^agent\.yaml:2:1 /],
  ['a tag of its own', 'site: !!js/function x\n', /^agent\.yaml:1:7 Unresolved tag/],
  ['a second document', 'site: a\n---\nsite: b\n', /^agent\.yaml:2:1 Source contains multiple documents/],
  [
    'a key that would change prototypes',
    'site: a\n__proto__: {x: 1}\n',
    /^agent\.yaml:2:1 __proto__: this key is not known/,
  ],
] as const) {
  void t.test(`${what}: refused with its place`, (t) => {
    const found = problems(text)
    t.match(found[0], expected)
    t.end()
  })
}

void t.test('aliases that would grow without bound are refused', (t) => {
  const bomb = ['a: &a [x, x, x, x, x, x, x, x, x]']
  for (let i = 1; i < 9; i++) {
    const before = String.fromCharCode(96 + i)
    const name = String.fromCharCode(97 + i)
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(', ')}]`)
  }
  t.match(problems(bomb.join('\n')), [/^agent\.yaml:1:1 it is not usable YAML: Excessive alias count/])
  t.end()
})

void t.test('nesting deeper than the parser can follow is refused, not a crash', (t) => {
  t.match(problems('['.repeat(100_000)), [/^agent\.yaml:/])
  t.end()
})

void t.test('at most fifty problems are listed', (t) => {
  const found = problems(`site: a\n${Array.from({ length: 60 }, (_, i) => `k${i}: 1\n`).join('')}`)
  t.equal(found.length, 51)
  t.equal(found[50], 'and 10 more')
  t.end()
})

void t.test('of a thousand wrong entries fifty are listed and the others counted', (t) => {
  const tags = z.strictObject({ tags: z.array(z.strictObject({})) })
  const many = problems(`tags: [${'{a: 1}, '.repeat(1_000)}]`, tags)
  t.equal(many.length, 51)
  t.equal(many[50], 'and 950 more')
  t.end()
})

void t.test('a key that is no text is refused, and nothing is written to standard error', (t) => {
  const warnings: unknown[] = []
  const listen = (warning: unknown): void => void warnings.push(warning)
  process.on('warning', listen)
  t.teardown(() => process.off('warning', listen))
  t.match(problems('site: a\n? {secret: 1}\n: 2\n')[0], /^agent\.yaml:2:3 /)
  t.same(warnings, [])
  t.end()
})

void t.test('a file is read; one that is missing, a folder or not text cannot be', (t) => {
  const dir = folder(t)
  const path = join(dir, 'agent.yaml')
  const unreadable = { name: 'HostError', code: 'FW_CONFIG_UNREADABLE' }
  t.throws(() => loadConfig(path, schema), unreadable)
  t.throws(() => loadConfig(dir, schema), unreadable)
  writeFileSync(path, Buffer.from([0x73, 0xff]))
  t.throws(() => loadConfig(path, schema), unreadable)
  writeFileSync(path, 'site: north\n')
  t.equal(loadConfig(path, schema).site, 'north')
  mkdirSync(join(dir, 'x'))
  t.end()
})

void t.test('a file of one MiB is read, one byte more is refused', (t) => {
  const path = join(folder(t), 'agent.yaml')
  const start = 'site: north\n'
  writeFileSync(path, start + '#'.repeat(1024 * 1024 - start.length))
  t.equal(loadConfig(path, schema).site, 'north')
  writeFileSync(path, start + '#'.repeat(1024 * 1024 - start.length + 1))
  t.throws(() => loadConfig(path, schema), { code: 'FW_CONFIG_INVALID', message: /it has 1048577 bytes/ })
  t.end()
})

void t.test('the published schema shows what a user writes', (t) => {
  const json = configSchemaJson(schema) as any
  t.equal(json.additionalProperties, false)
  t.strictSame(json.required, ['site'])
  t.match(json.properties.spool.properties.max_age, {
    type: 'string',
    default: '7d',
    description: /from 1m to 365d/,
  })
  t.end()
})

void t.test('durations and sizes need a unit and a whole result', (t) => {
  t.strictSame(
    ['500ms', '10s', '5m', '24h', '7d', '1.5s', '0s', '10 s'].map(parseDuration),
    [500, 10_000, 300_000, 86_400_000, 604_800_000, 1_500, 0, 10_000],
  )
  t.strictSame(
    ['', '5', 's', '-1s', '1e3s', '1.0005ms', '1w', '10S', ' 1s', '9999999999999s'].map(parseDuration),
    Array(10).fill(undefined),
  )
  t.strictSame(['512B', '64KiB', '16MiB', '2GiB', '1TiB', '0.5KiB'].map(parseSize), [
    512,
    65_536,
    2 ** 24,
    2 ** 31,
    2 ** 40,
    512,
  ])
  t.strictSame(['1kb', '1K', '1.5B', '999999999999TiB'].map(parseSize), Array(4).fill(undefined))
  t.end()
})

void t.test('bounds of a duration are inclusive', (t) => {
  const type = duration({ min: '1s', max: '1m' })
  t.strictSame(
    ['999ms', '1s', '1m', '60001ms'].map((text) => type.safeParse(text).success),
    [false, true, true, false],
  )
  t.end()
})

void t.test('the nearest word is found by typing errors, none when nothing is near', (t) => {
  t.equal(nearest('statsu', ['run', 'status', 'join']), 'status')
  t.equal(nearest('Run', ['run', 'status']), 'run')
  t.equal(nearest('xyz', ['run', 'status']), undefined)
  t.end()
})
