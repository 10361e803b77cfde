/**
 * Run as a program of its own: opens the store in argv[2] as its owner will, walks it for argv[3] ms, and exits with one of
 * `PROBE_EXIT`. LMDB reads its file through a memory map and ends the process where the file is short or garbled; here
 * that costs nothing.
 */
import { ABORT, open } from 'lmdb'
import { PROBE_EXIT } from './constants.js'
import { ENGINE, isCorruption } from './lmdb-files.js'

function walk(dir: string, milliseconds: number): void {
  const end = performance.now() + milliseconds
  const root = open<Buffer, Uint8Array>({ path: dir, noSubdir: false, maxDbs: 128, ...ENGINE })
  const names = [...root.getKeys({ snapshot: false })].map((name) => Buffer.from(name).toString('latin1'))
  for (const name of names.filter((name) => /^[a-z]/.test(name))) {
    const database = root.openDB<Buffer, Uint8Array>(name.replace(/\0$/, ''), {
      ...ENGINE,
      ...{ create: false },
    })
    for (const entry of database.getRange({ snapshot: false })) {
      // Reading an entry copies all of it, so every page of it was there.
      if (entry.value === undefined || performance.now() > end) return
    }
  }
  // A write visits the list of free pages; nothing of it is kept.
  root.transactionSync(() => {
    void root.put(Buffer.from('\0probe', 'latin1'), Buffer.alloc(8_192))
    return ABORT
  })
}

try {
  const [, , dir = '', milliseconds = ''] = process.argv
  walk(dir, Number(milliseconds))
  process.exitCode = PROBE_EXIT.usable
} catch (error) {
  process.exitCode = isCorruption(error) ? PROBE_EXIT.corrupt : PROBE_EXIT.undecided
}
