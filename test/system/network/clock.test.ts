import t from 'tap'
import { until } from '../../support/until.js'
import { joinAgent, layFloor, startRelay } from '../support/floor.js'
import { DAYS_SINCE_1970, FakeClock, noFakeTime } from '../support/faketime.js'
import { createNet, noNetworks } from '../support/net.js'
import { Agent, counterSource, missingCounts, readSeen } from '../support/site.js'

const RATE = 20

void t.test(
  'clocks at 1970 on agent and gateway, and jumps to now while they run: joins, delivers, nothing expires',
  { skip: noNetworks() || noFakeTime(), timeout: 300_000 },
  async (t) => {
    const net = createNet(t, ['lan', 'uplink'])
    const { program: relayProgram, reach } = await startRelay(t, net.host('relay', ['uplink']), 'uplink')
    const lan = { interfaces: ['lan'] }
    const gatewayHost = net.host('gateway', ['lan', 'uplink'])
    const { gateway, subscription, folder } = await layFloor(t, gatewayHost, { lan, relays: [reach] })
    const gatewayClock = new FakeClock(folder, 'gateway')
    const agentClock = new FakeClock(folder, 'agent')
    gatewayClock.set(-DAYS_SINCE_1970)
    agentClock.set(-DAYS_SINCE_1970)
    const gatewayProgram = gateway.spawnWith(gatewayClock.env, 'run')
    await gateway.untilStatus<{ clock?: string; mqtt?: { broker: { connected: boolean } } | null }>(
      ({ clock, mqtt }) => clock === 'unset' && mqtt?.broker.connected === true,
      { withinMs: 30_000, what: 'a gateway that lives in 1970' },
    )
    const agent = new Agent(
      net.host('pump', ['lan', 'uplink']),
      'pump',
      { folder },
      { lan, sources: [counterSource(RATE)] },
    )
    const late = new Agent(
      net.host('late', ['lan', 'uplink']),
      'late',
      { folder },
      { lan, sources: [counterSource(RATE)] },
    )
    const invite = await gateway.enroll('late')
    await joinAgent(gateway, agent)
    const program = agent.spawnWith(agentClock.env, 'run')

    const values = (name: string): number[] =>
      readSeen(subscription.messages).flatMap(({ agent, value }) => (agent === name ? [value] : []))
    const delivers = async (name: string, what: string): Promise<void> => {
      const goal = Math.max(-1, ...values(name)) + 2 * RATE
      await until(() => values(name).includes(goal), {
        withinMs: 60_000,
        everyMs: 50,
        what: `readings of ${name} ${what}`,
      })
    }

    await delivers('pump', 'while both live in 1970')
    agentClock.set(0)
    await delivers('pump', 'after its clock jumped to now')
    gatewayClock.set(0)
    await delivers('pump', "after the gateway's clock jumped to now")
    await late.command('join', invite)
    const lateProgram = late.spawn('run')
    await delivers('late', 'whose invite was made in 1970')
    agentClock.set(-1_000)
    await delivers('pump', 'after its clock went back')
    t.same(missingCounts(readSeen(subscription.messages), 'pump'), [])
    const clocks = new Set(
      subscription.messages.flatMap(({ topic, payload }) =>
        topic.endsWith('/pump/counter') ? [(JSON.parse(payload) as { clock: string }).clock] : [],
      ),
    )
    t.notOk(clocks.has('synchronised'), 'nobody vouched for these clocks')
    for (const one of [program, lateProgram, gatewayProgram, relayProgram]) await one.stop()
  },
)
