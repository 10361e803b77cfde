import type { Level, Store } from '@fieldwhisper/host'
import { createMemoryStore, type MemoryStore } from '@fieldwhisper/host/testing'
import { decodeBatch, type Reading } from '@fieldwhisper/protocol'
import type { MarkFile, MarkKeeper } from '../../../agent/src/spool/mark.js'
import { Spool, SPOOL_TABLES, type HeldBatch, type SpoolLimits } from '../../../agent/src/spool/index.js'

/** Timers that run when the clock is turned by hand. */
export class VirtualTimers {
  now = 1_000
  #tasks = new Set<{ at: number; task: () => void }>()

  after = (delayMs: number, task: () => void): (() => void) => {
    const entry = { at: this.now + delayMs, task }
    this.#tasks.add(entry)
    return () => void this.#tasks.delete(entry)
  }

  clear(): void {
    this.#tasks.clear()
  }

  /** Turns the clock; what becomes due runs in order, and promises settle in between. */
  async turn(ms: number): Promise<void> {
    const end = this.now + ms
    for (;;) {
      await pause()
      const next = [...this.#tasks].filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) break
      this.#tasks.delete(next)
      this.now = Math.max(this.now, next.at)
      next.task()
    }
    this.now = end
    await pause()
  }
}

export function pause(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

export interface RigOptions {
  readonly limits?: Partial<SpoolLimits>
  readonly intervalMs?: number
  readonly maxReadings?: number
  readonly store?: Store
  readonly maxBytes?: number
}

/** A spool on virtual time and a store in memory, which survives what a process does not. */
export class SpoolRig {
  readonly timers = new VirtualTimers()
  readonly events: { level: Level; code: string }[] = []
  store: Store
  mark: MarkFile | undefined
  closed: HeldBatch[] = []
  dropped: string[] = []
  freeBytes: number | undefined
  /** Running time beside the clock. */
  runningMs = 0
  spool!: Spool
  readonly #options: RigOptions
  #next = 0
  #random = 1

  constructor(options: RigOptions = {}) {
    this.#options = options
    this.store =
      options.store ??
      createMemoryStore({
        tables: SPOOL_TABLES,
        ...(options.maxBytes !== undefined && { maxBytes: options.maxBytes }),
      })
  }

  async open(): Promise<this> {
    const { limits, intervalMs, maxReadings } = this.#options
    const mark: MarkKeeper = { load: () => this.mark, save: (saved) => void (this.mark = saved) }
    this.spool = await Spool.open({
      store: this.store,
      mark,
      clock: { monoMs: () => this.timers.now, bootId: new Uint8Array(8).fill(7) },
      runningMs: () => this.runningMs,
      timers: this.timers,
      random: (n) => new Uint8Array(n).fill(this.#random++),
      reporter: { event: (level, code) => void this.events.push({ level, code }) },
      limits: {
        maxBytes: 2 ** 30,
        maxAgeMs: 1e9,
        minFreeBytes: 0,
        alwaysBytes: 0,
        onFull: 'drop_oldest',
        ...limits,
      },
      batch: { intervalMs: intervalMs ?? 1_000, maxReadings: maxReadings ?? 1_000 },
      freeBytes: () => this.freeBytes,
    })
    this.spool.handlers = {
      closed: (batch) => void this.closed.push(batch),
      dropped: (batches) => this.dropped.push(...batches.map(({ number }) => String(number))),
    }
    return this
  }

  /** The power goes now, and the agent starts again on what the disk has. */
  async powerCut(): Promise<void> {
    this.timers.clear()
    this.store = (this.store as MemoryStore).afterPowerCut()
    await this.open()
  }

  reading(value?: number): Reading {
    return {
      name: 'counter',
      unit: 'Cel',
      value: value ?? this.#next++,
      quality: 'good',
      monoMs: this.timers.now,
      wallMs: 1_800_000_000_000 + this.timers.now,
      clock: 'synchronised',
    }
  }

  /** Appends and does not wait; what is refused is the spool's to count. */
  feed(count = 1): void {
    for (const appended of this.append(count)) appended.catch(() => undefined)
  }

  append(count = 1): Promise<void>[] {
    return Array.from({ length: count }, () => this.spool.append(this.reading()))
  }

  /** Values of everything held in closed batches. */
  values(): number[] {
    return [...this.spool.behind()].flatMap((batch) => this.valuesOf(batch))
  }

  valuesOf(batch: HeldBatch): number[] {
    const bytes = this.spool.encoded(batch)
    return bytes ? decodeBatch(bytes).readings.map(({ value }) => value as number) : []
  }

  codes(): string[] {
    return this.events.map(({ code }) => code)
  }
}

export async function openRig(options: RigOptions = {}): Promise<SpoolRig> {
  return new SpoolRig(options).open()
}
