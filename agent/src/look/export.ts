import { closeSync, fsyncSync, openSync, rmSync, writeSync } from 'node:fs'
import { systemCode } from '@fieldwhisper/host'
import { AgentError } from '../errors.js'
import type { ExportFormat } from './formats.js'
import type { SpoolSource } from './source.js'

const PAGE_READINGS = 5_000

export interface Exported {
  readonly readings: number
  /** Batches that did not read. */
  readonly unreadable: number
}

/** Where an export goes, piece by piece. */
export type Output = (text: string) => Promise<void>

/** Writes what waits now; what comes while this runs is left for another time. */
export async function exportReadings(
  spool: SpoolSource,
  format: ExportFormat,
  write: Output,
): Promise<Exported> {
  const until = await spool.end()
  let [readings, unreadable] = [0, 0]
  let text = format.head
  for (let after = undefined as Parameters<SpoolSource['page']>[0]; until;) {
    const page = await spool.page(after, PAGE_READINGS, until)
    for (const row of page.rows)
      text += (readings > 0 ? format.between : '') + format.line(row, readings++ === 0)
    unreadable += page.unreadable
    await write(text)
    text = ''
    if (!page.next) break
    after = page.next
  }
  await write(text + format.end)
  return { readings, unreadable }
}

/**
 * A new file of this user alone, whole and on disk, or none: readings are secrets of the plant. Throws AgentError
 * `FW_EXPORT_FILE_EXISTS`, `FW_EXPORT_FAILED`.
 */
export async function toNewFile<T>(path: string, use: (write: Output) => Promise<T>): Promise<T> {
  let file: number
  try {
    file = openSync(path, 'wx', 0o600)
  } catch (error) {
    if (systemCode(error) === 'EEXIST') {
      throw new AgentError(
        'FW_EXPORT_FILE_EXISTS',
        `${path} exists and is not overwritten: name another file`,
      )
    }
    throw failed(path, error)
  }
  try {
    const result = await use((text) => Promise.resolve(writeAll(file, text)))
    fsyncSync(file)
    closeSync(file)
    return result
  } catch (error) {
    rmSync(path, { force: true })
    closeQuietly(file)
    throw typeof systemCode(error) === 'string' && String(systemCode(error)).startsWith('FW_')
      ? error
      : failed(path, error)
  }
}

/** To standard output, as fast as it is read. */
export function toStandardOutput(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text, (error) => (error ? reject(failed('standard output', error)) : resolve()))
  })
}

function writeAll(file: number, text: string): void {
  const bytes = Buffer.from(text)
  for (let done = 0; done < bytes.length;) done += writeSync(file, bytes, done)
}

function closeQuietly(file: number): void {
  try {
    closeSync(file)
  } catch {
    // It was closed before what failed.
  }
}

function failed(where: string, cause: unknown): AgentError {
  const reason = cause instanceof Error ? cause.message : String(cause)
  return new AgentError('FW_EXPORT_FAILED', `the readings could not be written to ${where}: ${reason}`, {
    cause,
  })
}
