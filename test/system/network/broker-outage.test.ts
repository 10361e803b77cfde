/** A broker is killed for a while at 1,000 readings a second: MQTT topics and a Sparkplug host get all of them. */
import { spawnSync } from 'node:child_process'
import { connectAsync } from 'mqtt'
import t from 'tap'
import { memoryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { cable, quiet } from '../support/cable.js'
import { startMosquitto, subscribe, type Received } from '../support/mosquitto.js'
import { here, type Program } from '../support/process.js'
import { Agent, Gateway } from '../support/site.js'
import { decode, missingProtoc } from '../support/sparkplug.js'

const missing = ['mosquitto', 'mosquitto_sub', 'stdbuf'].filter(
  (program) => spawnSync(program, ['--help']).error !== undefined,
)
const skip =
  missing.length > 0
    ? `needs ${missing.join(', ')}: apt-get install mosquitto mosquitto-clients`
    : missingProtoc()

/** A minute by FIELDWHISPER_BROKER_OUTAGE_S=60. */
const OUTAGE_S = Number(process.env['FIELDWHISPER_BROKER_OUTAGE_S'] ?? '12')
const NAMES = ['flow', 'level', 'load', 'temp']
const RATE = 250
/** Readings of each name: some before, during and after the outage, which is over when the gateway has dialled again, within 10 s. */
const COUNT = RATE * (OUTAGE_S + 30)
const LAN = { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 }

interface Told {
  readonly name: string
  readonly value: number
  readonly historical: boolean
}

/** Each reading when it came first. */
function firsts(all: readonly Told[]): Map<string, Told[]> {
  const seen = new Set<string>()
  const byName = new Map<string, Told[]>()
  for (const one of all) {
    const key = `${one.name} ${one.value}`
    if (seen.has(key)) continue
    seen.add(key)
    byName.set(one.name, [...(byName.get(one.name) ?? []), one])
  }
  return byName
}

const isSorted = (values: readonly number[]): boolean =>
  values.every((value, index) => index === 0 || values[index - 1]! < value)

void t.test(
  `a broker that is killed and comes back empty after ${OUTAGE_S} s, at 1,000 readings a second`,
  { skip, timeout: (OUTAGE_S + 240) * 1_000 },
  async (t) => {
    const folder = memoryFolder(t)
    const port = await freePort()
    let broker: Program = await startMosquitto(here, { folder, port })
    t.teardown(() => broker.kill())
    const wire = await cable(t, port)
    const topic = 'fieldwhisper/test/pump/+'
    const judge = await subscribe(here, { port, topic, clientId: 'judge' })
    t.teardown(() => judge.program.kill())
    const host = await sparkplugHost(t, port)

    const gateway = new Gateway(
      here,
      { folder },
      {
        lan: LAN,
        relays: [],
        mqtt: { url: `mqtt://127.0.0.1:${wire.port}`, sparkplug: { group: 'plant', edge: 'gw' } },
      },
    )
    await gateway.command('init', '--site', 'test')
    const program = gateway.spawn('run')
    t.teardown(() => program.stop())
    const isUp = ({ mqtt }: BridgeState): boolean => mqtt?.broker.connected === true
    await gateway.untilStatus<BridgeState>(isUp, { withinMs: 20_000, what: 'the gateway runs' })
    const readings = NAMES.map((name) => ({ name, waveform: 'counter' }))
    const source = { type: 'simulate', rate: RATE, count: COUNT, readings }
    const agent = new Agent(
      here,
      'pump',
      { folder },
      { lan: LAN, sources: [source], batch: { interval: '100ms' } },
    )
    await agent.command('join', await gateway.enroll('pump'))
    const device = agent.spawn('run')
    t.teardown(() => device.stop())

    await judge.until((messages) => messages.length > 5_000, { withinMs: 60_000, what: '5,000 readings' })
    wire.pull()
    // What mosquitto confirmed dies with it: the judges get that first, for the promise is the gateway's.
    await quiet(judge.messages)
    await quiet(host.heard)
    await broker.kill()
    const before = readingsOf(judge.messages).length
    const killedAt = performance.now()
    await until(() => performance.now() - killedAt > OUTAGE_S * 1_000, {
      withinMs: OUTAGE_S * 1_000 + 5_000,
      what: 'the end of the outage',
    })
    broker = await startMosquitto(here, { folder, port })
    const subscriptions = (): number =>
      judge.program.stdout.filter((line) => line.startsWith('Subscribed (mid')).length
    await until(() => subscriptions() === 2 && host.subscribed() === 2, {
      withinMs: 60_000,
      what: 'the judges to subscribe again',
    })
    const { mqtt } = await gateway.status<BridgeState>()
    t.match(mqtt!.broker.connected, false)
    t.ok(mqtt!.outbox.unsentEntries > 100, `${mqtt!.outbox.unsentEntries} batches wait`)
    wire.plug()

    const total = COUNT * NAMES.length
    const wait = { withinMs: 180_000, what: `${total} readings` }
    await judge.until((messages) => messages.length >= total, wait)
    const isDone = ({ mqtt }: BridgeState): boolean =>
      mqtt?.outbox.unsentEntries === 0 && mqtt.sparkplug?.unproven === 0
    await gateway.untilStatus<BridgeState>(isDone, wait)
    await quiet(host.heard)

    const told = { topics: readingsOf(judge.messages), host: valuesOf(memoryFolder(t), host.heard) }
    for (const way of ['topics', 'host'] as const) {
      for (const [name, values] of firsts(told[way])) {
        t.same(values.length, COUNT, `${way}: ${name}, none lost`)
        for (const historical of [true, false]) {
          const of = values.filter((one) => one.historical === historical).map(({ value }) => value)
          t.ok(isSorted(of), `${way}: ${name} keeps its order, historical ${historical}`)
        }
      }
    }
    const after = firsts(told.topics.slice(before)).get('temp')!
    const newest = after.findIndex(({ historical, value }) => !historical && value > RATE * (OUTAGE_S + 3))
    const late = after.findLastIndex(({ historical }) => historical)
    t.ok(newest >= 0 && newest < late, `new readings come before what waited: at ${newest} of ${late}`)
    const waited = told.topics.filter(({ historical }) => historical).length
    t.ok(waited > RATE * OUTAGE_S, `${waited} readings say that they are history`)
    t.match(
      host.heard.slice(0, 3).map(({ kind }) => kind),
      ['NBIRTH', 'DBIRTH', 'DDATA'],
    )
    t.comment(
      `${told.topics.length - total} repeats in topics, ${told.host.length - total} for the Sparkplug host; ${before} readings before the outage`,
    )
  },
)

interface BridgeState {
  readonly mqtt?: {
    readonly broker: { readonly connected: boolean }
    readonly outbox: { readonly unsentEntries: number }
    readonly sparkplug?: { readonly unproven: number }
  } | null
}

function readingsOf(messages: readonly Received[]): Told[] {
  return messages
    .filter(({ retained }) => !retained)
    .map(({ topic, payload }) => {
      const { value, historical } = JSON.parse(payload) as { value: number; historical: boolean }
      return { name: topic.split('/').at(-1)!, value, historical }
    })
}

interface Heard {
  readonly kind: string
  readonly payload: Uint8Array
}

/** A Sparkplug host application as far as it listens. */
async function sparkplugHost(
  t: { teardown(handler: () => unknown): unknown },
  port: number,
): Promise<{ heard: Heard[]; subscribed: () => number }> {
  const heard: Heard[] = []
  let subscribed = 0
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, { reconnectPeriod: 200, clean: true })
  t.teardown(() => client.endAsync(true))
  client.on('error', () => undefined)
  client.on('message', (topic, payload) => void heard.push({ kind: topic.split('/')[2]!, payload }))
  const listen = async (): Promise<void> => {
    await client.subscribeAsync('spBv1.0/plant/+/gw/#', { qos: 0 })
    subscribed += 1
  }
  await listen()
  client.on('connect', () => void listen())
  return { heard, subscribed: () => subscribed }
}

interface Metric {
  readonly name?: string
  readonly alias?: string
  readonly double_value?: number
  readonly is_historical?: boolean
}

/** Names from births, values from data. */
function valuesOf(folder: string, heard: readonly Heard[]): Told[] {
  const names = new Map<string, string>()
  const payloads = decode(
    folder,
    heard.map(({ payload }) => payload),
  ) as { metrics?: Metric[] }[]
  return payloads.flatMap(({ metrics = [] }, index) => {
    const { kind } = heard[index]!
    if (kind === 'DBIRTH') for (const { alias, name } of metrics) names.set(alias!, name!)
    if (kind !== 'DDATA') return []
    return metrics.map(({ alias, double_value: value, is_historical: historical = false }) => ({
      name: names.get(alias!)!,
      value: value!,
      historical,
    }))
  })
}
