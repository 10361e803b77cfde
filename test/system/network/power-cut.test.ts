import t from 'tap'
import { memoryFolder } from '../../support/folder.js'
import { streamFor, until } from '../../support/until.js'
import { runGateway } from '../support/floor.js'
import { noNetworks } from '../support/net.js'
import { PowerDisk } from '../support/power-disk.js'
import { counterSource, type AgentState } from '../support/site.js'
import { Trial, type Role } from '../support/trial.js'

const ALL = ['agent', 'gateway', 'relay'] as const
const SECONDS = 3
const STORED = 60

void t.test(
  'power cut for agent, gateway and relay at once: what was acknowledged or stored is there, and all start by themselves',
  { skip: noNetworks(), timeout: 240_000 },
  async (t) => {
    const disk = await PowerDisk.make(t, memoryFolder(t))
    const trial = await Trial.lay(t, { folder: disk.path })
    const { programs, broker } = trial
    await disk.flush('gateway.yaml', 'relay.yaml', 'press.yaml')

    /** All processes stand still while the disk is copied, so that the copy is of one moment. */
    async function cut(): Promise<void> {
      for (const role of ALL) programs[role].signal('SIGSTOP')
      await disk.copy()
      for (const role of ALL) await programs[role].kill()
      await disk.replaceByCopy()
    }
    async function start(...roles: readonly Role[]): Promise<void> {
      for (const role of roles) {
        if (role === 'gateway') programs.gateway = await runGateway(trial.gateway)
        else trial.spawn(role)
      }
    }

    // What the gateway has acknowledged and not published is on its disk alone.
    broker.signal('SIGSTOP')
    const published = trial.count()
    const goal = published + SECONDS * trial.rate
    const { acked } = (
      await trial.until<AgentState>('agent', ({ spool }) => spool.acked >= goal, {
        withinMs: 60_000,
        what: 'readings that the gateway acknowledged',
      })
    ).spool
    t.ok(trial.count() < goal, 'they were not published')
    await cut()
    broker.signal('SIGCONT')
    await start('relay', 'gateway')
    await until(() => trial.count() >= acked, {
      withinMs: 60_000,
      what: `${acked} readings that were acknowledged before the power cut, without their agent`,
    })
    await start('agent')
    await trial.flows('the first power cut', SECONDS)

    // What the relay has stored is on its disk, also when the agent is gone.
    trial.hosts.agent.unplug('lan')
    await trial.flows('the LAN')
    await programs.gateway.stop()
    await trial.restartAgent([counterSource(trial.rate, { count: STORED })])
    await disk.flush('press.yaml')
    await trial.until<AgentState & { sources: readonly { accepted: number }[] }>(
      'agent',
      ({ sources }) => sources[0]?.accepted === STORED,
      { withinMs: 30_000, what: 'the last readings' },
    )
    // The last batch is closed and sealed within 250 ms, and flushed by the relay some milliseconds later; neither is shown.
    await streamFor(2_000)
    const { spool, inFlight } = await trial.status()
    t.ok(spool.held >= STORED)
    await trial.until<{ packets: number }>('relay', ({ packets }) => packets >= inFlight, {
      withinMs: 30_000,
      what: 'every packet at the relay',
    })
    await cut()
    await start('relay', 'gateway')
    await until(() => trial.count() >= spool.accepted, {
      withinMs: 60_000,
      what: 'what the relay had stored before the power cut, without the agent',
    })

    await start('agent')
    await trial.settle()
  },
)
