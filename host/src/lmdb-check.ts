import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  closeSync,
  existsSync,
  lstatSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PROBE_DOUBLINGS, PROBE_EXIT, PROBE_LIMIT_MS, PROBE_WALK_MS } from './constants.js'
import { setAside, syncFolder } from './files.js'
import { systemCode } from './errors.js'

/** A file in the folder of a store: a page of it could not be read, so the next start sets the store aside. */
const DAMAGED_MARK = 'damaged'
/** Written when a store is closed in order: size and time of the data file as it was left. */
const CLOSED_MARK = 'closed'
const SEAL_PATTERN = /^\d+ [\d.]+$/
/** How many times in a row the store was opened and not closed: each time it is looked at twice as long. */
const UNCLOSED_MARK = 'unclosed'

/**
 * Why the store in this folder must not be opened, or undefined. A file that is as it was left by `markClosed` is
 * trusted; any other one, so after every power cut and kill, is first opened by a process of its own.
 */
export async function reasonToSetAside(dir: string): Promise<string | undefined> {
  if (existsSync(join(dir, DAMAGED_MARK))) return 'a page of it could not be read'
  const file = join(dir, 'data.mdb')
  if (!existsSync(file)) return wasServed(dir) ? 'its file is gone' : undefined
  if (statSync(file).size === 0) return 'its file is empty'
  try {
    closeSync(openSync(file, 'r+'))
  } catch (error) {
    if (systemCode(error) === 'EISDIR') return 'data.mdb is not a file'
    throw error
  }
  return isAsLeft(dir) || (await probe(dir)) ? undefined : 'its file is damaged'
}

/** A program has worked on the store: the first start that ended in order, or the second one, leaves a mark. */
function wasServed(dir: string): boolean {
  return [CLOSED_MARK, UNCLOSED_MARK].some((name) => existsSync(join(dir, name)))
}

/** What else lies in the folder is made anew by every start; a folder in the place of such a file would keep it from that. */
export function clearTheWay(dir: string): void {
  for (const name of [CLOSED_MARK, UNCLOSED_MARK, 'lock.mdb']) {
    const path = join(dir, name)
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) setAside(path, Date.now())
  }
}

/** Before the first write: from here on the file changes. What it returns puts the marks back, where nothing was written. */
export function markOpened(dir: string): () => void {
  const before = [CLOSED_MARK, UNCLOSED_MARK].map((name) => ({
    path: join(dir, name),
    bytes: contentOf(dir, name),
  }))
  const wasClosed = isAsLeft(dir)
  rmSync(join(dir, CLOSED_MARK), { force: true })
  syncFolder(dir)
  if (existsSync(join(dir, 'data.mdb'))) writeUnclosed(dir, wasClosed ? 0 : unclosed(dir) + 1)
  return () => {
    for (const { path, bytes } of before)
      quietly(() => (bytes ? writeFileSync(path, bytes, { mode: 0o600 }) : rmSync(path, { force: true })))
  }
}

function contentOf(dir: string, name: string): Buffer | undefined {
  try {
    return readFileSync(join(dir, name))
  } catch {
    return undefined
  }
}

/** The store has served for long enough: whatever ends the process later is not a page that cannot be read at start. */
export function markLasting(dir: string): void {
  writeUnclosed(dir, 0)
}

export function markClosed(dir: string): void {
  quietly(() => writeFileSync(join(dir, CLOSED_MARK), sealOf(dir), { mode: 0o600 }))
}

export function markDamaged(dir: string): void {
  quietly(() => writeFileSync(join(dir, DAMAGED_MARK), '', { mode: 0o600 }))
}

function unclosed(dir: string): number {
  try {
    const count = Number(readFileSync(join(dir, UNCLOSED_MARK), 'latin1'))
    return Number.isSafeInteger(count) && count >= 0 ? count : 0
  } catch {
    return 0
  }
}

function writeUnclosed(dir: string, count: number): void {
  quietly(() => writeFileSync(join(dir, UNCLOSED_MARK), String(count), { mode: 0o600 }))
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
  const walkMs = PROBE_WALK_MS * 2 ** Math.min(unclosed(dir), PROBE_DOUBLINGS)
  try {
    const child = spawn(process.execPath, [program, dir, String(walkMs)], {
      stdio: 'ignore',
      timeout: walkMs + PROBE_LIMIT_MS,
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
