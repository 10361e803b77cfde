import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t from 'tap'
import type { OutboxEntry } from '../../../gateway/src/bridge/outbox-entry.js'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until, within } from '../../support/until.js'
import { batchOf, entry, PUBLISH, reading } from '../../unit/gateway/bridge-support.js'
import { startBridge } from '../support/bridge.js'
import { cable, quiet } from '../support/cable.js'
import { startMosquitto, subscribe, type Received } from '../support/mosquitto.js'
import { here, type Program } from '../support/process.js'

/** Why these tests cannot run here, or false. */
const missing = (
  ['mosquitto', 'mosquitto_passwd', 'mosquitto_sub', 'mosquitto_pub', 'stdbuf'] as const
).filter((program) => spawnSync(program, ['--help']).error !== undefined)
const skip = missing.length > 0 && `needs ${missing.join(', ')}: apt-get install mosquitto mosquitto-clients`

const names = ['temp', 'flow', 'level', 'speed', 'load']

/** Batches of two agents, 50 readings each, five names in turn; the values of a name count up. */
function entries(from: number, batches: number): OutboxEntry[] {
  return Array.from({ length: batches }, (_, index) => from + index).flatMap((number) =>
    ['pump', 'oven'].map((name, agent) =>
      entry({
        name,
        agent: `c${agent}`.repeat(32),
        number,
        batch: batchOf(
          Array.from({ length: 50 }, (_, row) =>
            reading({ name: names[row % 5]!, value: number * 10 + Math.floor(row / 5) }),
          ),
        ),
      }),
    ),
  )
}

const readingsOf = (messages: readonly Received[]): Received[] =>
  messages.filter(({ topic }) => !topic.includes('$'))
const idOf = ({ payload }: Received): string => (JSON.parse(payload) as { id: string }).id
const distinct = (messages: readonly Received[]): Map<string, Received> => {
  const seen = new Map<string, Received>()
  for (const one of readingsOf(messages)) {
    const key = `${one.topic} ${idOf(one)}`
    if (!seen.has(key)) seen.set(key, one)
  }
  return seen
}

void t.test(
  'mosquitto dies in mid-stream: no reading is lost, each topic keeps its order',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const port = await freePort()
    const login = { user: 'plant', password: 'p4ss word' }
    let broker: Program = await startMosquitto(here, { folder, port, ...login })
    t.teardown(() => broker.kill())
    const judge = await subscribe(here, { port, topic: 'fieldwhisper/#', clientId: 'judge', ...login })
    t.teardown(() => judge.program.kill())
    const wire = await cable(t, port)
    const { bridge, commit, reporter } = await startBridge(
      t,
      { ...PUBLISH, url: `mqtt://127.0.0.1:${wire.port}`, ...login },
      folder,
    )

    const total = 10_000
    let number = 0
    const streaming = (async () => {
      for (; number < 100; number += 1) {
        await commit(entries(number, 1))
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    })()
    await judge.until((messages) => messages.length > 2_000, { withinMs: 30_000, what: '2,000 readings' })
    wire.pull()
    t.ok(number < 100, 'readings are still coming')
    // What mosquitto confirmed to the bridge dies with it: the judge gets that first, for the promise is the bridge's.
    await quiet(judge.messages)
    await broker.kill()
    broker = await startMosquitto(here, { folder, port, ...login })
    const subscriptions = (): number =>
      judge.program.stdout.filter((line) => line.startsWith('Subscribed (mid')).length
    await until(() => subscriptions() === 2, { withinMs: 30_000, what: 'the judge to subscribe again' })
    t.equal(bridge.status()!.broker.connected, false)
    wire.plug()
    await within(streaming, { withinMs: 30_000, what: 'the stream' })
    await judge.until((messages) => distinct(messages).size >= total, {
      withinMs: 60_000,
      what: 'all readings',
    })

    const seen = distinct(judge.messages)
    t.equal(seen.size, total, 'every reading, once by its id')
    const byTopic = new Map<string, number[]>()
    for (const { topic, payload } of seen.values()) {
      byTopic.set(topic, [...(byTopic.get(topic) ?? []), (JSON.parse(payload) as { value: number }).value])
    }
    t.equal(byTopic.size, 10)
    const wanted = Array.from({ length: 1_000 }, (_, index) => index)
    for (const [topic, values] of byTopic) t.same(values, wanted, topic)
    const repeats = readingsOf(judge.messages).length - total
    t.ok(repeats <= 512, `${repeats} repeats, not more than were on their way`)
    t.equal(bridge.status()!.broker.connects, 2)
    t.ok(reporter.codes().includes('FW_MQTT_LOST'))
    t.notMatch(JSON.stringify(reporter.events), /p4ss/)

    await t.test('and what mosquitto retains is the last value of each name', async (t) => {
      const late = await subscribe(here, { port, topic: 'fieldwhisper/#', ...login })
      t.teardown(() => late.program.kill())
      await late.until((messages) => messages.length === 11, { withinMs: 10_000, what: 'what is retained' })
      t.ok(late.messages.every(({ retained }) => retained))
      for (const { payload } of readingsOf(late.messages)) t.match(JSON.parse(payload), { value: 999 })
      t.match(
        late.messages.find(({ topic }) => topic === 'fieldwhisper/hall/$gateway'),
        { payload: /online/ },
      )
    })
  },
)

void t.test(
  'mosquitto refuses the password: the gateway says so and keeps the readings',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const port = await freePort()
    const broker = await startMosquitto(here, { folder, port, user: 'plant', password: 'right' })
    t.teardown(() => broker.kill())
    const url = `mqtt://127.0.0.1:${port}`
    const wrong = await startBridge(t, { ...PUBLISH, url, user: 'plant', password: 'wr0ng' }, folder)
    await wrong.commit(entries(0, 1))
    await until(() => wrong.reporter.events.length > 0, { withinMs: 10_000, what: 'the refusal' })
    t.match(wrong.reporter.events[0], {
      code: 'FW_MQTT_CREDENTIALS_REFUSED',
      message: new RegExp(`127\\.0\\.0\\.1:${port} does not let this user in: user or password are wrong`),
    })
    t.notMatch(JSON.stringify([wrong.reporter.events, wrong.bridge.status()]), /wr0ng/)
    t.match(wrong.bridge.status(), {
      broker: { connected: false },
      outbox: { unsentEntries: 2, published: 0 },
    })
    await wrong.stop()

    const judge = await subscribe(here, { port, topic: 'fieldwhisper/#', user: 'plant', password: 'right' })
    t.teardown(() => judge.program.kill())
    await startBridge(t, { ...PUBLISH, url, user: 'plant', password: 'right' }, folder)
    await judge.until((messages) => distinct(messages).size === 100, {
      withinMs: 10_000,
      what: 'the readings',
    })
  },
)

void t.test(
  'a broker that lost everything is told the current values again, and only then',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const port = await freePort()
    let broker: Program = await startMosquitto(here, { folder, port })
    t.teardown(() => broker.kill())
    const wire = await cable(t, port)
    const { bridge, commit } = await startBridge(
      t,
      { ...PUBLISH, url: `mqtt://127.0.0.1:${wire.port}` },
      folder,
    )
    await commit(entries(0, 4))
    const isDone = (): boolean => bridge.status()!.outbox.published === 400
    await until(isDone, { withinMs: 20_000, what: 'the readings' })
    /** Of each name, once the broker has one, what it retains. */
    const values = async (): Promise<string[]> => {
      const all = { withinMs: 20_000, what: 'a value of each name' }
      for (let round = 0; ; round++) {
        const judge = await subscribe(here, { port, topic: 'fieldwhisper/hall/+/+' })
        await judge.until((messages) => messages.length >= 10, all)
        await judge.program.kill()
        if (round > 0) return judge.messages.map(({ topic, payload }) => topic + payload).sort()
      }
    }
    const before = await values()
    t.equal(before.length, 10)

    await broker.kill()
    broker = await startMosquitto(here, { folder, port })
    t.same(await values(), before, 'the same values, to the byte')

    // A connection that breaks while the broker remembers: nothing is told again.
    const judge = await subscribe(here, { port, topic: 'fieldwhisper/hall/+/+' })
    t.teardown(() => judge.program.kill())
    await judge.until((messages) => messages.length >= 10, { withinMs: 10_000, what: 'what is retained' })
    judge.forget()
    const { connects } = bridge.status()!.broker
    wire.pull()
    wire.plug()
    await until(() => bridge.status()!.broker.connects > connects, {
      withinMs: 20_000,
      what: 'the next connection',
    })
    await commit(entries(4, 1))
    await judge.until((messages) => readingsOf(messages).length >= 100, {
      withinMs: 10_000,
      what: 'new readings',
    })
    await quiet(judge.messages)
    t.equal(readingsOf(judge.messages).length, 100)
  },
)

void t.test(
  'mosquitto_sub reads from the embedded broker, mosquitto_pub cannot write there',
  { skip },
  async (t) => {
    const folder = temporaryFolder(t)
    const port = await freePort()
    const { bridge, commit } = await startBridge(
      t,
      { ...PUBLISH, embedded: { host: '127.0.0.1', port } },
      folder,
    )
    const { user, passwordFile, topics } = bridge.status()!
    const login = { user: user!, password: readFileSync(passwordFile!, 'utf8').trim() }
    const judge = await subscribe(here, { port, topic: topics, ...login })
    t.teardown(() => judge.program.kill())

    const arguments_ = [
      '-h',
      '127.0.0.1',
      '-p',
      String(port),
      '-q',
      '1',
      '-t',
      'fieldwhisper/hall/pump/temp',
      '-m',
      '0',
    ]
    const stranger = await here.run('mosquitto_pub', [...arguments_, '-u', user!, '-P', 'guess'])
    t.not(stranger.code, 0)
    t.match(stranger.stderr, /bad user name or password/i)
    const forger = await here.run('mosquitto_pub', [...arguments_, '-u', user!, '-P', login.password])
    t.not(forger.code, 0, 'a publish under the gateway’s root ends the connection')

    for (let number = 0; number < 100; number += 1) await commit(entries(number, 1))
    await judge.until((messages) => messages.length >= 10_000, { withinMs: 30_000, what: '10,000 readings' })
    t.equal(judge.messages.length, 10_000)
    t.equal(distinct(judge.messages).size, 10_000)
  },
)
