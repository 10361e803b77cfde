import { cpSync, lstatSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { until } from '../../support/until.js'
import { joinAgent, layFloor, runGateway, startRelay } from '../support/floor.js'
import { judge } from '../support/judge.js'
import { createNet, noNetworks } from '../support/net.js'
import { Agent, counterSource, readSeen, type AgentState, type Seen } from '../support/site.js'

const skip = noNetworks()

/** What a backup program would copy, sockets apart. */
function image(from: string, to: string): void {
  cpSync(from, to, { recursive: true, filter: (path) => !lstatSync(path).isSocket() })
}

function putBack(stateDir: string, from: string): void {
  rmSync(stateDir, { recursive: true })
  image(from, stateDir)
}

async function site(t: Test) {
  const net = createNet(t, ['lan', 'uplink'])
  const { reach } = await startRelay(t, net.host('relay', ['uplink']), 'uplink')
  const lan = { interfaces: ['lan'] }
  const floor = await layFloor(t, net.host('gateway', ['lan', 'uplink']), { lan, relays: [reach] })
  const { gateway, subscription, folder } = floor
  const gatewayProgram = await runGateway(gateway)
  const host = net.host('press', ['lan', 'uplink'])
  const agent = new Agent(host, 'press', { folder }, { lan, sources: [counterSource(20)] })
  await joinAgent(gateway, agent)
  const agentProgram = agent.spawn('run')
  const seen = (): Seen[] => readSeen(subscription.messages)
  const more = async (count: number, what: string): Promise<void> => {
    const goal = seen().length + count
    await until(() => seen().length >= goal, { withinMs: 90_000, everyMs: 100, what })
  }
  /** Ends the sources in order and waits until nothing is on its way. */
  async function rest(program: { stop(): Promise<unknown> }): Promise<AgentState['spool']> {
    agent.configure({ lan, sources: [] })
    await program.stop()
    const last = agent.spawn('run')
    const empty = { withinMs: 90_000, what: 'an empty spool' }
    const { spool } = await agent.untilStatus<AgentState>(({ spool }) => spool.held === 0, empty)
    await last.stop()
    return spool
  }
  return { ...floor, gatewayProgram, agent, agentProgram, image: join(folder, 'image'), seen, more, rest }
}

void t.test(
  'a gateway put back to an old image: readings flow at once, repeats keep their id, nothing is lost',
  { skip, timeout: 240_000 },
  async (t) => {
    const { gateway, gatewayProgram, agentProgram, image: at, seen, more, rest } = await site(t)
    await more(60, 'readings before the image')
    await gatewayProgram.kill()
    image(gateway.stateDir, at)

    let program = await runGateway(gateway)
    await more(100, 'readings after the image')
    await program.kill()
    putBack(gateway.stateDir, at)

    program = await runGateway(gateway)
    await more(100, 'readings at the old image')
    t.equal((await rest(agentProgram)).dropped, 0)
    judge(t, seen())
    await program.stop()
  },
)
