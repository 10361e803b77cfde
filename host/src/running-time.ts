import type { Clock, ClockQuality } from './clock.js'
import { RUNNING_TIME_SAVE_MS } from './constants.js'
import { errorText, systemCode } from './errors.js'
import type { Reporter } from './events.js'
import type { Store } from './store.js'

/** What is kept on disk: how long the owner had run, and when that was by each clock. */
export interface RunningTimeRecord {
  readonly runningMs: number
  readonly monoMs: number
  readonly wallMs: number
  readonly quality: ClockQuality
  readonly bootId: Uint8Array
}

/** One look at all clocks. */
export type ClockReading = Omit<RunningTimeRecord, 'runningMs'>

/**
 * Running time of one process: `baseMs` when its monotonic clock said `sinceMonoMs`. `offSinceWallMs` is the wall time at
 * which a synchronised clock saw the last run end; it is settled when this run's clock is synchronised too, or never.
 */
export interface RunningTimeState {
  readonly baseMs: number
  readonly sinceMonoMs: number
  readonly offSinceWallMs: number | undefined
}

/**
 * Goes on from the last record. In the same boot the monotonic clock knows how long the process was away; after a reboot
 * only two synchronised clocks do, and time off that nobody measured does not count: a lifetime gets longer, never shorter.
 */
export function resumeRunningTime(
  record: RunningTimeRecord | undefined,
  now: ClockReading,
): RunningTimeState {
  if (!record) return { baseMs: 0, sinceMonoMs: now.monoMs, offSinceWallMs: undefined }
  const sameBoot = Buffer.compare(record.bootId, now.bootId) === 0 && now.monoMs >= record.monoMs
  if (sameBoot) return { baseMs: record.runningMs, sinceMonoMs: record.monoMs, offSinceWallMs: undefined }
  const offSinceWallMs = record.quality === 'synchronised' ? record.wallMs : undefined
  return settleTimeOff({ baseMs: record.runningMs, sinceMonoMs: now.monoMs, offSinceWallMs }, now)
}

/** Counts the time off once this run's clock is synchronised. Call with each new reading. */
export function settleTimeOff(state: RunningTimeState, now: ClockReading): RunningTimeState {
  if (state.offSinceWallMs === undefined || now.quality !== 'synchronised') return state
  const startedWallMs = now.wallMs - (now.monoMs - state.sinceMonoMs)
  const offMs = Math.max(0, startedWallMs - state.offSinceWallMs)
  return { ...state, baseMs: state.baseMs + offMs, offSinceWallMs: undefined }
}

export function runningMs(state: RunningTimeState, monoMs: number): number {
  return state.baseMs + Math.max(0, monoMs - state.sinceMonoMs)
}

const RECORD_BYTES = 34
const QUALITIES = ['unset', 'unknown', 'synchronised'] as const

/** Version u8 = 1 ‖ running f64 ‖ monotonic f64 ‖ wall f64 ‖ quality u8 ‖ boot id 8. */
export function encodeRunningTime(record: RunningTimeRecord): Uint8Array {
  const bytes = Buffer.alloc(RECORD_BYTES)
  bytes[0] = 1
  bytes.writeDoubleBE(record.runningMs, 1)
  bytes.writeDoubleBE(record.monoMs, 9)
  bytes.writeDoubleBE(record.wallMs, 17)
  bytes[25] = QUALITIES.indexOf(record.quality)
  bytes.set(record.bootId, 26)
  return Uint8Array.from(bytes)
}

/** Undefined for anything that is not such a record. */
export function decodeRunningTime(bytes: Uint8Array): RunningTimeRecord | undefined {
  const quality = QUALITIES[bytes[25] ?? -1]
  if (bytes.length !== RECORD_BYTES || bytes[0] !== 1 || quality === undefined) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const [running, mono, wall] = [view.getFloat64(1), view.getFloat64(9), view.getFloat64(17)]
  if (![running, mono, wall].every(Number.isFinite) || running < 0) return undefined
  return {
    runningMs: running,
    monoMs: mono,
    wallMs: wall,
    quality,
    bootId: Uint8Array.from(bytes.subarray(26)),
  }
}

export interface RunningTimeOptions {
  readonly store: Store
  readonly table: string
  readonly key: Uint8Array
  readonly clock: Clock
  readonly reporter: Reporter
}

export interface RunningTime {
  /** Milliseconds of counted life; never goes back, survives restarts to within 10 min. */
  nowMs(): number
  save(): Promise<void>
  /** Saves a last time; call it before the store is closed. */
  stop(): Promise<void>
}

/** Loads the counter and saves it at once and every 10 min. A save that fails is reported (`FW_RUNNING_TIME_UNSAVED`). */
export async function openRunningTime(options: RunningTimeOptions): Promise<RunningTime> {
  const { store, table, key, clock, reporter } = options
  const read = (): ClockReading => ({
    monoMs: clock.monoMs(),
    wallMs: clock.wallMs(),
    quality: clock.quality(),
    bootId: clock.bootId,
  })
  const stored = store.get(table, key)
  let state = resumeRunningTime(stored && decodeRunningTime(stored), read())

  function nowMs(): number {
    const now = read()
    state = settleTimeOff(state, now)
    return runningMs(state, now.monoMs)
  }

  async function save(): Promise<void> {
    try {
      const value = encodeRunningTime({ ...read(), runningMs: nowMs() })
      await store.commit([{ table, key, value }])
    } catch (error) {
      const text =
        'The running time could not be stored; after a restart keys and invites live a little longer.'
      reporter.event('warn', 'FW_RUNNING_TIME_UNSAVED', text, {
        reason: String(systemCode(error) ?? errorText(error)),
      })
    }
  }

  await save()
  const timer = setInterval(() => void save(), RUNNING_TIME_SAVE_MS)
  timer.unref()
  return {
    nowMs,
    save,
    async stop() {
      clearInterval(timer)
      await save()
    },
  }
}
