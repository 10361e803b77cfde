import fc from 'fast-check'
import t from 'tap'
import type { OnFull } from '../../../agent/src/spool/index.js'
import { openRig, type SpoolRig } from './spool-rig.js'

/*
 * The spool against a model that is a set of values: whatever the order of appends, acknowledgements, waits and power cuts,
 * every reading that was accepted is held, acknowledged or in a gap, exactly one of them.
 */

interface Model {
  /** Values whose append returned, by batch once that is closed. */
  readonly promised: Set<number>
  readonly acked: Set<number>
  cuts: number
}

type Step =
  | { readonly kind: 'append'; readonly count: number }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'ack'; readonly share: number; readonly offset: number }
  | { readonly kind: 'tellGaps' }
  | { readonly kind: 'ackGaps' }
  | { readonly kind: 'cut' }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('append' as const), count: fc.integer({ min: 1, max: 40 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 1_500 }) }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant('ack' as const),
      share: fc.integer({ min: 1, max: 4 }),
      offset: fc.integer({ min: 0, max: 3 }),
    }),
  },
  fc.constant({ kind: 'tellGaps' as const }),
  fc.constant({ kind: 'ackGaps' as const }),
  fc.constant({ kind: 'cut' as const }),
)

async function run(rig: SpoolRig, model: Model, action: Step): Promise<void> {
  switch (action.kind) {
    case 'append':
      for (let i = 0; i < action.count; i++) {
        const reading = rig.reading()
        const { cuts } = model
        rig.spool.append(reading).then(
          () => {
            // A promise that a dead process kept to itself.
            if (cuts === model.cuts) model.promised.add(reading.value as number)
          },
          () => undefined,
        )
      }
      return
    case 'wait':
      return rig.timers.turn(action.ms)
    case 'ack': {
      const batches = [...rig.spool.behind()].filter(
        (_, i) => i % action.share === action.offset % action.share,
      )
      for (const batch of batches.slice(0, 20)) {
        for (const value of rig.valuesOf(batch)) model.acked.add(value)
        const range = { from: batch.number, to: batch.number + 1 }
        rig.spool.ack([{ stream: batch.stream, through: 0, ranges: [range] }], 0)
      }
      return
    }
    case 'tellGaps':
      rig.spool.gaps(8)
      return
    case 'ackGaps':
      for (const gap of rig.spool.gaps(8)) {
        if ('stream' in gap.what)
          rig.spool.ack([{ stream: gap.what.stream, through: 0, ranges: gap.what.ranges }], 0)
      }
      return
    case 'cut':
      model.cuts++
      return rig.powerCut()
  }
}

function check(rig: SpoolRig, model: Model): void {
  const held = rig.values()
  const { accepted, acked, dropped, held: heldCount } = rig.spool.counters
  if (new Set(held).size !== held.length) throw new Error('a reading is held twice')
  if (accepted !== acked + dropped + heldCount) throw new Error('the counters do not add up')
  if (heldCount !== held.length) throw new Error(`${heldCount} counted as held, ${held.length} are`)
  const kept = new Set(held)
  const missing = [...model.promised].filter((value) => !kept.has(value) && !model.acked.has(value))
  if (missing.length > dropped)
    throw new Error(`${missing.length} promised readings are gone, ${dropped} counted`)
  for (const { floor, end, stream } of rig.spool.streams()) {
    const numbers = [...rig.spool.behind()].filter((batch) => Buffer.compare(batch.stream, stream) === 0)
    const lowest = Math.min(end, ...numbers.map(({ number }) => number))
    if (floor > lowest) throw new Error(`floor ${floor} is above the held number ${lowest}`)
    if (floor > end) throw new Error('the floor is above the end')
  }
}

async function settle(rig: SpoolRig): Promise<void> {
  await rig.timers.turn(3_000)
}

for (const onFull of ['drop_oldest', 'drop_newest'] as OnFull[]) {
  for (const maxBytes of [2 ** 30, 6_000]) {
    void t.test(
      `nothing is lost unseen with ${onFull} and ${maxBytes} bytes, whatever happens`,
      async (t) => {
        await fc.assert(
          fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 40 }), async (steps) => {
            const rig = await openRig({ maxReadings: 12, limits: { onFull, maxBytes } })
            const model: Model = { promised: new Set(), acked: new Set(), cuts: 0 }
            for (const action of steps) await run(rig, model, action)
            await settle(rig)
            // What is still in an open batch is closed by the next start.
            await rig.powerCut()
            check(rig, model)
          }),
          { numRuns: 120 },
        )
        t.pass('120 runs')
      },
    )
  }
}
