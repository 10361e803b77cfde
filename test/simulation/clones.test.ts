import t from 'tap'
import { audit, done, unfinished } from './audit.js'
import { Dice } from './dice.js'
import { Factory } from './factory.js'
import { NO_MEDDLING } from './interference.js'
import type { Plan } from './plan.js'
import { World } from './world.js'

t.setTimeout(300_000)

const PLAN: Plan = {
  agents: 1,
  relays: 1,
  lan: true,
  safetyMs: 0,
  readEveryMs: 2_000,
  batchMs: 500,
  spoolBytes: 2 ** 30,
  onFull: 'drop_oldest',
  rates: new Map(),
  meddling: NO_MEDDLING,
}
const SUSPECTED_MS = 2 * 3_600_000
const HEAL_MS = 3 * 3_600_000
/** Hours pass: everybody looks around less often. */
const PACE = 5

/** Two devices with one identity read on until the gateway holds one of them back. */
async function suspected(seed: number): Promise<{ world: World; factory: Factory }> {
  const world = new World()
  const factory = new Factory(world, new Dice(seed), PLAN)
  audit(factory)
  await factory.open()
  await world.until(world.now + 10_000)
  if (!factory.clone(factory.agents[0]!)) world.broken('the device could not be cloned')
  world.pace = PACE
  const held = (): boolean =>
    [...(factory.gateway.core?.agents.all() ?? [])].some(({ heldFrom }) => heldFrom > 0)
  if (!(await world.until(world.now + SUSPECTED_MS, held))) world.broken('nobody notices that there are two')
  return { world, factory }
}

for (const decision of ['keep', 'replace', undefined] as const) {
  const text = decision ? `the operator says ${decision}` : 'nobody decides'
  void t.test(`two devices with one identity, ${text}: what both have on their disks arrives`, async (t) => {
    const { world, factory } = await suspected(17)
    const { original, copy } = factory.clones[0]!
    await world.until(world.now + 30_000)
    if (decision) await decide(factory, world, decision)
    await world.until(world.now + 30_000)
    factory.quiet = true
    const arrives = (): Promise<boolean> => world.until(world.now + HEAL_MS, () => done(factory))
    for (const off of [copy, original]) {
      factory.off.clear()
      factory.off.add(off)
      off.end(() => 10, true)
      if (!(await arrives())) world.broken(unfinished(factory))
    }
    t.same(factory.checkers.missing(), [])
    t.ok(factory.checkers.publishedOf(copy.name) > 0 && factory.checkers.publishedOf(original.name) > 0)
  })
}

async function decide(factory: Factory, world: World, decision: 'keep' | 'replace'): Promise<void> {
  let decided = false
  factory.gateway.core!.decideClone('agent-0', decision).then(
    () => (decided = true),
    (error: unknown) => world.note(error),
  )
  if (!(await world.until(world.now + 60_000, () => decided))) world.broken('the decision was not taken')
}
