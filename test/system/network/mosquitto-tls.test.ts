import { chmodSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import t from 'tap'
import { EmbeddedBroker } from '../../../gateway/src/bridge/embedded-broker.js'
import { MqttOutput } from '../../../gateway/src/bridge/mqtt-output.js'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import {
  batchOf,
  bridgeStore,
  entry,
  monoMs,
  PUBLISH,
  reading,
  recorder,
} from '../../unit/gateway/bridge-support.js'
import { startBridge } from '../support/bridge.js'
import { cable, quiet } from '../support/cable.js'
import { authority, bundle } from '../support/certificates.js'
import { startMosquitto, subscribe, type Received } from '../support/mosquitto.js'
import { here } from '../support/process.js'

/** Why these tests cannot run here, or false. */
const missing = (['mosquitto', 'mosquitto_passwd', 'mosquitto_sub', 'stdbuf', 'openssl'] as const).filter(
  (program) => spawnSync(program, ['--help']).error !== undefined,
)
const skip =
  missing.length > 0 && `needs ${missing.join(', ')}: apt-get install mosquitto mosquitto-clients openssl`

const will = { topic: 'fieldwhisper/hall/$gateway', payload: Buffer.from('{}'), retain: true }
const valueOf = ({ payload }: Received): number => (JSON.parse(payload) as { value: number }).value
const numbered = (from: number, count: number, name = 'pump') =>
  Array.from({ length: count }, (_, index) =>
    entry({ name, number: from + index, batch: batchOf([reading({ value: from + index })]) }),
  )

void t.test('MQTT 5: mosquitto_sub sees the properties', { skip }, async (t) => {
  const folder = temporaryFolder(t)
  const port = await freePort()
  const broker = await startMosquitto(here, { folder, port })
  t.teardown(() => broker.kill())
  const judge = await subscribe(here, { port, topic: 'f/#', properties: true })
  t.teardown(() => judge.program.kill())
  const output = new MqttOutput({
    url: `mqtt://127.0.0.1:${port}`,
    clientId: 'g',
    will,
    reporter: recorder(),
    monoMs,
  })
  t.teardown(() => output.stop(will))
  await output.start({ up: () => undefined, down: () => undefined })
  await until(() => output.connected, { withinMs: 10_000, what: 'the connection' })
  t.equal(output.status().version, '5')
  const heard: unknown[] = []
  output.subscribe('f/+/command', (topic, payload, retain, properties) =>
    heard.push([topic, Buffer.from(payload).toString(), retain, properties]),
  )
  await output.publish({
    topic: 'f/x',
    payload: Buffer.from('21.5'),
    retain: false,
    properties: {
      user: { id: '00-1-2', historical: 'false' },
      contentType: 'text/plain',
      expirySeconds: 60,
      responseTopic: 'f/reply',
    },
  })
  await judge.until((messages) => messages.length === 1, { withinMs: 10_000, what: 'the message' })
  const [content, expiry, reply, user, payload] = judge.messages[0]!.payload.split('\t')
  t.same([content, reply, payload], ['text/plain', 'f/reply', '21.5'])
  t.ok(Number(expiry) > 50 && Number(expiry) <= 60, `expires in ${expiry!} s`)
  t.match(user, /id:00-1-2/)
  t.match(user, /historical:false/)

  const ask = [
    '-V',
    'mqttv5',
    '-D',
    'publish',
    'response-topic',
    'f/here',
    '-D',
    'publish',
    'correlation-data',
    'c7',
  ]
  const done = await here.run('mosquitto_pub', [
    ...['-p', String(port), '-t', 'f/pump/command', '-m', 'ping'],
    ...ask,
  ])
  t.equal(done.code, 0)
  await until(() => heard.length === 1, { withinMs: 10_000, what: 'the command' })
  t.match(heard, [
    ['f/pump/command', 'ping', false, { responseTopic: 'f/here', correlation: Buffer.from('c7') }],
  ])
})

void t.test(
  'TLS with client certificates: who fits gets in, each wrong one is named',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const [ours, theirs] = [await authority(here, folder, 'ours'), await authority(here, folder, 'theirs')]
    const server = await ours.sign('server', 'DNS:localhost,IP:127.0.0.1')
    const expired = await ours.sign('expired', 'IP:127.0.0.1', -1)
    const client = await ours.sign('client', 'DNS:gateway')
    const stranger = await theirs.sign('stranger', 'DNS:gateway')
    const late = await ours.sign('late', 'DNS:gateway', -1)
    const start = async (own: { cert: string; key: string }, ...lines: string[]): Promise<number> => {
      const port = await freePort()
      const tls = [`certfile ${own.cert}`, `keyfile ${own.key}`, `cafile ${ours.cert}`]
      // Options of a listener must follow its line.
      const program = await startMosquitto(here, { folder, port, lines: [...tls, ...lines] })
      t.teardown(() => program.kill())
      return port
    }
    const strict = await start(server, 'require_certificate true')
    const open = await start(server)
    const outdated = await start(expired)
    const plain = await start(server)

    await t.test('the right one', async (t) => {
      const judge = await subscribe(here, {
        port: strict,
        args: ['--cafile', ours.cert, '--cert', client.cert, '--key', client.key],
      })
      t.teardown(() => judge.program.kill())
      const tls = { ca: ours.cert, ...client }
      const { commit, reporter } = await startBridge(
        t,
        { ...PUBLISH, url: `mqtts://127.0.0.1:${strict}`, tls },
        temporaryFolder(t),
      )
      await commit(numbered(0, 100))
      await judge.until((messages) => messages.filter(({ topic }) => !topic.includes('$')).length === 100, {
        withinMs: 20_000,
        what: '100 readings',
      })
      t.same(reporter.events, [])
    })

    const cases: [what: string, url: string, tls: object, code: string, words: RegExp][] = [
      [
        'an unknown authority',
        `mqtts://127.0.0.1:${open}`,
        { ca: theirs.cert },
        'FW_MQTT_CERTIFICATE_WRONG',
        /unknown authority|signed itself/,
      ],
      [
        'no authority named',
        `mqtts://127.0.0.1:${open}`,
        {},
        'FW_MQTT_CERTIFICATE_WRONG',
        /unknown authority/,
      ],
      [
        'an expired one',
        `mqtts://127.0.0.1:${outdated}`,
        { ca: ours.cert },
        'FW_MQTT_CERTIFICATE_WRONG',
        /it has expired/,
      ],
      [
        'another name',
        `mqtts://127.0.0.1:${open}`,
        { ca: ours.cert, servername: 'broker.example' },
        'FW_MQTT_CERTIFICATE_WRONG',
        /another name/,
      ],
      [
        'none of ours',
        `mqtts://127.0.0.1:${strict}`,
        { ca: ours.cert },
        'FW_MQTT_CERTIFICATE_REFUSED',
        /it wants one/,
      ],
      [
        'one of strangers',
        `mqtts://127.0.0.1:${strict}`,
        { ca: ours.cert, ...stranger },
        'FW_MQTT_CERTIFICATE_REFUSED',
        /authority/,
      ],
      [
        'an expired one of ours',
        `mqtts://127.0.0.1:${strict}`,
        { ca: ours.cert, ...late },
        'FW_MQTT_CERTIFICATE_REFUSED',
        /expired/,
      ],
      [
        'no TLS at all',
        `mqtt://127.0.0.1:${plain}`,
        {},
        'FW_MQTT_UNREACHABLE',
        /closed the connection|does not speak MQTT/,
      ],
    ]
    for (const [what, url, tls, code, words] of cases) {
      await t.test(what, async (t) => {
        const reporter = recorder()
        const output = new MqttOutput({ url, tls, clientId: 'g', will, reporter, monoMs, random: () => 0 })
        t.teardown(() => output.stop(will))
        await output.start({ up: () => t.fail('it must not connect'), down: () => undefined })
        await until(() => reporter.events.length > 0, { withinMs: 20_000, what: 'the report' })
        t.match(reporter.events[0], { code, message: words })
        t.match(output.status(), { connected: false, lastError: words })
      })
    }

    await t.test('the name is right with servername, and two authorities in one file do', async (t) => {
      const ca = bundle(folder, 'both.crt', theirs.cert, ours.cert)
      const tls = { ca, servername: 'localhost' }
      const output = new MqttOutput({
        url: `mqtts://127.0.0.1:${open}`,
        tls,
        clientId: 'g',
        will,
        reporter: recorder(),
        monoMs,
      })
      t.teardown(() => output.stop(will))
      await output.start({ up: () => undefined, down: () => undefined })
      await until(() => output.connected, { withinMs: 10_000, what: 'the connection' })
    })
  },
)

void t.test(
  'TLS and WebSocket from gateway to gateway: the embedded broker as the external one',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const ours = await authority(here, folder, 'ours')
    const server = await ours.sign('server', 'IP:127.0.0.1')
    const password = 'correct horse battery'
    const where = { host: '127.0.0.1', port: 0 }
    for (const secure of [false, true]) {
      const broker = new EmbeddedBroker({
        ...where,
        password,
        root: 'fw',
        store: bridgeStore(),
        reporter: recorder(),
        tls: { ...where, ...server },
        websocket: { ...where, secure },
      })
      t.teardown(() => broker.stop(will))
      await broker.start({ up: () => undefined, down: () => undefined })
      for (const address of broker.status().also!) {
        const reporter = recorder()
        const output = new MqttOutput({
          url: address.startsWith('ws') ? `${address}/mqtt` : address,
          ...(!address.startsWith('ws:') && { tls: { ca: ours.cert } }),
          clientId: `g-${address}`,
          user: 'fieldwhisper',
          password,
          will: { ...will, topic: 'elsewhere/will' },
          reporter,
          monoMs,
        })
        t.teardown(() => output.stop({ ...will, topic: 'elsewhere/end' }))
        await output.start({ up: () => undefined, down: () => undefined })
        await until(() => output.connected, { withinMs: 10_000, what: address })
        await output.publish({ topic: 'elsewhere/x', payload: Buffer.alloc(100_000), retain: false })
        t.match(output.status(), { version: '3.1.1', connects: 1 }, address)
        t.same(reporter.codes(), ['FW_MQTT_VERSION_FALLBACK'])
      }

      await t.test('and programs that are not ours come in by TLS', async (t) => {
        const port = Number(broker.status().also![0]!.split(':').at(-1))
        const hello = ['s_client', '-connect', `127.0.0.1:${port}`, '-status', '-servername', 'broker']
        const greeting = await here.run('openssl', [...hello, '-CAfile', ours.cert], { input: '' })
        t.match(greeting.stdout, /Verify return code: 0 \(ok\)/)
        const login = { user: 'fieldwhisper', password }
        const judge = await subscribe(here, { port, topic: 'fw/#', args: ['--cafile', ours.cert], ...login })
        t.teardown(() => judge.program.kill())
        await until(() => broker.connected, { withinMs: 20_000, what: 'the broker' })
        await broker.publish({ topic: 'fw/s/a/x', payload: Buffer.from('21.5'), retain: false })
        await judge.until((messages) => messages.length === 1, { withinMs: 10_000, what: 'the reading' })
        t.match(judge.messages, [{ topic: 'fw/s/a/x', payload: '21.5' }])
      })
    }
  },
)

void t.test(
  'a topic that mosquitto forbids is set aside and said; all others arrive',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const port = await freePort()
    const acl = join(folder, 'acl')
    writeFileSync(
      acl,
      'user plant\ntopic write fieldwhisper/hall/pump/#\ntopic readwrite fieldwhisper/hall/$gateway\ntopic read fieldwhisper/#\n',
    )
    chmodSync(acl, 0o600)
    const login = { user: 'plant', password: 'p4ss word' }
    // mosquitto 2.0.11 with max_queued_messages 0 drops the connection behind each PUBACK that refuses.
    const broker = await startMosquitto(here, {
      folder,
      port,
      ...login,
      lines: [`acl_file ${acl}`, 'max_queued_messages 1000000'],
    })
    t.teardown(() => broker.kill())
    const judge = await subscribe(here, { port, topic: 'fieldwhisper/#', ...login })
    t.teardown(() => judge.program.kill())
    const { bridge, commit, reporter, store } = await startBridge(
      t,
      { ...PUBLISH, url: `mqtt://127.0.0.1:${port}`, ...login },
      folder,
    )
    const mixed = numbered(0, 100).flatMap((one, index) => [
      one,
      ...numbered(index, 1, 'oven').map((other) => ({ ...other, agent: 'b2'.repeat(32) })),
    ])
    await commit(mixed)
    await until(() => bridge.status()!.outbox.unsentEntries === 0, {
      withinMs: 20_000,
      what: 'the outbox to be empty',
    })
    await judge.until((messages) => messages.filter(({ topic }) => topic.includes('/pump/')).length === 100, {
      withinMs: 10_000,
      what: 'what is allowed',
    })
    const pump = judge.messages.filter(({ topic }) => topic.includes('/pump/'))
    t.same(
      pump.map(valueOf),
      Array.from({ length: 100 }, (_, index) => index),
    )
    t.ok(judge.messages.every(({ topic }) => !topic.includes('/oven/')))
    t.match(bridge.status(), { outbox: { published: 100, refused: 100, rejected: 100 } })
    t.match(
      reporter.events.find(({ code }) => code === 'FW_MQTT_TOPIC_FORBIDDEN'),
      { fields: { topic: 'fieldwhisper/hall/oven/temp' } },
    )
    t.equal(bridge.status()!.broker.connects, 1)
    await until(() => [...store.range('outbox_rejected')].length === 100, {
      withinMs: 10_000,
      what: 'them on disk',
    })
  },
)

void t.test(
  'mosquitto with MQTT 5 and TLS is killed and wiped in mid-stream: nothing is lost',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const port = await freePort()
    const ours = await authority(here, folder, 'ours')
    const server = await ours.sign('server', 'IP:127.0.0.1')
    const secure = await freePort()
    const tls = [`listener ${secure} 127.0.0.1`, `certfile ${server.cert}`, `keyfile ${server.key}`]
    const start = () => startMosquitto(here, { folder, port, lines: tls })
    let broker = await start()
    t.teardown(() => broker.kill())
    // The judge comes in by the plain port, the bridge by the one with TLS.
    const judge = await subscribe(here, { port, topic: 'fieldwhisper/#', clientId: 'judge' })
    t.teardown(() => judge.program.kill())
    const wire = await cable(t, secure)
    const { bridge, commit, reporter } = await startBridge(
      t,
      { ...PUBLISH, url: `mqtts://127.0.0.1:${wire.port}`, tls: { ca: ours.cert } },
      temporaryFolder(t),
    )
    const total = 3_000
    const streaming = (async () => {
      for (let from = 0; from < total; from += 20) {
        await commit(numbered(from, 20))
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })()
    await judge.until((messages) => messages.length > 500, { withinMs: 30_000, what: '500 readings' })
    wire.pull()
    // What mosquitto confirmed to the bridge dies with it: the judge gets that first, for the promise is the bridge's.
    await quiet(judge.messages)
    await broker.kill()
    broker = await start()
    const subscriptions = (): number =>
      judge.program.stdout.filter((line) => line.startsWith('Subscribed (mid')).length
    await until(() => subscriptions() === 2, { withinMs: 30_000, what: 'the judge to subscribe again' })
    wire.plug()
    await streaming
    const values = (): number[] => [
      ...new Set(judge.messages.filter(({ topic }) => topic.includes('/pump/')).map(valueOf)),
    ]
    await until(() => values().length === total, { withinMs: 60_000, what: 'all readings' })
    t.same(
      values(),
      Array.from({ length: total }, (_, index) => index),
      'in order',
    )
    t.match(bridge.status()!.broker, { version: '5', connects: 2 })
    t.ok(reporter.codes().includes('FW_MQTT_LOST'))
  },
)
