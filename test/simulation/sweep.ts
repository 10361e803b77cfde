import { Dice } from './dice.js'
import { Factory } from './factory.js'
import { NO_MEDDLING } from './interference.js'
import type { Plan } from './plan.js'
import { audit, done, unfinished } from './audit.js'
import { World } from './world.js'

const SEED = 4_711
/** An agent joins, sends and goes on in a second session, which its first answer asks for. */
const SCENARIO: Plan = {
  agents: 1,
  relays: 1,
  lan: true,
  safetyMs: 12_000,
  readEveryMs: 900,
  batchMs: 300,
  spoolBytes: 2 ** 30,
  onFull: 'drop_oldest',
  rates: new Map(),
  meddling: NO_MEDDLING,
}
const HEAL_MS = 120_000

export type Victim = 'gateway' | 'agent' | 'agent files' | 'relay'

export interface Cut {
  readonly victim: Victim
  /** Counted from 1: commits of a disk, or state files written. */
  readonly at: number
  /** Just before the disk has it, or just after, before anybody is told. */
  readonly moment: 'before' | 'after'
}

/** How often each disk was written to in the scenario. */
export type Writes = Readonly<Record<Victim, number>>

/** Runs the scenario with one power cut, or none; throws where something is broken or does not arrive. */
export async function runCut(cut: Cut | undefined): Promise<Writes> {
  const world = new World()
  const release = world.catchRejections()
  try {
    return await scenario(world, cut)
  } finally {
    release()
  }
}

async function scenario(world: World, cut: Cut | undefined): Promise<Writes> {
  const dies = (victim: Victim) => (at: number, moment: 'before' | 'after') =>
    cut?.victim === victim && cut.at === at && cut.moment === moment
  const factory = new Factory(world, new Dice(SEED), SCENARIO, (agent) => {
    agent.disk.crash = dies('agent')
    agent.crashAtSave = dies('agent files')
  })
  const [relay] = factory.relays
  factory.gateway.disk.crash = dies('gateway')
  relay!.disk.crash = dies('relay')
  audit(factory)
  await factory.open()
  const [agent] = factory.agents
  await world.until(world.now + SCENARIO.safetyMs)
  factory.quiet = true
  if (!(await world.until(world.now + HEAL_MS, () => done(factory)))) world.broken(unfinished(factory))
  const missing = factory.checkers.missing()
  if (missing.length > 0) world.broken(`readings ${missing.join()} are missing`)
  if (factory.checkers.published < 4)
    world.broken(`only ${factory.checkers.published} readings in the scenario`)
  return {
    gateway: factory.gateway.disk.commits,
    agent: agent!.disk.commits,
    'agent files': agent!.saves,
    relay: relay!.disk.commits,
  }
}
