// Holds the one writer of an LMDB file until it is killed: to the store beside it this looks like a disk that hangs.
import { writeSync } from 'node:fs'
import { open } from 'lmdb'

const root = open({ path: process.argv[2]!, noSubdir: false, overlappingSync: false })
root.transactionSync(() => {
  writeSync(1, 'holding\n')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
})
