import { appendFileSync, mkdirSync, renameSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { LOG_BYTES } from './constants.js'

/** The log of one program: at most `limit` bytes and as much again in `<path>.1`. A full disk loses lines, nothing else. */
export class LogFile {
  readonly #path: string
  readonly #limit: number
  #bytes = 0

  constructor(path: string, limit = LOG_BYTES) {
    this.#path = path
    this.#limit = limit
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    this.#bytes = statSync(path, { throwIfNoEntry: false })?.size ?? 0
  }

  get path(): string {
    return this.#path
  }

  line(text: string): void {
    const line = `${text}\n`
    const bytes = Buffer.byteLength(line)
    try {
      if (this.#bytes > 0 && this.#bytes + bytes > this.#limit) {
        renameSync(this.#path, `${this.#path}.1`)
        this.#bytes = 0
      }
      appendFileSync(this.#path, line, { mode: 0o600 })
      this.#bytes += bytes
    } catch {
      // A log is a help, not a condition.
    }
  }
}
