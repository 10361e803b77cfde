/** What waited for the broker, published at a rate and behind what comes meanwhile. */
import fc from 'fast-check'
import t from 'tap'
import { REPLAY_FROM_ITEMS } from '../../../gateway/src/bridge/constants.js'
import {
  lastOutboxSequence,
  storedAhead,
  storedThrough,
} from '../../../gateway/src/bridge/outbox-position.js'
import type { Replay } from '../../../gateway/src/bridge/outbox-queue.js'
import { bridgeStore, eventually, FakeOutput, fill, numbered, rig, type Rig } from './bridge-support.js'

type Store = ReturnType<typeof bridgeStore>

const SLOW: Replay = { rate: 200, order: 'live_first' }

const told = (output: FakeOutput): { value: number; historical: boolean }[] =>
  output.payloads().map(({ value, historical }) => ({ value, historical }))
const values = (output: FakeOutput): number[] => told(output).map(({ value }) => value)
const count = (length: number, from = 0): number[] => Array.from({ length }, (_, index) => from + index)

async function commit(
  { outbox }: Pick<Rig, 'outbox'>,
  store: Store,
  from: number,
  items: number,
): Promise<void> {
  outbox.committed(await fill(store, lastOutboxSequence(store) + 1, numbered(items, {}, from)))
}

void t.test(
  'live first: what comes goes ahead, what waited follows at its rate, in order and as history',
  async (t) => {
    const store = bridgeStore()
    await fill(store, 1, numbered(500))
    const began = performance.now()
    const at = await rig(store, { replay: SLOW })
    t.equal(at.outbox.status().replaying, true)
    await commit(at, store, 500, 3)
    await eventually('all', () => at.outbox.status().unsentEntries === 0)
    const took = performance.now() - began
    const seen = told(at.output)
    const late = seen.findIndex(({ value }) => value === 502)
    t.ok(late < 300, `the newest value is number ${late}, before most of what waited`)
    t.same(
      seen.map(({ value }) => value).filter((value) => value < 500),
      count(500),
      'what waited keeps its order',
    )
    t.same(
      seen.filter(({ historical }) => historical).map(({ value }) => value),
      seen
        .slice(late)
        .map(({ value }) => value)
        .filter((value) => value < 500),
      'what was overtaken says so, and nothing else',
    )
    t.ok(at.output.sent.filter(({ retain }) => retain).length < 500, 'and is not retained')
    t.ok(took > 1_000, `500 readings at 200 a second, of which 200 at once: ${Math.round(took)} ms`)
    t.equal(at.outbox.status().replaying, false)
    await at.outbox.stop()
    t.equal(storedThrough(store), 503)
    t.equal(storedAhead(store), undefined)
  },
)

void t.test('in order: what comes waits behind what waited, and then there is no rate', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(300))
  const at = await rig(store, { replay: { rate: 200, order: 'in_order' } })
  await commit(at, store, 300, 1_000)
  const began = performance.now()
  await eventually('all', () => at.outbox.status().unsentEntries === 0)
  t.same(values(at.output), count(1_300))
  t.ok(performance.now() - began < 3_000, 'a thousand new ones at 200 a second were five seconds')
  t.notOk(told(at.output).some(({ historical }) => historical))
  await at.outbox.stop()
})

void t.test('a few that waited are published in order', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(REPLAY_FROM_ITEMS))
  const output = new FakeOutput()
  output.auto = false
  const at = await rig(store, { replay: SLOW, output })
  await commit(at, store, REPLAY_FROM_ITEMS, 1)
  t.same(values(at.output), count(REPLAY_FROM_ITEMS + 1))
  output.auto = true
  output.acknowledge(1_000)
  await eventually('all', () => at.outbox.status().unsentEntries === 0)
  await at.outbox.stop()
})

void t.test('a restart knows what went ahead, and repeats none of it', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(1_000))
  const at = await rig(store, { replay: { rate: 10, order: 'live_first' } })
  await commit(at, store, 1_000, 20)
  await eventually('the new ones', () => values(at.output).includes(1_019))
  await eventually('their acknowledgement', () => at.outbox.marks.ahead?.entries === 20)
  await eventually('the count', () => !at.outbox.space.counting)
  const first = values(at.output)
  t.match(at.outbox.status(), { replaying: true, unsentEntries: 1_020 - first.length })
  await at.outbox.stop()
  t.match(storedAhead(store), { from: 1_001, through: 1_020, entries: 20 })

  const again = await rig(store.afterPowerCut(), { replay: { rate: 1e6, order: 'in_order' } })
  await eventually('the rest', () => again.outbox.status().unsentEntries === 0)
  t.same([...new Set([...first, ...values(again.output)])].length, 1_020)
  t.equal(first.length + values(again.output).length, 1_020, 'each once')
  await eventually('one place again', () => again.outbox.marks.ahead === undefined)
  await again.outbox.stop()
})

void t.test(
  'what went ahead counts as room until what waited is sent; then all of it may be deleted',
  async (t) => {
    const store = bridgeStore()
    await fill(store, 1, numbered(300))
    const output = new FakeOutput()
    output.auto = false
    const at = await rig(store, {
      replay: { rate: 1e6, order: 'live_first' },
      output,
      keepSentMs: 0,
      windowMessages: 50,
    })
    await eventually('the count', () => at.outbox.space.unsent.entries === 300)
    // The window is full of what waited: the newest comes as soon as there is room.
    await commit(at, store, 300, 40)
    output.acknowledge(50)
    await eventually('the newest', () => values(output).includes(339))
    t.ok(values(output).length < 340)
    await eventually('acknowledged', () => {
      output.acknowledge(1)
      return at.outbox.marks.ahead?.entries === 40
    })
    t.ok(at.outbox.space.unsent.entries > 40, 'on the disk they are')
    t.equal(at.outbox.space.sent.entries + at.outbox.space.unsent.entries, 340 - deleted(store))
    output.auto = true
    output.acknowledge(1_000)
    await eventually('all of it deleted', () => at.outbox.space.bytes === 0)
    t.match(at.outbox.space, { unsent: { entries: 0, bytes: 0 }, sent: { entries: 0, bytes: 0 } })
    t.equal(deleted(store), 340)
    await at.outbox.stop()

    function deleted(from: Store): number {
      return 340 - [...from.range('outbox')].length
    }
  },
)

void t.test('whatever the broker does, nothing is lost, and new and old keep their order each', async (t) => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('ack' as const), n: fc.integer({ min: 1, max: 60 }) }),
    fc.record({
      n: fc.constant(0),
      do: fc.constantFrom('last' as const, 'down' as const, 'up' as const, 'restart' as const),
    }),
    fc.record({ do: fc.constant('commit' as const), n: fc.constantFrom(1, 3) }),
    fc.record({ do: fc.constant('outage' as const), n: fc.constantFrom(3, 120) }),
  )
  const replay: Replay = { rate: 1e6, order: 'live_first' }
  let ahead = 0
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      let store = bridgeStore()
      let at = await rig(store, { windowMessages: 40, replay })
      at.output.auto = false
      const seen: { value: number; historical: boolean }[] = []
      let committed = 0
      const restart = async (): Promise<void> => {
        seen.push(...told(at.output))
        at.output.down()
        await at.outbox.stop()
        store = store.afterPowerCut()
        const output = new FakeOutput()
        output.auto = false
        at = await rig(store, { windowMessages: 40, replay, output })
      }
      for (const one of steps) {
        if (one.do === 'ack') at.output.acknowledge(one.n)
        else if (one.do === 'last') at.output.acknowledgeLast()
        else if (one.do === 'down') at.output.down()
        else if (one.do === 'up') at.output.up()
        else if (one.do === 'restart') await restart()
        else {
          if (one.do === 'outage') at.output.down()
          await commit(at, store, committed, one.n)
          committed += one.n
          if (one.do === 'outage') at.output.up()
        }
        await new Promise((resolve) => setImmediate(resolve))
        if (at.outbox.marks.ahead) ahead += 1
      }
      await restart()
      at.output.auto = true
      at.output.acknowledge(1_000)
      await eventually('everything', () => at.outbox.status().unsentEntries === 0 && !at.outbox.marks.ahead)
      seen.push(...told(at.output))
      await at.outbox.stop()
      t.equal(Math.max(0, storedThrough(store)), lastOutboxSequence(store))
      const known = new Set<number>()
      const firsts = seen.filter(({ value }) => !known.has(value) && known.add(value))
      t.equal(firsts.length, committed)
      for (const kind of [true, false]) {
        const of = firsts.filter(({ historical }) => historical === kind).map(({ value }) => value)
        t.same(
          of,
          of.toSorted((one, other) => one - other),
          `historical ${kind}`,
        )
      }
    }),
    { numRuns: 150 },
  )
  t.ok(ahead > 50, `${ahead} steps with something ahead`)
})
