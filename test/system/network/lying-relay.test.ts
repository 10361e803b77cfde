import { askControl } from '@fieldwhisper/host'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { memoryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { RELAY_PORT } from '../support/floor.js'
import type { Lie, Lies } from '../support/lying-relay.js'
import { type Host, noNetworks } from '../support/net.js'
import { counterSource } from '../support/site.js'
import { Trial } from '../support/trial.js'

const LIAR = fileURLToPath(new URL('../support/lying-relay.ts', import.meta.url))
const BEHIND_PORT = RELAY_PORT + 1
const SECONDS = 2

/** A site whose relay lies as told by the test. */
async function layLiar(t: Test) {
  const stateDir = join(memoryFolder(t), 'liar')
  const ask = async (command: string, args: object = {}): Promise<unknown> => {
    const reply = await askControl(stateDir, command, args)
    if (!reply || !('ok' in reply)) throw new Error(`${command}: ${JSON.stringify(reply)}`)
    return reply.ok
  }
  const start = async (host: Host, behind: string): Promise<void> => {
    host.spawn(process.execPath, ['--import=tsx', LIAR, stateDir, String(RELAY_PORT), behind])
    const answers = async (): Promise<boolean> => (await askControl(stateDir, 'status')) !== undefined
    await until(answers, { withinMs: 20_000, what: 'the lying relay' })
  }
  const trial = await Trial.lay(t, { proxy: { port: BEHIND_PORT, start } })
  return {
    trial,
    tell: (lie: Lie): Promise<unknown> => ask('lie', { lie }),
    told: async (lie: keyof Lies): Promise<number> => ((await ask('status')) as Lies)[lie],
    cut: (): Promise<unknown> => ask('cut'),
  }
}

async function keepsBack(t: Test): Promise<void> {
  const { trial, tell, told, cut } = await layLiar(t)
  await tell('forget')
  await trial.flows('"stored" by a relay that forgets, with the LAN', SECONDS)
  t.ok((await told('forget')) > 0)
  await tell('honest')
  trial.hosts.agent.unplug('lan')
  await trial.flows('the LAN')

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
  const { inFlight } = await trial.status()
  t.ok(inFlight > SECONDS, 'what the relay said it had stored is still in the spool')
  await tell('honest')
  await cut()
  await trial.drained('what was forgotten, at the next connection')

  await trial.settle()
  t.equal(trial.seen().length, trial.count(), 'no id came twice')
}

async function changes(t: Test): Promise<void> {
  const { trial, tell, told } = await layLiar(t)
  trial.hosts.agent.unplug('lan')
  for (const lie of ['replay', 'reorder', 'corrupt'] as const) {
    await tell(lie)
    await trial.flows(`${lie}, by the relay alone`, SECONDS)
    await trial.restartAgent([counterSource(trial.rate)])
    await trial.flows(`${lie}, with a new session`, SECONDS)
    t.ok((await told(lie)) > SECONDS)
  }
  await trial.settle()
  t.equal(trial.seen().length, trial.count(), 'no id came twice')
}

void t.test(
  'a relay that lies: everything arrives once',
  { skip: noNetworks(), timeout: 240_000, jobs: 2 },
  async (t) => {
    await Promise.all([
      t.test('it forgets what it called stored, and withholds', keepsBack),
      t.test('it replays, reorders and corrupts', changes),
    ])
  },
)
