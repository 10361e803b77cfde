import { mkdtempSync, rmSync } from 'node:fs'
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
  const folder = mkdtempSync(join(tmpdir(), 'fw-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))
  return folder
}
