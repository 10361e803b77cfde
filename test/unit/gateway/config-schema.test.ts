import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { HostError, parseConfig } from '@fieldwhisper/host'
import {
  gatewayConfigJsonSchema,
  gatewayConfigSchema,
  loadGatewayConfig,
  type GatewayConfig,
} from '../../../gateway/src/config/index.js'

const parse = (yaml: string): GatewayConfig => parseConfig(yaml, gatewayConfigSchema, 'gateway.yaml')

/** The problems of a configuration, without the file name: `line:column path: text`. */
function problems(yaml: string): string[] {
  try {
    parse(yaml)
  } catch (error) {
    if (!(error instanceof HostError) || error.code !== 'FW_CONFIG_INVALID') throw error
    return error.message.split('\n').map((line) => line.replace('gateway.yaml:', ''))
  }
  return []
}

void t.test('an empty configuration works: the LAN, no relay, the embedded broker on loopback', (t) => {
  t.match(loadGatewayConfig(), {
    site: undefined,
    lan: { enabled: true, broadcast: false, peers: [], beacon_port: 24_707, loopback: false },
    relays: [],
    relay: { enabled: false, urls: [], listen: { host: '0.0.0.0', port: 24_780 } },
    mqtt: { topic: 'fieldwhisper/{site}/{agent}/{name}', embedded: { host: '127.0.0.1' } },
    outbox: { max_bytes: 2 * 2 ** 30, keep_sent: 86_400_000 },
    log: { level: 'info', format: 'text' },
  })
  t.same(parse('{}'), loadGatewayConfig())
  t.end()
})

/** What is published where nothing is said of it. */
const AS_EVER = {
  payload: 'json',
  expire: [],
  replay: { rate: 2_000, order: 'live_first' },
} as const

void t.test('one broker is configured, the embedded one or one of your own', (t) => {
  t.same(parse('mqtt: { embedded: { port: 2883 } }').mqtt, {
    topic: 'fieldwhisper/{site}/{agent}/{name}',
    ...AS_EVER,
    embedded: { host: '127.0.0.1', port: 2_883 },
  })
  t.same(parse('mqtt: { url: "mqtt://broker:1883", topic: "uns/{agent}/{name}" }').mqtt, {
    topic: 'uns/{agent}/{name}',
    ...AS_EVER,
    url: 'mqtt://broker:1883',
  })
  t.same(parse('mqtt: { url: "mqtt://[::1]:1883", user: plant, password: "a b" }').mqtt, {
    topic: 'fieldwhisper/{site}/{agent}/{name}',
    ...AS_EVER,
    url: 'mqtt://[::1]:1883',
    user: 'plant',
    password: 'a b',
  })
  t.same(parse('mqtt: { url: "wss://b:8084/mqtt", version: 5, tls: { ca: c, servername: b } }').mqtt, {
    topic: 'fieldwhisper/{site}/{agent}/{name}',
    ...AS_EVER,
    url: 'wss://b:8084/mqtt',
    version: '5',
    tls: { ca: 'c', servername: 'b' },
  })
  t.same(parse('mqtt: { embedded: { tls: { cert: c, key: k }, websocket: { secure: true } } }').mqtt, {
    topic: 'fieldwhisper/{site}/{agent}/{name}',
    ...AS_EVER,
    embedded: {
      host: '127.0.0.1',
      tls: { host: '0.0.0.0', port: 8_883, cert: 'c', key: 'k' },
      websocket: { host: '127.0.0.1', port: 9_001, secure: true },
    },
  })
  t.end()
})

void t.test('every mistake is named with its line and path, and no secret with it', (t) => {
  const cases: [yaml: string, expected: RegExp][] = [
    ['sites: x', /^1:1 sites: this key is not known; did you mean "site"\?/],
    ['mqtt:\n  adress: x', /^2:3 mqtt\.adress: this key is not known/],
    [`site: ${'x'.repeat(65)}`, /site: expected text of 1 to 64 bytes/],
    ['mqtt: { topic: "{site}/{agent}/{name}" }', /mqtt\.topic: The topic template must begin with a fixed/],
    ['mqtt: { topic: "a/{agent}" }', /mqtt\.topic: .*lacks a level \{name\}/],
    ['mqtt: { url: "http://broker" }', /mqtt\.url: expected mqtt:\/\/host:port/],
    ['mqtt: { url: "mqtt://u:hunter2@broker" }', /mqtt\.url: expected mqtt:\/\/host:port/],
    ['mqtt: { url: "mqtt://broker/path" }', /mqtt\.url/],
    ['mqtt:\n  url: mqtt://b\n  embedded: {}', /^3:3 mqtt\.embedded: either `url` or `embedded`/],
    ['mqtt: { user: plant }', /mqtt\.user: belongs to a broker of your own/],
    ['mqtt: { password: hunter2 }', /mqtt\.password: belongs to a broker of your own/],
    ['mqtt: { password_file: x }', /mqtt\.password_file: belongs to a broker of your own/],
    ['mqtt: { url: "mqtt://b", password: hunter2 }', /mqtt\.user: is missing/],
    [
      'mqtt: { url: "mqtt://b", user: u, password: hunter2, password_file: x }',
      /mqtt\.password_file: either/,
    ],
    [
      'mqtt: { url: "mqtt://b", user: u, password_env: X, password_file: x }',
      /mqtt\.password_env: either `password_file` or/,
    ],
    ['mqtt: { url: "mqtt://b", user: u, password_env: "a b" }', /mqtt\.password_env: expected the name/],
    ['mqtt: { url: "mqtt://b", tls: { ca: c } }', /mqtt\.tls: needs mqtts:\/\/ or wss/],
    ['mqtt: { url: "mqtts://b", tls: { cert: c } }', /mqtt\.tls\.key: is missing/],
    ['mqtt: { url: "wss://b/mqtt?x=1" }', /mqtt\.url/],
    ['mqtt: { url: "mqtt://b", version: 4 }', /mqtt\.version: expected auto/],
    ['mqtt: { version: auto }', /mqtt\.version: belongs to a broker of your own/],
    ['mqtt: { embedded: { websocket: { secure: true } } }', /mqtt\.embedded\.websocket\.secure: needs/],
    ['mqtt: { embedded: { tls: { cert: c } } }', /mqtt\.embedded\.tls\.key/],
    ['mqtt: { embedded: { port: 65536 } }', /mqtt\.embedded\.port/],
    [
      'relays: [{ url: "wss://r/", toke: x }]',
      /relays\.0\.toke: this key is not known; did you mean "token"\?/,
    ],
    ['relay: { urls: ["https://r"] }', /relay\.urls\.0: expected ws:\/\//],
    ['outbox: { max_bytes: 1GB }', /outbox\.max_bytes: expected a size/],
    ['log: { level: loud }', /log\.level/],
  ]
  for (const [yaml, expected] of cases) {
    const found = problems(yaml)
    t.equal(found.length, 1, yaml)
    t.match(found[0], expected)
    t.notMatch(found[0], /hunter2/)
  }
  t.end()
})

void t.test('bounds hold at the limit and not beyond', (t) => {
  for (const [key, least, most, under, over] of [
    ['outbox: { max_bytes', '1MiB', '1TiB', '1023KiB', '1025GiB'],
    ['outbox: { keep_sent', '0s', '90d', '-1s', '91d'],
    ['mqtt: { embedded: { port', '1 }', '65535 }', '0 }', '65536 }'],
  ] as const) {
    t.same(problems(`${key}: ${least} }`), [], `${key} ${least}`)
    t.same(problems(`${key}: ${most} }`), [], `${key} ${most}`)
    t.equal(problems(`${key}: ${under} }`).length, 1, `${key} ${under}`)
    t.equal(problems(`${key}: ${over} }`).length, 1, `${key} ${over}`)
  }
  t.end()
})

void t.test('paths in a file start at the folder of the file', (t) => {
  const folder = t.testdir()
  const file = join(folder, 'gateway.yaml')
  writeFileSync(
    file,
    `state: ./state
relay: { tls: { cert: relay.crt, key: /etc/relay.key } }
mqtt: { url: "mqtt://b", user: u, password_file: secret }`,
  )
  t.match(loadGatewayConfig(file), {
    state: join(folder, 'state'),
    relay: { tls: { cert: join(folder, 'relay.crt'), key: '/etc/relay.key' } },
    mqtt: { user: 'u', passwordFile: join(folder, 'secret') },
  })
  writeFileSync(file, 'mqtt: { url: "mqtts://b", tls: { ca: ca.crt, cert: /etc/c, key: k, servername: n } }')
  t.match(loadGatewayConfig(file), {
    mqtt: { tls: { ca: join(folder, 'ca.crt'), cert: '/etc/c', key: join(folder, 'k'), servername: 'n' } },
  })
  writeFileSync(file, 'mqtt: { embedded: { tls: { cert: c, key: k } } }')
  t.match(loadGatewayConfig(file), {
    mqtt: { embedded: { tls: { cert: join(folder, 'c'), key: join(folder, 'k') } } },
  })
  t.throws(() => loadGatewayConfig(join(folder, 'none.yaml')), { code: 'FW_CONFIG_UNREADABLE' })
  t.end()
})

const root = new URL('../../../', import.meta.url)
const published = JSON.parse(readFileSync(new URL('docs/schema/gateway.json', root), 'utf8')) as unknown

void t.test('the published JSON Schema is the one of this program', (t) => {
  const how = 'node gateway/dist/config/schema-cli.js > docs/schema/gateway.json'
  t.same(published, gatewayConfigJsonSchema(), how)
  t.end()
})

const example = readFileSync(new URL('examples/gateway.yaml', root), 'utf8')
/** Code stands right behind the `#`, or two blanks behind it; prose one blank. */
const uncommented = example.replaceAll(/^(\s*)#(?! \S)/gm, '$1')

void t.test('the example is the default, word for word, and shows every key in use', (t) => {
  t.same(parse(example), loadGatewayConfig())
  const paths = [...keys(published)]
  const own = paths.filter(({ path }) => !/^relay\.(?!enabled|urls)/.test(path))
  t.same(
    own.filter(({ schema }) => schema['description'] === undefined).map(({ path }) => path),
    [],
    'every key of the schema says what it means',
  )
  const missing = paths
    .filter(({ path }) => !path.startsWith('relay.limits.'))
    .map(({ path }) => path.split('.').at(-1) ?? '')
    .filter((key) => !new RegExp(`(^|[\\s{-])${key}:`, 'm').test(uncommented))
  t.same(missing, [])

  const relays = uncommented.replace('relays: []', 'relays:')
  const external = relays
    .replace(/^ {2}embedded:\n(?: {4}.*\n)+/m, '')
    .replaceAll(/^ {2}password_(file|env).*\n/gm, '')
  t.match(parse(external), {
    mqtt: { url: 'mqtts://broker.example:8883', user: 'plant', version: 'auto', tls: { ca: 'ca.crt' } },
    relays: { length: 1 },
  })
  const embedded = relays.replaceAll(
    /^ {2}(url|version|user|password|password_file|password_env|tls):.*\n/gm,
    '',
  )
  t.match(parse(embedded), {
    mqtt: { embedded: { port: 1_883, tls: { port: 8_883 }, websocket: { port: 9_001, secure: false } } },
    site: 'bakery',
  })
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
  for (const choice of (node['oneOf'] ?? node['anyOf'] ?? []) as unknown[]) yield* keys(choice, path)
}
