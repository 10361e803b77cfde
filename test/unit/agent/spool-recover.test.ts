import { HostError, type Store } from '@fieldwhisper/host'
import { encodeCbor } from '@fieldwhisper/protocol'
import t from 'tap'
import { META, SPOOL_TABLES, TABLE } from '../../../agent/src/spool/index.js'
import { openRig, SpoolRig } from './spool-rig.js'

/*
 * What a start makes of a spool in which something is damaged, or that has no room.
 */

/** Two streams of dead processes, with batches of three readings and some readings in no batch yet. */
async function usedRig(): Promise<SpoolRig> {
  const rig = await openRig({ maxReadings: 3 })
  for (let process = 0; process < 2; process++) {
    for (let commit = 0; commit < 3; commit++) {
      rig.feed(2)
      await rig.timers.turn(150)
    }
    if (process === 0) await rig.powerCut()
  }
  return rig
}

const READINGS = 12

/** Acknowledges whatever is said to the gateway, as one would that receives everything. */
async function drain(rig: SpoolRig): Promise<number[]> {
  const values: number[] = []
  await rig.timers.turn(1_500)
  for (let round = 0; round < 20 && rig.spool.hasHeld; round++) {
    for (const batch of rig.spool.behind()) {
      const read = rig.valuesOf(batch)
      // What does not read is not sent.
      if (read.length === 0) continue
      values.push(...read)
      rig.spool.ack(
        [{ stream: batch.stream, through: 0, ranges: [{ from: batch.number, to: batch.number + 1 }] }],
        0,
      )
    }
    await rig.timers.turn(500)
  }
  return values
}

const damages: Readonly<Record<string, (value: Uint8Array) => Uint8Array | null>> = {
  'is gone': () => null,
  'is empty': () => new Uint8Array(0),
  'holds rubbish': () => Uint8Array.of(0xff, 0x00, 0x13),
  'holds something else': () => encodeCbor(['no', 'such', 'record']),
  'is cut off': (value) => value.slice(0, value.length >> 1),
}

for (const [what, damage] of Object.entries(damages)) {
  void t.test(`where any one record of the spool ${what}, the agent starts and drains`, async (t) => {
    const untouched = await usedRig()
    const records = SPOOL_TABLES.flatMap((table) =>
      [...untouched.store.range(table)].map(({ key }) => ({ table, key })),
    )
    t.ok(records.length > 12)
    for (const { table, key } of records) {
      const rig = await usedRig()
      const value = rig.store.get(table, key)!
      await rig.store.commit([{ table, key, value: damage(value) }])
      await rig.powerCut()
      const name = `${table} ${Buffer.from(key).toString('hex')}`
      const before = rig.spool.counters
      t.equal(before.accepted, before.acked + before.dropped + before.held, name)
      const [freshFrom] = rig.append(1)
      const values = await drain(rig)
      await freshFrom
      t.same(
        [...new Set(values)].sort((a, b) => a - b),
        values.sort((a, b) => a - b),
        `${name}: nothing twice`,
      )
      const lost = READINGS + 1 - values.length
      t.ok(values.includes(READINGS), `${name}: new readings are taken`)
      t.ok(lost <= (table === TABLE.meta ? 0 : 6), `${name}: ${lost} lost`)
      t.match(rig.spool.counters, { held: 0, dropped: lost }, name)
      if (lost > 0) t.match(rig.codes().join(' '), /FW_SPOOL_READINGS_LOST|FW_SPOOL_BATCH_CORRUPT/, name)
      t.notOk(rig.codes().includes('FW_SPOOL_LOST'), `${name}: the spool is not called lost`)
    }
  })
}

void t.test('streams, mark and counters that do not read are said, and made from the others', async (t) => {
  for (const [table, key] of [
    [TABLE.meta, META.mark],
    [TABLE.meta, META.counters],
    [TABLE.streams, undefined],
  ] as const) {
    const rig = await usedRig()
    const at = key ?? [...rig.store.range(table)][0]!.key
    await rig.store.commit([{ table, key: at, value: Uint8Array.of(0xff) }])
    await rig.powerCut()
    t.ok(rig.codes().includes('FW_SPOOL_RECORD_CORRUPT'))
    const starts = rig.spool.streams().map(({ stream }) => stream[3])
    rig.feed()
    await rig.timers.turn(1_500)
    const later = rig.spool.streams().map(({ stream }) => stream[3])
    t.same(later, [...starts, 3], 'no start number is used twice')
  }
})

/** A store on a disk that others filled: it takes nothing that grows. */
function fullStore(store: Store, isFull: () => boolean): Store {
  return {
    get: (table, key) => store.get(table, key),
    range: (table, options) => store.range(table, options),
    commit: (writes) =>
      isFull() && writes.some(({ value }) => value !== null)
        ? Promise.reject(new HostError('FW_STORE_FULL', 'no room'))
        : store.commit(writes),
    bytesUsed: () => store.bytesUsed(),
    close: () => store.close(),
  }
}

void t.test(
  'a start on a full disk goes on, and what it could not batch is sent when there is room',
  async (t) => {
    const used = await usedRig()
    let full = true
    used.timers.clear()
    const rig = new SpoolRig({ maxReadings: 3, store: fullStore(used.store, () => full) })
    rig.mark = used.mark
    await rig.open()
    t.ok(rig.codes().includes('FW_SPOOL_FULL'))
    t.match(rig.spool.counters, { accepted: READINGS, held: READINGS, dropped: 0 })
    const before = rig.values().length
    t.ok(before < READINGS, 'some are in no batch')
    await rig.timers.turn(20_000)
    t.equal(rig.values().length, before)
    full = false
    const closed = rig.closed.length
    await rig.timers.turn(20_000)
    t.ok(rig.closed.length > closed, 'the core hears of them')
    t.same(
      (await drain(rig)).sort((a, b) => a - b),
      Array.from({ length: READINGS }, (_, i) => i),
    )
    t.match(rig.spool.counters, { accepted: READINGS, acked: READINGS, held: 0, dropped: 0 })
    t.ok(rig.spool.streams().every(({ closed }) => closed))
  },
)

void t.test('a disk that fails for good still ends the start', async (t) => {
  const used = await usedRig()
  const broken: Store = {
    ...fullStore(used.store, () => false),
    commit: () => Promise.reject(new HostError('FW_STORE_FAILED', 'gone')),
  }
  await t.rejects(new SpoolRig({ store: broken }).open(), { code: 'FW_STORE_FAILED' })
})
