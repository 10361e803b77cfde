import t from 'tap'
import { HomeAnnouncer } from '../../../gateway/src/home-assistant/announcer.js'
import {
  discoveryMessage,
  type HomeSite,
  type Sensor,
} from '../../../gateway/src/home-assistant/discovery.js'
import { homeUnit } from '../../../gateway/src/home-assistant/units.js'
import { createTopics, type Message } from '../../../gateway/src/bridge/topics.js'
import { homeAssistantErrors } from '../../support/home-assistant.js'
import { AGENT } from './bridge-support.js'

const topics = createTopics('hall')
const site: HomeSite = {
  prefix: 'homeassistant',
  version: '1.2.3',
  gatewayTopic: topics.gateway,
  agentTopic: (name) => topics.agent(name),
}
/** The SenML units registry as far as sources use it, and some that are not in it. */
const UNITS =
  `Cel K %RH /100 % %EL Pa hPa V mV A mA W kW VA var Hz MHz lx m mm cm km kg g m/s km/h s ms min h B KiB GB B/s bit/s dB dBm
W/m2 ppm ug/m3 m3 l m3/s l/s pH count bar furlong`.split(/\s+/)

const parsed = ({ payload }: Message): any => JSON.parse(Buffer.from(payload).toString())

function describe(sensors: readonly Sensor[], name = 'pump/7'): Message {
  return discoveryMessage(site, { id: AGENT, name, area: 'press-shop', sensors })
}

void t.test('Home Assistant takes every kind of reading, name and unit', (t) => {
  const numbers = UNITS.map((unit): Sensor => {
    const name = `in ${unit}`
    return { name, kind: 'number', unit, topic: topics.reading('pump/7', name) }
  })
  const others = ['état', 'a/b', 'a_b', 'alarm/hot', 'alarm/hot/acknowledged', '$x'].flatMap(
    (name): Sensor[] => [
      { name, kind: 'boolean', topic: topics.reading('pump/7', name) },
      { name, kind: 'text', topic: topics.reading('pump/7', name), expireAfterS: 60 },
      { name, kind: 'number', topic: topics.reading('pump/7', name) },
    ],
  )
  const made = describe([...numbers, ...others])
  t.same(homeAssistantErrors(made.topic, made.payload), [])
  t.equal(made.retain, true)
  const { components, availability, device } = parsed(made)
  t.equal(Object.keys(components).length, numbers.length + others.length, 'none has the id of another')
  t.same(device.suggested_area, 'press-shop')
  t.same(
    availability.map(({ topic }: { topic: string }) => topic),
    [topics.gateway, topics.agent('pump/7')],
  )
  const classes = Object.values(components).map((one: any) => [one.name, one.platform, one.device_class])
  t.ok(classes.some((one) => String(one) === 'alarm/hot,binary_sensor,problem'))
  t.ok(classes.some((one) => String(one) === 'alarm/hot/acknowledged,binary_sensor,'))
  t.end()
})

void t.test('the validator refuses what Home Assistant would', (t) => {
  const good = parsed(describe([{ name: 'temp', kind: 'number', unit: 'Cel', topic: 'a/b' }]))
  const [key] = Object.keys(good.components)
  const errors = (change: (payload: any) => void, topic = 'homeassistant/device/x/config') => {
    const payload = structuredClone(good)
    change(payload)
    return homeAssistantErrors(topic, Buffer.from(JSON.stringify(payload)))
  }
  t.same(
    errors(() => undefined),
    [],
  )
  for (const change of [
    (one: any) => (one.components[key!].device_class = 'humidity'),
    (one: any) => (one.components[key!].unit = 'x'),
    (one: any) => (one.components[key!].state_topic = 'a/+'),
    (one: any) => (one.components[key!].platform = 'sensors'),
    (one: any) => (one.device.identifiers = []),
    (one: any) => (one.origin.name = ''),
    (one: any) => (one.components = {}),
  ])
    t.not(errors(change).length, 0)
  t.not(errors(() => undefined, 'homeassistant/device/x y/config').length, 0)
  t.same(homeUnit(undefined), {})
  t.end()
})

function announcer(expireAfterMs?: number) {
  let now = 0
  const sent: Message[] = []
  const full: string[] = []
  const made = new HomeAnnouncer({
    site,
    publish: (message) => void sent.push(message),
    areaOf: () => undefined,
    expireAfterMs: () => expireAfterMs,
    monoMs: () => now,
    tooMany: (agent) => void full.push(agent),
  })
  return {
    made,
    full,
    tell: (name: string, value: number | string | boolean = 1, agent = 'pump-7', id = AGENT) =>
      made.told(id, agent, { name, value, unit: 'Cel' }, topics.reading(agent, name)),
    /** Names of the sensors of each device that is described within so many milliseconds. */
    after: (ms: number) => {
      sent.length = 0
      now += ms
      made.step()
      for (const { topic, payload } of sent) t.same(homeAssistantErrors(topic, payload), [])
      return sent.map((one) =>
        one.payload.length === 0 ? null : Object.values(parsed(one).components).map(({ name }: any) => name),
      )
    },
    sent,
  }
}

void t.test('a device is described once for all of its names, and again when there is another', (t) => {
  const { tell, after } = announcer()
  tell('temp')
  tell('flow')
  t.same(after(500), [], 'more may come')
  t.same(after(500), [['temp', 'flow']])
  tell('temp', 2)
  t.same(after(2_000), [])
  tell('level')
  t.same(after(1_000), [['temp', 'flow', 'level']])
  tell('level', 'high')
  t.same(after(1_000), [['temp', 'flow', 'level']], 'it sends text now')
  t.end()
})

void t.test(
  'everything is described again to a Home Assistant or broker that was away, 50 devices a second',
  (t) => {
    const { made, tell, after } = announcer()
    for (let i = 0; i < 70; i++) tell('temp', 1, `a-${i}`, String(i).padStart(64, '0'))
    t.equal(after(1_000).length, 50)
    t.equal(after(1_000).length, 20)
    made.again()
    t.equal(after(0).length + after(0).length, 70)
    t.end()
  },
)

void t.test('a renamed device stays the same, a revoked one is taken away', (t) => {
  const { made, tell, after, sent } = announcer(90_000)
  tell('temp')
  after(1_000)
  const [{ topic }] = sent as [Message]
  t.match(Object.values(parsed(sent[0]!).components), [{ expire_after: 90 }])
  tell('temp', 1, 'press-1')
  t.same(after(1_000), [['temp']])
  t.match(sent, [{ topic }])
  t.match(parsed(sent[0]!), { device: { name: 'press-1' } })
  sent.length = 0
  made.forget(AGENT)
  t.match(sent, [{ topic, retain: true }])
  t.equal(sent[0]!.payload.length, 0)
  t.same(after(5_000), [])
  t.end()
})

void t.test(
  'of a device with more than 400 names the first 400 are described, and that is said once',
  (t) => {
    const { tell, after, full } = announcer()
    for (let i = 0; i < 402; i++) tell(`n${i}`)
    t.equal(after(1_000)[0]!.length, 400)
    t.same(full, ['pump-7'])
    t.end()
  },
)
