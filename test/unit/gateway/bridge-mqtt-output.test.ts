import { once } from 'node:events'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { Aedes, type AedesOptions } from 'aedes'
import t from 'tap'
import { mqttTrouble } from '../../../gateway/src/bridge/mqtt-errors.js'
import { MqttOutput, type MqttOutputOptions } from '../../../gateway/src/bridge/mqtt-output.js'
import { limitedReporter } from '../../../gateway/src/bridge/reports.js'
import { createTopics, message, type Message } from '../../../gateway/src/bridge/topics.js'
import { eventually, monoMs, recorder } from './bridge-support.js'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

interface Broker {
  readonly port: number
  readonly aedes: Aedes
  readonly messages: { topic: string; text: string; retain: boolean }[]
  readonly sockets: Set<Socket>
  close(): Promise<void>
}

/** A broker that nobody here wrote, on a port of its own. */
async function startBroker(t: Test, options: AedesOptions = {}, port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker(options)
  const messages: Broker['messages'] = []
  const sockets = new Set<Socket>()
  aedes.on('publish', ({ topic, payload, retain }) => {
    if (!topic.startsWith('$SYS')) messages.push({ topic, text: String(payload), retain })
  })
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    aedes.handle(socket)
  })
  server.listen(port, '127.0.0.1')
  await once(server, 'listening')
  let closed: Promise<void> | undefined
  const close = (): Promise<void> =>
    (closed ??= new Promise((resolve) => {
      for (const socket of sockets) socket.destroy()
      server.close(() => aedes.close(() => resolve()))
    }))
  t.teardown(close)
  return { port: (server.address() as AddressInfo).port, aedes, messages, sockets, close }
}

function startOutput(t: Test, port: number, change: Partial<MqttOutputOptions> = {}) {
  const reporter = recorder()
  const seen = { ups: 0, downs: 0 }
  const output = new MqttOutput({
    url: `mqtt://127.0.0.1:${port}`,
    // What aedes speaks; bridge-mqtt5.test.ts has the rest.
    version: '3.1.1',
    clientId: 'gateway-test',
    will: message(createTopics('s').gateway, { state: 'offline' }, true),
    reporter,
    monoMs,
    random: () => 0,
    ...change,
  })
  t.teardown(() => output.stop(farewell))
  void output.start({ up: () => (seen.ups += 1), down: () => (seen.downs += 1) })
  return { output, reporter, seen }
}

const farewell: Message = { topic: 'f/farewell', payload: Buffer.from('bye'), retain: false }
const told = (text: string): Message => ({ topic: 'f/x', payload: Buffer.from(text), retain: false })

void t.test('a publish resolves when the broker has acknowledged it, in order', async (t) => {
  const broker = await startBroker(t)
  const { output, seen } = startOutput(t, broker.port)
  t.equal(output.connected, false)
  await t.rejects(output.publish(told('early')), { code: 'FW_MQTT_NOT_CONNECTED' })
  await eventually('a connection', () => seen.ups === 1)
  t.equal(output.connected, true)
  await Promise.all(Array.from({ length: 300 }, (_, index) => output.publish(told(String(index)))))
  await output.publish({ topic: 'f/kept', payload: Buffer.from('v'), retain: true })
  t.same(
    broker.messages.slice(0, 300).map(({ text }) => text),
    Array.from({ length: 300 }, (_, index) => String(index)),
  )
  t.same(broker.messages[300], { topic: 'f/kept', text: 'v', retain: true })
  t.match(output.status(), { kind: 'external', connected: true, connects: 1, lastError: undefined })
})

void t.test('a wrong password is named as such, tried for ever, and never shown', async (t) => {
  let tries = 0
  const broker = await startBroker(t, {
    authenticate: (_client, user, password, done) => {
      tries += 1
      if (user === 'plant' && String(password) === 'right horse') return done(null, true)
      done(Object.assign(new Error('no'), { returnCode: 4 }), null)
    },
  })
  const { output, reporter } = startOutput(t, broker.port, { user: 'plant', password: 'wrong horse' })
  await eventually('the second try', () => tries >= 2)
  t.match(reporter.events[0], { code: 'FW_MQTT_CREDENTIALS_REFUSED', message: /refuses user or password/ })
  t.match(output.status(), { connected: false, lastError: /refuses user or password/ })
  t.notMatch(JSON.stringify([reporter.events, output.status()]), /horse/)
  const good = startOutput(t, broker.port, { user: 'plant', password: 'right horse', clientId: 'other' })
  await eventually('the right one', () => good.output.connected)
})

void t.test('a broker that is not there is dialled until it is', async (t) => {
  const first = await startBroker(t)
  await first.close()
  const { reporter, seen, output } = startOutput(t, first.port)
  await eventually('the report', () => reporter.events.length > 0)
  t.match(reporter.events[0], { code: 'FW_MQTT_UNREACHABLE', message: /nothing listens at this port/ })
  await startBroker(t, {}, first.port)
  await eventually('the connection', () => seen.ups === 1)
  t.equal(output.status().lastError, undefined)
})

void t.test('a connection that breaks rejects what was not acknowledged and is made anew', async (t) => {
  let silent = true
  const broker = await startBroker(t, {
    authorizePublish: (_client, _packet, done) => {
      if (!silent) done(null)
    },
  })
  const { output, reporter, seen } = startOutput(t, broker.port)
  await eventually('a connection', () => seen.ups === 1)
  const lost = [output.publish(told('a')), output.publish(told('b'))]
  const settled = Promise.allSettled(lost)
  await eventually('both at the broker', () => [...broker.sockets].some(({ bytesRead }) => bytesRead > 60))
  for (const socket of broker.sockets) socket.destroy()
  t.same(
    (await settled).map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  t.equal(seen.downs, 1)
  silent = false
  await eventually('the new connection', () => seen.ups === 2)
  await output.publish(told('c'))
  t.same(
    broker.messages.map(({ text }) => text).filter((text) => text.length === 1),
    ['c'],
    'the library sends nothing of the old connection by itself',
  )
  t.match(reporter.events, [{ code: 'FW_MQTT_LOST' }])
})

void t.test('a broker that stopped acknowledging gets a new connection when told so', async (t) => {
  const broker = await startBroker(t, { authorizePublish: () => undefined })
  const { output, seen } = startOutput(t, broker.port)
  await eventually('a connection', () => seen.ups === 1)
  const waiting = output.publish(told('a'))
  output.reconnect()
  await t.rejects(waiting, { code: 'FW_MQTT_NOT_CONNECTED' })
  t.equal(output.connected, false)
  await eventually('the next connection', () => seen.ups === 2)
  t.equal(seen.downs, 1)
})

void t.test(
  'the broker speaks for a gateway that goes without a word, and not for one that says goodbye',
  async (t) => {
    const broker = await startBroker(t)
    const { seen } = startOutput(t, broker.port)
    await eventually('a connection', () => seen.ups === 1)
    for (const socket of broker.sockets) socket.destroy()
    await eventually('the will', () => broker.messages.length === 1)
    t.same(broker.messages[0], {
      topic: 'fieldwhisper/s/$gateway',
      text: '{"state":"offline"}',
      retain: true,
    })

    const polite = startOutput(t, broker.port, { clientId: 'polite' })
    await eventually('the other connection', () => polite.seen.ups === 1)
    await polite.output.stop(farewell)
    await eventually('the farewell', () => broker.messages.some(({ text }) => text === 'bye'))
    t.equal(broker.messages.filter(({ text }) => text.includes('offline')).length, 1)
    t.equal(polite.output.connected, false)
    t.same(polite.reporter.events, [], 'an end that was asked for is no trouble')
  },
)

void t.test('every error of the library has words', (t) => {
  const at = 'mqtt://broker:1883'
  const of = (error: unknown, connected = false) => mqttTrouble(error, at, connected)
  const system = (code: string | number) => Object.assign(new Error('secret'), { code })
  const table: [unknown, boolean, string, RegExp][] = [
    [system(4), false, 'FW_MQTT_CREDENTIALS_REFUSED', /refuses user or password/],
    [system(5), false, 'FW_MQTT_CREDENTIALS_REFUSED', /does not let this user in/],
    [system(3), false, 'FW_MQTT_UNREACHABLE', /it is not ready/],
    [system('ECONNREFUSED'), false, 'FW_MQTT_UNREACHABLE', /nothing listens/],
    [system('ENOTFOUND'), false, 'FW_MQTT_UNREACHABLE', /name is not known/],
    [system('EHOSTUNREACH'), false, 'FW_MQTT_UNREACHABLE', /no way to this host/],
    [system('EWHATEVER'), false, 'FW_MQTT_UNREACHABLE', /EWHATEVER/],
    [
      system('DEPTH_ZERO_SELF_SIGNED_CERT'),
      false,
      'FW_MQTT_CERTIFICATE_WRONG',
      /it signed itself.*mqtt\.tls\.ca/,
    ],
    [system('SELF_SIGNED_CERT_IN_CHAIN'), false, 'FW_MQTT_CERTIFICATE_WRONG', /unknown authority/],
    [system('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), false, 'FW_MQTT_CERTIFICATE_WRONG', /unknown authority/],
    [system('CERT_HAS_EXPIRED'), false, 'FW_MQTT_CERTIFICATE_WRONG', /has expired/],
    [system('CERT_NOT_YET_VALID'), false, 'FW_MQTT_CERTIFICATE_WRONG', /not valid yet/],
    [system('ERR_TLS_CERT_ALTNAME_INVALID'), false, 'FW_MQTT_CERTIFICATE_WRONG', /another name/],
    [system('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED'), false, 'FW_MQTT_CERTIFICATE_REFUSED', /wants one/],
    [
      system('ERR_SSL_TLSV1_ALERT_UNKNOWN_CA'),
      false,
      'FW_MQTT_CERTIFICATE_REFUSED',
      /does not know the auth/,
    ],
    [system('ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED'), false, 'FW_MQTT_CERTIFICATE_REFUSED', /has expired/],
    [
      system('ERR_SSL_SSL/TLS_ALERT_BAD_CERTIFICATE'),
      false,
      'FW_MQTT_CERTIFICATE_REFUSED',
      /not one that it takes/,
    ],
    [system('ERR_SSL_WRONG_VERSION_NUMBER'), false, 'FW_MQTT_UNREACHABLE', /speaks no TLS/],
    [system(132), false, 'FW_MQTT_VERSION', /mqtt\.version/],
    [system(134), false, 'FW_MQTT_CREDENTIALS_REFUSED', /refuses user or password/],
    [system(137), false, 'FW_MQTT_UNREACHABLE', /too much to do/],
    [system(142), true, 'FW_MQTT_LOST', /a second gateway/],
    [system(149), true, 'FW_MQTT_LOST', /larger than it allows/],
    [system(151), true, 'FW_MQTT_LOST', /quota/],
    [system(250), true, 'FW_MQTT_LOST', /with code 250/],
    [new Error('connack timeout'), false, 'FW_MQTT_UNREACHABLE', /does not speak MQTT/],
    [new Error('Keepalive timeout'), true, 'FW_MQTT_LOST', /stopped answering/],
    [undefined, true, 'FW_MQTT_LOST', /closed the connection/],
    [new Error('secret'), true, 'FW_MQTT_LOST', /no known reason/],
  ]
  for (const [error, connected, code, text] of table) {
    t.match(of(error, connected), { code, message: text })
    t.notMatch(of(error, connected).message, /secret/)
  }
  t.end()
})

void t.test('the same trouble is told once a minute, with how often it was kept back', (t) => {
  const inner = recorder()
  let now = 0
  const reporter = limitedReporter(inner, 60_000, () => now)
  for (now = 0; now < 60_000; now += 1_000) reporter.event('warn', 'FW_A', 'no broker')
  reporter.event('warn', 'FW_A', 'no broker', { port: 1 })
  reporter.event('warn', 'FW_A', 'wrong password')
  t.match(inner.events, [
    { message: 'no broker', fields: {} },
    { message: 'no broker', fields: { port: 1, repeated: 59 } },
    { message: 'wrong password' },
  ])
  t.equal(inner.events.length, 3)
  for (let index = 0; index < 1_000; index += 1) reporter.event('warn', 'FW_A', `text ${index}`)
  t.equal(inner.events.length, 1_003, 'texts that vary are not kept for ever')
  t.end()
})
