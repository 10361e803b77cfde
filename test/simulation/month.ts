import { audit, done, unfinished } from './audit.js'
import { Dice } from './dice.js'
import { Factory } from './factory.js'
import { NO_MEDDLING } from './interference.js'
import type { Plan } from './plan.js'
import { World } from './world.js'

const DAY_MS = 86_400_000
const SEED = 30
const READ_EVERY_MS = 10_000
/** While nothing answers, everybody looks around this many times less often. */
const PACE = 100
const DRAIN_MS = 3 * 3_600_000

const PLAN: Plan = {
  agents: 1,
  relays: 0,
  lan: true,
  safetyMs: 60_000,
  readEveryMs: READ_EVERY_MS,
  batchMs: 1_000,
  spoolBytes: 2 ** 30,
  onFull: 'drop_oldest',
  rates: new Map(),
  meddling: NO_MEDDLING,
}

export interface Absence {
  /** Readings accepted while the gateway was away. */
  readonly backlog: number
  /** Batches they were in. */
  readonly published: number
  /** From the gateway's start to the first reading taken after it. */
  readonly firstLiveMs: number
  /** How much of the backlog had arrived before that one. */
  readonly backlogBeforeLive: number
  /** Longest time from taking to publishing, of readings taken while the backlog was draining. */
  readonly slowestLiveMs: number
  readonly drainedMs: number
  /** Of the agent's window, at any moment. */
  readonly mostOutstanding: number
  readonly mostOutstandingBytes: number
  /** In the relay's mailboxes, at any moment. */
  readonly mostAtRelayBytes: number
  readonly events: number
}

/** An agent reads on for days without its gateway; then that comes back, on the disk that it had. */
export async function runAbsence(days: number, relays: 0 | 1): Promise<Absence> {
  const world = new World()
  const release = world.catchRejections()
  try {
    return await absence(world, days, relays)
  } finally {
    release()
  }
}

async function absence(world: World, days: number, relays: 0 | 1): Promise<Absence> {
  const factory = new Factory(world, new Dice(SEED), { ...PLAN, relays })
  const { checkers, gateway } = factory
  await factory.open()
  audit(factory)
  const [agent] = factory.agents
  const [relay] = factory.relays
  const most = { outstanding: 0, bytes: 0, atRelay: 0 }
  const look = (): void => {
    const { outstanding, bytes } = agent!.engine!.courierStatus()
    most.outstanding = Math.max(most.outstanding, outstanding)
    most.bytes = Math.max(most.bytes, bytes)
    most.atRelay = Math.max(most.atRelay, relay?.mailboxes?.counts.bytes ?? 0)
    world.after(1_000 * world.pace, look)
  }
  await world.until(world.now + PLAN.safetyMs)
  look()
  if (checkers.published === 0) world.broken('nothing was published before the gateway went away')

  factory.off.add(gateway)
  gateway.end(() => 10)
  const before = checkers.accepted
  world.pace = PACE
  await world.until(world.now + days * DAY_MS)
  const backlog = checkers.accepted - before

  world.pace = 1
  const backAt = world.now
  const publishedBefore = checkers.published
  const live = { firstMs: Infinity, behind: 0, slowestMs: 0 }
  checkers.onPublished = ({ monoMs }) => {
    const takenAt = backAt + monoMs - agent!.clock.monoMs(backAt)
    if (takenAt <= backAt) return
    if (live.firstMs === Infinity) {
      live.firstMs = world.now - backAt
      live.behind = checkers.published - publishedBefore
    }
    // The first ones come while the agent has not heard its gateway yet.
    if (takenAt > backAt + live.firstMs) live.slowestMs = Math.max(live.slowestMs, world.now - takenAt)
  }
  factory.off.delete(gateway)
  const drained = (): boolean => checkers.missingCount() < 3
  if (!(await world.until(backAt + DRAIN_MS, drained))) world.broken(unfinished(factory))
  const drainedMs = world.now - backAt
  factory.quiet = true
  if (!(await world.until(world.now + 600_000, () => done(factory)))) world.broken(unfinished(factory))
  return {
    backlog,
    published: checkers.published,
    firstLiveMs: live.firstMs,
    backlogBeforeLive: live.behind,
    slowestLiveMs: live.slowestMs,
    drainedMs,
    mostOutstanding: most.outstanding,
    mostOutstandingBytes: most.bytes,
    mostAtRelayBytes: most.atRelay,
    events: world.events,
  }
}
