import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, existsSync, openSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PROBE_EXIT, PROBE_LIMIT_MS } from './constants.js'
import { syncFolder } from './files.js'
import { systemCode } from './errors.js'

/** A file in the folder of a store: a page of it could not be read, so the next start sets the store aside. */
const DAMAGED_MARK = 'damaged'
/** Written when a store is closed in order: size and time of the data file as it was left. */
const CLOSED_MARK = 'closed'
const SEAL_PATTERN = /^\d+ [\d.]+$/

/**
 * Why the store in this folder must not be opened, or undefined. A file that is as it was left by `markClosed` is
 * trusted; any other one, so after every power cut and kill, is first opened by a process of its own.
 */
export async function reasonToSetAside(dir: string): Promise<string | undefined> {
  if (existsSync(join(dir, DAMAGED_MARK))) return 'a page of it could not be read'
  const file = join(dir, 'data.mdb')
  if (!existsSync(file)) return undefined
  try {
    closeSync(openSync(file, 'r+'))
  } catch (error) {
    if (systemCode(error) === 'EISDIR') return 'data.mdb is not a file'
    throw error
  }
  return isAsLeft(dir) || (await probe(dir)) ? undefined : 'its file is damaged'
}

/** Before the first write: from here on the file changes. */
export function markOpened(dir: string): void {
  rmSync(join(dir, CLOSED_MARK), { force: true })
  syncFolder(dir)
}

export function markClosed(dir: string): void {
  quietly(() => writeFileSync(join(dir, CLOSED_MARK), sealOf(dir), { mode: 0o600 }))
}

export function markDamaged(dir: string): void {
  quietly(() => writeFileSync(join(dir, DAMAGED_MARK), '', { mode: 0o600 }))
}

function isAsLeft(dir: string): boolean {
  try {
    const seal = readFileSync(join(dir, CLOSED_MARK), 'latin1')
    return SEAL_PATTERN.test(seal) && seal === sealOf(dir)
  } catch {
    return false
  }
}

function sealOf(dir: string): string {
  const { size, mtimeMs } = statSync(join(dir, 'data.mdb'))
  return `${size} ${mtimeMs}`
}

/** False only when the engine said corrupt or died of it: a machine too busy to answer is no reason to lose a store. */
async function probe(dir: string): Promise<boolean> {
  const program = fileURLToPath(new URL('./lmdb-probe.js', import.meta.url))
  try {
    const child = spawn(process.execPath, [program, dir], {
      stdio: 'ignore',
      timeout: PROBE_LIMIT_MS,
      killSignal: 'SIGKILL',
    })
    const [code, signal] = (await once(child, 'exit')) as [number | null, NodeJS.Signals | null]
    if (signal !== null)
      return !['SIGSEGV', 'SIGBUS', 'SIGABRT', 'SIGILL', 'SIGFPE', 'SIGTRAP'].includes(signal)
    return code !== PROBE_EXIT.corrupt
  } catch {
    return true
  }
}

function quietly(action: () => void): void {
  try {
    action()
  } catch {
    // A mark that cannot be written costs a longer look at the next start, no more.
  }
}
