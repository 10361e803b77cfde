import { createMemoryStore } from '@fieldwhisper/host/testing'
import { MAX_BATCH_BYTES, readU32, type Reading } from '@fieldwhisper/protocol'
import t from 'tap'
import { freezeGap, withDropped, withRefused } from '../../../agent/src/spool/gaps.js'
import { SPOOL_TABLES } from '../../../agent/src/spool/index.js'
import { openRig, pause, SpoolRig } from './spool-rig.js'

void t.test('append returns when the reading is on disk, at most 100 ms later', async (t) => {
  const rig = await openRig()
  let done = false
  void rig.append()[0]!.then(() => (done = true))
  await rig.timers.turn(99)
  t.equal(done, false)
  await rig.timers.turn(1)
  t.equal(done, true)
  await rig.powerCut()
  t.same(rig.values(), [0])
})

void t.test('readings that come together are one write', async (t) => {
  let commits = 0
  const store = createMemoryStore({ tables: SPOOL_TABLES, flush: async () => void commits++ })
  const rig = await openRig({ store })
  commits = 0
  rig.feed(500)
  await rig.timers.turn(100)
  t.equal(commits, 1)
  t.equal(rig.spool.counters.accepted, 500)
})

void t.test('a batch is closed when its time is over, on disk before anybody hears of it', async (t) => {
  const rig = await openRig({ intervalMs: 1_000 })
  rig.feed(3)
  await rig.timers.turn(999)
  t.equal(rig.closed.length, 0)
  await rig.timers.turn(200)
  t.equal(rig.closed.length, 1)
  t.same(rig.values(), [0, 1, 2])
  const before = [...rig.spool.behind()].map((batch) => rig.spool.encoded(batch))
  await rig.powerCut()
  t.same(
    [...rig.spool.behind()].map((batch) => rig.spool.encoded(batch)),
    before,
  )
})

void t.test('the time of a batch begins with the hand-over of its first reading', async (t) => {
  const rig = await openRig({ intervalMs: 20 })
  const closedAt: number[] = []
  rig.spool.handlers = { ...rig.spool.handlers, closed: () => void closedAt.push(rig.timers.now) }
  const begin = rig.timers.now
  for (let ms = 0; ms < 100; ms += 5) {
    rig.feed()
    await rig.timers.turn(5)
  }
  t.same(
    closedAt.slice(0, 3).map((at) => at - begin),
    [20, 40, 60],
  )
})

void t.test('a batch is closed by size and by number of readings', async (t) => {
  const rig = await openRig({ maxReadings: 10 })
  rig.feed(25)
  await rig.timers.turn(100)
  t.same(
    rig.closed.map(({ record }) => record.readings),
    [10, 10],
  )
  const big = await openRig()
  const text = (n: number): Reading => ({ ...big.reading(), name: `text ${n}`, value: 'x'.repeat(5_000) })
  for (let i = 0; i < 5; i++) void big.spool.append(text(i))
  await big.timers.turn(100)
  t.same(
    big.closed.map(({ record }) => record.readings),
    [2, 2],
  )
  for (const batch of big.spool.behind()) t.ok(big.spool.encoded(batch)!.length <= MAX_BATCH_BYTES)
})

void t.test('a reading that no batch can hold is refused and not counted', async (t) => {
  const rig = await openRig()
  const tooLarge = { ...rig.reading(), value: 'x'.repeat(9_000) }
  await t.rejects(rig.spool.append(tooLarge), { code: 'FW_READING_INVALID' })
  await t.rejects(rig.spool.append({ ...rig.reading(), value: NaN }), { code: 'FW_READING_INVALID' })
  t.equal(rig.spool.counters.accepted, 0)
})

void t.test(
  'what a dead process left unbatched becomes the last batch of its stream, which is closed',
  async (t) => {
    const rig = await openRig()
    rig.feed(2)
    await rig.timers.turn(1_200)
    rig.feed(3)
    await rig.timers.turn(150)
    await rig.powerCut()
    const held = [...rig.spool.behind()]
    t.same(
      held.map(({ number, record }) => [number, record.readings]),
      [
        [0, 2],
        [1, 3],
      ],
    )
    t.same(rig.values(), [0, 1, 2, 3, 4])
    t.match([...rig.spool.streams()], [{ floor: 0, end: 2, closed: true }])
  },
)

void t.test('every process start has a stream of its own with the next start number', async (t) => {
  const rig = await openRig()
  for (let i = 0; i < 3; i++) {
    rig.feed()
    await rig.timers.turn(1_200)
    await rig.powerCut()
  }
  t.same(
    [...rig.spool.streams()].map(({ stream }) => readU32(stream, 0)),
    [1, 2, 3],
  )
  await rig.powerCut()
  t.equal([...rig.spool.streams()].length, 3, 'a start without readings makes no stream')
})

void t.test('an acknowledgement frees, at once for the reader and soon on disk', async (t) => {
  const rig = await openRig({ maxReadings: 1 })
  rig.feed(5)
  await rig.timers.turn(1_200)
  const { stream, id } = rig.closed[0]!
  rig.spool.ack([{ stream, through: 2, ranges: [{ from: 3, to: 4 }] }], 0)
  t.same(rig.values(), [2, 4])
  t.match(rig.spool.stream(id), { floor: 2, end: 5 })
  await rig.timers.turn(200)
  t.match(rig.spool.counters, { accepted: 5, acked: 3, held: 2, dropped: 0 })
  await rig.powerCut()
  t.same(rig.values(), [2, 4])
  t.match(rig.spool.counters, { accepted: 5, acked: 3, held: 2, dropped: 0 })
  t.match(rig.spool.stream(id), { floor: 2, end: 5 })
})

void t.test('an acknowledgement of numbers that were never assigned frees nothing', async (t) => {
  const rig = await openRig()
  rig.feed()
  await rig.timers.turn(1_200)
  const { stream } = rig.closed[0]!
  rig.spool.ack([{ stream: new Uint8Array(12), through: 9, ranges: [] }], 0)
  rig.spool.ack([{ stream, through: 0, ranges: [{ from: 5, to: 9 }] }], 0)
  rig.feed()
  await rig.timers.turn(1_200)
  t.same(rig.values(), [0, 1])
})

void t.test('ten thousand acknowledged batches leave the store in pages', async (t) => {
  const rig = await openRig({ maxReadings: 1 })
  for (let i = 0; i < 5; i++) {
    rig.feed(2_000)
    await rig.timers.turn(200)
  }
  const { stream } = rig.closed[0]!
  rig.spool.ack([{ stream, through: 10_000, ranges: [] }], 0)
  t.same(rig.values(), [9_999].slice(1))
  await rig.timers.turn(5_000)
  t.match(rig.spool.counters, { accepted: 10_000, acked: 9_999 })
  rig.spool.ack([{ stream, through: 10_000, ranges: [] }], 0)
  await rig.timers.turn(2_000)
  t.match(rig.spool.counters, { accepted: 10_000, held: 10_000 - rig.spool.counters.acked })
})

void t.test(
  'full with drop_oldest: the oldest give way, are counted, said and in the gap until it is acknowledged',
  async (t) => {
    const rig = await openRig({ maxReadings: 10, limits: { maxBytes: 40_000 } })
    for (let i = 0; i < 100; i++) {
      rig.feed(50)
      await rig.timers.turn(100)
    }
    const { accepted, dropped, held, bytes } = rig.spool.counters
    t.equal(accepted, 5_000)
    t.ok(dropped > 0 && held > 0)
    t.equal(accepted, dropped + held)
    t.ok(bytes <= 40_000, `${bytes} bytes used`)
    t.ok(rig.codes().includes('FW_SPOOL_FULL'))
    t.ok(rig.dropped.length > 0)
    const values = rig.values()
    t.equal(values[0], dropped, 'the oldest that is left follows the last that was dropped')
    rig.spool.gaps(4)
    await rig.timers.turn(200)
    const [gap] = rig.spool.gaps(4)
    t.match(gap, { kind: 'gap', cause: 'full', readings: dropped })
    const state = [...rig.spool.streams()][0]!
    t.equal(state.floor, 0, 'what is dropped is not below the floor before the gateway knows')
    rig.spool.ack([{ stream: state.stream, through: dropped / 10, ranges: [] }], 0)
    await rig.timers.turn(200)
    t.same(rig.spool.gaps(4), [])
    t.equal([...rig.spool.streams()][0]!.floor, dropped / 10)
  },
)

void t.test('what is dropped after a gap was said comes in a gap of its own', async (t) => {
  const rig = await openRig({ maxReadings: 1, limits: { maxAgeMs: 1_000 } })
  rig.feed(2)
  await rig.timers.turn(1_200)
  rig.runningMs = 5_000
  await rig.timers.turn(5_100)
  rig.spool.gaps(4)
  await rig.timers.turn(200)
  t.match(rig.spool.gaps(4), [{ cause: 'age', readings: 2, what: { ranges: [{ from: 0, to: 2 }] } }])
  rig.feed()
  await rig.timers.turn(1_200)
  rig.runningMs = 10_000
  await rig.timers.turn(5_100)
  t.match(rig.spool.gaps(4), [{ readings: 2 }])
  const { stream } = [...rig.spool.streams()][0]!
  rig.spool.ack([{ stream, through: 2, ranges: [] }], 0)
  await rig.timers.turn(200)
  rig.spool.gaps(4)
  await rig.timers.turn(200)
  t.match(rig.spool.gaps(4), [{ readings: 1, what: { ranges: [{ from: 2, to: 3 }] } }])
  t.ok(rig.codes().includes('FW_SPOOL_AGED'))
  await rig.powerCut()
  t.match(rig.spool.gaps(4), [{ readings: 1, what: { ranges: [{ from: 2, to: 3 }] } }])
})

void t.test('full with drop_newest: append rejects, and the loss has a number in the stream', async (t) => {
  const rig = await openRig({ maxReadings: 10, limits: { maxBytes: 20_000, onFull: 'drop_newest' } })
  let refused = 0
  for (let i = 0; i < 30; i++) {
    for (const appended of rig.append(50))
      appended.catch((error) => (refused += error.code === 'FW_SPOOL_FULL' ? 1 : 0))
    await rig.timers.turn(100)
  }
  await rig.timers.turn(2_000)
  const { accepted, dropped, held } = rig.spool.counters
  t.ok(refused > 0)
  t.equal(accepted, 1_500)
  t.equal(dropped, refused)
  t.equal(held, 1_500 - refused)
  t.equal(rig.values().at(-1), held - 1, 'the oldest are kept')
  rig.spool.gaps(4)
  await rig.timers.turn(200)
  t.match(rig.spool.gaps(4), [{ cause: 'full', readings: refused }])
})

void t.test('full with block: append waits until an acknowledgement makes room', async (t) => {
  const rig = await openRig({ maxReadings: 10, limits: { maxBytes: 20_000, onFull: 'block' } })
  let done = 0
  for (let i = 0; i < 30; i++) {
    for (const appended of rig.append(50)) void appended.then(() => done++)
    await rig.timers.turn(100)
  }
  await rig.timers.turn(3_000)
  t.ok(done > 0 && done < 1_500)
  const waiting = done
  const { stream } = rig.closed[0]!
  rig.spool.ack([{ stream, through: 20, ranges: [] }], 0)
  await rig.timers.turn(5_000)
  t.ok(done > waiting)
  t.match(rig.spool.counters, { dropped: 0 })
})

void t.test('a disk with less than min_free_disk left counts as full', async (t) => {
  const rig = await openRig({ maxReadings: 10, limits: { minFreeBytes: 1_000_000 } })
  rig.feed(500)
  await rig.timers.turn(1_200)
  const { bytes } = rig.spool.counters
  rig.freeBytes = 10
  for (let i = 0; i < 20; i++) {
    rig.feed(20)
    await rig.timers.turn(100)
  }
  t.ok(rig.spool.counters.dropped > 0)
  t.ok(rig.spool.counters.bytes <= bytes + 2_000)
})

void t.test('a disk that others fill costs nothing while little is held', async (t) => {
  const rig = await openRig({ maxReadings: 10, limits: { minFreeBytes: 1_000_000, alwaysBytes: 20_000 } })
  rig.freeBytes = 10
  rig.feed(200)
  await rig.timers.turn(1_200)
  t.equal(rig.spool.counters.dropped, 0)
  for (let i = 0; i < 50; i++) {
    rig.feed(200)
    await rig.timers.turn(100)
  }
  t.ok(rig.spool.counters.dropped > 0, 'above it the disk counts as full')
  t.ok(rig.spool.counters.bytes <= 21_000, `${rig.spool.counters.bytes} bytes`)
})

void t.test(
  'a store that has no room left loses nothing that was promised and says what it dropped',
  async (t) => {
    const rig = await openRig({ maxReadings: 10, maxBytes: 60_000 })
    let kept = 0
    let refused = 0
    for (let i = 0; i < 100; i++) {
      for (const appended of rig.append(50)) {
        appended.then(
          () => kept++,
          () => refused++,
        )
      }
      await rig.timers.turn(150)
    }
    await rig.timers.turn(5_000)
    const { accepted, dropped, held } = rig.spool.counters
    t.equal(kept + refused, 5_000)
    t.equal(accepted, dropped + held)
    t.ok(dropped > 0 && held > 0)
  },
)

void t.test('a batch whose part is missing is dropped, counted and said', async (t) => {
  const rig = await openRig({ maxReadings: 2 })
  rig.feed(1)
  await rig.timers.turn(150)
  rig.feed(3)
  await rig.timers.turn(1_200)
  const [first] = rig.closed
  const { key } = [...rig.store.range('chunks')][0]!
  await rig.powerCut()
  await rig.store.commit([{ table: 'chunks', key, value: null }])
  t.equal(rig.spool.encoded(first!), undefined)
  await rig.timers.turn(200)
  t.match(rig.spool.counters, { dropped: 2, held: 2 })
  t.ok(rig.codes().includes('FW_SPOOL_BATCH_CORRUPT'))
  rig.spool.gaps(1)
  await rig.timers.turn(200)
  t.match(rig.spool.gaps(1), [{ cause: 'corrupt', readings: 2, what: { ranges: [{ from: 0, to: 1 }] } }])
})

void t.test(
  'an agent whose spool was set aside goes on with the next start number and says that all before is lost',
  async (t) => {
    const rig = await openRig()
    rig.feed()
    await rig.timers.turn(1_200)
    await rig.spool.close()
    const fresh = new SpoolRig()
    fresh.mark = rig.mark
    await fresh.open()
    t.ok(fresh.codes().includes('FW_SPOOL_LOST'))
    t.same(fresh.spool.gaps(4), [{ kind: 'gap', cause: 'lost', what: { startsBefore: 2 } }])
    fresh.feed()
    await fresh.timers.turn(1_200)
    t.equal(readU32(fresh.closed[0]!.stream, 0), 2)
    await fresh.powerCut()
    t.same(fresh.spool.gaps(4), [{ kind: 'gap', cause: 'lost', what: { startsBefore: 2 } }])
    fresh.spool.ack([], 1)
    t.equal(fresh.spool.gaps(4).length, 1)
    fresh.spool.ack([], 2)
    await fresh.timers.turn(200)
    t.same(fresh.spool.gaps(4), [])
    await fresh.powerCut()
    t.same(fresh.spool.gaps(4), [])
  },
)

void t.test('a mark file that was lost is made again from the spool', async (t) => {
  const rig = await openRig()
  rig.feed()
  await rig.timers.turn(1_200)
  rig.mark = undefined
  await rig.powerCut()
  t.match(rig.mark, { start: 1, lostBefore: 0 })
  t.same(rig.spool.gaps(4), [])
})

void t.test('a closed stream is forgotten when all of it is acknowledged, not before', async (t) => {
  const rig = await openRig()
  rig.feed()
  await rig.timers.turn(1_200)
  const { stream, id } = rig.closed[0]!
  rig.spool.forget(id)
  await rig.powerCut()
  rig.spool.forget(id)
  await rig.timers.turn(200)
  t.ok(rig.spool.stream(id), 'something is held')
  rig.spool.ack([{ stream, through: 1, ranges: [] }], 0)
  await rig.timers.turn(200)
  rig.spool.forget(id)
  await rig.timers.turn(200)
  t.equal(rig.spool.stream(id), undefined)
  await rig.powerCut()
  t.same([...rig.spool.streams()], [])
})

void t.test('the batch interval grows and shrinks while a batch is open', async (t) => {
  const rig = await openRig()
  rig.spool.setBatchInterval(60_000)
  rig.feed()
  await rig.timers.turn(30_000)
  t.equal(rig.closed.length, 0)
  rig.spool.setBatchInterval(1_000)
  await rig.timers.turn(200)
  t.equal(rig.closed.length, 1)
})

void t.test('flush closes the open batch, and after close nothing is taken', async (t) => {
  const rig = await openRig()
  rig.feed(2)
  const flushed = rig.spool.flush()
  await rig.timers.turn(10)
  await flushed
  t.same(rig.values(), [0, 1])
  const closing = rig.spool.close()
  await rig.timers.turn(10)
  await closing
  await t.rejects(rig.spool.append(rig.reading()), { code: 'FW_SPOOL_CLOSED' })
})

void t.test('readings waiting for the disk are bounded', async (t) => {
  const store = createMemoryStore({ tables: SPOOL_TABLES })
  const rig = await openRig({ store })
  const appended = rig.append(16_384)
  await t.rejects(rig.spool.append(rig.reading()), { code: 'FW_SPOOL_BUSY' })
  await rig.timers.turn(2_000)
  await Promise.all(appended)
  t.equal(rig.spool.counters.accepted, 16_384)
  await pause()
})

void t.test('refused readings never share the number of a batch, which may have arrived', (t) => {
  const empty = { stream: new Uint8Array(12), id: '00', end: 5, nextChunk: 9, closed: false }
  const dropped = withDropped(empty, { from: 4, to: 5 }, 3, 'full', () => false)
  const refused = withRefused(dropped, 1, false)
  t.match(refused, { end: 6, gap: { ranges: [{ from: 4, to: 6 }], readings: 4 } })
  t.match(withRefused(refused, 2, true), { end: 6, gap: { ranges: [{ from: 4, to: 6 }], readings: 6 } })
  const said = freezeGap(refused)
  t.match(
    withRefused(said, 1, true),
    { end: 7, gap: { ranges: [{ from: 6, to: 7 }] } },
    'what was said stays',
  )
  t.end()
})
