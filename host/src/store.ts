/**
 * A durable ordered key-value store, the only way agent, relay and gateway keep state that must survive a power cut.
 * Keys are bytes in lexicographic order. `commit` is atomic over all tables and resolves only when the disk has it.
 */
export interface Store {
  get(table: string, key: Uint8Array): Uint8Array | undefined
  /** Entries of one table in key order; `from` inclusive, `to` exclusive; with `reverse` from the high end down. */
  range(table: string, options?: RangeOptions): Iterable<Entry>
  /** Atomic and durable: resolves after the flush, rejects with a `HostError` and then nothing of it was written. */
  commit(writes: readonly Write[]): Promise<void>
  /** Bytes that live records occupy, an estimate good to a few per cent. */
  bytesUsed(): number
  close(): Promise<void>
}

/** A store of which all tables can be read as they were at one moment. */
export interface SnapshotStore extends Store {
  /** Close it soon: what is deleted meanwhile keeps its room until then. */
  snapshot(): Snapshot
}

export interface Snapshot {
  range(table: string, options?: RangeOptions): Iterable<Entry>
  close(): void
}

export interface RangeOptions {
  readonly from?: Uint8Array
  readonly to?: Uint8Array
  readonly reverse?: boolean
  readonly limit?: number
}

export interface Entry {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

/** `value: null` deletes the key. */
export interface Write {
  readonly table: string
  readonly key: Uint8Array
  readonly value: Uint8Array | null
}
