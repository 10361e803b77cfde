import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { Aedes } from 'aedes'
import { generate } from 'mqtt-packet'
import t from 'tap'
import { Expiry } from '../../../gateway/src/bridge/expiry.js'
import { Outbox } from '../../../gateway/src/bridge/outbox.js'
import { readingFormat } from '../../../gateway/src/bridge/payload-format.js'
import { MqttOutput, type MqttOutputOptions } from '../../../gateway/src/bridge/mqtt-output.js'
import { publishBytes } from '../../../gateway/src/bridge/mqtt-size.js'
import { isRefusal } from '../../../gateway/src/bridge/output.js'
import { createTopics, message, type Message } from '../../../gateway/src/bridge/topics.js'
import { temporaryFolder } from '../../support/folder.js'
import {
  bridgeStore,
  decode,
  eventually,
  fill,
  monoMs,
  numbered,
  recorder,
  WALL_MS,
} from './bridge-support.js'
import { scriptedBroker } from './mqtt5-broker.js'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

const farewell: Message = { topic: 'f/farewell', payload: Buffer.from('bye'), retain: false }
const told = (text: string, more: Partial<Message> = {}): Message => ({
  topic: 'f/x',
  payload: Buffer.from(text),
  retain: false,
  ...more,
})

function output(port: number, change: Partial<MqttOutputOptions> = {}) {
  const reporter = recorder()
  const made = new MqttOutput({
    url: `mqtt://127.0.0.1:${port}`,
    clientId: 'gateway-test',
    will: message(createTopics('s').gateway, { state: 'offline' }, true),
    reporter,
    monoMs,
    random: () => 0,
    ...change,
  })
  return { output: made, reporter }
}

async function connected(t: Test, port: number, change: Partial<MqttOutputOptions> = {}) {
  const made = output(port, change)
  t.teardown(() => made.output.stop(farewell))
  const seen = { ups: 0, downs: 0 }
  await made.output.start({ up: () => (seen.ups += 1), down: () => (seen.downs += 1) })
  await eventually('a connection', () => seen.ups === 1)
  return { ...made, seen }
}

void t.test('MQTT 5 carries what stands beside the payload, both ways', async (t) => {
  const broker = await scriptedBroker(t)
  const { output } = await connected(t, broker.port, { user: 'plant', password: 'pw' })
  t.match(broker.connects[0], { protocolVersion: 5, clean: true, username: 'plant', will: { retain: true } })
  t.match(output.status(), { version: '5', connected: true })
  const properties = {
    user: { id: '00-1-2', seq: '7' },
    contentType: 'application/json',
    expirySeconds: 60,
    responseTopic: 'f/reply',
    correlation: Buffer.from([1, 2, 3]),
  }
  await output.publish(told('v', { retain: true, properties }))
  t.match(broker.publishes[0], {
    qos: 1,
    retain: true,
    properties: {
      userProperties: { id: '00-1-2', seq: '7' },
      contentType: 'application/json',
      messageExpiryInterval: 60,
      responseTopic: 'f/reply',
      correlationData: Buffer.from([1, 2, 3]),
    },
  })
  await output.publish(told('bare'))
  t.equal(broker.publishes[1]!.properties, undefined)

  const heard: unknown[] = []
  output.subscribe('f/+/command', (topic, payload, retain, more) =>
    heard.push([topic, Buffer.from(payload).toString(), retain, more]),
  )
  await eventually('the subscription', () => broker.subscribed.length === 1)
  const base = { cmd: 'publish', qos: 0, dup: false, retain: true, topic: 'f/a/command' } as const
  broker.send({
    ...base,
    payload: 'go',
    properties: { responseTopic: 'r', correlationData: Buffer.from('c') },
  })
  broker.send({ ...base, topic: 'f/a/b/command', payload: 'not asked for' })
  broker.send({ ...base, retain: false, payload: 'again' })
  await eventually('both', () => heard.length === 2)
  t.same(heard, [
    ['f/a/command', 'go', true, { responseTopic: 'r', correlation: Buffer.from('c') }],
    ['f/a/command', 'again', false, {}],
  ])
  broker.cut()
  await eventually('the subscription on the next connection', () => broker.subscribed.length === 2)
})

void t.test('a subscription that the broker refuses is said, and nothing else is affected', async (t) => {
  const broker = await scriptedBroker(t)
  broker.suback = 135
  const { output, reporter } = await connected(t, broker.port)
  output.subscribe('f/#', () => t.fail('nothing comes'))
  await eventually('the report', () => reporter.events.length > 0)
  t.match(reporter.events, [{ code: 'FW_MQTT_SUBSCRIBE_REFUSED', fields: { filter: 'f/#' } }])
  await output.publish(told('v'))
})

void t.test('a broker of 3.1.1 is spoken to in 3.1.1 for the life of the process, said once', async (t) => {
  const aedes = await Aedes.createBroker()
  const texts: string[] = []
  aedes.on('publish', ({ topic, payload }) => {
    if (topic.startsWith('f/')) texts.push(String(payload))
  })
  const versions: (number | undefined)[] = []
  const refused: string[] = []
  aedes.on('connectionError', (_client, { message }) => refused.push(message))
  aedes.preConnect = (_client, packet, done) => {
    versions.push(packet.protocolVersion)
    done(null, true)
  }
  const server = createServer(aedes.handle).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => new Promise<void>((resolve) => server.close(() => aedes.close(resolve))))
  const { port } = server.address() as AddressInfo
  const { output: auto, reporter, seen } = await connected(t, port)
  t.match(auto.status(), { version: '3.1.1' })
  await auto.publish(told('v', { properties: { user: { id: '1' }, expirySeconds: 5 } }))
  t.same(texts, ['v'], 'without properties')
  const heard: string[] = []
  auto.subscribe('f/#', (_topic, payload) => heard.push(Buffer.from(payload).toString()))
  await eventually('the subscription', () => {
    aedes.publish(
      { cmd: 'publish', qos: 0, topic: 'f/y', payload: 'in', retain: false, dup: false },
      () => undefined,
    )
    return heard.includes('in')
  })
  auto.reconnect()
  await eventually('the next connection', () => seen.ups === 2)
  t.same(versions, [5, 4, 4])
  t.same(refused, ['unacceptable protocol version'])
  t.same(
    reporter.codes().filter((code) => code !== 'FW_MQTT_LOST'),
    ['FW_MQTT_VERSION_FALLBACK'],
  )

  const strict = output(port, { version: '5', clientId: 'strict' })
  t.teardown(() => strict.output.stop(farewell))
  await strict.output.start({ up: () => t.fail('it must not fall back'), down: () => undefined })
  await eventually('two tries', () => strict.reporter.events.length >= 2)
  t.match(strict.reporter.events[1], { code: 'FW_MQTT_VERSION', message: /does not speak this version/ })
  const old = await connected(t, port, { version: '3.1.1', clientId: 'old' })
  t.same(old.reporter.events, [])
})

void t.test('reason codes of CONNACK become words', async (t) => {
  const broker = await scriptedBroker(t)
  const cases: [number, string, RegExp][] = [
    [134, 'FW_MQTT_CREDENTIALS_REFUSED', /refuses user or password/],
    [135, 'FW_MQTT_CREDENTIALS_REFUSED', /does not let this user in/],
    [138, 'FW_MQTT_CREDENTIALS_REFUSED', /shut this gateway out/],
    [136, 'FW_MQTT_UNREACHABLE', /not ready/],
    [151, 'FW_MQTT_UNREACHABLE', /quota/],
  ]
  for (const [code, name, words] of cases) {
    broker.connack = code
    const made = output(broker.port, { password: 'hunter2', user: 'u' })
    await made.output.start({ up: () => undefined, down: () => undefined })
    await eventually(name, () => made.reporter.events.length > 0)
    t.match(made.reporter.events[0], { code: name, message: words }, String(code))
    t.notMatch(JSON.stringify(made.reporter.events), /hunter2/)
    await made.output.stop(farewell)
  }
})

void t.test('a refused publish has a code, others are taken', async (t) => {
  const broker = await scriptedBroker(t)
  const cases: [number, string, boolean][] = [
    [135, 'FW_MQTT_TOPIC_FORBIDDEN', true],
    [144, 'FW_MQTT_TOPIC_INVALID', true],
    [153, 'FW_MQTT_PAYLOAD_INVALID', true],
    [151, 'FW_MQTT_QUOTA', false],
    [128, 'FW_MQTT_PUBLISH_FAILED', false],
  ]
  broker.judge = ({ topic }) => ({ ack: Number(topic.split('/')[1]) || 0 })
  const { output, reporter, seen } = await connected(t, broker.port)
  for (const [code, name, forGood] of cases) {
    const error: unknown = await output
      .publish(told('v', { topic: `f/${code}` }))
      .catch((cause: unknown) => cause)
    t.match(error, { name: 'GatewayError', code: name })
    t.equal(isRefusal(error), forGood, name)
    t.match(reporter.events.at(-1), { code: name, level: 'error', fields: { topic: `f/${code}` } })
  }
  await output.publish(told('v', { topic: 'f/16' }))
  await output.publish(told('v'))
  t.same(seen, { ups: 1, downs: 0 }, 'all on one connection')
})

void t.test(
  'what the broker announces is kept: messages on their way, size, no current values',
  async (t) => {
    const broker = await scriptedBroker(t)
    broker.properties = { receiveMaximum: 7, maximumPacketSize: 200, retainAvailable: false }
    const { output, reporter } = await connected(t, broker.port)
    await Promise.all(
      Array.from({ length: 100 }, (_, index) => output.publish(told(String(index), { retain: true }))),
    )
    t.same(
      broker.publishes.map(({ payload }) => String(payload)),
      Array.from({ length: 100 }, (_, index) => String(index)),
      'in order',
    )
    t.equal(broker.unanswered.most, 7)
    t.ok(broker.publishes.every(({ retain }) => !retain))
    const sized = (bytes: number): Message => {
      const properties = {
        user: { k: 'v' },
        contentType: 't',
        expirySeconds: 1,
        correlation: Buffer.from('c'),
      }
      const empty = told('', { properties })
      return { ...empty, payload: Buffer.alloc(bytes - publishBytes(empty) - 1, 0x20) }
    }
    t.equal(publishBytes(sized(200)), 200)
    await output.publish(sized(200))
    await t.rejects(output.publish(sized(201)), { code: 'FW_MQTT_PACKET_TOO_LARGE' })
    t.equal(broker.publishes.length, 101, 'it was not sent')
    t.same(reporter.codes(), ['FW_MQTT_PACKET_TOO_LARGE'])
  },
)

void t.test('the size of a packet is what the codec makes of it', (t) => {
  const properties = {
    user: { id: 'ü-1', seq: '' },
    contentType: 'application/senml+json',
    expirySeconds: 70_000,
    responseTopic: 'a/b',
    correlation: Buffer.alloc(40),
  }
  const asPacket = {
    userProperties: { ...properties.user },
    contentType: properties.contentType,
    messageExpiryInterval: properties.expirySeconds,
    responseTopic: properties.responseTopic,
    correlationData: properties.correlation,
  }
  for (const length of [0, 1, 20, 120, 127, 128, 16_300, 16_383, 16_384, 2_097_152]) {
    for (const more of [{}, { properties }]) {
      const packet = generate(
        {
          cmd: 'publish',
          qos: 1,
          dup: false,
          retain: false,
          messageId: 1,
          topic: 'ü/x',
          payload: Buffer.alloc(length),
          ...(more.properties && { properties: asPacket }),
        },
        { protocolVersion: 5 },
      )
      const message = { topic: 'ü/x', payload: Buffer.alloc(length), retain: false, ...more }
      t.equal(publishBytes(message), packet.length, `${length} bytes`)
    }
  }
  t.end()
})

void t.test(
  'a message for which the broker ends the connection is found and set aside, the others arrive',
  async (t) => {
    const broker = await scriptedBroker(t)
    const isPoison = (payload: string | Buffer): boolean => String(payload).includes('"value":5,')
    broker.judge = ({ payload }) => (isPoison(payload) ? { disconnect: 149 } : { ack: 0 })
    const store = bridgeStore()
    await fill(store, 1, numbered(20))
    const made = output(broker.port)
    t.teardown(() => made.output.stop(farewell))
    const outbox = new Outbox({
      store,
      output: made.output,
      topics: createTopics('hall'),
      reporter: made.reporter,
      monoMs,
      runningMs: monoMs,
      decode,
      format: readingFormat('json'),
      expiry: new Expiry([]),
      withProperties: false,
      wallMs: () => WALL_MS,
      maxBytes: 1_000_000,
      keepSentMs: 3_600_000,
    })
    outbox.start()
    await made.output.start({ up: () => outbox.up(), down: () => outbox.down() })
    await eventually('all others', () => outbox.status().unsentEntries === 0)
    t.match(outbox.status(), { published: 19, refused: 1, rejected: 1 })
    const values = (): number[] =>
      broker.publishes.map(({ payload }) => (JSON.parse(String(payload)) as { value: number }).value)
    t.same(
      [...new Set(values())],
      Array.from({ length: 20 }, (_, index) => index),
    )
    t.equal(values().filter((value) => value === 5).length, 2, 'once among others, once alone')
    t.same(made.reporter.codes(), [
      'FW_MQTT_LOST',
      'FW_MQTT_LOST',
      'FW_MQTT_PACKET_TOO_LARGE',
      'FW_OUTBOX_REJECTED',
    ])
    await outbox.stop()
    t.equal(made.output.status().connects, 3)
  },
)

void t.test('a connection that the broker ends for another reason convicts no message', async (t) => {
  const broker = await scriptedBroker(t)
  let left = 3
  broker.judge = () => (left-- > 0 ? { disconnect: 139 } : { ack: 0 })
  const { output, reporter, seen } = await connected(t, broker.port)
  for (let round = 1; round <= 3; round += 1) {
    await t.rejects(output.publish(told('v')), { code: 'FW_MQTT_NOT_CONNECTED' })
    await eventually('the next connection', () => seen.ups === round + 1)
  }
  await output.publish(told('v'))
  t.same([...new Set(reporter.codes())], ['FW_MQTT_LOST'])
  t.match(reporter.events[0], { message: /it is being shut down/ })
})

void t.test('TLS files are read for every connection, and what is wrong with them is said', async (t) => {
  const folder = temporaryFolder(t)
  const ca = join(folder, 'ca.pem')
  const key = join(folder, 'key.pem')
  const fixture = (name: string): Buffer =>
    readFileSync(new URL(`../relay/fixtures/${name}`, import.meta.url))
  const made = output(1, { url: 'mqtts://127.0.0.1:1', tls: { ca, cert: ca, key } })
  t.teardown(() => made.output.stop(farewell))
  await made.output.start({ up: () => undefined, down: () => undefined })
  t.match(made.reporter.events, [{ code: 'FW_MQTT_TLS_FILES', message: new RegExp(`${ca} cannot be used`) }])
  const next = async (): Promise<void> => {
    const before = made.reporter.events.length
    await eventually('the next try', () => made.reporter.events.length > before)
  }
  writeFileSync(ca, 'no certificate')
  writeFileSync(key, fixture('key.pem'), { mode: 0o600 })
  await next()
  t.match(made.reporter.events.at(-1), { code: 'FW_MQTT_TLS_FILES', message: /it is not a PEM file/ })
  writeFileSync(ca, fixture('cert.pem'))
  await next()
  t.match(made.reporter.events.at(-1), { code: 'FW_MQTT_UNREACHABLE', message: /nothing listens/ })
})

void t.test('a private key that others may read is used, with a warning', async (t) => {
  const folder = temporaryFolder(t)
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  for (const path of [cert, key])
    writeFileSync(
      path,
      readFileSync(new URL(`../relay/fixtures/${path.split('/').at(-1)!}`, import.meta.url)),
      {
        mode: 0o644,
      },
    )
  const made = output(1, { url: 'wss://127.0.0.1:1/mqtt', tls: { cert, key } })
  t.teardown(() => made.output.stop(farewell))
  await made.output.start({ up: () => undefined, down: () => undefined })
  await eventually('the try', () => made.reporter.events.length === 2)
  t.match(made.reporter.events, [
    { code: 'FW_MQTT_KEY_OPEN', level: 'warn', fields: { file: key, mode: '644' } },
    { code: 'FW_MQTT_UNREACHABLE', message: /wss:\/\/127.0.0.1:1\/mqtt cannot be reached: nothing listens/ },
  ])
})

void t.test('a web server without MQTT, and a server without TLS, are named as such', async (t) => {
  const { createServer: createHttp } = await import('node:http')
  const server = createHttp((_request, response) => response.writeHead(404).end()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const { port } = server.address() as AddressInfo
  for (const [url, words] of [
    [`ws://127.0.0.1:${port}/mqtt`, /no WebSocket for MQTT at this path \(HTTP status 404\)/],
    [`mqtts://127.0.0.1:${port}`, /speaks no TLS/],
  ] as const) {
    const made = output(port, { url })
    await made.output.start({ up: () => undefined, down: () => undefined })
    await eventually(url, () => made.reporter.events.length > 0)
    t.match(made.reporter.events[0], { code: 'FW_MQTT_UNREACHABLE', message: words })
    await made.output.stop(farewell)
  }
})
