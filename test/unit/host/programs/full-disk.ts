// Run on a file system of a few MiB: fills the store until the disk is full, makes room, goes on. Prints one JSON line.
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore } from '@fieldwhisper/host'
import type { HostError } from '@fieldwhisper/host'

const place = process.argv[2]!
const unhandled: string[] = []
process.on('unhandledRejection', (reason) => unhandled.push(String(reason)))

const ballast = join(place, 'ballast')
writeFileSync(ballast, Buffer.alloc(1_500_000))
let fatal = 0
const store = await openStore({
  dir: join(place, 'store'),
  tables: ['spool'],
  reporter: { event: () => undefined },
  onFatal: () => fatal++,
})
let number = 0
const attempt = async (): Promise<string> => {
  const key = Buffer.alloc(4)
  key.writeUInt32BE(number++)
  try {
    await store.commit([
      { table: 'spool', key, value: Buffer.alloc(10_000, number) },
      { table: 'spool', key: Buffer.concat([key, key]), value: Buffer.alloc(10_000, number) },
    ])
    return 'stored'
  } catch (error) {
    return (error as HostError).code
  }
}
const results: string[] = []
while (results.filter((result) => result !== 'stored').length < 5) results.push(await attempt())
const usedWhenFull = store.bytesUsed()
rmSync(ballast)
const after = [await attempt(), await attempt(), await attempt()]
const records = [...store.range('spool')].length
await store.close()
const reopened = await openStore({
  dir: join(place, 'store'),
  tables: ['spool'],
  reporter: { event: () => undefined },
})
const stored = results.filter((result) => result === 'stored').length
process.stdout.write(
  `${JSON.stringify({
    stored,
    codes: [...new Set(results.filter((result) => result !== 'stored'))],
    after,
    records,
    recordsReopened: [...reopened.range('spool')].length,
    usedWhenFull,
    usedReopened: reopened.bytesUsed(),
    fatal,
    unhandled,
  })}\n`,
)
await reopened.close()
