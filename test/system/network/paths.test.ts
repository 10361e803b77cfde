import t from 'tap'
import { until } from '../../support/until.js'
import { joinAgent, layFloor, runGateway, startRelay } from '../support/floor.js'
import type { Subscription } from '../support/mosquitto.js'
import { createNet, noNetworks } from '../support/net.js'
import { Agent, counterSource, missingCounts, readSeen, type AgentState, type Seen } from '../support/site.js'

const COUNT = 100

async function allOf(subscription: Subscription, name: string): Promise<Seen[]> {
  const mine = (): Seen[] => readSeen(subscription.messages).filter(({ agent }) => agent === name)
  await until(() => new Set(mine().map(({ value }) => value)).size >= COUNT, {
    withinMs: 90_000,
    everyMs: 100,
    what: `${COUNT} readings of ${name}`,
  })
  return mine()
}

void t.test(
  'relay only: agent and gateway on networks that cannot see each other',
  { skip: noNetworks(), timeout: 180_000 },
  async (t) => {
    const net = createNet(t, ['shop', 'office'])
    const relayHost = net.host('relay', ['shop', 'office'])
    const { program: relayProgram, reach } = await startRelay(t, relayHost, 'office')
    const gatewayHost = net.host('gateway', ['office'])
    const { gateway, subscription, folder } = await layFloor(t, gatewayHost, { relays: [reach] })
    const gatewayProgram = await runGateway(gateway)
    const host = net.host('press', ['shop'])
    // The invite names the relay as the office sees it; on the shop floor it has another address.
    const shop = reach.url.replace(/\/\/[^:]+/, `//${relayHost.address('shop')}`)
    const agent = new Agent(
      host,
      'press',
      { folder },
      { relays: [{ url: shop, token: reach.token }], sources: [counterSource(20, { count: COUNT })] },
    )
    await joinAgent(gateway, agent)
    const program = agent.spawn('run')
    const seen = await allOf(subscription, 'press')
    t.same(missingCounts(seen, 'press'), [])
    t.ok(seen.every(({ path }) => path === 'relay'))
    for (const one of [program, gatewayProgram, relayProgram]) await one.stop()
  },
)

void t.test(
  'LAN only: no relay is configured anywhere',
  { skip: noNetworks(), timeout: 120_000 },
  async (t) => {
    const net = createNet(t, ['lan'])
    const { gateway, subscription, folder } = await layFloor(t, net.host('gateway', ['lan']), {})
    const gatewayProgram = await runGateway(gateway)
    const agent = new Agent(
      net.host('press', ['lan']),
      'press',
      { folder },
      { sources: [counterSource(20, { count: COUNT })] },
    )
    await joinAgent(gateway, agent)
    const program = agent.spawn('run')
    const seen = await allOf(subscription, 'press')
    t.same(missingCounts(seen, 'press'), [])
    t.ok(seen.every(({ path }) => path === 'lan'))
    for (const one of [program, gatewayProgram]) await one.stop()
  },
)

void t.test(
  'both paths: every reading is published once',
  { skip: noNetworks(), timeout: 120_000 },
  async (t) => {
    const net = createNet(t, ['lan', 'uplink'])
    const { program: relayProgram, reach } = await startRelay(t, net.host('relay', ['uplink']), 'uplink')
    const lan = { interfaces: ['lan'] }
    const { gateway, subscription, folder } = await layFloor(t, net.host('gateway', ['lan', 'uplink']), {
      lan,
      relays: [reach],
    })
    const gatewayProgram = await runGateway(gateway)
    const agent = new Agent(
      net.host('press', ['lan', 'uplink']),
      'press',
      { folder },
      { lan, sources: [counterSource(20, { count: COUNT })] },
    )
    await joinAgent(gateway, agent)
    const program = agent.spawn('run')
    await agent.untilStatus<AgentState>(
      ({ paths }) => paths.lan.links > 0 && paths.relays.some(({ connected }) => connected),
      {
        withinMs: 20_000,
        what: 'both paths',
      },
    )
    const seen = await allOf(subscription, 'press')
    t.equal(seen.length, COUNT)
    for (const one of [program, gatewayProgram, relayProgram]) await one.stop()
  },
)

void t.test(
  'the gateway is off when an agent joins and sends, and the agent is gone when it starts',
  { skip: noNetworks(), timeout: 180_000 },
  async (t) => {
    const net = createNet(t, ['uplink'])
    const {
      relay,
      program: relayProgram,
      reach,
    } = await startRelay(t, net.host('relay', ['uplink']), 'uplink')
    const { gateway, subscription, folder } = await layFloor(t, net.host('gateway', ['uplink']), {
      lan: { enabled: false },
      relays: [reach],
    })
    // A gateway must have been at a relay once: its doorbell is there.
    const first = await runGateway(gateway)
    await gateway.untilStatus<{ relays: { connected: boolean }[] }>(
      ({ relays }) => relays.every(({ connected }) => connected),
      {
        withinMs: 20_000,
        what: 'the gateway was at the relay',
      },
    )
    const invite = await gateway.enroll('buoy')
    await first.stop()

    const agent = new Agent(
      net.host('buoy', ['uplink']),
      'buoy',
      { folder },
      { lan: { enabled: false }, sources: [counterSource(20, { count: COUNT })] },
    )
    const joining = agent.spawn('join', invite, '--timeout', '5s')
    await joining.exited(30_000)
    const program = agent.spawn('run')
    await agent.untilStatus<AgentState>(({ spool }) => spool.accepted >= COUNT, {
      withinMs: 30_000,
      what: 'every reading is in the spool',
    })
    const { inFlight } = await agent.untilStatus<AgentState>(({ inFlight }) => inFlight > 1, {
      withinMs: 20_000,
      what: 'the hello and more are sealed',
    })
    await relay.untilStatus<{ packets: number }>(({ packets }) => packets >= inFlight, {
      withinMs: 20_000,
      what: 'every packet is at the relay',
    })
    await program.kill()

    const again = await runGateway(gateway)
    const seen = await allOf(subscription, 'buoy')
    t.same(missingCounts(seen, 'buoy'), [])
    t.ok(seen.every(({ path }) => path === 'relay'))
    for (const one of [again, relayProgram]) await one.stop()
  },
)
