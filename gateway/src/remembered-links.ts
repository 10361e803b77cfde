import { readJsonFile, writeFileDurably, type Reporter } from '@fieldwhisper/host'
import type { LinkTarget } from '@fieldwhisper/mesh'
import { join } from 'node:path'
import { z } from 'zod'

const schema = z.array(z.strictObject({ address: z.string(), port: z.int() })).max(64)

/** Addresses that were worth something, dialled first at the next start. Losing the file costs a few seconds. */
export class RememberedLinks {
  readonly #path: string
  readonly #reporter: Reporter

  constructor(stateDir: string, reporter: Reporter) {
    this.#path = join(stateDir, 'links.json')
    this.#reporter = reporter
  }

  load(): LinkTarget[] {
    return readJsonFile(this.#path, { schema, reporter: this.#reporter }) ?? []
  }

  save(targets: readonly LinkTarget[]): void {
    try {
      writeFileDurably(this.#path, JSON.stringify(targets))
    } catch {
      this.#reporter.event(
        'warn',
        'FW_LINKS_UNSAVED',
        'addresses of other devices could not be kept; after a restart they are searched again',
      )
    }
  }
}
