import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { Aedes } from 'aedes'
import mqtt, { connectAsync, type MqttClient } from 'mqtt'
import t from 'tap'
import { Bridge, type BridgeOptions } from '../../../gateway/src/bridge/bridge.js'
import { outboxWrite, type OutboxEntry } from '../../../gateway/src/bridge/outbox-entry.js'
import { lastOutboxSequence } from '../../../gateway/src/bridge/outbox-position.js'
import { decodePayload } from '../../../gateway/src/sparkplug/codec.js'
import { temporaryFolder } from '../../support/folder.js'
import {
  AGENT,
  agentStatus,
  WALL_MS,
  batchOf,
  bridgeStore,
  decode,
  entry,
  eventually,
  monoMs,
  PUBLISH,
  reading,
  recorder,
} from './bridge-support.js'

type Test = Parameters<Parameters<typeof t.test>[0]>[0]
type Store = ReturnType<typeof bridgeStore>

const clock = {
  monoMs,
  wallMs: () => WALL_MS,
  quality: () => 'synchronised' as const,
  bootId: new Uint8Array(8),
}

async function startBridge(t: Test, store: Store, stateDir: string, change: Partial<BridgeOptions> = {}) {
  const reporter = recorder()
  const bridge = new Bridge({
    store,
    stateDir,
    site: 'hall 3',
    clientId: 'fieldwhisper-test',
    mqtt: { ...PUBLISH, embedded: { host: '127.0.0.1', port: 0 } },
    labels: {},
    version: '1.2.3',
    outbox: { maxBytes: 10_000_000, keepSentMs: 3_600_000 },
    reporter,
    clock,
    runningMs: monoMs,
    decode,
    ...change,
  })
  t.equal(bridge.status(), undefined, 'nothing before start')
  await bridge.start()
  t.teardown(() => bridge.stop())
  return { bridge, reporter }
}

interface Seen {
  readonly topic: string
  readonly payload: any
  readonly retain: boolean
}

async function listenTo(t: Test, url: string, login: object): Promise<{ seen: Seen[]; client: MqttClient }> {
  const client = mqtt.connect(url, { ...login, reconnectPeriod: 0 })
  const seen: Seen[] = []
  client.on('message', (topic, payload, { retain }) => {
    seen.push({ topic, payload: payload.length > 0 ? JSON.parse(String(payload)) : null, retain })
  })
  t.teardown(() => client.endAsync(true))
  await once(client as unknown as NodeJS.EventEmitter, 'connect')
  await client.subscribeAsync('#', { qos: 1 })
  return { seen, client }
}

function embeddedLogin(bridge: Bridge): [string, object] {
  const { broker, user, passwordFile } = bridge.status()!
  return [broker.address, { username: user, password: readFileSync(passwordFile!, 'utf8').trim() }]
}

async function commit(bridge: Bridge, store: Store, entries: readonly OutboxEntry[]): Promise<void> {
  const first = lastOutboxSequence(store) + 1
  const writes = entries.map((one, index) => outboxWrite(first + index, one))
  await store.commit(writes)
  bridge.committed(writes)
}

void t.test(
  '10,000 readings of two agents reach a subscriber of the embedded broker, none lost, in order',
  async (t) => {
    const store = bridgeStore()
    const { bridge, reporter } = await startBridge(t, store, temporaryFolder(t))
    await eventually('the broker', () => bridge.status()!.broker.connected)
    const { seen } = await listenTo(t, ...embeddedLogin(bridge))
    const names = ['temp', 'flow', 'p/1', '+', '$x']
    for (let number = 0; number < 100; number += 1) {
      const readings = Array.from({ length: 50 }, (_, index) =>
        reading({ name: names[index % 5]!, value: number * 10 + Math.floor(index / 5) }),
      )
      await commit(
        bridge,
        store,
        ['pump-7', 'oven 2'].map((name, index) =>
          entry({
            name,
            agent: `b${index}`.repeat(32),
            number,
            historical: number % 4 === 3,
            batch: batchOf(readings),
          }),
        ),
      )
    }
    const live = (): Seen[] => seen.filter(({ topic }) => !topic.includes('/$gateway'))
    await eventually('all of them', () => live().length === 10_000)
    t.equal(new Set(live().map(({ payload, topic }) => `${topic} ${payload.id}`)).size, 10_000)
    const byTopic = new Map<string, number[]>()
    for (const { topic, payload } of live())
      byTopic.set(topic, [...(byTopic.get(topic) ?? []), payload.value])
    t.same([...byTopic.keys()].sort(), [
      'fieldwhisper/hall 3/oven 2/%24x',
      'fieldwhisper/hall 3/oven 2/%2B',
      'fieldwhisper/hall 3/oven 2/flow',
      'fieldwhisper/hall 3/oven 2/p%2F1',
      'fieldwhisper/hall 3/oven 2/temp',
      'fieldwhisper/hall 3/pump-7/%24x',
      'fieldwhisper/hall 3/pump-7/%2B',
      'fieldwhisper/hall 3/pump-7/flow',
      'fieldwhisper/hall 3/pump-7/p%2F1',
      'fieldwhisper/hall 3/pump-7/temp',
    ])
    const wanted = Array.from({ length: 1_000 }, (_, index) => index)
    for (const values of byTopic.values()) t.same(values, wanted)
    t.match(bridge.status(), {
      topics: 'fieldwhisper/hall 3/+/+',
      user: 'fieldwhisper',
      outbox: { published: 10_000, unsentEntries: 0, repeated: 0, full: false },
    })
    t.equal(bridge.full, false)
    t.ok(bridge.outboxBytes > 0)
    t.same(reporter.events, [])
  },
)

void t.test('the current values survive a restart of the gateway, history does not become one', async (t) => {
  const store = bridgeStore()
  const folder = temporaryFolder(t)
  const first = await startBridge(t, store, folder)
  await eventually('the broker', () => first.bridge.status()!.broker.connected)
  await commit(first.bridge, store, [
    entry({ number: 1, batch: batchOf([reading({ value: 1 }), reading({ name: 'flow', value: 10 })]) }),
    entry({ number: 2, batch: batchOf([reading({ value: 2 })]) }),
    entry({ number: 3, historical: true, batch: batchOf([reading({ value: 3 })]) }),
  ])
  await eventually('all', () => first.bridge.status()!.outbox.published === 4)
  const [, before] = embeddedLogin(first.bridge)
  await first.bridge.stop()
  t.equal(first.bridge.status(), undefined)

  const second = await startBridge(t, store.afterPowerCut(), folder)
  const [url, login] = embeddedLogin(second.bridge)
  t.same(login, before, 'the password stays')
  const { seen } = await listenTo(t, url, login)
  await eventually('what is retained', () => seen.length === 3)
  t.same(
    seen
      .map(({ topic, payload, retain }) => [topic.slice(20), payload.value ?? payload.state, retain])
      .sort(),
    [
      ['$gateway', 'online', true],
      ['pump-7/flow', 10, true],
      ['pump-7/temp', 2, true],
    ],
  )
})

void t.test('after a restart a Sparkplug birth tells every name with its value and its time', async (t) => {
  const store = bridgeStore()
  const folder = temporaryFolder(t)
  const sparkplug = { edge: 'gw', acceptLegacyState: false }
  const settings = { ...PUBLISH, embedded: { host: '127.0.0.1', port: 0 }, sparkplug }
  const first = await startBridge(t, store, folder, { mqtt: settings })
  await eventually('the edge node', () => first.bridge.status()!.sparkplug!.state === 'born')
  await commit(first.bridge, store, [
    entry({ number: 1, batch: batchOf([reading({ value: 1 }), reading({ name: 'flow', value: 10 })]) }),
    entry({ number: 2, batch: batchOf([reading({ value: 2, wallMs: WALL_MS + 1_000 })]) }),
  ])
  await eventually('all', () => first.bridge.status()!.sparkplug!.unproven === 0)
  await eventually('all', () => first.bridge.status()!.outbox.published === 3)
  await first.bridge.stop()
  t.same(first.reporter.events, [], 'our own edge node speaks the language of our own broker')

  const second = await startBridge(t, store.afterPowerCut(), folder, { mqtt: settings })
  const [url, login] = embeddedLogin(second.bridge)
  const client = await connectAsync(url, login)
  t.teardown(() => client.endAsync(true))
  const births: Buffer[] = []
  client.on('message', (topic, payload) => {
    if (topic.includes('/DBIRTH/')) births.push(payload)
  })
  await client.subscribeAsync('spBv1.0/#')
  await eventually('the edge node', () => second.bridge.status()!.sparkplug!.state === 'born')
  second.bridge.tellAgent('pump-7', agentStatus('online'))
  await eventually('the birth of the device', () => births.length > 0)
  t.match(decodePayload(births[0]!).metrics, [
    { name: 'flow', timestamp: WALL_MS, value: { kind: 'double', value: 10 } },
    { name: 'temp', timestamp: WALL_MS + 1_000, value: { kind: 'double', value: 2 } },
  ])
})

void t.test(
  'a revoked agent leaves no value, and events and states of agents have their topics',
  async (t) => {
    const store = bridgeStore()
    const { bridge } = await startBridge(t, store, temporaryFolder(t))
    bridge.tellEvent({ level: 'info', code: 'FW_X', message: 'early' })
    await eventually('the broker', () => bridge.status()!.broker.connected)
    const { seen } = await listenTo(t, ...embeddedLogin(bridge))
    await commit(bridge, store, [entry()])
    const time = '2026-03-04T05:06:07.890Z'
    const status = agentStatus('online')
    bridge.tellAgent('pump/7', status)
    bridge.tellEvent({ level: 'warn', code: 'FW_X', message: 'late', agent: 'pump/7' })
    bridge.forgetAgent(AGENT)
    await eventually('all', () => seen.length === 5)
    t.same(
      seen.slice(1).map(({ topic, payload }) => [topic, payload?.value ?? payload]),
      [
        ['fieldwhisper/hall 3/pump-7/temp', 21.5],
        ['fieldwhisper/hall 3/$agents/pump%2F7/status', status],
        [
          'fieldwhisper/hall 3/$events',
          { level: 'warn', code: 'FW_X', message: 'late', agent: 'pump/7', time },
        ],
        ['fieldwhisper/hall 3/pump-7/temp', null],
      ],
    )
    const late = await listenTo(t, ...embeddedLogin(bridge))
    await eventually('what is retained', () => late.seen.length === 2)
    t.same(late.seen.map(({ topic }) => topic.split('/')[2]).sort(), ['$agents', '$gateway'])
    bridge.tellAgent('pump/7')
    await eventually('its removal', () => seen.length === 6)
    t.match(seen[5], { topic: 'fieldwhisper/hall 3/$agents/pump%2F7/status', payload: null })
  },
)

void t.test(
  'an external broker gets everything by user and password file, and hears of start and end',
  async (t) => {
    const aedes = await Aedes.createBroker({
      authenticate: (_client, user, password, done) =>
        done(null, user === 'plant' && String(password) === 'from a file'),
    })
    const seen: string[] = []
    aedes.on('publish', ({ topic, payload }) => {
      if (!topic.startsWith('$SYS')) seen.push(`${topic} ${String(payload).slice(0, 25)}`)
    })
    const server = createServer(aedes.handle).listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => new Promise<void>((resolve) => server.close(() => aedes.close(resolve))))
    const folder = temporaryFolder(t)
    const passwordFile = join(folder, 'secret')
    writeFileSync(passwordFile, 'from a file\n')
    const store = bridgeStore()
    await commitOnly(store)
    const { bridge, reporter } = await startBridge(t, store, folder, {
      mqtt: {
        ...PUBLISH,
        topic: 'uns/plant/{agent}/{name}',
        url: `mqtt://127.0.0.1:${(server.address() as AddressInfo).port}`,
        user: 'plant',
        passwordFile,
      },
    })
    await eventually('the reading', () => bridge.status()!.outbox.published === 1)
    t.match(bridge.status(), {
      broker: { kind: 'external', connected: true },
      user: 'plant',
      topics: 'uns/plant/+/+',
    })
    t.notMatch(JSON.stringify([bridge.status(), reporter.events]), /from a file/)
    await bridge.stop()
    const isState = (text: string): boolean => text.includes('$gateway')
    t.same(seen.filter(isState), [
      'uns/hall 3/$gateway {"state":"online","time":',
      'uns/hall 3/$gateway {"state":"offline","time"',
    ])
    t.same(
      seen.filter((text) => !isState(text)),
      ['uns/plant/pump-7/temp {"value":21.5,"unit":"Cel'],
    )
  },
)

async function commitOnly(store: Store): Promise<void> {
  await store.commit([outboxWrite(1, entry())])
}

void t.test('Home Assistant is told of 400 names of an agent, the operator of the limit', async (t) => {
  const store = bridgeStore()
  const { bridge, reporter } = await startBridge(t, store, temporaryFolder(t), {
    mqtt: {
      ...PUBLISH,
      embedded: { host: '127.0.0.1', port: 0 },
      homeAssistant: { prefix: 'homeassistant' },
    },
  })
  await eventually('the broker', () => bridge.status()!.broker.connected)
  const { seen } = await listenTo(t, ...embeddedLogin(bridge))
  const named = Array.from({ length: 401 }, (_, index) => reading({ name: `n${index}` }))
  await commit(bridge, store, [entry({ batch: batchOf(named) })])
  const described = (): Seen | undefined =>
    seen.findLast(({ topic }) => topic.startsWith('homeassistant/device/'))
  await eventually('the description', () => {
    bridge.step()
    return described() !== undefined
  })
  t.equal(Object.keys(described()!.payload.components).length, 400)
  t.match(
    reporter.events.filter(({ code }) => code === 'FW_HOME_ASSISTANT_TOO_MANY'),
    [{ level: 'warn', message: /400/, fields: { agent: 'pump-7', limit: 400 } }],
  )
})

void t.test('before start and after stop a bridge is inert', async (t) => {
  const store = bridgeStore()
  const { bridge } = await startBridge(t, store, temporaryFolder(t))
  await bridge.stop()
  await bridge.stop()
  bridge.committed([outboxWrite(1, entry())])
  bridge.forgetAgent(AGENT)
  bridge.tellAgent('a')
  bridge.onRoom(() => undefined)()
  t.same([bridge.full, bridge.outboxBytes, bridge.status()], [false, 0, undefined])
})

void t.test('what cannot work is refused at the start', async (t) => {
  const start = (mqtt: BridgeOptions['mqtt']) => startBridge(t, bridgeStore(), temporaryFolder(t), { mqtt })
  await t.rejects(start({ ...PUBLISH, topic: '{agent}', url: 'mqtt://127.0.0.1:1' }), {
    code: 'FW_TOPIC_TEMPLATE_INVALID',
  })
  await t.rejects(start({ ...PUBLISH, url: 'mqtt://127.0.0.1:1', passwordFile: '/nowhere/x' }), {
    code: 'FW_FILE_FAILED',
  })
})
