import { mkdtempSync, rmSync, statfsSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** The part of a tap test that this file needs. */
interface WithTeardown {
  teardown(handler: () => void | Promise<void>): void
}

/**
 * An empty folder with a short path, removed when the test ends. Short, because a Unix socket in it may have at most
 * 107 bytes of path, which tap's own `t.testdir()` exceeds.
 */
export function temporaryFolder(t: WithTeardown): string {
  return folderIn(t, tmpdir())
}

/**
 * The same in memory where the machine has such a place with room. For tests of networks and of time: a shared disk was seen to
 * take half a second for one flush.
 */
export function memoryFolder(t: WithTeardown): string {
  return folderIn(t, hasRoom('/dev/shm') ? '/dev/shm' : tmpdir())
}

function folderIn(t: WithTeardown, parent: string): string {
  const folder = mkdtempSync(join(parent, 'fw-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}

function hasRoom(path: string): boolean {
  try {
    const { type, bavail, bsize } = statfsSync(path)
    return type === TMPFS_MAGIC && bavail * bsize > 2 ** 30
  } catch {
    return false
  }
}

/** `TMPFS_MAGIC` of Linux's magic.h. */
const TMPFS_MAGIC = 0x01021994
