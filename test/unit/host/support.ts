import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { EventFields, Level, Reporter } from '@fieldwhisper/host'

export interface Told {
  readonly level: Level
  readonly code: string
  readonly message: string
  readonly fields: EventFields
}

/** A reporter that keeps what it was told and lets a test wait for a code. */
export function listen(): Reporter & { readonly told: Told[]; codes(): string[] } {
  const told: Told[] = []
  return {
    told,
    codes: () => told.map(({ code }) => code),
    event(level, code, message, fields = {}) {
      told.push({ level, code, message, fields })
    },
  }
}

/** A folder of this test alone, removed when it ends. */
export function folder(t: { teardown(fn: () => void): void }): string {
  const dir = mkdtempSync(join(tmpdir(), 'fw-host-'))
  t.teardown(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export function bytes(...values: number[]): Uint8Array {
  return Uint8Array.from(values)
}

/** An 8-byte big-endian key. */
export function key(number: number): Uint8Array {
  const buffer = Buffer.alloc(8)
  buffer.writeBigUInt64BE(BigInt(number))
  return Uint8Array.from(buffer)
}

/** Resolves when `test` holds; looks after every turn, fails at the deadline. */
export async function until(test: () => boolean, deadlineMs = 5_000): Promise<void> {
  const end = Date.now() + deadlineMs
  while (!test()) {
    if (Date.now() > end) throw new Error('the awaited condition did not come')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
