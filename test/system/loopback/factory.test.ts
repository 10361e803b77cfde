/** What a plant takes from one gateway at once: labelled topics, agent states, Home Assistant and a Sparkplug host. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import t from 'tap'
import { decodePayload, encodePayload } from '../../../gateway/src/sparkplug/codec.js'
import { DATA_TYPE } from '../../../gateway/src/sparkplug/constants.js'
import { temporaryFolder } from '../../support/folder.js'
import { homeAssistantErrors } from '../../support/home-assistant.js'
import { until } from '../../support/until.js'
import { here } from '../support/process.js'
import { Agent, counterSource } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

const SOON = { withinMs: 30_000 }

void t.test(
  'one gateway: a Unified Namespace, agent states, Home Assistant discovery and a Sparkplug edge node',
  { timeout: 120_000 },
  async (t) => {
    const site = await WireSite.start(t, {
      name: 'counter',
      more: {
        mqtt: {
          topic: 'uns/{site}/{area}/{agent}/{name}',
          home_assistant: { enabled: true },
          sparkplug: { group: 'plant', edge: 'gw' },
        },
        labels: { 'pump-7': { area: 'press-shop' } },
      },
    })
    const { mqtt } = await site.status()
    const password = readFileSync(join(site.gateway.stateDir, 'mqtt-password'), 'utf8').trim()
    const judge = await connectAsync(mqtt.broker.address, {
      username: 'fieldwhisper',
      password,
      reconnectPeriod: 0,
    })
    t.teardown(() => judge.endAsync(true))
    const heard: { topic: string; payload: Buffer }[] = []
    judge.on('message', (topic, payload) => void heard.push({ topic, payload }))
    await judge.subscribeAsync('#', { qos: 1 })
    const of = (part: string) => heard.filter(({ topic }) => topic.includes(part))

    const agent = new Agent(
      here,
      'pump-7',
      { folder: temporaryFolder(t) },
      {
        lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
        sources: [counterSource(5)],
      },
    )
    await agent.command('join', await site.gateway.enroll('pump-7'))
    const device = agent.spawn('run')
    t.teardown(() => device.stop())

    await until(() => of('uns/test/press-shop/pump-7/counter').length >= 10, {
      ...SOON,
      what: 'ten readings',
    })
    const values = of('uns/test/press-shop/pump-7/counter').map(
      ({ payload }) => (JSON.parse(String(payload)) as { value: number }).value,
    )

    await until(() => of('/$agents/pump-7/status').length > 0, { ...SOON, what: 'the state of the agent' })
    t.match(JSON.parse(String(of('/$agents/pump-7/status')[0]!.payload)), { state: 'online' })

    await until(() => of('homeassistant/device/').length > 0, { ...SOON, what: 'the discovery' })
    const { topic, payload } = of('homeassistant/device/')[0]!
    t.same(homeAssistantErrors(topic, payload), [])
    t.match(JSON.parse(String(payload)), {
      device: { name: 'pump-7', suggested_area: 'press-shop' },
      availability: [{ topic: 'uns/test/$gateway' }, { topic: 'uns/test/$agents/pump-7/status' }],
    })

    const told = (): unknown[] =>
      of('spBv1.0/plant/DDATA/gw/pump-7')
        .flatMap((one) => decodePayload(one.payload).metrics)
        .map(({ value }) => (value?.kind === 'double' ? value.value : undefined))
    await until(() => told().length >= 10, { ...SOON, what: 'ten values for a Sparkplug host' })
    const kinds = (): string[] =>
      heard.filter((one) => one.topic.startsWith('spBv1.0/')).map((one) => one.topic.split('/')[2]!)
    t.same(kinds().slice(0, 2), ['DBIRTH', 'DDATA'], 'the node was born before the judge listened')
    t.same(told().slice(0, 10), values.slice(0, 10), 'the same values in the same order')

    const rebirth = {
      name: 'Node Control/Rebirth',
      datatype: DATA_TYPE.Boolean,
      value: { kind: 'boolean', value: true },
    } as const
    const request = encodePayload({ timestamp: Date.now(), metrics: [rebirth] })
    await judge.publishAsync('spBv1.0/plant/NCMD/gw', Buffer.from(request), { qos: 0 })
    await until(() => kinds().includes('NBIRTH'), { ...SOON, what: 'all births again' })
    t.notOk(kinds().includes('NDEATH'))
  },
)
