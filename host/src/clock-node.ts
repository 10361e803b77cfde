import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { hrtime } from 'node:process'
import type { Clock, ClockQuality } from './clock.js'
import { CLOCK_CHECK_LIMIT_MS, CLOCK_CHECK_MS, CLOCK_UNSET_BEFORE_MS } from './constants.js'
import type { Reporter } from './events.js'

export interface SystemClockOptions {
  /**
   * The operator vouches for the wall clock (a real-time clock that is set, a GPS receiver): it counts as synchronised
   * without being asked. Default: the environment variable `FIELDWHISPER_CLOCK_TRUSTED` is `1`.
   */
  readonly trusted?: boolean
  /** For tests: who says whether the machine is synchronised. */
  readonly askMachine?: () => Promise<boolean>
  /** For tests: the wall clock. */
  readonly wallMs?: () => number
}

/**
 * The clocks of this machine. `quality` answers at once with what was last found out; it asks the time service (systemd-
 * timesyncd, chrony) in the background when that is older than 60 s, and says `unknown` until the first answer.
 * A change of quality is reported (`FW_CLOCK_QUALITY`).
 */
export function systemClock(reporter?: Reporter, options: SystemClockOptions = {}): Clock {
  const trusted = options.trusted ?? process.env['FIELDWHISPER_CLOCK_TRUSTED'] === '1'
  const wallMs = options.wallMs ?? Date.now
  const askMachine = options.askMachine ?? askTimeService
  let synchronised = false
  let askedMs = -Infinity
  let asking = false
  let told: ClockQuality | undefined

  function refresh(): void {
    if (trusted || asking || monoMs() - askedMs < CLOCK_CHECK_MS) return
    asking = true
    askMachine()
      .catch(() => false)
      .then((answer) => {
        synchronised = answer
        asking = false
        askedMs = monoMs()
        tell(current())
      }, ignore)
  }

  function current(): ClockQuality {
    if (wallMs() < CLOCK_UNSET_BEFORE_MS) return 'unset'
    return trusted || synchronised ? 'synchronised' : 'unknown'
  }

  function tell(quality: ClockQuality): void {
    if (quality === told) return
    told = quality
    const level = quality === 'unset' ? 'warn' : 'info'
    reporter?.event(level, 'FW_CLOCK_QUALITY', 'The quality of the wall clock changed.', { quality })
  }

  refresh()
  return {
    monoMs,
    wallMs,
    quality() {
      refresh()
      return current()
    },
    bootId: readBootId(),
  }
}

function monoMs(): number {
  return Number(hrtime.bigint()) / 1e6
}

/** 8 bytes of a hash, so that the machine's own identifier stays at home; random where Linux' is not there. */
function readBootId(): Uint8Array {
  try {
    const id = readFileSync('/proc/sys/kernel/random/boot_id')
    return Uint8Array.from(createHash('sha256').update(id).digest().subarray(0, 8))
  } catch {
    return Uint8Array.from(randomBytes(8))
  }
}

async function askTimeService(): Promise<boolean> {
  if (existsSync('/run/systemd/timesync/synchronized')) return true
  if ((await output('timedatectl', ['show', '-p', 'NTPSynchronized', '--value'])).trim() === 'yes')
    return true
  return /^Leap status\s*:\s*(?!Not synchronised)\S/m.test(await output('chronyc', ['-n', 'tracking']))
}

/** What a program prints, or nothing when it is missing, fails or takes too long. */
function output(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve) => {
    const limits = { timeout: CLOCK_CHECK_LIMIT_MS, killSignal: 'SIGKILL', maxBuffer: 16_384 } as const
    execFile(program, args, limits, (error, stdout) => resolve(error ? '' : stdout))
  })
}

function ignore(): void {
  // A reporter that throws must not end the process.
}
