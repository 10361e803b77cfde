import { execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { open } from 'lmdb'
import t from 'tap'
import { openStore } from '@fieldwhisper/host'
import type { HostError, Store, StoreOptions } from '@fieldwhisper/host'
import { bytes, folder, key, listen, until } from './support.js'

const program = (name: string): string => fileURLToPath(new URL(`programs/${name}.ts`, import.meta.url))
const TABLES = ['spool', 'marks']
const NOON = Date.UTC(2026, 10, 23, 12, 0, 0)

function opener(t: { teardown(fn: () => unknown): void }, dir: string) {
  const reporter = listen()
  const reopen = async (more: Partial<StoreOptions> = {}): Promise<Store> => {
    const store = await openStore({ dir, tables: TABLES, reporter, clock: { wallMs: () => NOON }, ...more })
    t.teardown(() => store.close())
    return store
  }
  return { reporter, reopen }
}

/** Changes what lies on disk behind the store's back. */
async function tamper(dir: string, change: (db: (name: string) => any) => void): Promise<void> {
  const root = open({
    path: dir,
    noSubdir: false,
    encoding: 'binary',
    keyEncoding: 'binary',
    overlappingSync: false,
  })
  root.transactionSync(() => undefined)
  change((name) => (name === '' ? root : root.openDB({ name, encoding: 'binary', keyEncoding: 'binary' })))
  await root.close()
}

void t.test(
  'a page that the engine cannot read while it opens is no newer release: the next start goes on',
  async (t) => {
    const dir = join(folder(t), 'store')
    const { reopen, reporter } = opener(t, dir)
    await (await reopen()).close()
    const refuseNewer = (): void => {
      throw Object.assign(new Error('MDB_CORRUPTED'), { code: -30796 })
    }
    await t.rejects(reopen({ refuseNewer }), { name: 'HostError', code: 'FW_STORE_OPEN_FAILED' })
    const store = await reopen()
    t.strictSame(reporter.codes(), ['FW_STORE_SET_ASIDE'])
    await store.close()
  },
)

void t.test(
  'ten thousand records are there again after reopening, with the same count of bytes',
  async (t) => {
    const dir = join(folder(t), 'store')
    const { reopen, reporter } = opener(t, dir)
    const store = await reopen()
    await Promise.all(
      Array.from({ length: 100 }, (_, group) =>
        store.commit(
          Array.from({ length: 100 }, (_, i) => ({
            table: 'spool',
            key: key(group * 100 + i),
            value: new Uint8Array(50).fill(i),
          })),
        ),
      ),
    )
    const used = store.bytesUsed()
    t.equal(used, 10_000 * (8 + 50 + 5))
    await store.close()
    const again = await reopen()
    t.equal(again.bytesUsed(), used)
    const all = [...again.range('spool')]
    t.equal(all.length, 10_000)
    t.ok(
      all.every(
        (entry, i) => Buffer.from(entry.key).readBigUInt64BE() === BigInt(i) && entry.value[0] === i % 100,
      ),
    )
    t.strictSame(reporter.codes(), [])
  },
)

void t.test('folder and files are readable by their owner only', async (t) => {
  const parent = folder(t)
  const dir = join(parent, 'store')
  mkdirSync(dir, { mode: 0o755 })
  chmodSync(dir, 0o755)
  const { reopen } = opener(t, dir)
  await reopen()
  t.equal(statSync(dir).mode & 0o777, 0o700)
  for (const name of readdirSync(dir)) t.equal(statSync(join(dir, name)).mode & 0o777, 0o600, name)
})

void t.test('commits of one moment share transactions', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen } = opener(t, dir)
  const store = await reopen()
  await Promise.all(
    Array.from({ length: 500 }, (_, i) => store.commit([{ table: 'spool', key: key(i), value: bytes(1) }])),
  )
  await store.close()
  const env = open({ path: dir, noSubdir: false, encoding: 'binary', keyEncoding: 'binary' })
  const { lastTxnId } = env.getStats() as { lastTxnId: number }
  await env.close()
  t.ok(lastTxnId > 0 && lastTxnId < 20, `500 commits took ${lastTxnId} transactions`)
})

void t.test(
  'a record with a flipped bit is reported, set aside and absent; its neighbours live',
  async (t) => {
    const dir = join(folder(t), 'store')
    const { reopen, reporter } = opener(t, dir)
    const store = await reopen()
    await store.commit([1, 2, 3].map((n) => ({ table: 'spool', key: key(n), value: bytes(n, n, n) })))
    await store.close()
    await tamper(dir, (db) => {
      const raw = Buffer.from(db('spool').getBinary(key(2)))
      raw[raw.length - 1]! ^= 0x10
      db('spool').putSync(key(2), raw)
    })
    const again = await reopen()
    t.equal(again.get('spool', key(2)), undefined)
    t.strictSame(
      [...again.range('spool')].map((entry) => entry.value[0]),
      [1, 3],
    )
    t.match(reporter.told, [
      { level: 'error', code: 'FW_STORE_RECORD_CORRUPT', fields: { store: dir, table: 'spool', bytes: 8 } },
    ])
    t.equal(reporter.told.length, 1, 'said once, though it was met twice')
    await until(() => again.bytesUsed() === 2 * 16)
    await again.close()
    await tamper(dir, (db) => {
      const kept = [...db('quarantine').getRange({})]
      t.equal(kept.length, 1)
      t.same(kept[0].value.subarray(0, 6), Buffer.from('\x05spool'))
      t.same(kept[0].value.subarray(6, 16), Buffer.concat([Buffer.from([0, 8]), key(2)]))
      t.equal(db('spool').getBinary(key(2)), undefined)
    })
  },
)

void t.test('a record that lies under another key is not believed', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen, reporter } = opener(t, dir)
  const store = await reopen()
  await store.commit([{ table: 'spool', key: key(1), value: bytes(1) }])
  await store.close()
  await tamper(dir, (db) => db('spool').putSync(key(9), Buffer.from(db('spool').getBinary(key(1)))))
  const again = await reopen()
  t.equal(again.get('spool', key(9)), undefined)
  t.same(again.get('spool', key(1)), bytes(1))
  t.strictSame(reporter.codes(), ['FW_STORE_RECORD_CORRUPT'])
})

void t.test('a good record written over a bad one stays', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen } = opener(t, dir)
  await (await reopen()).close()
  await tamper(dir, (db) => db('spool').putSync(key(1), Buffer.from('garbage')))
  const store = await reopen()
  const written = store.commit([{ table: 'spool', key: key(1), value: bytes(5) }])
  t.equal(store.get('spool', key(1)), undefined)
  await written
  await store.commit([])
  t.same(store.get('spool', key(1)), bytes(5))
  await store.close()
  t.same((await reopen()).get('spool', key(1)), bytes(5))
})

void t.test('the quarantine keeps a thousand records and no more; all bad ones go', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen, reporter } = opener(t, dir)
  await (await reopen()).close()
  await tamper(dir, (db) => {
    for (let i = 0; i < 1_100; i++) db('spool').put(key(i), Buffer.from('garbage'))
  })
  const store = await reopen()
  t.equal([...store.range('spool')].length, 0)
  t.equal(reporter.told.length, 1_100)
  await store.close()
  await tamper(dir, (db) => {
    t.equal(db('quarantine').getCount({}), 1_000)
    t.equal(db('spool').getCount({}), 0)
  })
})

for (const [what, spoil] of [
  ['a garbage file', (file: string) => writeFileSync(file, Buffer.alloc(50_000, 'garbage '))],
  ['a file of zeros', (file: string) => writeFileSync(file, Buffer.alloc(50_000))],
  ['a file of three bytes', (file: string) => truncateSync(file, 3)],
  ['a file that ends inside its first page', (file: string) => truncateSync(file, 100)],
  ['a file cut in the middle', (file: string) => truncateSync(file, (statSync(file).size >> 13) << 12)],
  [
    'a file whose pages behind the first two are garbage',
    (file: string) => {
      const all = readFileSync(file)
      all.fill(0xa5, 8192)
      writeFileSync(file, all)
    },
  ],
  ['a store marked as damaged', (file: string) => writeFileSync(join(file, '..', 'damaged'), '')],
  [
    'a wrong format number',
    (file: string) => {
      const all = readFileSync(file)
      for (const page of [0, 4096]) all.writeUInt32LE(77, page + 28)
      writeFileSync(file, all)
    },
  ],
] as const) {
  void t.test(`${what} is set aside, reported and replaced by an empty store`, async (t) => {
    const parent = folder(t)
    const dir = join(parent, 'store')
    const { reopen, reporter } = opener(t, dir)
    const first = await reopen()
    await first.commit([{ table: 'spool', key: key(1), value: bytes(1) }])
    await first.commit(
      Array.from({ length: 300 }, (_, i) => ({ table: 'marks', key: key(i), value: new Uint8Array(i * 30) })),
    )
    await first.close()
    spoil(join(dir, 'data.mdb'))
    const store = await reopen()
    t.equal(store.get('spool', key(1)), undefined)
    await store.commit([{ table: 'spool', key: key(2), value: bytes(2) }])
    await store.close()
    t.same((await reopen()).get('spool', key(2)), bytes(2))
    const kept = join(parent, 'store.corrupt-20261123T120000Z')
    t.ok(existsSync(join(kept, 'data.mdb')))
    t.match(reporter.told, [{ level: 'error', code: 'FW_STORE_SET_ASIDE', fields: { store: dir, kept } }])
    t.equal(reporter.told.length, 1)
  })
}

void t.test(
  'a file where the folder should be is set aside; a second one of the same second too',
  async (t) => {
    const parent = folder(t)
    const dir = join(parent, 'store')
    const { reopen, reporter } = opener(t, dir)
    writeFileSync(dir, 'one')
    await (await reopen()).close()
    writeFileSync(join(dir, 'damaged'), '')
    await (await reopen()).close()
    t.equal(readFileSync(join(parent, 'store.corrupt-20261123T120000Z'), 'utf8'), 'one')
    t.ok(existsSync(join(parent, 'store.corrupt-20261123T120000Z-1', 'data.mdb')))
    t.strictSame(reporter.codes(), ['FW_STORE_SET_ASIDE', 'FW_STORE_SET_ASIDE'])
  },
)

void t.test('a store of a newer release is refused and left as it is', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen, reporter } = opener(t, dir)
  await (await reopen()).close()
  await tamper(dir, (db) => {
    const at = Buffer.from('\0counters', 'latin1')
    db('').putSync(at, newerCounters(at))
  })
  const before = readFileSync(join(dir, 'data.mdb'))
  await t.rejects(reopen(), { name: 'HostError', code: 'FW_STORE_NEWER' })
  t.ok(readFileSync(join(dir, 'data.mdb')).equals(before))
  t.strictSame(reporter.codes(), [])
})

void t.test('without its counters a store counts anew', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen } = opener(t, dir)
  const store = await reopen()
  await store.commit([1, 2, 3].map((n) => ({ table: 'spool', key: key(n), value: bytes(n) })))
  await store.close()
  await tamper(dir, (db) => db('').putSync(Buffer.from('\0counters', 'latin1'), Buffer.from('garbage')))
  t.equal((await reopen()).bytesUsed(), 3 * 14)
})

void t.test('counters that are cut off, though their checksum holds, are counted anew', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen } = opener(t, dir)
  const store = await reopen()
  await store.commit([{ table: 'spool', key: key(1), value: bytes(1) }])
  await store.close()
  for (const value of [[], [1], [1, 0, 0, 0]]) {
    await tamper(dir, (db) => {
      const at = Buffer.from('\0counters', 'latin1')
      db('').putSync(at, framed(at, Buffer.from(value)))
    })
    const again = await reopen()
    t.equal(again.bytesUsed(), 14)
    await again.close()
  }
})

void t.test('a folder that cannot be made is an error, not a reason to set anything aside', async (t) => {
  const parent = folder(t)
  writeFileSync(join(parent, 'file'), '')
  const { reopen } = opener(t, join(parent, 'file', 'store'))
  await t.rejects(reopen(), { name: 'HostError', code: 'FW_STORE_OPEN_FAILED' })
  t.strictSame(readdirSync(parent), ['file'])
})

void t.test('what was acknowledged survives SIGKILL', async (t) => {
  const dir = join(folder(t), 'store')
  const child = spawn(process.execPath, ['--import=tsx', program('acknowledge'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await until(() => text.length > 2_000, 30_000)
  child.kill('SIGKILL')
  await once(child, 'close')
  const acknowledged = text.split('\n').slice(0, -1).map(Number)
  const { reopen, reporter } = opener(t, dir)
  const store = await reopen()
  t.ok(acknowledged.length > 100)
  t.strictSame(
    acknowledged.filter((number) => store.get('spool', key(number)) === undefined),
    [],
  )
  t.strictSame(reporter.codes(), [])
  const unclosed = (): string => readFileSync(join(dir, 'unclosed'), 'utf8')
  t.equal(unclosed(), '1', 'the start after the kill looked at the file first')
  await store.close()
  await reopen()
  t.equal(unclosed(), '0', 'a start after an orderly end did not')
})

void t.test('a disk that hangs is reported as slow, then ends the store', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen, reporter } = opener(t, dir)
  const fatal: HostError[] = []
  const timing = { slowMs: 50, failedMs: 200, tickMs: 10 }
  const store = await reopen({ timing, onFatal: (error) => fatal.push(error) })
  await store.commit([{ table: 'spool', key: key(1), value: bytes(1) }])
  const child = spawn(process.execPath, ['--import=tsx', program('hold-writer'), dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  const failed = { name: 'HostError', code: 'FW_STORE_FAILED' }
  await t.rejects(store.commit([{ table: 'spool', key: key(2), value: bytes(2) }]), failed)
  await t.rejects(store.commit([{ table: 'spool', key: key(3), value: bytes(3) }]), failed)
  t.match(reporter.told, [
    { level: 'warn', code: 'FW_STORE_SLOW', fields: { store: dir, waited_ms: 50 } },
    { level: 'error', code: 'FW_STORE_FAILED', fields: { store: dir } },
  ])
  t.equal(reporter.told.length, 2)
  t.match(fatal, [failed])
  t.equal(fatal.length, 1)
  t.same(store.get('spool', key(1)), bytes(1), 'what is there can still be read')
  child.kill('SIGKILL')
  await once(child, 'close')
})

const canMount = spawnSync('unshare', ['-rm', 'mount', '-t', 'tmpfs', 'tmpfs', '/mnt']).status === 0
void t.test(
  'a full disk refuses commits whole, leaks no rejection, and the same store goes on when there is room',
  { skip: canMount ? false : 'needs the right to mount a tmpfs in a namespace of its own' },
  async (t) => {
    const place = folder(t)
    const script = `mount -t tmpfs -o size=12m tmpfs "$1" && exec "$2" --import=tsx "$3" "$1"`
    const { stdout, stderr } = await promisify(execFile)(
      'unshare',
      ['-rm', 'sh', '-c', script, 'sh', place, process.execPath, program('full-disk')],
      { timeout: 60_000 },
    )
    t.equal(stderr, '', 'the engine, which would print, never met the full disk itself')
    const result = JSON.parse(stdout) as Record<string, unknown>
    const { stored, records, recordsReopened, usedWhenFull, usedReopened, ...rest } = result as Record<
      string,
      number
    >
    t.strictSame(rest, {
      codes: ['FW_STORE_FULL'],
      after: ['stored', 'stored', 'stored'],
      fatal: 0,
      unhandled: [],
    })
    t.ok(stored! > 50)
    t.equal(records, 2 * (stored! + 3))
    t.equal(recordsReopened, records)
    t.equal(usedWhenFull, stored! * (10_009 + 10_013))
    t.equal(usedReopened, usedWhenFull! + 3 * (10_009 + 10_013))
  },
)

void t.test(
  'a store with a reserve works on when others have filled the disk',
  { skip: canMount ? false : 'needs the right to mount a tmpfs in a namespace of its own' },
  async (t) => {
    const place = folder(t)
    const script = `mount -t tmpfs -o size=160m tmpfs "$1" && exec "$2" --import=tsx "$3" "$1"`
    const { stdout, stderr } = await promisify(execFile)(
      'unshare',
      ['-rm', 'sh', '-c', script, 'sh', place, process.execPath, program('reserve')],
      { timeout: 60_000 },
    )
    t.equal(stderr, '', 'the engine never met the full disk itself')
    const { fileBytes, rounds, stored, code, freeAtEnd, again } = JSON.parse(stdout) as Record<string, number>
    t.ok(fileBytes! >= 16 * 2 ** 20)
    t.equal(rounds, 200, 'twenty times what is free in the file, written and deleted again')
    t.ok(stored! > 100, `${stored} records of 10 kB fit`)
    t.equal(code, 'FW_STORE_FULL')
    t.equal(freeAtEnd, 0)
    t.equal(again, stored, 'all of them are there after a start on the full disk')
  },
)

function newerCounters(at: Buffer): Buffer {
  const value = Buffer.alloc(21)
  value[0] = 2
  return framed(at, value)
}

function framed(at: Buffer, value: Buffer): Buffer {
  const frame = Buffer.alloc(5 + value.length)
  frame[0] = 1
  frame.writeUInt32BE(crc(Buffer.concat([at, value])), 1)
  frame.set(value, 5)
  return frame
}

/** CRC-32 (ISO 3309), bit by bit: not the code under test. */
function crc(data: Uint8Array): number {
  let sum = 0xffffffff
  for (const byte of data) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0xedb88320 : sum >>> 1
  }
  return ~sum >>> 0
}

export type { HostError }

void t.test('a store that is only looked at stays as it is, also where a record in it is bad', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen, reporter } = opener(t, dir)
  const store = await reopen()
  await store.commit([1, 2].map((n) => ({ table: 'spool', key: key(n), value: Buffer.from('value') })))
  await store.close()
  await tamper(dir, (db) => void db('spool').putSync(Buffer.from(key(2)), Buffer.from('garbled')))
  const files = (): string[] =>
    readdirSync(dir)
      .filter((name) => name !== 'lock.mdb')
      .map((name) => `${name} ${statSync(join(dir, name)).size} ${statSync(join(dir, name)).mtimeMs}`)
  const before = files()
  const look = await reopen({ readOnly: true })
  t.same(
    [...look.range('spool')].map(({ value }) => Buffer.from(value).toString()),
    ['value'],
  )
  t.strictSame(reporter.codes(), ['FW_STORE_RECORD_CORRUPT'])
  const write = look.commit([{ table: 'spool', key: key(3), value: bytes(7) }])
  await t.rejects(write, { code: 'FW_STORE_MISUSED' })
  await look.close()
  t.same(files(), before)
})

void t.test('looking makes no store and no table, and sets nothing aside', async (t) => {
  const dir = join(folder(t), 'store')
  const { reopen, reporter } = opener(t, dir)
  await t.rejects(reopen({ readOnly: true }), { code: 'FW_STORE_OPEN_FAILED' })
  t.notOk(existsSync(dir))
  await (await reopen()).close()
  const look = await reopen({ readOnly: true, tables: [...TABLES, 'later'] })
  t.equal(look.get('later', key(1)), undefined)
  t.same([...look.range('later')], [])
  await look.close()
  truncateSync(join(dir, 'data.mdb'), 5_000)
  await t.rejects(reopen({ readOnly: true }), { code: 'FW_STORE_DAMAGED' })
  t.strictSame(reporter.codes(), [])
  t.equal(statSync(join(dir, 'data.mdb')).size, 5_000)
})
