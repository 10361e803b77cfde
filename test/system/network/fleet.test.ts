import t from 'tap'
import { layFloor, runGateway } from '../support/floor.js'
import { createNet, noNetworks } from '../support/net.js'
import { Agent } from '../support/site.js'

const AGENTS = 50

void t.test(
  'fifty agents on one LAN without a relay all join within a minute',
  { skip: noNetworks(), timeout: 300_000 },
  async (t) => {
    const net = createNet(t, ['lan'])
    const { gateway, folder } = await layFloor(t, net.host('gateway', ['lan']), {})
    const program = await runGateway(gateway)
    const fleet = Array.from({ length: AGENTS }, (_, index) => {
      const name = `agent-${index + 1}`
      return new Agent(net.host(name, ['lan']), name, { folder }, { sources: [] })
    })
    const invites: string[] = []
    for (const { name } of fleet) invites.push(await gateway.enroll(name))
    const joining = fleet.map((agent, index) => agent.spawn('join', invites[index]!, '--timeout', '60s'))
    const exits = await Promise.all(joining.map((one) => one.exited(120_000)))
    t.same(exits.filter(({ code }) => code !== 0).length, 0, 'every join ended well, each within its minute')
    await program.stop()
  },
)
