import t from 'tap'
import { until } from '../../support/until.js'
import { joinAgent, layFloor, runGateway, startRelay } from '../support/floor.js'
import { createNet, noNetworks } from '../support/net.js'
import type { Program } from '../support/process.js'
import { Agent, counterSource, readSeen, type AgentState } from '../support/site.js'

const ROUNDS = 10
const RATE = 20
/** Messages that a gateway has in flight to its broker: what one that dies may publish again. */
const MAX_REPEATS_A_KILL = 512

void t.test(
  'agent, relay, gateway and all at once, killed ten times each: nothing accepted is lost',
  { skip: noNetworks(), timeout: 600_000 },
  async (t) => {
    const net = createNet(t, ['lan', 'uplink'])
    const {
      relay,
      program: relayProgram,
      reach,
    } = await startRelay(t, net.host('relay', ['uplink']), 'uplink')
    const lan = { interfaces: ['lan'] }
    const { gateway, subscription, folder } = await layFloor(t, net.host('gateway', ['lan', 'uplink']), {
      lan,
      relays: [reach],
    })
    const agent = new Agent(
      net.host('pump', ['lan', 'uplink']),
      'pump',
      { folder },
      { lan, sources: [counterSource(RATE)] },
    )
    const programs: Record<'relay' | 'gateway' | 'agent', Program> = {
      relay: relayProgram,
      gateway: await runGateway(gateway),
      agent: relayProgram,
    }
    await joinAgent(gateway, agent)
    programs.agent = agent.spawn('run')
    const start = {
      relay: () => relay.spawn('run', '--listen', '0.0.0.0:24780'),
      gateway: () => gateway.spawn('run'),
      agent: () => agent.spawn('run'),
    }

    const ids = (): Set<string> => new Set(readSeen(subscription.messages).map(({ id }) => id))
    async function flows(what: string): Promise<void> {
      const before = ids().size
      await until(() => ids().size > before + RATE / 4, {
        withinMs: 60_000,
        everyMs: 50,
        what: `readings after ${what}`,
      })
    }

    async function kill(...names: (keyof typeof programs)[]): Promise<void> {
      await Promise.all(names.map((name) => programs[name].kill()))
      for (const name of names) programs[name] = start[name]()
      await flows(`SIGKILL of ${names.join(', ')}`)
    }

    await flows('the start')
    for (let round = 0; round < ROUNDS; round++) await kill('agent')
    for (let round = 0; round < ROUNDS; round++) await kill('gateway')
    for (let round = 0; round < ROUNDS; round++) await kill('relay')
    for (let round = 0; round < ROUNDS; round++) await kill('agent', 'gateway', 'relay')

    // The last run of the agent ends in order; then nothing is on its way any more.
    await programs.agent.stop()
    agent.configure({ lan, sources: [] })
    programs.agent = agent.spawn('run')
    const { spool } = await agent.untilStatus<AgentState>((status) => status?.spool.held === 0, {
      withinMs: 120_000,
      what: 'an empty spool',
    })
    await until(() => ids().size >= spool.accepted, {
      withinMs: 60_000,
      everyMs: 100,
      what: `${spool.accepted} published readings`,
    })
    const seen = readSeen(subscription.messages)
    t.equal(ids().size, spool.accepted, 'everything that was accepted was published, and nothing else')
    t.equal(spool.dropped, 0)

    // Each start of the agent is a stream of its own that counts from 0 and leaves nothing out.
    const streams = new Map<string, Set<number>>()
    for (const { id, value } of seen) {
      const stream = id.split('-')[0]!
      streams.set(stream, (streams.get(stream) ?? new Set()).add(value))
    }
    t.ok(streams.size >= 2 * ROUNDS)
    for (const values of streams.values())
      t.equal(values.size, Math.max(...values) + 1, 'a stream without holes')
    const repeats = seen.length - ids().size
    t.ok(repeats <= 2 * ROUNDS * MAX_REPEATS_A_KILL, `${repeats} repeats`)
    const different = new Map<string, number>()
    for (const { id, value } of seen) {
      if (different.has(id) && different.get(id) !== value) t.fail(`id ${id} came with two values`)
      different.set(id, value)
    }
    for (const one of Object.values(programs)) await one.stop()
  },
)
