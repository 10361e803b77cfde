import { askControl } from '@fieldwhisper/host'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { memoryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { RELAY_PORT } from '../support/floor.js'
import type { Lie, Lies } from '../support/lying-relay.js'
import { type Host, noNetworks } from '../support/net.js'
import { counterSource, type AgentState } from '../support/site.js'
import { Trial } from '../support/trial.js'

const LIAR = fileURLToPath(new URL('../support/lying-relay.ts', import.meta.url))
const BEHIND_PORT = RELAY_PORT + 1
const SECONDS = 2

void t.test(
  'a relay that forgets, withholds, replays, reorders and corrupts: everything arrives once',
  { skip: noNetworks(), timeout: 240_000 },
  async (t) => {
    const stateDir = join(memoryFolder(t), 'liar')
    const ask = async (command: string, args: object = {}): Promise<unknown> => {
      const reply = await askControl(stateDir, command, args)
      if (!reply || !('ok' in reply)) throw new Error(`${command}: ${JSON.stringify(reply)}`)
      return reply.ok
    }
    const tell = (lie: Lie): Promise<unknown> => ask('lie', { lie })
    const told = async (lie: keyof Lies): Promise<number> => ((await ask('status')) as Lies)[lie]
    const start = async (host: Host, behind: string): Promise<void> => {
      host.spawn(process.execPath, ['--import=tsx', LIAR, stateDir, String(RELAY_PORT), behind])
      const answers = async (): Promise<boolean> => (await askControl(stateDir, 'status')) !== undefined
      await until(answers, { withinMs: 20_000, what: 'the lying relay' })
    }
    const trial = await Trial.lay(t, { proxy: { port: BEHIND_PORT, start } })
    const { agent: host } = trial.hosts

    await tell('forget')
    await trial.flows('"stored" by a relay that forgets, with the LAN', SECONDS)
    t.ok((await told('forget')) > 0)
    await tell('honest')
    host.unplug('lan')
    await trial.flows('the LAN', SECONDS)

    for (const lie of ['replay', 'reorder', 'corrupt'] as const) {
      await tell(lie)
      await trial.flows(`${lie}, by the relay alone`, SECONDS)
      await trial.restartAgent([counterSource(trial.rate)])
      await trial.flows(`${lie}, with a new session`, SECONDS)
      t.ok((await told(lie)) > trial.rate)
    }

    await tell('honest')
    await trial.flows('the truth')
    await tell('withhold')
    await trial.taken(SECONDS)
    const before = trial.count()
    await until(async () => (await told('withhold')) >= 2 * SECONDS, {
      withinMs: 20_000,
      what: 'packets held back',
    })
    t.equal(trial.count(), before, 'the relay alone has them')
    await tell('honest')
    await trial.drained('what was withheld')

    await tell('forget')
    await trial.taken(SECONDS)
    const { inFlight } = await trial.agent.status<AgentState>()
    t.ok(inFlight > SECONDS, 'what the relay said it had stored is still in the spool')
    await tell('honest')
    await ask('cut')
    await trial.drained('what was forgotten, at the next connection')

    await trial.settle()
    t.equal(trial.seen().length, trial.count(), 'no id came twice')
  },
)
