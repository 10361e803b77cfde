import t from 'tap'
import { runSeed } from './run.js'
import { Tally } from './tally.js'
import { RECURRING } from './plan.js'

/** About a second each. More: npm run simulate -- --seeds 1000. */
const SEEDS = 20
/** Needs a clone that is noticed and an operator at that moment, which few seeds have: `clones.test.ts`. */
const RARE = 'operator decides between clones'
/** Seeds that once failed. */
const REGRESSIONS: readonly number[] = [
  10_490, // a copy of a device holds a batch that its original lost
  10_533, // the gateway lost its newest prekey, and an older one kept it from making another
  11_213, // a gateway on an older disk made another record with a number that agents knew
  11_462, // readings without room were counted under the number of a batch that had arrived
  13_321, // a hello was given up with the batch in it, and the agent was silent for a quarter of an hour
  15_010, // and one that its original dropped
  15_142, // a hello that the gateway forgot is answered again
  16_353, // an older state of a device holds what it dropped later
]

t.setTimeout(600_000)

void t.test('the same seed twice gives the same log, another one another', async (t) => {
  const seed = 7
  const [first, second, other] = [await runSeed(seed), await runSeed(seed), await runSeed(seed + 1)]
  t.ok(first.readings > 0)
  t.same(second, first)
  t.not(other.fingerprint, first.fingerprint)
})

void t.test('whatever a seed does to a site, nothing is lost, and all arrives when it is over', async (t) => {
  const faults = new Tally()
  for (const seed of [...Array.from({ length: SEEDS }, (_, i) => 100 + i), ...REGRESSIONS]) {
    const result = await runSeed(seed)
    faults.merge(result.faults)
    t.pass(
      `seed ${seed}: ${result.readings} readings, all there ${result.healMs.toFixed(0)} ms after the heal`,
    )
  }
  const missed = RECURRING.filter((kind) => kind !== RARE && !faults.counts.has(kind))
  t.same(missed, [], 'every kind of fault was among them')
  t.comment(faults.text)
})
