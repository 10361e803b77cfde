import {
  resumeRunningTime,
  runningMs,
  settleTimeOff,
  type ClockQuality,
  type RunningTimeRecord,
  type RunningTimeState,
} from '@fieldwhisper/host'
import type { Life } from './life.js'

const WALL_MS = 1_800_000_000_000
const SAVE_MS = 600_000

/** The clocks of one machine: its wall clock can be anywhere, its monotonic one begins anew when the power comes back. */
export class MachineClock {
  bootId: Uint8Array
  #bootAt: number
  /** From the true time; 0: as a time server has it. */
  #wallOffMs = 0
  #saved: RunningTimeRecord | undefined
  #state: RunningTimeState | undefined
  readonly #now: () => number

  constructor(now: () => number, bootId: Uint8Array, bootedBeforeMs: number) {
    this.#now = now
    this.bootId = bootId
    this.#bootAt = now() - bootedBeforeMs
  }

  boot(bootId: Uint8Array): void {
    this.bootId = bootId
    this.#bootAt = this.#now()
  }

  /** Nobody corrects it until it is told 0. */
  setWall(offMs: number): void {
    this.#wallOffMs = offMs
  }

  /** As a machine without a battery has it after a start. */
  set1970(): void {
    this.#wallOffMs = -WALL_MS
  }

  monoMs(at = this.#now()): number {
    return Math.floor(at - this.#bootAt)
  }

  wallMs(): number {
    return WALL_MS + Math.floor(this.#now()) + this.#wallOffMs
  }

  quality(): ClockQuality {
    return this.#wallOffMs === 0 ? 'synchronised' : 'unknown'
  }

  /** Counted life of the process's state: what lifetimes go by. Survives restarts to within ten minutes. */
  runningMs(): number {
    this.#state = settleTimeOff(this.#state!, this.#read())
    return runningMs(this.#state, this.monoMs())
  }

  /** A process starts. */
  resume(life: Life): void {
    this.#state = resumeRunningTime(this.#saved, this.#read())
    this.#save()
    life.every(SAVE_MS, () => this.#save())
  }

  #save(): void {
    this.#saved = { ...this.#read(), runningMs: this.runningMs() }
  }

  #read(): Omit<RunningTimeRecord, 'runningMs'> {
    return { monoMs: this.monoMs(), wallMs: this.wallMs(), quality: this.quality(), bootId: this.bootId }
  }
}
