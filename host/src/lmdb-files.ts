import { chmodSync, lstatSync, mkdirSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import { HostError, errorText, systemCode } from './errors.js'

/** How every database of a store is opened. */
export const ENGINE = {
  encoding: 'binary',
  keyEncoding: 'binary',
  // Classic LMDB: a transaction resolves after fdatasync and the synchronous write of its meta page, and a failed flush
  // is a failed commit. The engine's default overlaps flushes and loses the error of one.
  overlappingSync: false,
  // Otherwise the engine opens batches of its own, whose rejections nobody can catch.
  eventTurnBatching: false,
} as const

/** Errors of LMDB (lmdb.h) and of the system that mean: this is not a usable store. Everything else spares the files. */
const CORRUPT = new Set<string | number | undefined>([
  -30797, // MDB_PAGE_NOTFOUND
  -30796, // MDB_CORRUPTED
  -30794, // MDB_VERSION_MISMATCH
  -30793, // MDB_INVALID
  -30784, // MDB_INCOMPATIBLE
  -30779, // MDB_PROBLEM
])
const MAP_FULL = -30792

export function isCorruption(error: unknown): boolean {
  return CORRUPT.has(systemCode(error))
}

/** Makes the folder with mode 0700. Returns what stands in its way, if anything that is not a folder does. */
export function prepareFolder(dir: string): 'ready' | 'in the way' {
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    if (!lstatSync(dir).isDirectory()) return 'in the way'
    chmodSync(dir, 0o700)
    return 'ready'
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return 'in the way'
    throw new HostError('FW_STORE_OPEN_FAILED', `The store ${dir} cannot be made: ${errorText(error)}`, {
      cause: error,
    })
  }
}

export function tightenFiles(dir: string): void {
  for (const name of ['data.mdb', 'lock.mdb']) chmodSync(join(dir, name), 0o600)
}

/**
 * What a failed transaction means. `FW_STORE_FULL` leaves the store usable; `FW_STORE_FAILED` does not: after a failed fsync the
 * next one lies, and after a failed write the engine's own memory may be damaged (docs/decisions/006-classic-lmdb.md).
 */
export function commitError(dir: string, error: unknown): HostError {
  if (systemCode(error) === MAP_FULL) return noRoomError(dir, error)
  return new HostError('FW_STORE_FAILED', `The store ${dir} cannot be written: ${errorText(error)}`, {
    cause: error,
  })
}

export function noRoomError(dir: string, cause?: unknown): HostError {
  return new HostError('FW_STORE_FULL', `There is no room left for the store ${dir}.`, { cause })
}

/** What this user may still write on that disk; infinite where the system does not say. */
export function freeBytes(dir: string): number {
  try {
    const { bavail, bsize } = statfsSync(dir)
    return bavail * bsize
  } catch {
    return Infinity
  }
}
