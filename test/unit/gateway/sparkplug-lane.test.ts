import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { Aedes } from 'aedes'
import type { AedesPublishPacket } from 'aedes'
import t, { type Test } from 'tap'
import { OutboxMarks } from '../../../gateway/src/bridge/outbox-marks.js'
import { outboxEventWrite, outboxWrite } from '../../../gateway/src/bridge/outbox-entry.js'
import { DEFAULT_REPLAY_RATE } from '../../../gateway/src/bridge/constants.js'
import { lastOutboxSequence, storedThrough } from '../../../gateway/src/bridge/outbox-position.js'
import { OutboxSpace } from '../../../gateway/src/bridge/outbox-space.js'
import { RetainedValues } from '../../../gateway/src/bridge/retained.js'
import { decodePayload } from '../../../gateway/src/sparkplug/codec.js'
import type { EdgeCommand } from '../../../gateway/src/sparkplug/events.js'
import { SparkplugLane } from '../../../gateway/src/bridge/sparkplug-lane.js'
import {
  batchOf,
  bridgeStore,
  decode,
  entry,
  eventually,
  monoMs,
  reading,
  recorder,
  WALL_MS,
} from './bridge-support.js'

type Store = ReturnType<typeof bridgeStore>

/** A broker on a port that can go away with everything it holds, and come back. */
class Broker {
  port = 0
  readonly cleans: boolean[] = []
  readonly heard: { topic: string; payload: Buffer; qos: number }[] = []
  #server: Server | undefined
  #aedes: Aedes | undefined
  /** Nothing is acknowledged. */
  deaf = false

  async open(): Promise<void> {
    const aedes = (this.#aedes = await Aedes.createBroker({
      authorizePublish: (client, _packet, done) => {
        if (this.deaf && client) return
        done(null)
      },
    }))
    aedes.on('client', ({ clean }) => void this.cleans.push(clean))
    aedes.on('publish', ({ topic, payload, qos }: AedesPublishPacket) => {
      if (!topic.startsWith('$SYS')) this.heard.push({ topic, payload: Buffer.from(payload), qos })
    })
    const server = (this.#server = createServer(aedes.handle))
    server.listen(this.port, '127.0.0.1')
    await once(server, 'listening')
    this.port = (server.address() as { port: number }).port
  }

  async close(): Promise<void> {
    const [server, aedes] = [this.#server, this.#aedes]
    this.#server = this.#aedes = undefined
    if (!server || !aedes) return
    await new Promise<void>(
      (resolve) => server.close(() => resolve(undefined)) && aedes.close(() => undefined),
    )
  }

  publish(topic: string, payload: string | Uint8Array, retain = false): void {
    this.#aedes!.publish(
      { cmd: 'publish', qos: 1, dup: false, topic, payload: Buffer.from(payload), retain },
      () => undefined,
    )
  }

  kinds(): string[] {
    return this.heard
      .filter(({ topic }) => topic.startsWith('spBv1.0'))
      .map(({ topic }) => topic.split('/')[2]!)
  }

  /** Values of a metric in order, with what marks them as history. */
  values(): [number, boolean][] {
    return this.heard
      .filter(({ topic }) => topic.includes('/DDATA/'))
      .flatMap(({ payload }) => decodePayload(payload).metrics)
      .map(({ value, historical }) => [value?.kind === 'double' ? value.value : NaN, historical === true])
  }
}

async function broker(t: Test): Promise<Broker> {
  const made = new Broker()
  await made.open()
  t.teardown(() => made.close())
  return made
}

function lane(t: Test, store: Store, port: number, hostId?: string) {
  const reporter = recorder()
  const space = new OutboxSpace({ store, maxBytes: 1e7, keepSentMs: 0 })
  const marks = new OutboxMarks({
    store,
    space,
    retained: new RetainedValues(reporter),
    reporter,
    monoMs,
    runningMs: monoMs,
    intervalMs: 0,
    lanes: ['sparkplug'],
  })
  const commands: EdgeCommand[] = []
  const made = new SparkplugLane({
    store,
    edge: { group: 'hall', edge: 'gw', fenceTopic: 'fence', ...(hostId !== undefined && { hostId }) },
    broker: { url: `mqtt://127.0.0.1:${port}`, version: '3.1.1', clientId: 'gw', random: () => 0 },
    marks,
    decode,
    current: [],
    replay: { rate: DEFAULT_REPLAY_RATE },
    reporter,
    clock: { monoMs, wallMs: () => WALL_MS },
    command: (command) => void commands.push(command),
  })
  const stop = async (): Promise<void> => {
    await made.stop()
    await marks.stop()
  }
  t.teardown(stop)
  return { lane: made, marks, reporter, commands, stop }
}

async function commit(store: Store, from: number, count: number, told?: SparkplugLane): Promise<void> {
  const writes = Array.from({ length: count }, (_, i) => {
    const batch = batchOf([reading({ value: from + i })])
    return outboxWrite(from + i, entry({ number: from + i, batch }))
  })
  await store.commit(writes)
  told?.committed(lastOutboxSequence(store))
}

const count = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i)

void t.test('births, data and a fence; what a fence has proven is marked', async (t) => {
  const at = await broker(t)
  const store = bridgeStore()
  const { lane: made, marks, stop } = lane(t, store, at.port)
  await made.start()
  await eventually('the birth', () => at.kinds().length === 1)
  await commit(store, 1, 200, made)
  await store.commit([outboxEventWrite(201, { level: 'info', code: 'FW_X', message: 'x', wallMs: WALL_MS })])
  made.committed(201)
  await eventually('the mark', () => marks.through('sparkplug') === 201)
  t.same([...new Set(at.kinds())], ['NBIRTH', 'DBIRTH', 'DDATA'])
  t.same(
    at.values(),
    count(1, 201).map((value) => [value, false]),
  )
  t.same(
    new Set(at.heard.filter(({ topic }) => topic.includes('/DDATA/')).map(({ qos }) => qos)),
    new Set([0]),
  )
  t.match(made.status(), { state: 'born', unproven: 0, broker: { connected: true } })
  await stop()
  t.equal(at.kinds().at(-1), 'NDEATH')
  t.equal(storedThrough(store, 'sparkplug'), 201)
  t.same(
    at.cleans,
    [true],
    'CONNECT [tck-id-principles-persistence-clean-session-311] [tck-id-principles-persistence-clean-session-50]',
  )
})

void t.test(
  'a broker that goes away gets what it did not prove again, as history, under another bdSeq',
  async (t) => {
    const at = await broker(t)
    const store = bridgeStore()
    const { lane: made, marks } = lane(t, store, at.port)
    await made.start()
    await commit(store, 1, 10, made)
    await eventually('the first ten', () => marks.through('sparkplug') === 10)
    at.deaf = true
    await commit(store, 11, 10, made)
    await eventually('ten on their way', () => made.status().unproven === 10)
    await at.close()
    await eventually('no connection', () => !made.status().broker.connected)
    t.equal(made.status().unproven, 0)
    await commit(store, 21, 10, made)
    at.deaf = false
    at.heard.length = 0
    await at.open()
    await eventually('the rest', () => marks.through('sparkplug') === 30)
    t.same(
      at.values(),
      count(11, 31).map((value) => [value, true]),
    )
    const [birth] = at.heard.filter(({ topic }) => topic.includes('/NBIRTH/'))
    const bdSeq = decodePayload(birth!.payload).metrics.find(({ name }) => name === 'bdSeq')
    t.ok(Number((bdSeq!.value as { value: unknown }).value) >= 1)
  },
)

void t.test(
  'a store that cannot be read when a connection begins is reported, and asked again',
  async (t) => {
    const at = await broker(t)
    const inner = bridgeStore()
    let broken = true
    const store: Store = {
      ...inner,
      range(table, options) {
        if (broken && table === 'outbox' && at.cleans.length > 0) throw new Error('input/output error')
        return inner.range(table, options)
      },
    }
    const { lane: made, marks, reporter } = lane(t, store, at.port)
    await made.start()
    await eventually('the report', () => reporter.codes().includes('FW_OUTBOX_UNREADABLE'))
    broken = false
    await commit(store, 1, 5, made)
    await eventually('the mark', () => marks.through('sparkplug') === 5)
  },
)

void t.test('a restart goes on behind the mark, and with the next bdSeq', async (t) => {
  const at = await broker(t)
  const store = bridgeStore()
  const numbers = (): number[] =>
    at.heard
      .filter(({ topic }) => topic.includes('/NBIRTH/'))
      .map(({ payload }) =>
        Number(
          (decodePayload(payload).metrics.find(({ name }) => name === 'bdSeq')!.value as { value: unknown })
            .value,
        ),
      )
  const first = lane(t, store, at.port)
  await first.lane.start()
  await commit(store, 1, 5, first.lane)
  await eventually('five', () => first.marks.through('sparkplug') === 5)
  await first.stop()
  await commit(store, 6, 5)
  at.heard.length = 0
  const second = lane(t, store, at.port)
  await second.lane.start()
  await eventually('five more', () => second.marks.through('sparkplug') === 10)
  t.same(
    at.values(),
    count(6, 11).map((value) => [value, true]),
  )
  t.same(numbers(), [1])
})

void t.test('with a primary host nothing is said before its STATE, and NDEATH when it goes', async (t) => {
  const at = await broker(t)
  const store = bridgeStore()
  const { lane: made, marks } = lane(t, store, at.port, 'scada')
  await made.start()
  await eventually('the connection', () => made.status().state === 'waiting')
  await commit(store, 1, 3, made)
  t.same(at.kinds(), [])
  const state = (online: boolean, timestamp: number): void =>
    at.publish('spBv1.0/STATE/scada', JSON.stringify({ online, timestamp }), true)
  state(true, 1)
  await eventually('the data', () => marks.through('sparkplug') === 3)
  state(false, 2)
  await eventually('the death', () => at.kinds().includes('NDEATH'))
  await eventually(
    'another connection',
    () => made.status().broker.connects === 2 && made.status().state === 'waiting',
  )
  at.heard.length = 0
  state(true, 3)
  await eventually('the next birth', () => at.kinds().includes('NBIRTH'))
})

void t.test('a host writes a value, and asks for all births', async (t) => {
  const at = await broker(t)
  const store = bridgeStore()
  const { lane: made, marks, commands } = lane(t, store, at.port)
  const { encodePayload } = await import('../../../gateway/src/sparkplug/codec.js')
  await made.start()
  await eventually('the birth', () => made.status().state === 'born')
  await commit(store, 1, 1, made)
  await eventually('the data', () => marks.through('sparkplug') === 1)
  const metric = { name: 'temp', datatype: 10, value: { kind: 'double', value: 7 } } as const
  at.publish('spBv1.0/hall/DCMD/gw/pump-7', encodePayload({ timestamp: WALL_MS, metrics: [metric] }))
  await eventually('the command', () => commands.length === 1)
  t.match(commands, [{ agent: 'pump-7', metric: 'temp', value: 7 }])
  at.heard.length = 0
  const rebirth = {
    name: 'Node Control/Rebirth',
    datatype: 11,
    value: { kind: 'boolean', value: true },
  } as const
  at.publish('spBv1.0/hall/NCMD/gw', encodePayload({ timestamp: WALL_MS, metrics: [rebirth] }))
  await eventually('all births', () => at.kinds().includes('DBIRTH'))
  t.same(
    at.kinds().filter((kind) => kind !== 'NCMD'),
    ['NBIRTH', 'DBIRTH'],
  )
})
