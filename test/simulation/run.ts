import { audit, done, gapsAgree, gapsText, unfinished } from './audit.js'
import { Dice } from './dice.js'
import { Factory } from './factory.js'
import { Faults } from './faults.js'
import { drawPlan, planText, type Recurring } from './plan.js'
import type { AgentNode } from './agent-node.js'
import { World } from './world.js'

const HOUR_MS = 3_600_000
/** So long after the heal everything has arrived: dead links are noticed and dialled again, and offers repeated each minute. */
const HEAL_MS = 10 * 60_000
/** An agent that has only a relay, which lied, offers again after 6 h, unless the silence makes it try a new session before. */
const HEAL_AFTER_LIES_MS = 8 * HOUR_MS
/** An agent from an old disk speaks in a session that is over, notices by 60 min of silence, and is *lost* then. */
const HEAL_AFTER_RESTORE_MS = 3 * HOUR_MS
/** So are agents of a gateway that went back, and one of two clones is held until the other was silent for ten minutes. */
const SLOW_TO_HEAL: readonly Recurring[] = [
  'agent disk copied or restored',
  'agent cloned',
  'gateway disk copied or put back',
  'gateway backed up or restored',
  'gateway record damaged',
]
/** Whose disks were replaced or damaged cannot say what was on them. */
const INEXACT: readonly Recurring[] = [...SLOW_TO_HEAL, 'agent record damaged']
/** So long after the last reading the gateway knows of every loss. */
const GAPS_MS = 30 * 60_000
/** After so long without an end, time runs faster: the engines are woken less often. */
const PATIENCE_MS = 5 * 60_000
const PATIENT_PACE = 40

export interface SeedResult {
  readonly seed: number
  readonly plan: string
  readonly fingerprint: string
  readonly virtualMs: number
  /** From the heal to the last reading. */
  readonly healMs: number
  readonly events: number
  readonly readings: number
  readonly dropped: number
  readonly faults: ReadonlyMap<string, number>
}

/** A seed that broke a promise; `cause` says which. */
export class SeedFailed extends Error {
  constructor(seed: number, plan: string, lines: readonly string[], cause: unknown) {
    const what = cause instanceof Error ? cause.message : String(cause)
    const replay = `npm run simulate -- --from ${seed} --seeds 1 --log`
    super([`seed ${seed}: ${what}`, `plan: ${plan}`, `replay: ${replay}`, ...lines].join('\n'), { cause })
  }
}

/** Faults on; then heal, and everything that was accepted has to arrive without a hand. */
export async function runSeed(seed: number, echo?: (line: string) => void): Promise<SeedResult> {
  const dice = new Dice(seed)
  const plan = drawPlan(dice.fork())
  const world = new World(echo)
  const release = world.catchRejections()
  try {
    const factory = new Factory(world, dice.fork(), plan)
    audit(factory)
    await factory.open()
    const faults = new Faults(factory, dice.fork(), plan)
    await world.until(world.now + plan.safetyMs)
    faults.heal()
    factory.quiet = true
    world.log('healed')
    const healedAt = world.now
    world.after(PATIENCE_MS, () => (world.pace = PATIENT_PACE))
    const healMs = !plan.lan
      ? HEAL_AFTER_LIES_MS
      : SLOW_TO_HEAL.some((kind) => plan.rates.has(kind))
        ? HEAL_AFTER_RESTORE_MS
        : HEAL_MS
    const arrive = async (): Promise<void> => {
      const { now } = world
      if (!(await world.until(now + healMs, () => done(factory)))) world.broken(unfinished(factory))
    }
    const switchOff = (agent: AgentNode): void => {
      factory.off.add(agent)
      agent.end(() => 10, true)
    }
    // Of two devices with one identity one goes on, then the other: what both have on their disks arrives.
    const pairs = factory.clones.map(({ original, copy }) =>
      dice.chance(0.5) ? [original, copy] : [copy, original],
    )
    for (const [, second] of pairs) switchOff(second!)
    await arrive()
    if (pairs.length > 0) {
      for (const [first, second] of pairs) {
        switchOff(first!)
        factory.off.delete(second!)
      }
      await arrive()
    }
    for (const [first] of pairs) factory.off.delete(first!)
    await world.until(world.now + 60_000, () => factory.agents.every(({ spool }) => spool !== undefined))
    const dropped = factory.agents.reduce((sum, { spool }) => sum + spool!.counters.dropped, 0)
    const exact = !INEXACT.some((kind) => plan.rates.has(kind))
    if (exact && !(await world.until(world.now + GAPS_MS, () => gapsAgree(factory))))
      world.broken(gapsText(factory))
    const missing = factory.checkers.missing()
    if (missing.length > dropped)
      world.broken(`${missing.length} readings are missing, ${dropped} were counted as dropped`)
    factory.tally.add('corrupted packet of a live session', factory.gateway.failedOpens)
    return {
      seed,
      plan: planText(plan),
      fingerprint: world.fingerprint,
      virtualMs: world.now,
      healMs: world.now - healedAt,
      events: world.events,
      readings: factory.checkers.accepted,
      dropped,
      faults: factory.tally.counts,
    }
  } catch (error) {
    throw new SeedFailed(seed, planText(plan), world.lastLines, error)
  } finally {
    release()
  }
}
