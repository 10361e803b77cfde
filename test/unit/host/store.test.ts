import { join } from 'node:path'
import fc from 'fast-check'
import t from 'tap'
import type { Test } from 'tap'
import { openStore } from '@fieldwhisper/host'
import type { RangeOptions, Store, Write } from '@fieldwhisper/host'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import { bytes, folder, key, listen } from './support.js'

// Both stores keep the same promises; each test runs on both.

const TABLES = ['spool', 'marks']
type Open = (maxBytes?: number) => Promise<Store>

function onBoth(name: string, test: (t: Test, open: Open) => Promise<void>): void {
  void t.test(`memory store: ${name}`, (t) =>
    test(t, async (maxBytes) =>
      createMemoryStore({ tables: TABLES, ...(maxBytes !== undefined && { maxBytes }) }),
    ),
  )
  void t.test(`durable store: ${name}`, (t) =>
    test(t, async (maxBytes) => {
      const dir = join(folder(t), 'store')
      const store = await openStore({
        dir,
        tables: TABLES,
        reporter: listen(),
        ...(maxBytes !== undefined && { maxBytes }),
      })
      t.teardown(() => store.close())
      return store
    }),
  )
}

const put = (table: string, at: Uint8Array, ...value: number[]): Write => ({
  table,
  key: at,
  value: bytes(...value),
})

onBoth('what was committed is read back, over all tables at once', async (t, open) => {
  const store = await open()
  await store.commit([put('spool', key(1), 7, 8), put('marks', key(1), 9)])
  t.same([...store.get('spool', key(1))!], [7, 8])
  t.same([...store.get('marks', key(1))!], [9])
  t.equal(store.get('marks', key(2)), undefined)
})

onBoth('an empty value is a value, and null deletes', async (t, open) => {
  const store = await open()
  await store.commit([put('spool', key(1))])
  t.equal(store.get('spool', key(1))?.length, 0)
  await store.commit([{ table: 'spool', key: key(1), value: null }])
  t.equal(store.get('spool', key(1)), undefined)
  t.equal(store.bytesUsed(), 0)
})

onBoth('ranges run in byte order both ways, from inclusive, to exclusive', async (t, open) => {
  const store = await open()
  const keys = [[0], [0, 0], [0, 255], [1], [127], [128], [255], [255, 255]]
  await store.commit([...keys].reverse().map((k) => put('spool', bytes(...k), ...k)))
  const walk = (options?: RangeOptions) => [...store.range('spool', options)].map((entry) => [...entry.key])
  t.strictSame(walk(), keys)
  t.strictSame(walk({ reverse: true }), [...keys].reverse())
  t.strictSame(walk({ from: bytes(1), to: bytes(255) }), [[1], [127], [128]])
  t.strictSame(walk({ from: bytes(1), to: bytes(255), reverse: true }), [[128], [127], [1]])
  t.strictSame(walk({ from: bytes(2), to: bytes(200), reverse: true, limit: 1 }), [[128]])
  t.strictSame(walk({ from: bytes(200), to: bytes(2) }), [])
  t.strictSame(walk({ limit: 0 }), [])
  t.strictSame(walk({ from: bytes(), to: bytes(0, 255) }), [[0], [0, 0]])
})

onBoth('a range goes on while its reader writes and deletes', async (t, open) => {
  const store = await open()
  await store.commit(Array.from({ length: 1_000 }, (_, i) => put('spool', key(i * 2), i & 255)))
  const seen: number[] = []
  for (const entry of store.range('spool')) {
    const number = Number(Buffer.from(entry.key).readBigUInt64BE())
    seen.push(number)
    if (number % 100 === 0) await store.commit([{ table: 'spool', key: entry.key, value: null }])
    if (number === 1_000) await store.commit([put('spool', key(1_999), 1)])
  }
  t.equal(seen.length, 1_001)
  t.equal(seen.at(-1), 1_999)
  t.equal(seen.indexOf(1_999), 1_000)
})

onBoth('a commit takes the bytes as they were when it was called', async (t, open) => {
  const store = await open()
  const at = key(1)
  const value = bytes(1)
  const done = store.commit([{ table: 'spool', key: at, value }])
  at.fill(9)
  value.fill(9)
  await done
  t.same([...store.get('spool', key(1))!], [1])
})

onBoth('commits take effect in the order of the calls', async (t, open) => {
  const store = await open()
  const order: number[] = []
  const all = Array.from({ length: 200 }, (_, i) =>
    store.commit([put('marks', key(0), i)]).then(() => order.push(i)),
  )
  await Promise.all(all)
  t.strictSame(
    order,
    Array.from({ length: 200 }, (_, i) => i),
  )
  t.same([...store.get('marks', key(0))!], [199])
})

onBoth('beyond the limit a growing commit is refused whole, a shrinking one is not', async (t, open) => {
  const store = await open(1_000)
  await store.commit([{ table: 'spool', key: key(1), value: new Uint8Array(900) }])
  const used = store.bytesUsed()
  t.equal(used, 8 + 900 + 5)
  await t.rejects(
    store.commit([put('marks', key(1), 1), { table: 'spool', key: key(2), value: new Uint8Array(90) }]),
    {
      name: 'HostError',
      code: 'FW_STORE_FULL',
    },
  )
  t.equal(store.get('marks', key(1)), undefined)
  t.equal(store.bytesUsed(), used)
  await store.commit([{ table: 'spool', key: key(1), value: new Uint8Array(899) }])
  await store.commit([put('marks', key(1), 1)])
  t.equal(store.bytesUsed(), used - 1 + 8 + 1 + 5)
})

onBoth('a commit exactly at the limit is taken', async (t, open) => {
  const store = await open(100)
  await store.commit([{ table: 'spool', key: key(1), value: new Uint8Array(87) }])
  t.equal(store.bytesUsed(), 100)
})

onBoth('misuse is refused with a code and writes nothing', async (t, open) => {
  const store = await open()
  const misused = { name: 'HostError', code: 'FW_STORE_MISUSED' }
  const good = put('spool', key(1), 1)
  await t.rejects(store.commit([good, put('unknown', key(1), 1)]), misused)
  await t.rejects(store.commit([good, put('spool', bytes(), 1)]), misused)
  await t.rejects(store.commit([good, put('spool', new Uint8Array(512), 1)]), misused)
  await t.rejects(store.commit([good, put('quarantine', key(1), 1)]), misused)
  t.throws(() => store.get('unknown', key(1)), misused)
  t.equal(store.get('spool', key(1)), undefined)
  await store.commit([put('spool', new Uint8Array(511).fill(1), 1)])
})

onBoth('a closed store refuses, after the waiting commits are settled', async (t, open) => {
  const store = await open()
  const waiting = store.commit([put('spool', key(1), 1)])
  const closed = store.close()
  const closedCode = { name: 'HostError', code: 'FW_STORE_CLOSED' }
  await t.rejects(store.commit([put('spool', key(2), 1)]), closedCode)
  await waiting
  await closed
  t.throws(() => store.get('spool', key(1)), closedCode)
  t.throws(() => [...store.range('spool')], closedCode)
})

onBoth('any series of commits leaves what a plain map would hold', async (t, open) => {
  const store = await open()
  const write = fc.record({
    table: fc.constantFrom(...TABLES),
    key: fc.uint8Array({ minLength: 1, maxLength: 2, max: 3 }),
    value: fc.option(fc.uint8Array({ maxLength: 20 })),
  })
  const model = new Map<string, number[]>()
  const idOf = (table: string, at: Uint8Array) => `${table} ${Buffer.from(at).toString('hex')}`
  await fc.assert(
    fc.asyncProperty(fc.array(fc.array(write, { maxLength: 5 }), { maxLength: 5 }), async (commits) => {
      await Promise.all(commits.map((writes) => store.commit(writes)))
      for (const { table, key: at, value } of commits.flat()) {
        if (value === null) model.delete(idOf(table, at))
        else model.set(idOf(table, at), [...value])
      }
      let used = 0
      const found = TABLES.flatMap((table) =>
        [...store.range(table)].map((entry) => {
          used += entry.key.length + entry.value.length + 5
          return [idOf(table, entry.key), [...entry.value]] as const
        }),
      )
      t.strictSame(
        new Map(found),
        model.size === 0 ? new Map() : new Map(found.map(([id]) => [id, model.get(id)])),
      )
      return found.length === model.size && used === store.bytesUsed()
    }),
    { numRuns: 60 },
  )
})

void t.test('memory store: a power cut loses what was not flushed, and only that', async (t) => {
  let letGo = (): void => undefined
  const store = createMemoryStore({
    tables: TABLES,
    flush: (writes) =>
      writes[0]!.key[7] === 2 ? new Promise((resolve) => (letGo = resolve)) : Promise.resolve(),
  })
  await store.commit([put('spool', key(1), 1)])
  const second = store.commit([put('spool', key(2), 2)])
  await Promise.resolve()
  const restarted = store.afterPowerCut()
  t.same([...restarted.get('spool', key(1))!], [1])
  t.equal(restarted.get('spool', key(2)), undefined)
  t.equal(restarted.bytesUsed(), 14)
  letGo()
  await second
  t.same([...store.get('spool', key(2))!], [2])
  t.equal(restarted.get('spool', key(2)), undefined)
})
