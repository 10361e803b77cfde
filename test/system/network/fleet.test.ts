import { askControl } from '@fieldwhisper/host'
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
    // Asked over the control socket: fifty commands would take longer than fifty joins.
    for (const { name } of fleet) invites.push(await enroll(gateway.stateDir, name))
    const joining = fleet.map((agent, index) => agent.spawn('join', invites[index]!, '--timeout', '60s'))
    const exits = await Promise.all(joining.map((one) => one.exited(120_000)))
    const late = joining.filter((_, index) => exits[index]!.code !== 0).map((one) => one.stdout.at(-1))
    t.same(late, [], 'every join ended well, each within its minute')
    await program.stop()
  },
)

async function enroll(stateDir: string, name: string): Promise<string> {
  const reply = await askControl(stateDir, 'enroll', { name, replace: false, confirm: false })
  if (!reply || !('ok' in reply)) throw new Error(`${name} could not be enrolled`)
  return reply.ok as string
}
