import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { connect as dial, createServer, type AddressInfo, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as dialTls } from 'node:tls'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import t from 'tap'
import { withUser } from '../../../gateway/src/bridge/broker-users.js'
import { EmbeddedBroker, type EmbeddedBrokerOptions } from '../../../gateway/src/bridge/embedded-broker.js'
import { limitedReporter } from '../../../gateway/src/bridge/reports.js'
import type { Message } from '../../../gateway/src/bridge/topics.js'
import { temporaryFolder } from '../../support/folder.js'
import { bridgeStore, eventually, recorder } from './bridge-support.js'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

const OWN = 'correct horse battery'
const PASSWORD = 'another password'
/** A key in the repository may be read by anybody; the broker would warn of it. */
const CERTIFICATE = (() => {
  const folder = temporaryFolder(t)
  const copy = (name: string): string => {
    const path = join(folder, name)
    const bytes = readFileSync(new URL(`../relay/fixtures/${name}`, import.meta.url))
    writeFileSync(path, bytes, { mode: 0o600 })
    return path
  }
  return { cert: copy('cert.pem'), key: copy('key.pem') }
})()
const COMMAND = 'fw/s/$agents/pump/command'

const farewell: Message = { topic: 'fw/s/$gateway', payload: Buffer.from('bye'), retain: false }
const told = (text: string, topic = 'fw/s/a/x'): Message => ({
  topic,
  payload: Buffer.from(text),
  retain: false,
})

const users = await (async () => {
  const some = await withUser([], { name: 'reader', password: PASSWORD, read: ['fw/+/a/#'], write: ['e/+'] })
  const write = ['fw/+/$agents/+/command', 'fw/#']
  return withUser(some, { name: 'operator', password: PASSWORD, read: ['fw/#'], write })
})()

async function startBroker(t: Test, change: Partial<EmbeddedBrokerOptions> = {}) {
  const reporter = recorder()
  const options = {
    host: '127.0.0.1',
    port: 0,
    password: OWN,
    root: 'fw',
    store: bridgeStore(),
    users,
    reporter,
  }
  const broker = new EmbeddedBroker({ ...options, ...change })
  t.teardown(() => broker.stop(farewell))
  await broker.start({ up: () => undefined, down: () => undefined })
  const { address, also = [] } = broker.status()
  return { broker, reporter, url: address, also }
}

interface Client {
  readonly client: MqttClient
  readonly seen: string[]
  readonly errors: string[]
  closes: number
}

function login(t: Test, url: string, username: string, change: IClientOptions = {}): Client {
  const password = username === 'fieldwhisper' ? OWN : PASSWORD
  const options = {
    username,
    password,
    reconnectPeriod: 0,
    rejectUnauthorized: false,
    protocolVersion: 4 as const,
  }
  const client = mqtt.connect(url, { ...options, ...change })
  const one: Client = { client, seen: [], errors: [], closes: 0 }
  client.on('message', (topic, payload) => one.seen.push(`${topic} ${String(payload)}`))
  client.on('error', ({ message }) => one.errors.push(message))
  client.on('close', () => (one.closes += 1))
  t.teardown(() => client.endAsync(true))
  return one
}

async function loggedIn(
  t: Test,
  ...args: [url: string, name: string, change?: IClientOptions]
): Promise<Client> {
  const one = login(t, ...args)
  await eventually('the login', () => one.client.connected)
  return one
}

void t.test('a user logs in by name and password, and nobody else', async (t) => {
  const { url, broker, reporter } = await startBroker(t)
  await loggedIn(t, url, 'reader')
  t.match(broker.status(), { users: 2, clients: 1 })
  for (const wrong of [
    { password: OWN },
    { username: 'nobody' },
    { password: '' },
    { username: 'fieldwhisper' },
  ]) {
    const one = login(t, url, 'reader', wrong)
    await eventually('the refusal', () => one.closes > 0)
    t.match(one.errors, [/Bad username or password/], JSON.stringify(wrong))
  }
  t.equal(reporter.events.length, 4)
  t.ok(reporter.events.every(({ fields }) => fields['reason'] === 'wrong user or password'))
  t.notMatch(JSON.stringify(reporter.events), /another|horse/)
})

void t.test('a user subscribes to what its rules cover, and gets nothing else', async (t) => {
  const { url, broker, reporter } = await startBroker(t)
  const { client, seen } = await loggedIn(t, url, 'reader')
  for (const filter of ['#', 'fw/#', 'fw/+/+/x', '$SYS/#', 'e/+'])
    await t.rejects(client.subscribeAsync(filter, { qos: 1 }), { message: /Unspecified error/ }, filter)
  t.equal(reporter.events.length, 5)
  t.match(reporter.events[0], { code: 'FW_BROKER_CLIENT_REFUSED', fields: { filter: '#' } })
  await client.subscribeAsync('fw/+/a/+', { qos: 1 })
  await broker.publish(told('other', 'fw/s/b/x'))
  await broker.publish(told('mine'))
  await eventually('the reading', () => seen.length > 0)
  t.same(seen, ['fw/s/a/x mine'])
})

void t.test('a persistent session brings no more than the rules of who fetches it', async (t) => {
  const { url, broker } = await startBroker(t)
  const session = { clientId: 'shared', clean: false }
  const first = await loggedIn(t, url, 'operator', session)
  await first.client.subscribeAsync('fw/#', { qos: 1 })
  await first.client.endAsync()
  await eventually('it to be gone', () => broker.status().clients === 0)
  await broker.publish(told('secret', 'fw/s/b/x'))
  await broker.publish(told('open'))
  const second = await loggedIn(t, url, 'reader', session)
  await eventually('what is allowed', () => second.seen.length > 0)
  t.same(second.seen, ['fw/s/a/x open'])
  await second.client.endAsync()
  await eventually('it to be gone', () => broker.status().clients === 0)
  await broker.publish(told('more secrets', 'fw/s/b/x'))
  await broker.publish(told('more'))
  const third = await loggedIn(t, url, 'reader', session)
  await eventually('what is allowed', () => third.seen.length > 0)
  t.same(third.seen, ['fw/s/a/x more'], 'the subscription of the other user brings it nothing either')
})

void t.test('publishing: by the rules, and under the root nothing but commands', async (t) => {
  const { url, broker, reporter } = await startBroker(t)
  const heard: [string, string, boolean][] = []
  broker.subscribe('fw/+/$agents/+/command', (topic, payload, retain) =>
    heard.push([topic, Buffer.from(payload).toString(), retain]),
  )
  const operator = await loggedIn(t, url, 'operator')
  await operator.client.publishAsync(COMMAND, 'ping', { qos: 1 })
  await eventually('the command', () => heard.length === 1)
  t.same(heard, [[COMMAND, 'ping', false]])
  const refused: [name: string, topic: string, retain: boolean, reason: RegExp][] = [
    ['operator', 'fw/s/a/x', false, /only the gateway publishes/],
    ['operator', 'fw/s/$agents/pump/status', false, /only the gateway publishes/],
    ['operator', `${COMMAND}/x`, false, /only the gateway publishes/],
    ['operator', COMMAND, true, /retained a command/],
    ['operator', 'e/x', false, /may not write/],
    ['reader', COMMAND, false, /only the gateway publishes/],
    ['reader', 'e/x/y', false, /may not write/],
    ['fieldwhisper', COMMAND, false, /only the gateway publishes/],
  ]
  for (const [name, topic, retain, reason] of refused) {
    const before = reporter.events.length
    const one = await loggedIn(t, url, name)
    one.client.publish(topic, 'forged', { qos: 1, retain }, () => undefined)
    await eventually('the cut', () => one.closes > 0)
    t.match(
      reporter.events[before],
      { code: 'FW_BROKER_CLIENT_REFUSED', fields: { reason } },
      `${name} ${topic}`,
    )
  }
  t.equal(heard.length, 1)
  const reader = await loggedIn(t, url, 'reader')
  await reader.client.publishAsync('e/x', 'mine', { qos: 1 })
  t.equal(reader.closes, 0)
  const dying = await loggedIn(t, url, 'reader', {
    will: { topic: COMMAND, payload: Buffer.from('will'), qos: 1, retain: false },
  })
  dying.client.stream.destroy()
  await eventually('its end', () => dying.closes > 0)
  const last = await loggedIn(t, url, 'operator')
  await last.client.publishAsync(COMMAND, 'last', { qos: 1 })
  await eventually('the last one', () => heard.length > 1)
  t.equal(heard[1]![1], 'last', 'a will has no more rights')
})

void t.test('a user that is removed or changed is cut at once, others stay', async (t) => {
  const { url, broker, reporter } = await startBroker(t)
  const reader = await loggedIn(t, url, 'reader')
  const operator = await loggedIn(t, url, 'operator')
  const own = await loggedIn(t, url, 'fieldwhisper')
  broker.setUsers([{ ...users[1]! }])
  await eventually('the cut', () => reader.closes > 0)
  t.match(reporter.events, [{ code: 'FW_BROKER_USER_CUT', fields: { user: 'reader' } }])
  const again = login(t, url, 'reader')
  await eventually('the refusal', () => again.closes > 0)
  t.match(again.errors, [/Bad username or password/])
  await operator.client.publishAsync(COMMAND, 'ping', { qos: 1 })
  broker.setUsers([{ ...users[1]!, write: [] }])
  await eventually('the cut', () => operator.closes > 0)
  await own.client.subscribeAsync('fw/#', { qos: 1 })
  t.equal(own.closes, 0)
  broker.setUsers(users)
  await loggedIn(t, url, 'reader')
})

void t.test('a client that speaks MQTT 5 is told so, and the log what to do, once a minute', async (t) => {
  const inner = recorder()
  let now = 0
  const { url } = await startBroker(t, { reporter: limitedReporter(inner, 60_000, () => now) })
  const refused = async (): Promise<void> => {
    const one = login(t, url, 'fieldwhisper', { protocolVersion: 5 })
    await eventually('the refusal', () => one.closes > 0)
    t.match(one.errors, [/Unacceptable protocol version/])
  }
  await refused()
  await refused()
  t.match(inner.events, [{ code: 'FW_BROKER_MQTT5', level: 'warn', message: /mqtt\.url/ }])
  t.equal(inner.events.length, 1)
  now = 60_000
  await refused()
  t.match(inner.events[1], { code: 'FW_BROKER_MQTT5', fields: { repeated: 1 } })
  await loggedIn(t, url, 'fieldwhisper')
})

const doors = {
  tls: { host: '127.0.0.1', port: 0, ...CERTIFICATE },
  websocket: { host: '127.0.0.1', port: 0, secure: false },
}
const DOORS = ['mqtts', 'ws', 'wss']

async function startDoors(t: Test, change: Partial<EmbeddedBrokerOptions> = {}) {
  const secure = await startBroker(t, {
    ...doors,
    websocket: { ...doors.websocket, secure: true },
    ...change,
  })
  const plain = await startBroker(t, { websocket: doors.websocket, ...change })
  const all = [
    ...secure.also.map((url) => ({ url, ...secureParts(secure) })),
    ...plain.also.map((url) => ({ url, ...secureParts(plain) })),
  ]
  return new Map(all.map((one) => [one.url.split(':')[0]!, one]))
}

const secureParts = ({
  broker,
  reporter,
}: {
  broker: EmbeddedBroker
  reporter: ReturnType<typeof recorder>
}) => ({
  broker,
  reporter,
})

void t.test('TLS and WebSocket carry the same as the plain port, with the same rules', async (t) => {
  const found = await startDoors(t)
  t.same([...found.keys()].sort(), [...DOORS].sort())
  for (const scheme of DOORS) {
    const { url, broker, reporter } = found.get(scheme)!
    await t.test(scheme, async (t) => {
      const wrong = login(t, url, 'reader', { password: 'wrong password' })
      await eventually('the refusal', () => wrong.closes > 0)
      t.match(wrong.errors, [/Bad username or password/])
      const reader = await loggedIn(t, url, 'reader')
      await t.rejects(reader.client.subscribeAsync('#', { qos: 1 }), { message: /Unspecified error/ })
      await reader.client.subscribeAsync('fw/+/a/#', { qos: 1 })
      const wanted = Array.from({ length: 2_000 }, (_, index) => `fw/s/a/x ${index}`)
      await Promise.all(wanted.map((_, index) => broker.publish(told(String(index)))))
      await eventually('all', () => reader.seen.length === wanted.length)
      t.same(reader.seen, wanted)
      await reader.client.publishAsync('e/x', Buffer.alloc(200_000), { qos: 1 })
      reader.client.publish('e/x', Buffer.alloc(300_000), { qos: 1 }, () => undefined)
      await eventually('the cut', () => reader.closes > 0)
      const reasons = reporter.events.map(({ fields }) => String(fields['reason'] ?? ''))
      t.ok(
        reasons.some((reason) => reason.includes('262144 bytes')),
        reasons.join(),
      )
    })
  }
})

void t.test('a subscriber that stops reading is cut on every listener, the others go on', async (t) => {
  const found = await startDoors(t, { drainMs: 300 })
  const large = Buffer.alloc(60_000, 0x20)
  for (const scheme of DOORS) {
    const { url, broker, reporter } = found.get(scheme)!
    const before = reporter.events.length
    const stuck = await loggedIn(t, url, 'fieldwhisper', { clientId: `stuck-${scheme}` })
    await stuck.client.subscribeAsync('fw/#', { qos: 1 })
    stuck.client.stream.removeAllListeners('data')
    stuck.client.stream.pause()
    const live = await loggedIn(t, url, 'fieldwhisper', { clientId: `live-${scheme}` })
    await live.client.subscribeAsync('fw/#', { qos: 1 })
    for (let index = 0; index < 300; index += 1)
      await broker.publish({ topic: 'fw/s/a/large', payload: large, retain: false })
    await eventually('the others', () => live.seen.length === 300)
    t.match(
      reporter.events.slice(before).map(({ fields }) => fields['reason']),
      ['drain timeout'],
      scheme,
    )
    await live.client.endAsync()
    stuck.client.stream.destroy()
  }
})

void t.test(
  'strangers are counted over all listeners, also in a handshake or before the upgrade',
  async (t) => {
    const { url, also, reporter, broker } = await startBroker(t, doors)
    const ports = [url, ...also].map((address) => Number(address.split(':').at(-1)))
    t.equal(ports.length, 3)
    const strangers: Socket[] = []
    t.teardown(() => strangers.forEach((socket) => socket.destroy()))
    for (let index = 0; index < 40; index += 1) {
      const socket = dial(ports[index % 3]!, '127.0.0.1').on('error', () => undefined)
      strangers.push(socket)
      await once(socket, 'connect')
      // Half of them begin to speak.
      if (index % 6 === 1) socket.write(Buffer.from([0x16, 0x03, 0x01, 0x02, 0x00]))
      if (index % 6 === 2) socket.write('GET / HTTP/1.1\r\n')
    }
    for (const port of ports) {
      const over = dial(port, '127.0.0.1').on('error', () => undefined)
      await once(over, 'close')
    }
    t.same(reporter.codes(), ['FW_BROKER_FULL', 'FW_BROKER_FULL', 'FW_BROKER_FULL'])
    t.ok(strangers.every((socket) => !socket.destroyed))
    for (const socket of strangers) socket.destroy()
    // The broker hears of it a moment later than this end.
    for (const address of [url, ...also]) {
      let one = login(t, address, 'fieldwhisper')
      await eventually('room', () => {
        if (one.closes > 0) one = login(t, address, 'fieldwhisper')
        return one.client.connected
      })
    }
    t.equal(broker.status().clients, 3)
  },
)

void t.test(
  'a flood of wrong logins on every listener holds up no reading and no right one for long',
  async (t) => {
    const { url, also, broker, reporter } = await startBroker(t, doors)
    const live = await loggedIn(t, url, 'fieldwhisper')
    await live.client.subscribeAsync('fw/#', { qos: 1 })
    const flood: Client[] = []
    let on = true
    const attack = (address: string): void => {
      const one = login(t, address, 'reader', { password: 'wrong password' })
      flood.push(one)
      one.client.on('close', () => on && flood.length < 300 && attack(address))
    }
    for (const address of [url, ...also]) for (let index = 0; index < 20; index += 1) attack(address)
    await eventually('the flood', () => flood.length > 120)
    await Promise.all(Array.from({ length: 200 }, (_, index) => broker.publish(told(String(index)))))
    await eventually('all readings', () => live.seen.length === 200)
    on = false
    let right = login(t, url, 'reader')
    await eventually('the right one', () => {
      if (right.closes > 0) right = login(t, url, 'reader')
      return right.client.connected
    })
    t.equal(live.closes, 0)
    t.ok(flood.every(({ client }) => !client.connected))
    const reasons = reporter.events.map(({ code, fields }) => `${code} ${String(fields['reason'] ?? '')}`)
    for (const reason of new Set(reasons))
      t.match(
        reason,
        /^FW_BROKER_(FULL |CLIENT_REFUSED (wrong user or password|too many passwords to check))/,
      )
  },
)

void t.test('what is no TLS, no WebSocket and no MQTT gets nothing', async (t) => {
  const { also, reporter } = await startBroker(t, doors)
  const [tls, ws] = also.map((address) => Number(address.split(':').at(-1)))
  const plain = dial(tls!, '127.0.0.1')
  plain.write('\x10\x0c\x00\x04MQTT\x04\x02\x00\x3c\x00\x00')
  plain.on('error', () => undefined)
  plain.resume()
  await once(plain, 'close')
  const status = await new Promise((resolve, reject) => {
    get({ port: ws, host: '127.0.0.1', agent: false }, (answer) => {
      answer.resume()
      resolve(answer.statusCode)
    }).on('error', reject)
  })
  t.equal(status, 426)
  const broken = dial(ws!, '127.0.0.1')
  broken.write('nonsense\r\n\r\n')
  broken.on('error', () => undefined)
  broken.resume()
  await once(broken, 'close')
  const secure = dialTls({ port: tls!, host: '127.0.0.1', rejectUnauthorized: false })
  secure.on('error', () => undefined)
  secure.write('nonsense that is no MQTT')
  secure.resume()
  await once(secure, 'close')
  await eventually('the report', () => reporter.events.length > 0)
  t.same([...new Set(reporter.codes())], ['FW_BROKER_CLIENT_REFUSED'])
})

void t.test('a listener that cannot open is said and tried again; the others work meanwhile', async (t) => {
  const folder = temporaryFolder(t)
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  const { port } = blocker.address() as AddressInfo
  const cert = join(folder, 'broker.crt')
  const { broker, reporter, url } = await startBroker(t, {
    retryMs: 20,
    tls: { host: '127.0.0.1', port: 0, cert, key: CERTIFICATE.key },
    websocket: { host: '127.0.0.1', port, secure: false },
  })
  t.match(reporter.events.slice(0, 2), [
    { code: 'FW_MQTT_TLS_FILES', message: /broker\.crt cannot be used/ },
    { code: 'FW_BROKER_NOT_LISTENING', message: new RegExp(`ws://127.0.0.1:${port}: another program`) },
  ])
  await loggedIn(t, url, 'reader')
  blocker.close()
  writeFileSync(cert, readFileSync(CERTIFICATE.cert))
  await eventually('both', () => broker.status().also?.length === 2)
  for (const address of broker.status().also!) await loggedIn(t, address, 'reader')
})

void t.test('only the plain listeners warn that they are open to the network', async (t) => {
  const { reporter } = await startBroker(t, {
    tls: { ...doors.tls, host: '127.1' },
    websocket: { ...doors.websocket, host: '127.1' },
  })
  const warnings = reporter.events.filter(({ code }) => code === 'FW_BROKER_OPEN')
  t.equal(warnings.length, 1)
})

void t.test('stopping ends every listener and connection', async (t) => {
  const { broker, url, also } = await startBroker(t, doors)
  const clients = await Promise.all([url, ...also].map((address) => loggedIn(t, address, 'fieldwhisper')))
  for (const { client } of clients) await client.subscribeAsync('fw/#', { qos: 1 })
  await broker.stop(farewell)
  await eventually('the ends', () => clients.every(({ closes }) => closes === 1))
  for (const { seen } of clients) t.same(seen, ['fw/s/$gateway bye'])
})
