import type { OnFull } from '../../agent/src/spool/index.js'
import type { Dice } from './dice.js'
import type { Meddling } from './interference.js'

/** Faults that are done again and again, and about how often each minute in the whole factory. */
export const RECURRING = [
  'agent killed',
  'agent power cut',
  'gateway killed',
  'gateway power cut',
  'gateway disk fails',
  'relay power cut',
  'relay wiped',
  'link breaks',
  'link one way',
  'relay connection breaks',
  'relay connection one way',
  'cable out',
  'lines slow',
  'agent disk full',
  'gateway disk full',
  'relay disk full',
  'disks slow',
  'outbox full',
  'state files refused',
  'agent disk copied or restored',
  'agent cloned',
  'operator decides between clones',
  'gateway disk copied or put back',
  'gateway backed up or restored',
  'agent record damaged',
  'gateway record damaged',
  'relay record damaged',
  'wall clock jumps',
  'stranger at a relay',
] as const

export type Recurring = (typeof RECURRING)[number]

/** What one seed draws. */
export interface Plan {
  readonly agents: number
  readonly relays: number
  readonly lan: boolean
  readonly safetyMs: number
  readonly readEveryMs: number
  readonly batchMs: number
  /** A small spool drops what does not fit, and counts it. */
  readonly spoolBytes: number
  readonly onFull: OnFull
  /** Per minute. */
  readonly rates: ReadonlyMap<Recurring, number>
  readonly meddling: Meddling
}

/** Each fault is on in about a third of the seeds, so that rare pairs and quiet runs both occur. */
export function drawPlan(dice: Dice): Plan {
  const rates = new Map<Recurring, number>()
  for (const kind of RECURRING) if (dice.chance(0.35)) rates.set(kind, dice.between(0.2, 3))
  const some = (): number => (dice.chance(0.4) ? dice.between(0.005, 0.2) : 0)
  const paths = dice.int(0, 9)
  // Hundreds are rare: a run of one of them takes as long as twenty others.
  const many = dice.chance(0.005)
  return {
    agents: many ? dice.int(100, 300) : dice.chance(0.1) ? dice.int(8, 16) : dice.int(1, 6),
    relays: paths === 0 ? 0 : dice.int(1, 2),
    lan: paths !== 1,
    safetyMs: (many ? dice.int(30, 90) : dice.int(60, 300)) * 1_000,
    readEveryMs: dice.int(300, 5_000) * (many ? 20 : 1),
    batchMs: dice.pick([0, 100, 1_000, 5_000])!,
    spoolBytes: dice.chance(0.15) ? dice.int(20_000, 100_000) : 2 ** 30,
    onFull: dice.pick(['drop_oldest', 'drop_oldest', 'drop_newest', 'block'] as const)!,
    rates,
    meddling: { corruptFirst: some(), duplicate: some(), replay: some(), lie: some() },
  }
}

export function planText({
  agents,
  relays,
  lan,
  safetyMs,
  readEveryMs,
  batchMs,
  spoolBytes,
  onFull,
  rates,
  meddling,
}: Plan): string {
  const sizes = `${agents} agents, ${relays} relays, LAN ${lan ? 'on' : 'off'}, ${safetyMs / 1_000} s, a reading each ${readEveryMs} ms`
  const batches = `batches of ${batchMs} ms, spool of ${spoolBytes} bytes (${onFull})`
  const faults = [...rates].map(([kind, rate]) => `${kind} ${rate.toFixed(1)}/min`)
  const meddled = Object.entries(meddling).flatMap(([kind, p]: [string, number]) =>
    p > 0 ? [`${kind} ${(100 * p).toFixed(1)} %`] : [],
  )
  return `${sizes}, ${batches}; ${[...faults, ...meddled].join(', ') || 'no faults'}`
}
