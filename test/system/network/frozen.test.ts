import t, { type Test } from 'tap'
import { streamFor, until } from '../../support/until.js'
import { BROKER_PORT } from '../support/floor.js'
import { distinctIds } from '../support/judge.js'
import { startMosquitto, subscribe } from '../support/mosquitto.js'
import { noNetworks } from '../support/net.js'
import { type AgentState, readSeen } from '../support/site.js'
import { Trial, type Role } from '../support/trial.js'

/** Links call their other end dead after 10 s; relay connections after 40 to 45 s, for which FIELDWHISPER_FREEZE_S=60. */
const FREEZE_MS = Number(process.env['FIELDWHISPER_FREEZE_S'] ?? '14') * 1_000
/** The gateway gives up a connection on which a broker acknowledges nothing for 20 s; ten minutes by FIELDWHISPER_BROKER_FREEZE_S=600. */
const BROKER_FREEZE_MS = Number(process.env['FIELDWHISPER_BROKER_FREEZE_S'] ?? '24') * 1_000

interface BrokerState {
  readonly mqtt: {
    readonly broker: { readonly connected: boolean }
    readonly outbox: { readonly keptEntries: number; readonly unsentEntries: number }
  }
}

async function freeze(t: Test, role: Role): Promise<void> {
  const trial = await Trial.lay(t)
  // With a LAN nothing would depend on the relay.
  if (role === 'relay') trial.hosts.agent.unplug('lan')
  await trial.flows('the preparations')
  trial.programs[role].signal('SIGSTOP')
  await streamFor(FREEZE_MS)
  trial.programs[role].signal('SIGCONT')
  await trial.flows(`a frozen ${role}`)
  await trial.drained(`a frozen ${role}`)
  await trial.settle()
}

async function freezeBroker(t: Test): Promise<void> {
  const trial = await Trial.lay(t)
  const outbox = async () => (await trial.status<BrokerState>('gateway')).mqtt.outbox
  trial.broker.signal('SIGSTOP')
  await streamFor(BROKER_FREEZE_MS)
  const { unsentEntries } = await outbox()
  t.ok(unsentEntries > (BROKER_FREEZE_MS / 1_000) * 2, `${unsentEntries} entries wait on the gateway's disk`)
  trial.broker.signal('SIGCONT')
  await trial.drained('a frozen broker')

  // Everything that the broker had is gone with it; what it had acknowledged the gateway still has.
  const { keptEntries } = await outbox()
  t.ok(keptEntries > 0)
  trial.broker.signal('SIGSTOP')
  await trial.taken(2)
  await trial.broker.kill()
  const broker = await startMosquitto(trial.hosts.gateway, { folder: trial.folder, port: BROKER_PORT })
  const first = trial.seen()
  const second = await subscribe(trial.hosts.gateway, { port: BROKER_PORT, topic: 'fieldwhisper/#' })
  await until(() => readSeen(second.messages).length > 0, {
    withinMs: 60_000,
    what: 'readings at the new broker',
  })
  await trial.restartAgent([])
  const { accepted } = (
    await trial.until<AgentState>('agent', ({ spool }) => spool.held === 0, {
      withinMs: 60_000,
      what: 'an empty spool',
    })
  ).spool
  const all = (): number => distinctIds([...first, ...readSeen(second.messages)])
  await until(() => all() >= accepted, { withinMs: 60_000, what: 'all readings, at one broker or the other' })
  t.equal(all(), accepted)
  await trial.until<BrokerState>('gateway', ({ mqtt }) => mqtt.outbox.unsentEntries === 0, {
    withinMs: 20_000,
    what: 'an outbox in which all is sent',
  })
  t.ok((await outbox()).keptEntries > keptEntries, 'what an emptied broker lost is kept at the gateway')
  for (const one of [...Object.values(trial.programs), broker]) await one.stop()
}

void t.test(
  'programs that stand still for longer than others wait: nothing is lost, nothing comes with another id',
  { skip: noNetworks(), timeout: 2 * (FREEZE_MS + BROKER_FREEZE_MS) + 240_000, jobs: 4 },
  async (t) => {
    const sites = (['relay', 'gateway', 'agent'] as const).map((role) =>
      t.test(`the ${role} stands still`, (t) => freeze(t, role)),
    )
    const broker = t.test('the broker stands still, later it is killed and comes back empty', freezeBroker)
    await Promise.all([...sites, broker])
  },
)
