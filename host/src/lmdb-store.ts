import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as after } from 'node:timers/promises'
import { open } from 'lmdb'
import type { Database, RootDatabase, Transaction } from 'lmdb'
import { CommitQueue } from './commit-queue.js'
import type { CommitQueueOptions } from './commit-queue.js'
import {
  ADD_NEEDS_BYTES,
  ENGINE_ERROR_MS,
  MAX_QUARANTINE_BYTES,
  MAX_QUARANTINE_RECORDS,
  QUARANTINE_TABLE,
  RANGE_CHUNK_ENTRIES,
  REPLACE_NEEDS_BYTES,
  STORE_LASTING_MS,
} from './constants.js'
import { HostError, asError, errorText } from './errors.js'
import type { Reporter } from './events.js'
import { setAside } from './files.js'
import {
  clearTheWay,
  markClosed,
  markDamaged,
  markLasting,
  markOpened,
  reasonToSetAside,
} from './lmdb-check.js'
import { ENGINE, commitError, isCorruption, noRoomError, prepareFolder, tightenFiles } from './lmdb-files.js'
import { reserve, roomBytes } from './lmdb-room.js'
import { frameRecord, openRecord } from './record.js'
import { COUNTERS_KEY, decodeCounters, encodeCounters, encodeQuarantined } from './store-counters.js'
import type { StoreCounters } from './store-counters.js'
import { checkTable, checkWrites, closedError, fullError, tableSet } from './store-rules.js'
import type { Entry, RangeOptions, Snapshot, SnapshotStore, Write } from './store.js'

export interface StoreOptions {
  /** Folder of this store alone; made with mode 0700 where it is missing. */
  readonly dir: string
  readonly tables: readonly string[]
  readonly reporter: Reporter
  /** Names what is set aside; the machine's wall clock by default. */
  readonly clock?: { wallMs(): number }
  /** Commits that would grow the live records beyond this are refused with `FW_STORE_FULL`. No limit by default. */
  readonly maxBytes?: number
  /** What the file is given in advance at each start, so that the store works on when others fill the disk. None by default. */
  readonly reserveBytes?: number
  /** The store can no longer promise anything: the program should end, its supervisor starts it again. */
  readonly onFatal?: (error: HostError) => void
  /**
   * Looks at a table before anything in the folder changes, and throws where a newer release has written: that error is what
   * `openStore` rejects with, and the folder is as it was.
   */
  readonly refuseNewer?: (range: (table: string) => Iterable<Entry>) => void
  /** Only to look: nothing in the folder changes, what is damaged is refused instead of set aside. */
  readonly readOnly?: boolean
  /** For tests. */
  readonly timing?: NonNullable<CommitQueueOptions<unknown>['timing']>
}

type Binary = Database<Buffer, Uint8Array>

/** A caller's commit, framed, or a record that failed its check and is to be moved away. */
type Work =
  | { readonly kind: 'writes'; readonly writes: readonly FramedWrite[] }
  | { readonly kind: 'quarantine'; readonly table: string; readonly key: Uint8Array; readonly raw: Buffer }

interface FramedWrite {
  readonly table: string
  readonly key: Uint8Array
  readonly frame: Buffer | null
}

/**
 * Opens a durable `Store` on LMDB: one environment, one named database a table, every record with version and checksum.
 * What cannot be opened is renamed `<dir>.corrupt-<time>`, reported (`FW_STORE_SET_ASIDE`) and replaced by an empty one.
 *
 * Throws what `refuseNewer` throws, and HostError `FW_STORE_OPEN_FAILED` (permissions, no room for an empty store), `FW_STORE_NEWER` (written by a newer
 * release; left unchanged), `FW_STORE_MISUSED` (table names), with `readOnly` also `FW_STORE_DAMAGED`. `commit` rejects with `FW_STORE_FULL` (nothing written,
 * try again with room), `FW_STORE_FAILED` (fatal, also given to `onFatal`), `FW_STORE_CLOSED`, `FW_STORE_MISUSED`.
 */
export async function openStore(options: StoreOptions): Promise<SnapshotStore> {
  tableSet(options.tables)
  try {
    if (options.readOnly) return await openToLook(options)
    const inTheWay = prepareFolder(options.dir) === 'in the way'
    if (!inTheWay) clearTheWay(options.dir)
    const reason = inTheWay ? 'it is not a folder' : await reasonToSetAside(options.dir)
    if (reason !== undefined) replace(options, reason)
    const unmark = markOpened(options.dir)
    return await LmdbStore.open(options).catch((error: unknown) => {
      if (error instanceof NewerState) unmark()
      throw error
    })
  } catch (error) {
    if (error instanceof NewerState) throw error.cause
    if (error instanceof HostError) throw error
    if (isCorruption(error) && !options.readOnly) markDamaged(options.dir)
    const text = `The store ${options.dir} cannot be opened: ${errorText(error)}`
    throw new HostError('FW_STORE_OPEN_FAILED', text, { cause: error })
  }
}

async function openToLook(options: StoreOptions): Promise<SnapshotStore> {
  const { dir } = options
  if (!existsSync(join(dir, 'data.mdb'))) {
    throw new HostError('FW_STORE_OPEN_FAILED', `There is no store in ${dir}.`)
  }
  const reason = await reasonToSetAside(dir)
  if (reason !== undefined) {
    const text = `The store ${dir} is damaged (${reason}). It was left as it is; the program that owns it sets it aside when it starts.`
    throw new HostError('FW_STORE_DAMAGED', text)
  }
  return LmdbStore.open(options)
}

function replace({ dir, reporter, clock }: StoreOptions, reason: string): void {
  const kept = setAside(dir, clock?.wallMs() ?? Date.now())
  prepareFolder(dir)
  reporter.event('error', 'FW_STORE_SET_ASIDE', 'A store could not be used; an empty one takes its place.', {
    store: dir,
    kept,
    reason,
  })
}

/** Carries the refusal of a store that a newer release wrote: nothing was changed. */
class NewerState extends Error {}

class LmdbStore implements SnapshotStore {
  readonly #options: StoreOptions
  readonly #tables: ReadonlySet<string>
  readonly #root: RootDatabase<Buffer, Uint8Array>
  readonly #databases = new Map<string, Binary>()
  readonly #queue: CommitQueue<Work>
  readonly #badKeys = new Set<string>()
  readonly #lasting: NodeJS.Timeout
  #counters: StoreCounters
  /** The group that is being gathered or written: sizes of the records it changes, the counters after it, room before it. */
  #group: { sizes: Map<string, number>; counters: StoreCounters; bytes: number; free: number }
  #closed = false
  #failed = false

  static async open(options: StoreOptions): Promise<LmdbStore> {
    const { dir, tables, readOnly = false } = options
    const root = open<Buffer, Uint8Array>({
      path: dir,
      noSubdir: false,
      maxDbs: tables.length + 4,
      ...ENGINE,
      readOnly,
    })
    try {
      if (!readOnly) tightenFiles(dir)
      const store = new LmdbStore(options, root)
      if (options.reserveBytes && !readOnly) await reserve(dir, root, options.reserveBytes)
      return store
    } catch (error) {
      void root.close().catch(() => undefined)
      throw error
    }
  }

  private constructor(options: StoreOptions, root: RootDatabase<Buffer, Uint8Array>) {
    this.#options = options
    this.#root = root
    this.#tables = tableSet(options.tables)
    const counters = this.#refuseNewer(root)
    for (const name of [...this.#tables, QUARANTINE_TABLE]) this.#openTable(root, name)
    this.#counters = counters ?? this.#countAll()
    this.#group = { sizes: new Map(), counters: this.#counters, bytes: 0, free: 0 }
    this.#lasting = setTimeout(() => this.#serves(), STORE_LASTING_MS).unref()
    this.#queue = new CommitQueue<Work>({
      admit: (work, first) => this.#admit(work, first),
      write: (group) => this.#write(group),
      onSlow: (waitedMs) => {
        const text = 'The disk has not finished a write yet.'
        options.reporter.event('warn', 'FW_STORE_SLOW', text, { store: options.dir, waited_ms: waitedMs })
      },
      onFatal: (error) => this.#fatal(error),
      ...(options.timing && { timing: options.timing }),
    })
  }

  #openTable(root: RootDatabase<Buffer, Uint8Array>, name: string): void {
    // Of a store that may only be read the engine makes no table and returns nothing: it counts as empty.
    const database = root.openDB<Buffer, Uint8Array>(name, { ...ENGINE }) as Binary | undefined
    if (database) this.#databases.set(name, database)
  }

  /** Before the first table is made. */
  #refuseNewer(root: RootDatabase<Buffer, Uint8Array>): StoreCounters | undefined {
    try {
      const counters = decodeCounters(root.getBinary(COUNTERS_KEY), this.#options.dir)
      this.#options.refuseNewer?.((table) => this.#look(root, table))
      return counters
    } catch (cause) {
      if (isCorruption(cause)) throw cause
      throw new NewerState('newer', { cause })
    }
  }

  /** Records that are whole, of a table that is there. */
  *#look(root: RootDatabase<Buffer, Uint8Array>, table: string): Iterable<Entry> {
    checkTable(this.#tables, table)
    const database = root.openDB<Buffer, Uint8Array>(table, { ...ENGINE, ...{ create: false } }) as
      Binary | undefined
    for (const { key, value: raw } of database?.getRange({ snapshot: false }) ?? []) {
      const value = openRecord(key, raw)
      if (value) yield { key: Uint8Array.from(key), value }
    }
  }

  #lacks(table: string): boolean {
    return this.#options.readOnly === true && this.#tables.has(table) && !this.#databases.has(table)
  }

  #serves(): void {
    if (!this.#options.readOnly) markLasting(this.#options.dir)
  }

  get(table: string, key: Uint8Array): Uint8Array | undefined {
    if (this.#lacks(table)) return undefined
    const raw = this.#read(table, (database) => database.getBinary(key))
    return raw && this.#verified(table, key, raw)
  }

  range(table: string, options: RangeOptions = {}): Iterable<Entry> {
    return this.#range(table, options)
  }

  snapshot(): Snapshot {
    const transaction = this.#root.useReadTransaction()
    return {
      range: (table, options = {}) => this.#range(table, options, transaction),
      close: () => transaction.done(),
    }
  }

  *#range(table: string, options: RangeOptions, transaction?: Transaction): Iterable<Entry> {
    if (this.#lacks(table)) return
    // A chunk at a time: no read transaction stays open while the caller waits, so writes do not grow the file.
    const { from, to, reverse = false } = options
    let left = options.limit ?? Infinity
    let last: Uint8Array | undefined
    while (left > 0) {
      const limit = Math.min(left, RANGE_CHUNK_ENTRIES)
      const bounds = reverse
        ? { start: last ?? to, end: undefined, exclusiveStart: true, reverse }
        : { start: last ?? from, end: to, exclusiveStart: last !== undefined }
      const chunk = this.#read(table, (database) => [
        ...database.getRange({ ...bounds, limit, ...(transaction && { transaction }) } as object),
      ])
      for (const { key, value } of chunk) {
        last = key
        if (reverse && from && Buffer.compare(key, from) < 0) return
        const opened = this.#verified(table, key, value)
        if (!opened) continue
        // The engine's keys are Buffers, whose slice would share memory.
        yield { key: Uint8Array.from(key), value: opened }
        if (--left <= 0) return
      }
      if (chunk.length < limit) return
    }
  }

  commit(writes: readonly Write[]): Promise<void> {
    try {
      if (this.#options.readOnly) throw new HostError('FW_STORE_MISUSED', 'This store was opened to be read.')
      checkWrites(this.#tables, writes)
    } catch (error) {
      return Promise.reject(asError(error))
    }
    let size = 0
    const framed = writes.map(({ table, key: callersKey, value }) => {
      const key = Uint8Array.from(callersKey)
      const frame = value && frameRecord(key, value)
      size += key.length + (frame?.length ?? 0)
      return { table, key, frame }
    })
    return this.#queue.push({ item: { kind: 'writes', writes: framed }, size, count: writes.length })
  }

  bytesUsed(): number {
    return this.#counters.usedBytes
  }

  async close(): Promise<void> {
    if (this.#closed) return
    await this.#queue.close()
    this.#closed = true
    clearTimeout(this.#lasting)
    await this.#root.close()
    if (!this.#failed && !this.#options.readOnly) markClosed(this.#options.dir)
  }

  #read<T>(table: string, action: (database: Binary) => T): T {
    checkTable(this.#tables, table)
    if (this.#closed) throw closedError()
    try {
      return action(this.#databases.get(table)!)
    } catch (error) {
      const text = `The store ${this.#options.dir} cannot be read: ${errorText(error)}`
      const failure = new HostError('FW_STORE_FAILED', text, { cause: error })
      this.#fatal(failure)
      throw failure
    }
  }

  #verified(table: string, key: Uint8Array, raw: Buffer): Uint8Array | undefined {
    const value = openRecord(key, raw)
    if (value === undefined) this.#setRecordAside(table, key, raw)
    return value
  }

  /** Reports a bad record once and moves it into the quarantine; until that is done it counts as absent. */
  #setRecordAside(table: string, key: Uint8Array, raw: Buffer): void {
    const id = recordId(table, key)
    if (this.#badKeys.has(id)) return
    this.#badKeys.add(id)
    const text = 'A stored record failed its check; it was set aside and counts as absent.'
    const { reporter, dir } = this.#options
    reporter.event('error', 'FW_STORE_RECORD_CORRUPT', text, { store: dir, table, bytes: raw.length })
    if (this.#options.readOnly) return
    const item: Work = { kind: 'quarantine', table, key: Uint8Array.from(key), raw }
    this.#queue.push({ item, size: raw.length, count: 2 }).then(
      () => this.#badKeys.delete(id),
      () => undefined, // a full disk: the record stays where it is, unseen, until the next start
    )
  }

  #admit(work: Work, first: boolean): HostError | undefined {
    const { dir, maxBytes } = this.#options
    if (first) {
      this.#group = { sizes: new Map(), counters: { ...this.#counters }, bytes: 0, free: this.#room() }
    }
    const { sizes, counters, free } = this.#group
    if (work.kind === 'quarantine') return undefined
    const changed = new Map<string, number>()
    let [grown, added] = [0, 0]
    for (const { table, key, frame } of work.writes) {
      const id = recordId(table, key)
      const before = changed.get(id) ?? sizes.get(id) ?? this.#sizeOnDisk(table, key)
      const after = frame === null ? 0 : key.length + frame.length
      changed.set(id, after)
      grown += after - before
      added += after
    }
    const needed = grown > 0 ? ADD_NEEDS_BYTES + 2 * (this.#group.bytes + added) : REPLACE_NEEDS_BYTES
    if (free < needed) return noRoomError(dir)
    if (maxBytes !== undefined && grown > 0 && counters.usedBytes + grown > maxBytes)
      return fullError(maxBytes)
    counters.usedBytes += grown
    this.#group.bytes += added
    for (const [id, size] of changed) sizes.set(id, size)
    return undefined
  }

  async #write(group: readonly Work[]): Promise<void> {
    const { counters } = this.#group
    try {
      const written = this.#root.batch(() => {
        for (const work of group) {
          if (work.kind === 'quarantine') this.#moveToQuarantine(work)
          else this.#putAll(work.writes)
        }
        void this.#root.put(COUNTERS_KEY, encodeCounters(counters))
      })
      await written
      await this.#root.flushed
    } catch (error) {
      throw commitError(this.#options.dir, await engineError(error))
    }
    this.#counters = counters
  }

  #putAll(writes: readonly FramedWrite[]): void {
    for (const { table, key, frame } of writes) {
      const database = this.#databases.get(table)!
      if (frame === null) void database.remove(key)
      else void database.put(key, frame)
    }
  }

  #moveToQuarantine({ table, key, raw }: Extract<Work, { kind: 'quarantine' }>): void {
    const { sizes, counters } = this.#group
    const database = this.#databases.get(table)!
    // The caller may have written a good record over it meanwhile, before this group or in it.
    if (sizes.has(recordId(table, key)) || !database.getBinary(key)?.equals(raw)) return
    void database.remove(key)
    counters.usedBytes -= key.length + raw.length
    sizes.set(recordId(table, key), 0)
    const kept = encodeQuarantined(table, key, raw)
    const fits = counters.quarantineBytes + kept.length <= MAX_QUARANTINE_BYTES
    if (!fits || counters.quarantined >= MAX_QUARANTINE_RECORDS) return
    counters.quarantined++
    counters.quarantineBytes += kept.length
    void this.#databases.get(QUARANTINE_TABLE)!.put(uint32(counters.quarantined), kept)
  }

  #room(): number {
    return roomBytes(this.#options.dir, this.#root)
  }

  #sizeOnDisk(table: string, key: Uint8Array): number {
    const raw = this.#databases.get(table)!.getBinaryFast(key)
    return raw === undefined ? 0 : key.length + raw.length
  }

  #countAll(): StoreCounters {
    const sum = (name: string): { bytes: number; records: number } => {
      let bytes = 0
      let records = 0
      for (const { key, value } of this.#databases.get(name)?.getRange({ snapshot: false }) ?? []) {
        bytes += key.length + value.length
        records++
      }
      return { bytes, records }
    }
    const kept = sum(QUARANTINE_TABLE)
    return {
      usedBytes: [...this.#tables].reduce((total, name) => total + sum(name).bytes, 0),
      quarantined: kept.records,
      quarantineBytes: kept.bytes,
    }
  }

  #fatal(error: HostError): void {
    if (this.#failed) return
    this.#failed = true
    const { dir, reporter, onFatal } = this.#options
    if (isCorruption(error.cause) && !this.#options.readOnly) markDamaged(dir)
    reporter.event('error', 'FW_STORE_FAILED', error.message, { store: dir })
    onFatal?.(error)
  }
}

/** lmdb rejects with a general error that carries a promise of the particular one. */
async function engineError(error: unknown): Promise<unknown> {
  const particular: unknown = (error as { commitError?: unknown } | null)?.commitError
  if (!(particular instanceof Promise)) return error
  const reason = particular.then(
    () => error,
    (rejected: unknown) => rejected,
  )
  // The engine was seen to leave that promise open.
  return Promise.race([reason, after(ENGINE_ERROR_MS, error, { ref: false })])
}

function recordId(table: string, key: Uint8Array): string {
  return `${table}/${Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')}`
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
