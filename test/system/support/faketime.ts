import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

const LIBRARY = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu']
  .map((folder) => join(folder, 'faketime', 'libfaketime.so.1'))
  .find((path) => existsSync(path))

/** Why the wall clock of a program cannot be moved here, or false. */
export function noFakeTime(): string | false {
  if (process.env['CI'] !== undefined) return false
  return LIBRARY === undefined ? 'libfaketime (Debian package faketime) is needed' : false
}

/** Days from 1970 to now: a machine that far behind believes in 1970. */
export const DAYS_SINCE_1970 = Math.floor(Date.now() / 86_400_000)

/** A wall clock that a test moves while a program runs; its monotonic clock and timers stay right. */
export class FakeClock {
  readonly #file: string

  constructor(folder: string, name: string) {
    this.#file = join(folder, `${name}.faketime`)
    this.set(0)
  }

  /** Days ahead of the machine's clock; negative is behind. */
  set(days: number): void {
    writeFileSync(this.#file, `${days >= 0 ? '+' : ''}${days}d\n`)
  }

  get env(): Record<string, string> {
    return {
      LD_PRELOAD: LIBRARY ?? '',
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_NO_CACHE: '1',
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
      DONT_FAKE_MONOTONIC: '1',
    }
  }
}
