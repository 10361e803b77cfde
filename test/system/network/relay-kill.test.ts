import t from 'tap'
import { until } from '../../support/until.js'
import { layFloor, joinAgent, runGateway, startRelay } from '../support/floor.js'
import { longestSilenceMs, repeated } from '../support/mosquitto.js'
import { createNet, noNetworks } from '../support/net.js'
import { Agent, counterSource, missingCounts, readSeen, type AgentState } from '../support/site.js'

const AGENTS = ['pump-1', 'pump-2', 'pump-3', 'pump-4', 'pump-5']
const RATE = 20
const SECONDS = 70
const PHASE_S = 10

void t.test(
  'relay killed, unplugged, one LAN link unplugged: nothing lost, nothing repeated, no silence',
  { skip: noNetworks(), timeout: 240_000 },
  async (t) => {
    const net = createNet(t, ['lan', 'uplink'])
    const relayHost = net.host('relay', ['uplink'])
    const gatewayHost = net.host('gateway', ['lan', 'uplink'])
    const { relay, program, reach } = await startRelay(t, relayHost, 'uplink')
    const lan = { interfaces: ['lan'] }
    const { gateway, subscription, folder } = await layFloor(t, gatewayHost, { lan, relays: [reach] })
    const gatewayProgram = await runGateway(gateway)

    const agents = AGENTS.map((name) => {
      const host = net.host(name, ['lan', 'uplink'])
      return {
        host,
        agent: new Agent(
          host,
          name,
          { folder },
          { lan, sources: [counterSource(RATE, { count: RATE * SECONDS })] },
        ),
      }
    })
    await Promise.all(agents.map(({ agent }) => joinAgent(gateway, agent)))
    subscription.forget()
    const programs = agents.map(({ agent }) => agent.spawn('run'))
    const everywhere = ({ paths }: AgentState): boolean =>
      paths.lan.links > 0 && paths.relays.some(({ connected }) => connected)
    await Promise.all(
      agents.map(({ agent }) =>
        agent.untilStatus(everywhere, { withinMs: 20_000, what: `${agent.name} on both paths` }),
      ),
    )

    const latest = (): Map<string, number> => {
      const values = new Map(AGENTS.map((name) => [name, -1]))
      for (const { agent, value } of readSeen(subscription.messages))
        values.set(agent, Math.max(values.get(agent) ?? -1, value))
      return values
    }

    /** Goes on when every agent has delivered so many more seconds of readings. */
    async function observe(seconds: number): Promise<void> {
      const goals = [...latest()].map(([name, value]) => ({ name, value: value + seconds * RATE }))
      const reached = (): boolean => {
        const now = latest()
        return goals.every(({ name, value }) => now.get(name)! >= value)
      }
      await until(reached, {
        withinMs: (seconds + 20) * 1_000,
        everyMs: 100,
        what: `${seconds} s of readings from every agent`,
      })
    }

    await observe(1)

    const began = Date.now()
    await observe(PHASE_S / 2)
    await program.kill()
    await observe(PHASE_S)
    const again = relay.spawn('run', '--listen', '0.0.0.0:24780')
    await relay.untilStatus<{ ok: boolean }>(({ ok }) => ok, {
      withinMs: 20_000,
      what: 'the relay runs again',
    })
    relayHost.unplug('uplink')
    await observe(PHASE_S)
    relayHost.plug('uplink')
    await observe(PHASE_S)
    agents[0]!.host.unplug('lan')
    await observe(PHASE_S)
    agents[0]!.host.plug('lan')
    await observe(PHASE_S / 2)
    const ended = Date.now()

    const all = AGENTS.length * RATE * SECONDS
    await until(() => new Set(readSeen(subscription.messages).map(({ id }) => id)).size >= all, {
      withinMs: 60_000,
      everyMs: 200,
      what: `all ${all} readings`,
    })
    const seen = readSeen(subscription.messages)
    for (const name of AGENTS) {
      t.same(missingCounts(seen, name), [], `${name}: nothing is missing`)
      const mine = subscription.messages.filter(({ topic }) => topic.endsWith(`/${name}/counter`))
      const silence = longestSilenceMs(mine, began, ended)
      t.ok(silence <= 1_000, `${name}: the longest silence was ${silence} ms`)
    }
    t.same(
      repeated(seen, ({ id }) => id),
      [],
      'no id came twice',
    )
    t.equal(seen.length, all)
    for (const one of [...programs, gatewayProgram, again]) await one.stop()
    t.same(
      [...programs, gatewayProgram, again].flatMap((one) => one.survivors()),
      [],
    )
  },
)
