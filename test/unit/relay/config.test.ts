import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseConfig } from '@fieldwhisper/host'
import { MAX_RECORD_BYTES, MAX_MESSAGE_BYTES } from '@fieldwhisper/mesh/relay-frames'
import { MAX_PACKET_BYTES } from '@fieldwhisper/protocol/packet'
import t from 'tap'
import {
  DEFAULT_LIMITS,
  loadRelayConfig,
  parseListen,
  relayConfigJsonSchema,
  relayConstants,
  relayProgramSchema,
} from '@fieldwhisper/relay'
import { temporaryFolder } from '../../support/folder.js'

const root = new URL('../../../', import.meta.url)
const page = readFileSync(new URL('docs/relay.md', root), 'utf8')

t.test('a listen address is host and port', (t) => {
  t.same(parseListen('0.0.0.0:24780'), { host: '0.0.0.0', port: 24_780 })
  t.same(parseListen('[::]:0'), { host: '::', port: 0 })
  for (const wrong of ['', '24780', ':24780', '::1:24780', 'host:65536', 'host:', '[zz]:1']) {
    t.equal(parseListen(wrong), undefined, wrong)
  }
  t.end()
})

t.test('a relay needs no configuration', (t) => {
  const config = loadRelayConfig()
  t.match(config, { listen: { host: '0.0.0.0', port: 24_780 }, open: true, log: { level: 'info' } })
  t.same(config.limits, DEFAULT_LIMITS)
  t.end()
})

t.test('paths in a file start at its folder', (t) => {
  const dir = temporaryFolder(t)
  const file = join(dir, 'relay.yaml')
  writeFileSync(
    file,
    'listen: "[::]:1"\nopen: false\nstate: s\ntls: { cert: cert.pem, key: /etc/key.pem }\nlimits: { packet_ttl: 1d }\n',
  )
  t.match(loadRelayConfig(file), {
    listen: { host: '::', port: 1 },
    open: false,
    state: join(dir, 's'),
    tls: { cert: join(dir, 'cert.pem'), key: '/etc/key.pem' },
    limits: { packetTtlMs: 86_400_000, mailboxes: 65_536 },
  })
  t.end()
})

t.test('what is wrong with a file is said with its line, and never quoted', (t) => {
  const file = join(temporaryFolder(t), 'relay.yaml')
  const wrong: [string, RegExp][] = [
    ['opne: true', /relay\.yaml:1:1 opne: .*did you mean "open"/],
    ['limits:\n  total: 7', /relay\.yaml:2:3 limits\.total: expected a size/],
    [
      'limits: { mailboxes: 0 }',
      /limits\.mailboxes: expected a whole number of mailboxes, from 1 to 1000000$/,
    ],
    ['limits: { mailbox_packets: 40001 }', /limits\.mailbox_packets: /],
    ['listen: "24780"', /listen: expected host:port/],
    ['listen: relay:65536', /listen: the port is at most 65535/],
    ['tls: { cert: a.pem }', /tls\.key: is missing/],
    ['names: []', /names: /],
    ['access_token: hunter2', /access_token: expected 16 to 128/],
  ]
  for (const [yaml, message] of wrong) {
    writeFileSync(file, `${yaml}\n`)
    t.throws(() => loadRelayConfig(file), { name: 'HostError', code: 'FW_CONFIG_INVALID', message }, yaml)
    t.throws(() => loadRelayConfig(file), { message: /^((?!hunter2).)*$/s })
  }
  t.end()
})

t.test('the published schema is that of the program', (t) => {
  const published = JSON.parse(readFileSync(new URL('docs/schema/relay.json', root), 'utf8')) as unknown
  t.same(published, relayConfigJsonSchema(), 'node relay/dist/schema-cli.js > docs/schema/relay.json')
  t.end()
})

/** Every key of the schema with its default as it is written in YAML. */
function defaults(schema: any, prefix = ''): [string, string][] {
  return Object.entries<any>(schema.properties).flatMap(([key, inner]) =>
    inner.properties && prefix === '' && key !== 'tls'
      ? defaults(inner, `${key}.`)
      : [[prefix + key, inner.default === undefined ? '' : String(inner.default)] as [string, string]],
  )
}

t.test('the table of settings in docs/relay.md is the schema', (t) => {
  const rows = [...page.matchAll(/^\| `([a-z_.]+)` \| (?:`([^`]*)`)? ?\|/gm)].map(([, key, value]) => [
    key!,
    value ?? '',
  ])
  t.same(new Map(rows as [string, string][]), new Map(defaults(relayConfigJsonSchema())))
  t.end()
})

t.test('the fixed limits in docs/relay.md are the constants', (t) => {
  const row = (name: string): string =>
    new RegExp(`^\\| ${name}[^|]*\\| (.*) \\|$`, 'm').exec(page)?.[1] ?? 'no such row'
  const n = (value: number): string => value.toLocaleString('en-US')
  const kib = (bytes: number): string => `${bytes / 1024} KiB`
  const mib = (bytes: number): string => `${bytes / 1024 / 1024} MiB`
  const c = relayConstants
  const twice = (text: string): string => `${text} | ${text}`
  t.equal(
    row('Frames a second'),
    `${n(c.MEMBER_FRAMES_PER_S)}, ${mib(c.MEMBER_BYTES_PER_S)} | ${c.STRANGER_FRAMES_PER_S}, ${kib(c.STRANGER_BYTES_PER_S)}`,
  )
  t.equal(
    row('Addresses proven'),
    `${n(c.MEMBER_ADDRESSES)}, or as many as there may be mailboxes | ${c.STRANGER_ADDRESSES}`,
  )
  t.equal(row('Wrong proofs'), twice(`${c.BAD_PROOFS}`))
  t.equal(
    row('Session-beginning'),
    twice(`${c.HELLO_BUDGET.burst}, then ${c.HELLO_BUDGET.perSecond * 60} a minute`),
  )
  t.equal(
    row('Records published'),
    twice(`${c.PUBLISH_BUDGET.burst}, then ${c.PUBLISH_BUDGET.perSecond} a second`),
  )
  t.equal(row('Time to the end'), twice(`${c.HANDSHAKE_MS / 1000} s each`))
  t.equal(row('Silence'), twice(`${c.SILENT_MS / 1000} s`))
  t.equal(row('Message'), twice([MAX_MESSAGE_BYTES, MAX_PACKET_BYTES, MAX_RECORD_BYTES].map(kib).join(', ')))
  t.match(page, `each counted with ${c.PACKET_OVERHEAD_BYTES} bytes more`)
  t.match(page, `At most ${c.HTTP_BUDGET.perSecond} requests a second from one source`)
  t.equal(c.LIVE_LINGER_MS, 500, 'half a second')
  t.end()
})

t.test('the example in docs/relay.md is a configuration', (t) => {
  const yaml = /```yaml\n([\s\S]*?)```/.exec(page)?.[1]
  t.match(parseConfig(yaml ?? 'missing', relayProgramSchema, 'relay.yaml'), {
    open: false,
    tls: { cert: 'relay.pem', key: 'relay.key' },
    limits: { totalBytes: 4 * 1024 ** 3 },
  })
  t.end()
})
