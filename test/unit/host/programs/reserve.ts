// Run on a file system of its own: fills the disk beside a store with a reserve and goes on. Prints one JSON line.
import { closeSync, openSync, statfsSync, statSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '@fieldwhisper/host'
import type { HostError, Store } from '@fieldwhisper/host'

const place = process.argv[2]!
const dir = join(place, 'store')
const open = (): Promise<Store> =>
  openStore({
    dir,
    tables: ['spool'],
    reserveBytes: 16 * 1024 * 1024,
    reporter: { event: () => undefined },
  })
const store = await open()
const fileBytes = statSync(join(dir, 'data.mdb')).size

const filler = openSync(join(place, 'filler'), 'w')
try {
  for (;;) writeSync(filler, Buffer.alloc(4_096, 1))
} catch {
  closeSync(filler)
}

const key = (number: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(number)
  return bytes
}
const value = Buffer.alloc(10_000, 7)
let rounds = 0
for (; rounds < 200; rounds++) {
  const keys = Array.from({ length: 100 }, (_, i) => key(rounds * 100 + i))
  await store.commit(keys.map((one) => ({ table: 'spool', key: one, value })))
  await store.commit(keys.map((one) => ({ table: 'spool', key: one, value: null })))
}
let stored = 0
let code = ''
while (code === '' && stored < 10_000) {
  try {
    await store.commit([{ table: 'spool', key: key(1_000_000 + stored), value }])
    stored++
  } catch (error) {
    code = (error as HostError).code
  }
}
await store.close()
const { bavail } = statfsSync(place)
const reopened = await open()
const again = [...reopened.range('spool')].length
await reopened.close()
process.stdout.write(`${JSON.stringify({ fileBytes, rounds, stored, code, freeAtEnd: bavail, again })}\n`)
