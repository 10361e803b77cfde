import { HostError, type Store, type Write } from '@fieldwhisper/host'
import { createMemoryStore, type MemoryStore } from '@fieldwhisper/host/testing'
import { hex } from '@fieldwhisper/protocol'
import { frameRecord, openRecord } from '../../host/src/record.js'
import type { Dice } from './dice.js'
import type { Life } from './life.js'

export interface DiskOptions {
  readonly tables: readonly string[]
  readonly dice: Dice
  /** These writes are on the disk for good, said before anybody is told. */
  readonly flushed?: (writes: readonly Write[]) => void
}

/** What a commit waits for; a crash sweep counts them. */
export type CrashPoint = (commit: number, moment: 'before' | 'after') => boolean

interface Pending {
  readonly writes: readonly Write[]
}

/**
 * A disk that takes its time, can be full, and keeps nothing of an unfinished commit at a power cut, or all of it: the flush may
 * have ended just before anybody heard of it.
 */
export class Disk {
  /** Longest time of a flush in milliseconds. */
  slowestMs = 8
  full = false
  /** Writes fail for good: the process has to end. */
  failing = false
  commits = 0
  crash: CrashPoint = () => false
  /** The process dies here. */
  onCrash: () => void = () => undefined
  readonly #options: DiskOptions
  /** The commits in flight that made it; undefined: the dice say. */
  #kept: number | undefined
  #store: MemoryStore
  #life: Life | undefined
  #pending: Pending[] = []

  constructor(options: DiskOptions) {
    this.#options = options
    this.#store = createMemoryStore({ tables: options.tables })
  }

  get store(): Store {
    return this.#store
  }

  /** The process has ended: decides which of its commits in flight are there. */
  async settle(): Promise<void> {
    const image = await this.#settled()
    this.#store = image
  }

  /** What a process that starts now finds. The one before it must have ended. */
  async open(life: Life): Promise<Store> {
    const image = await this.#settled()
    this.#life = life
    this.#store = image.afterPowerCut({ flush: (writes) => this.#flush(life, writes) })
    return this.#store
  }

  async #settled(): Promise<MemoryStore> {
    const lost = this.#pending
    this.#pending = []
    const image = this.#store.afterPowerCut({ flush: async () => undefined })
    // The commits in flight: none, some, or all of them, in order.
    const kept = this.#kept ?? this.#options.dice.int(0, lost.length)
    this.#kept = undefined
    for (const { writes } of lost.slice(0, kept)) {
      this.#options.flushed?.(writes)
      await image.commit(writes)
    }
    return image
  }

  /** What is on it now for good, to be put back later. */
  image(): MemoryStore {
    return this.#store.afterPowerCut({ flush: async () => undefined })
  }

  /** An old image is written over it while nothing runs, or only some of its tables. */
  restore(image: MemoryStore, tables: readonly string[] = this.#options.tables): void {
    this.#pending = []
    this.#store = image.afterPowerCut({ flush: async () => undefined, tables })
    if (tables.length === this.#options.tables.length) return
    // Tables that are left out are there and empty.
    this.wipe()
    const kept = tables.flatMap((table) => [...image.range(table)].map((entry) => ({ table, ...entry })))
    void this.#store.commit(kept)
  }

  #growth(writes: readonly Write[]): number {
    const before = ({ table, key }: Write): number => this.#store.get(table, key)?.length ?? 0
    return writes.reduce((sum, write) => sum + (write.value?.length ?? 0) - before(write), 0)
  }

  /**
   * Bits of one record turn, or its end is torn off, while the process is off: what fails its check is absent to whoever reads it, as
   * in the real store. Returns table and key; undefined where there is nothing.
   */
  async damage(): Promise<string | undefined> {
    await this.settle()
    const { dice, tables } = this.#options
    const table = dice.pick(tables.filter((name) => [...this.#store.range(name, { limit: 1 })].length > 0))
    const entry = table && dice.pick([...this.#store.range(table)])
    if (!entry) return undefined
    const { key } = entry
    const frame = frameRecord(key, entry.value)
    if (dice.chance(0.5)) for (let bits = dice.int(1, 8); bits > 0; bits--) turnBit(frame, dice)
    const found = openRecord(key, dice.chance(0.3) ? frame.subarray(0, dice.int(0, frame.length - 1)) : frame)
    await this.#store.commit([{ table, key, value: found ?? null }])
    return `${table} ${hex(key)}`
  }

  /** A new disk, empty. */
  wipe(): void {
    this.#pending = []
    this.#store = createMemoryStore({ tables: this.#options.tables })
  }

  #flush(life: Life, writes: readonly Write[]): Promise<void> {
    const commit = ++this.commits
    const pending = { writes }
    return new Promise((resolve, reject) => {
      const crash = (moment: 'before' | 'after'): boolean => {
        if (this.#life !== life || !life.alive) return true
        if (!this.crash(commit, moment)) return false
        this.#kept = moment === 'before' ? 0 : 1
        this.onCrash()
        return true
      }
      // A process that is dead waits for ever.
      if (!life.alive) return
      // As the real store does: what makes room is let through.
      if (this.full && this.#growth(writes) > 0) {
        const refusal = new HostError('FW_STORE_FULL', 'the virtual disk is full')
        life.after(this.#options.dice.between(0.2, this.slowestMs), () => reject(refusal))
        return
      }
      if (this.failing) {
        life.after(0, () => this.onCrash())
        return reject(new HostError('FW_STORE_FAILED', 'the virtual disk is broken'))
      }
      this.#pending.push(pending)
      life.after(this.#options.dice.between(0.2, this.slowestMs), () => {
        if (crash('before') || crash('after')) return
        this.#pending = this.#pending.filter((other) => other !== pending)
        this.#options.flushed?.(writes)
        resolve()
      })
    })
  }
}

function turnBit(bytes: Uint8Array, dice: Dice): void {
  const at = dice.int(0, bytes.length - 1)
  bytes[at] = bytes[at]! ^ (1 << dice.int(0, 7))
}
