// Commits numbers for ever and prints each one after its commit resolved; the test kills it.
import { writeSync } from 'node:fs'
import { openStore } from '@fieldwhisper/host'

const store = await openStore({
  dir: process.argv[2]!,
  tables: ['spool'],
  reporter: { event: () => undefined },
})
const key = (number: number): Uint8Array => {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(BigInt(number))
  return bytes
}
const worker = async (start: number): Promise<void> => {
  for (let number = start; ; number += 8) {
    await store.commit([{ table: 'spool', key: key(number), value: key(number) }])
    writeSync(1, `${number}\n`)
  }
}
await Promise.all(Array.from({ length: 8 }, (_, i) => worker(i)))
