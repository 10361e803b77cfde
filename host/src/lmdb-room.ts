import { randomBytes } from 'node:crypto'
import { open } from 'node:fs/promises'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import type { RootDatabase } from 'lmdb'
import { PLENTY_BYTES } from './constants.js'
import { freeBytes } from './lmdb-files.js'

const CHUNK_BYTES = 1024 * 1024

/**
 * Bytes by which the store may grow: what is free on the disk, and where that is short also what the file was given in advance
 * behind its last page. Unused pages within do not count: the engine extends the file beside them.
 */
export function roomBytes(dir: string, root: RootDatabase): number {
  const free = freeBytes(dir)
  if (free >= PLENTY_BYTES) return free
  const { size, blocks } = statSync(join(dir, 'data.mdb'))
  return free + Math.max(0, Math.min(size, blocks * 512) - endOfPages(root))
}

/** Gives the file so many bytes behind its last page, for the day when others have filled the disk. Nothing where that is today. */
export async function reserve(dir: string, root: RootDatabase, bytes: number): Promise<void> {
  const end = endOfPages(root) + bytes
  const path = join(dir, 'data.mdb')
  let at = statSync(path).size
  if (at >= end || freeBytes(dir) < end - at + PLENTY_BYTES) return
  const file = await open(path, 'r+')
  try {
    // Not zeros: a file system that compresses would take no room for them.
    const chunk = randomBytes(CHUNK_BYTES)
    while (at < end) at += (await file.write(chunk, 0, Math.min(CHUNK_BYTES, end - at), at)).bytesWritten
    await file.sync()
  } finally {
    await file.close()
  }
}

function endOfPages(root: RootDatabase): number {
  const { lastPageNumber, pageSize } = root.getStats() as { lastPageNumber: number; pageSize: number }
  return (lastPageNumber + 1) * pageSize
}
