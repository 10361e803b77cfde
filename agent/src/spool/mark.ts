import { readJsonFile, writeJsonFile, type Reporter } from '@fieldwhisper/host'
import { z } from 'zod'
import type { SpoolMark } from './records.js'

/** The mark as it is kept beside the identity, with the streams that were open when it was written. */
export interface MarkFile extends SpoolMark {
  readonly streams: readonly { readonly stream: string; readonly end: number }[]
}

/** Where the mark is kept outside the spool, so that an agent whose spool was lost can say so. */
export interface MarkKeeper {
  load(): MarkFile | undefined
  save(mark: MarkFile): void
}

const count = z.int().min(0).max(0xffff_ffff)
const schema = z.strictObject({
  version: z.literal(1),
  spoolId: z.string().min(1).max(64),
  start: count,
  lostBefore: count,
  streams: z.array(z.strictObject({ stream: z.string().regex(/^[0-9a-f]{24}$/), end: count })).max(256),
})

/** The mark in a file of its own; a failed save is reported (FW_SPOOL_MARK_UNSAVED) and tried again with the next. */
export function markFile(path: string, reporter: Reporter): MarkKeeper {
  return {
    load() {
      const found = readJsonFile(path, { schema, reporter })
      if (!found) return undefined
      const { spoolId, start, lostBefore, streams } = found
      return { spoolId, start, lostBefore, streams }
    },
    save(mark) {
      try {
        writeJsonFile(path, { version: 1, ...mark })
      } catch (error) {
        const text =
          'The mark of the spool could not be written; if the spool is lost too, that cannot be reported.'
        reporter.event('warn', 'FW_SPOOL_MARK_UNSAVED', text, { reason: String(error) })
      }
    },
  }
}
