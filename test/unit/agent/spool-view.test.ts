import t from 'tap'
import { SpoolView, type ViewPlace } from '../../../agent/src/spool/view.js'
import { openRig, SpoolRig } from './spool-rig.js'

const values = (view: SpoolView, until?: ViewPlace, page = 10): number[] => {
  const found: number[] = []
  let after: ViewPlace | undefined
  for (let turns = 0; turns < 1_000; turns++) {
    const { readings, next } = view.page(after, page, until)
    found.push(...readings.map(({ reading }) => reading.value as number))
    if (!next) return found
    after = next
  }
  throw new Error('the pages have no end')
}

const counts = (count: number, from = 0): number[] => Array.from({ length: count }, (_, i) => from + i)

async function filled(): Promise<SpoolRig> {
  const rig = await openRig({ maxReadings: 10 })
  rig.feed(35)
  await rig.timers.turn(200)
  return rig
}

void t.test(
  'every reading that is held is on exactly one page, in order, whatever the size of a page',
  async (t) => {
    const rig = await filled()
    await rig.powerCut()
    rig.feed(27)
    await rig.timers.turn(200)
    const view = new SpoolView(rig.store)
    for (const page of [1, 7, 10, 11, 62, 1_000])
      t.same(values(view, undefined, page), counts(62), `pages of ${page}`)
  },
)

void t.test(
  'a reading of a closed batch has the id it is published with, one of the open batch has none',
  async (t) => {
    const rig = await filled()
    const { readings } = new SpoolView(rig.store).page(undefined, 1_000)
    const stream = rig.closed[0]!.id
    t.equal(readings[0]?.id, `${stream}-0-0`)
    t.equal(readings[29]?.id, `${stream}-2-9`)
    t.same(
      readings.slice(30).map(({ id }) => id),
      Array(5).fill(undefined),
    )
  },
)

void t.test(
  'an end that was noted leaves out what came later, and keeps what was being filled',
  async (t) => {
    const rig = await filled()
    const view = new SpoolView(rig.store)
    const end = view.end()
    rig.feed(40)
    await rig.timers.turn(200)
    const found = values(view, end)
    t.same(found.slice(0, 35), counts(35))
    t.ok(found.length < 75, `${found.length} of 75`)
    t.same(values(view), counts(75))
  },
)

void t.test('the numbers add up while readings come, are acknowledged and dropped', async (t) => {
  const rig = await openRig({ maxReadings: 10, limits: { maxBytes: 6_000 } })
  t.same((await new SpoolView(rig.store).stats()).readings, 0)
  for (let i = 0; i < 40; i++) {
    rig.feed(20)
    await rig.timers.turn(150)
  }
  const { stream, number } = rig.closed.at(-1)!
  rig.spool.ack([{ stream, through: 0, ranges: [{ from: number, to: number + 1 }] }], 0)
  await rig.timers.turn(200)
  const stats = await new SpoolView(rig.store).stats()
  t.equal(stats.accepted, 800)
  t.equal(stats.acknowledged, 10)
  t.ok(stats.dropped > 0)
  t.equal(stats.readings, 800 - 10 - stats.dropped)
  t.equal(values(new SpoolView(rig.store)).length, stats.readings)
  t.equal(stats.gapCount, 1)
  t.match(stats.gaps[0], { start: 1, cause: 'full', readings: stats.dropped })
  t.ok(stats.oldest!.wallMs < stats.newest!.wallMs)
})

void t.test('looking at a spool changes nothing in it', async (t) => {
  const rig = await filled()
  const before = [...rig.store.range('chunks'), ...rig.store.range('batches'), ...rig.store.range('streams')]
  const view = new SpoolView(rig.store)
  await view.stats()
  values(view)
  t.same([...rig.store.range('chunks'), ...rig.store.range('batches'), ...rig.store.range('streams')], before)
})

void t.test('a batch that does not read is counted, and the others are there', async (t) => {
  const rig = await filled()
  const { stream, record } = rig.closed[1]!
  const key = new Uint8Array([...stream, 0, 0, 0, record.firstChunk])
  await rig.store.commit([{ table: 'chunks', key, value: Uint8Array.of(1, 2, 3) }])
  const page = new SpoolView(rig.store).page(undefined, 1_000)
  t.equal(page.unreadable, 1)
  t.equal(page.readings.length, 25)
})

void t.test('an earlier spool that was lost is named until the gateway knows', async (t) => {
  const rig = await filled()
  const fresh = new SpoolRig()
  fresh.mark = rig.mark
  await fresh.open()
  t.equal((await new SpoolView(fresh.store).stats()).earlierSpoolLost, true)
  fresh.spool.ack([], fresh.mark!.lostBefore)
  await fresh.timers.turn(200)
  t.equal((await new SpoolView(fresh.store).stats()).earlierSpoolLost, false)
})
