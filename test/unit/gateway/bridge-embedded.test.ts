import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { connect as dial, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { Aedes } from 'aedes'
import fc from 'fast-check'
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt'
import t from 'tap'
import {
  embeddedPassword,
  passwordFile,
  readPasswordFile,
  sameSecret,
} from '../../../gateway/src/bridge/broker-password.js'
import { BrokerReaders } from '../../../gateway/src/bridge/broker-readers.js'
import { PacketMeter } from '../../../gateway/src/bridge/broker-socket.js'
import { EmbeddedBroker, type EmbeddedBrokerOptions } from '../../../gateway/src/bridge/embedded-broker.js'
import type { Message } from '../../../gateway/src/bridge/topics.js'
import { temporaryFolder } from '../../support/folder.js'
import { bridgeStore, eventually, recorder } from './bridge-support.js'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]

const PASSWORD = 'correct horse battery'
const farewell: Message = {
  topic: 'fw/s/$gateway',
  payload: Buffer.from('{"state":"offline"}'),
  retain: true,
}
const told = (text: string, name = 'x'): Message => ({
  topic: `fw/s/a/${name}`,
  payload: Buffer.from(text),
  retain: false,
})

async function startBroker(t: Test, change: Partial<EmbeddedBrokerOptions> = {}) {
  const reporter = recorder()
  const store = bridgeStore()
  const options = { host: '127.0.0.1', port: 0, password: PASSWORD, root: 'fw', store, reporter, ...change }
  const broker = new EmbeddedBroker(options)
  t.teardown(() => broker.stop(farewell))
  let up = false
  await broker.start({ up: () => (up = true), down: () => undefined })
  const port = Number(broker.status().address.split(':').at(-1))
  return { broker, reporter, store, port, isUp: () => up }
}

interface Subscriber {
  readonly client: MqttClient
  readonly seen: { topic: string; text: string; retain: boolean }[]
  readonly errors: string[]
  closes: number
}

/** A client of the real library, logged in unless told otherwise; no reconnecting. */
function join_(t: Test, port: number, change: IClientOptions = {}): Subscriber {
  const client = mqtt.connect(`mqtt://127.0.0.1:${port}`, {
    username: 'fieldwhisper',
    password: PASSWORD,
    reconnectPeriod: 0,
    ...change,
  })
  const subscriber: Subscriber = { client, seen: [], errors: [], closes: 0 }
  client.on('message', (topic, payload, { retain }) =>
    subscriber.seen.push({ topic, text: String(payload), retain }),
  )
  client.on('error', ({ message }) => subscriber.errors.push(message))
  client.on('close', () => (subscriber.closes += 1))
  t.teardown(() => client.endAsync(true))
  return subscriber
}

async function subscriber(
  t: Test,
  port: number,
  topic = '#',
  change: IClientOptions = {},
): Promise<Subscriber> {
  const one = join_(t, port, change)
  await eventually('the login', () => one.client.connected)
  await one.client.subscribeAsync(topic, { qos: 1 })
  return one
}

const texts = ({ seen }: Subscriber): string[] => seen.map(({ text }) => text)

void t.test('one user with one password may come in', async (t) => {
  const { port, reporter, broker } = await startBroker(t)
  for (const wrong of [
    { password: 'correct horse batterY' },
    { password: '' },
    { username: 'admin' },
    { username: 'Fieldwhisper' },
  ]) {
    const one = join_(t, port, wrong)
    await eventually('the refusal', () => one.closes > 0)
    t.match(one.errors, [/Bad username or password/], JSON.stringify(wrong))
  }
  const nobody = mqtt.connect(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 0 })
  const [error] = (await once(nobody as unknown as NodeJS.EventEmitter, 'error')) as [Error]
  t.match(error.message, /Bad username or password/)
  t.match(reporter.events[0], {
    code: 'FW_BROKER_CLIENT_REFUSED',
    fields: { reason: 'wrong user or password' },
  })
  t.notMatch(JSON.stringify(reporter.events), /horse/)
  await subscriber(t, port)
  t.match(broker.status(), { kind: 'embedded', clients: 1, readers: 1, connected: true })
})

void t.test('the password is made once, belongs to its owner alone, and is replaced when it is none', (t) => {
  const folder = temporaryFolder(t)
  const reporter = recorder()
  const first = embeddedPassword(folder, reporter)
  t.match(first, /^[\w-]{32}$/)
  t.equal(statSync(passwordFile(folder)).mode & 0o777, 0o600)
  t.equal(embeddedPassword(folder, reporter), first)
  t.not(embeddedPassword(temporaryFolder(t), reporter), first)
  t.same(reporter.events, [])

  writeFileSync(passwordFile(folder), '  chosen by hand  \nsecond line\n', { mode: 0o644 })
  t.equal(embeddedPassword(folder, reporter), 'chosen by hand')
  writeFileSync(passwordFile(folder), 'short\n')
  const second = embeddedPassword(folder, reporter)
  t.match(second, /^[\w-]{32}$/)
  t.same(reporter.codes(), ['FW_BROKER_PASSWORD_REPLACED'])
  t.equal(readdirSync(folder).filter((name) => name.startsWith('mqtt-password.corrupt-')).length, 1)
  t.equal(readFileSync(passwordFile(folder), 'utf8'), `${second}\n`)

  t.throws(() => readPasswordFile(join(folder, 'absent')), { code: 'FW_FILE_FAILED' })
  mkdirSync(join(folder, 'folder'))
  t.throws(() => readPasswordFile(join(folder, 'folder')), { code: 'FW_FILE_FAILED' })
  t.ok(sameSecret(Buffer.from('a'), 'a'))
  t.notOk(sameSecret('', 'a'))
  t.end()
})

void t.test('a publish reaches every subscriber in order and resolves then', async (t) => {
  const { broker, port } = await startBroker(t)
  const one = await subscriber(t, port, 'fw/#')
  const other = await subscriber(t, port, 'fw/+/+/x', { clientId: 'other', clean: false })
  const both = await subscriber(t, port, '$SYS/#')
  await both.client.subscribeAsync('#', { qos: 0 })
  const noise = join_(t, port, { clientId: 'noise' })
  await eventually('the login', () => noise.client.connected)
  const wanted = Array.from({ length: 10_000 }, (_, index) => String(index))
  for (let from = 0; from < wanted.length; from += 500) {
    const part = wanted.slice(from, from + 500)
    noise.client.publish('elsewhere/noise', 'zz', { qos: from % 1_000 === 0 ? 0 : 1 })
    await Promise.all(part.map((text, index) => broker.publish({ ...told(text), retain: index % 3 === 0 })))
  }
  await eventually('all of them', () => one.seen.length === wanted.length)
  t.same(texts(one), wanted)
  await eventually('all of them', () => other.seen.length === wanted.length)
  t.same(texts(other), wanted, 'a persistent session too')
  const mine = (): string[] =>
    both.seen.filter(({ topic }) => topic.startsWith('fw/')).map(({ text }) => text)
  await eventually('all of them', () => mine().length === wanted.length)
  t.same(mine(), wanted, 'whatever else its subscriptions bring')
  t.ok(both.seen.some(({ topic }) => topic.startsWith('$SYS/')))
  t.ok(both.seen.some(({ topic }) => topic === 'elsewhere/noise'))
})

void t.test('nobody else publishes under the root of the gateway', async (t) => {
  const { port, reporter } = await startBroker(t)
  const watcher = await subscriber(t, port, 'fw/#')
  for (const topic of ['fw/s/a/x', 'fw', '$SYS/x']) {
    const intruder = join_(t, port)
    await eventually('the login', () => intruder.client.connected)
    intruder.client.publish(topic, 'forged', { qos: 1 }, () => undefined)
    await eventually('the cut', () => intruder.closes > 0)
  }
  const sneaky = join_(t, port, {
    will: { topic: 'fw/s/a/x', payload: Buffer.from('forged'), qos: 1, retain: true },
  })
  await eventually('the login', () => sneaky.client.connected)
  sneaky.client.stream.destroy()
  await eventually('its end', () => sneaky.closes > 0)
  const friend = join_(t, port)
  await eventually('the login', () => friend.client.connected)
  await friend.client.publishAsync('elsewhere/x', 'mine', { qos: 1, retain: true })
  await friend.client.publishAsync('fwx/y', 'mine', { qos: 1 })
  const late = await subscriber(t, port, '#')
  await eventually('the retained one', () => late.seen.length === 1)
  t.match(late.seen, [{ topic: 'elsewhere/x', retain: true }])
  t.same(watcher.seen, [])
  t.match(reporter.events, [
    { code: 'FW_BROKER_CLIENT_REFUSED', fields: { reason: /only the gateway publishes/ } },
    { code: 'FW_BROKER_CLIENT_REFUSED', fields: { reason: /only the gateway publishes/ } },
    { code: 'FW_BROKER_CLIENT_REFUSED', fields: { reason: /SYS/ } },
  ])
})

void t.test('other clients may retain 1,000 topics and no more', async (t) => {
  const { port } = await startBroker(t)
  const friend = join_(t, port)
  await eventually('the login', () => friend.client.connected)
  const retain = (index: number) => friend.client.publishAsync(`e/${index}`, 'v', { qos: 1, retain: true })
  for (let index = 0; index < 1_000; index += 1) await retain(index)
  await retain(7)
  await friend.client.publishAsync('e/1', '', { qos: 1, retain: true })
  await retain(1_001)
  t.equal(friend.closes, 0)
  friend.client.publish('e/1002', 'v', { qos: 1, retain: true }, () => undefined)
  await eventually('the cut', () => friend.closes === 1)
})

void t.test('a packet that is too large is refused by its header', async (t) => {
  const { port, reporter } = await startBroker(t)
  const stranger = dial(port, '127.0.0.1')
  await once(stranger, 'connect')
  // CONNECT that announces 5,000 bytes; not one of them is sent.
  stranger.write(Uint8Array.from([0x10, 0x88, 0x27]))
  await once(stranger, 'close')
  const client = join_(t, port)
  await eventually('the login', () => client.client.connected)
  await client.client.publishAsync('e/x', Buffer.alloc(256 * 1024 - 7), { qos: 1 })
  client.client.publish('e/x', Buffer.alloc(256 * 1024 - 6), { qos: 1 }, () => undefined)
  await eventually('the cut', () => client.closes === 1)
  t.match(reporter.events, [
    { code: 'FW_BROKER_CLIENT_REFUSED', fields: { reason: 'a packet of more than 4096 bytes' } },
    { code: 'FW_BROKER_CLIENT_REFUSED', fields: { reason: 'a packet of more than 262144 bytes' } },
  ])
})

void t.test('the meter finds packets however they are cut', (t) => {
  const packet = (length: number): Buffer => {
    const header = [0x30]
    let rest = length
    do header.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0))
    while ((rest >>= 7) > 0)
    return Buffer.concat([Buffer.from(header), Buffer.alloc(length, 0xff)])
  }
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 8 }),
      (lengths, cuts) => {
        const meter = new PacketMeter(300)
        const bytes = Buffer.concat(lengths.map(packet))
        let good = true
        for (let at = 0, turn = 0; at < bytes.length && good; turn += 1) {
          const cut = cuts[turn % cuts.length]!
          good = meter.take(bytes.subarray(at, at + cut))
          at += cut
        }
        return good === lengths.every((length) => length <= 300)
      },
    ),
  )
  t.ok(new PacketMeter(268_435_455).take(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f])))
  t.notOk(
    new PacketMeter(2 ** 40).take(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01])),
    'a fifth length byte',
  )
  t.end()
})

void t.test('strangers that do not log in cannot take all places', async (t) => {
  const { port, reporter } = await startBroker(t)
  const strangers: Socket[] = []
  t.teardown(() => strangers.forEach((socket) => socket.destroy()))
  for (let index = 0; index < 40; index += 1) {
    const socket = dial(port, '127.0.0.1').on('error', () => undefined)
    strangers.push(socket)
    await once(socket, 'connect')
  }
  const over = dial(port, '127.0.0.1').on('error', () => undefined)
  await once(over, 'close')
  t.same(reporter.codes(), ['FW_BROKER_FULL'])
  t.ok(strangers.every((socket) => !socket.destroyed))
  strangers[0]!.destroy()
  await eventually('the place to be free', () => strangers[0]!.closed)
  await subscriber(t, port)
})

void t.test('a client has at most 500 subscriptions and an id of 128 bytes', async (t) => {
  const { port, reporter } = await startBroker(t)
  const client = join_(t, port, { clientId: 'i'.repeat(128) })
  await eventually('the login', () => client.client.connected)
  for (let index = 0; index < 500; index += 1) await client.client.subscribeAsync(`e/${index}`, { qos: 0 })
  await t.rejects(client.client.subscribeAsync('e/500', { qos: 0 }), { message: /Unspecified error/ })
  t.match(reporter.events, [{ code: 'FW_BROKER_CLIENT_REFUSED', message: /more subscriptions/ }])
  const long = join_(t, port, { clientId: 'i'.repeat(129) })
  await eventually('the refusal', () => long.closes === 1)
  t.match(long.errors, [/Identifier rejected/])
})

void t.test('what waits for a persistent session is bounded, and what fits is kept for it', async (t) => {
  const { broker, port, reporter } = await startBroker(t)
  const session = { clientId: 'kept', clean: false }
  const first = await subscriber(t, port, 'fw/#', session)
  await first.client.endAsync()
  await eventually('it to be gone', () => broker.status().clients === 0)
  for (let from = 0; from < 10_100; from += 100) {
    await Promise.all(Array.from({ length: 100 }, (_, index) => broker.publish(told(String(from + index)))))
  }
  t.match(reporter.events[0], { code: 'FW_BROKER_SESSION_FULL', fields: { client: 'kept', waiting: 10_000 } })
  t.equal(broker.status().undelivered, 100)
  const again = join_(t, port, session)
  await eventually('what was kept', () => again.seen.length === 10_000)
  t.equal(again.seen.at(-1)!.text, '9999')
  await eventually('room', () => {
    void broker.publish(told('room'))
    return again.seen.at(-1)!.text === 'room'
  })
})

void t.test('at most 100 clients have a persistent session', async (t) => {
  const { port } = await startBroker(t)
  for (let index = 0; index < 100; index += 1) {
    const one = await subscriber(t, port, 'fw/#', { clientId: `c${index}`, clean: false })
    await one.client.endAsync()
  }
  const over = join_(t, port, { clientId: 'c100', clean: false })
  await eventually('the refusal', () => over.closes === 1)
  t.match(over.errors, [/Server unavailable/])
  const known = join_(t, port, { clientId: 'c7', clean: false })
  await eventually('a known one', () => known.client.connected)
  const clean = join_(t, port, { clientId: 'c8', clean: true })
  await eventually('one that gives its session up', () => clean.client.connected)
  const next = join_(t, port, { clientId: 'c100', clean: false })
  await eventually('its place', () => next.client.connected)
})

void t.test('a port that is taken is said, and the next one used', async (t) => {
  const blocker = createServer()
  const free = await new Promise<boolean>((resolve) => {
    blocker.once('error', () => resolve(false))
    blocker.listen(1883, '127.0.0.1', () => resolve(true))
  })
  t.teardown(() => free && blocker.close())
  const { port: _port, ...rest } = { port: undefined }
  const reporter = recorder()
  const broker = new EmbeddedBroker({
    host: '127.0.0.1',
    password: PASSWORD,
    root: 'fw',
    store: bridgeStore(),
    reporter,
    ...rest,
  })
  t.teardown(() => broker.stop(farewell))
  await broker.start({ up: () => undefined, down: () => undefined })
  const port = Number(broker.status().address.split(':').at(-1))
  t.ok(port > 1883 && port <= 1893)
  t.match(reporter.events, [{ code: 'FW_BROKER_PORT_TAKEN', fields: { port } }])
})

void t.test('a port that was asked for is waited for', async (t) => {
  const blocker = createServer().listen(0, '127.0.0.1')
  await once(blocker, 'listening')
  const wanted = (blocker.address() as AddressInfo).port
  const { broker, reporter, isUp } = await startBroker(t, { port: wanted, retryMs: 20 })
  t.equal(broker.connected, false)
  t.match(reporter.events[0], { code: 'FW_BROKER_NOT_LISTENING', message: new RegExp(`port ${wanted}`) })
  t.match(broker.status().lastError, /taken by other programs/)
  await t.rejects(broker.publish(told('x')), { code: 'FW_MQTT_NOT_CONNECTED' })
  blocker.close()
  await eventually('the port', isUp)
  t.match(broker.status(), { address: `mqtt://127.0.0.1:${wanted}`, lastError: undefined })
})

void t.test('a broker that is open to the network says so', async (t) => {
  const { reporter } = await startBroker(t, { host: '127.1' })
  t.match(reporter.events, [{ code: 'FW_BROKER_OPEN', level: 'warn' }])
})

void t.test('an error inside the broker is told and ends nothing', async (t) => {
  const listen = Object.getOwnPropertyDescriptor(Aedes.prototype, 'listen')!.value as (
    this: Aedes,
  ) => Promise<void>
  const brokers: NodeJS.EventEmitter[] = []
  Aedes.prototype.listen = function (this: Aedes) {
    brokers.push(this)
    return listen.call(this)
  }
  t.teardown(() => (Aedes.prototype.listen = listen))
  const { reporter, port } = await startBroker(t)
  brokers[0]!.emit('error', new Error('index out of range'))
  t.match(reporter.events, [{ code: 'FW_BROKER_FAILED', message: /index out of range/ }])
  await subscriber(t, port)
})

void t.test('a subscriber that stops reading does not hold up the others for ever', async (t) => {
  const { broker, port, reporter } = await startBroker(t, { drainMs: 300 })
  const stuck = await subscriber(t, port, 'fw/#')
  stuck.client.stream.pause()
  ;(stuck.client.stream as unknown as Socket).removeAllListeners('data')
  const live = await subscriber(t, port, 'fw/#')
  const large = Buffer.alloc(60_000, 0x20)
  const message = { topic: 'fw/s/a/large', payload: large, retain: false }
  for (let index = 0; index < 300; index += 1) await broker.publish(message)
  await eventually('the others', () => live.seen.length === 300)
  t.equal(broker.status().clients, 1, 'it was cut')
  t.match(reporter.events, [{ code: 'FW_BROKER_CLIENT_REFUSED', fields: { reason: 'drain timeout' } }])
})

void t.test('after a restart the readings wait for those who read before it', async (t) => {
  const store = bridgeStore()
  const first = await startBroker(t, { store })
  t.ok(await eventually('the first start', first.isUp))
  await subscriber(t, first.port, 'fw/#', { clientId: 'one' })
  await subscriber(t, first.port, '#', { clientId: 'two' })
  await subscriber(t, first.port, 'elsewhere/#', { clientId: 'three' })
  t.equal(first.broker.status().readers, 2)
  await eventually('the number on disk', () => [...store.range('outbox_state')].length === 1)
  await first.broker.stop(farewell)

  const disk = store.afterPowerCut()
  const second = await startBroker(t, { store: disk })
  t.match(second.broker.status(), { connected: false, awaitedReaders: 2, lastError: undefined })
  await t.rejects(second.broker.publish(told('early')), { code: 'FW_MQTT_NOT_CONNECTED' })
  await subscriber(t, second.port, 'elsewhere/#')
  await subscriber(t, second.port, '+/s/a/x')
  t.match(second.broker.status(), { connected: false, awaitedReaders: 1 })
  await subscriber(t, second.port, 'fw/s/#')
  await eventually('both to be back', second.isUp)
  t.match(second.broker.status(), { connected: true, awaitedReaders: 0 })
  await second.broker.stop(farewell)

  const third = await startBroker(t, { store: disk })
  await third.broker.stop(farewell)
  const fourth = await startBroker(t, { store: disk })
  t.equal(fourth.broker.status().awaitedReaders, 2, 'an end while waiting changes nothing')
  const alone = new BrokerReaders(bridgeStore(), 'fw')
  await alone.returned()
  t.equal(alone.count, 0, 'a first start waits for nobody')
})

void t.test('stopping flushes what subscribers are still owed, and leaves nothing behind', async (t) => {
  const { broker, port } = await startBroker(t)
  const one = await subscriber(t, port, '#')
  const stranger = dial(port, '127.0.0.1')
  await once(stranger, 'connect')
  const wanted = Array.from({ length: 2_000 }, (_, index) => String(index))
  await Promise.all(wanted.map((text) => broker.publish(told(text))))
  await broker.stop(farewell)
  await eventually('the end', () => one.closes === 1)
  t.same(texts(one), [...wanted, '{"state":"offline"}'])
  await t.rejects(broker.publish(told('late')), { code: 'FW_MQTT_NOT_CONNECTED' })
})
