import { RECORD_HEADER_BYTES } from './constants.js'
import { asError } from './errors.js'
import type { HostError } from './errors.js'
import { checkTable, checkWrites, closedError, fullError, tableSet } from './store-rules.js'
import type { Entry, RangeOptions, Store, Write } from './store.js'

export interface MemoryStoreOptions {
  readonly tables: readonly string[]
  readonly maxBytes?: number
  /** Stands for the disk: the commit becomes visible and resolves when this does; a rejection refuses it whole. */
  readonly flush?: (writes: readonly Write[]) => Promise<void>
}

/** A `Store` that lives in memory and a second half of it: what the disk would hold if the power went now. */
export interface MemoryStore extends Store {
  /** A new store holding what was flushed, as a restart after a power cut would find it. */
  afterPowerCut(options?: Partial<MemoryStoreOptions>): MemoryStore
}

/** For tests and the simulator: same order, atomicity, limits and errors as the durable store. */
export function createMemoryStore(options: MemoryStoreOptions): MemoryStore {
  const tables = tableSet(options.tables)
  return memoryStore(options, new Map([...tables].map((name) => [name, new SortedTable()])))
}

function memoryStore(options: MemoryStoreOptions, data: Map<string, SortedTable>): MemoryStore {
  const tables = tableSet(options.tables)
  for (const name of tables) if (!data.has(name)) data.set(name, new SortedTable())
  let used = [...data.values()].reduce((sum, table) => sum + table.bytes(), 0)
  let tail: Promise<void> = Promise.resolve()
  let closed = false

  const tableOf = (name: string): SortedTable => {
    checkTable(tables, name)
    if (closed) throw closedError()
    return data.get(name)!
  }

  async function apply(writes: readonly Write[]): Promise<void> {
    const refusal = tooFull(writes)
    if (refusal) throw refusal
    await options.flush?.(writes)
    for (const { table, key, value } of writes) {
      used += data.get(table)!.set(text(key), value)
    }
  }

  function tooFull(writes: readonly Write[]): HostError | undefined {
    if (options.maxBytes === undefined) return undefined
    const sizes = new Map<string, number>()
    let grown = 0
    for (const { table, key, value } of writes) {
      const name = `${table}/${text(key)}`
      const before = sizes.get(name) ?? recordBytes(key, data.get(table)!.get(text(key)) ?? null)
      const after = recordBytes(key, value)
      sizes.set(name, after)
      grown += after - before
    }
    return grown > 0 && used + grown > options.maxBytes ? fullError(options.maxBytes) : undefined
  }

  return {
    get(table, key) {
      return tableOf(table).get(text(key))?.slice()
    },
    *range(table, rangeOptions = {}) {
      yield* tableOf(table).range(rangeOptions, () => closed)
    },
    commit(writes) {
      try {
        checkWrites(tables, writes)
        if (closed) throw closedError()
      } catch (error) {
        return Promise.reject(asError(error))
      }
      const copies = writes.map(({ table, key, value }) => ({
        table,
        key: Uint8Array.from(key),
        value: value && Uint8Array.from(value),
      }))
      const done = tail.then(() => apply(copies))
      tail = done.catch(() => undefined)
      return done
    },
    bytesUsed: () => used,
    async close() {
      closed = true
      await tail
    },
    afterPowerCut(changed = {}) {
      const copy = new Map([...data].map(([name, table]) => [name, table.copy()] as const))
      return memoryStore({ ...options, ...changed }, new Map(copy))
    },
  }
}

/** Keys as latin1 text compare in byte order. */
class SortedTable {
  #keys: string[] = []
  /** So many in front were erased: a queue loses its first entries again and again. */
  #skip = 0
  #values = new Map<string, Uint8Array>()

  get(key: string): Uint8Array | undefined {
    return this.#values.get(key)
  }

  /** Returns by how many bytes the table grew. */
  set(key: string, value: Uint8Array | null): number {
    const old = this.#values.get(key)
    const keyBytes = bytes(key)
    const grown = recordBytes(keyBytes, value) - recordBytes(keyBytes, old ?? null)
    if (value === null) {
      if (old !== undefined) this.#erase(this.#position(key))
      this.#values.delete(key)
    } else {
      if (old === undefined) this.#keys.splice(this.#position(key), 0, key)
      this.#values.set(key, value)
    }
    return grown
  }

  *range(options: RangeOptions, isClosed: () => boolean): Iterable<Entry> {
    const from = options.from ? text(options.from) : ''
    const to = options.to && text(options.to)
    let left = options.limit ?? Infinity
    let last: string | undefined
    while (left-- > 0) {
      if (isClosed()) throw closedError()
      const key = options.reverse ? this.#below(last ?? to) : this.#atOrAbove(last, from)
      if (key === undefined || key < from || (to !== undefined && key >= to)) return
      last = key
      yield { key: bytes(key), value: this.#values.get(key)!.slice() }
    }
  }

  bytes(): number {
    let sum = 0
    for (const [key, value] of this.#values) sum += recordBytes(bytes(key), value)
    return sum
  }

  copy(): SortedTable {
    const table = new SortedTable()
    table.#keys = this.#keys.slice(this.#skip)
    table.#values = new Map(this.#values)
    return table
  }

  #atOrAbove(after: string | undefined, from: string): string | undefined {
    if (after === undefined) return this.#keys[this.#position(from)]
    const position = this.#position(after)
    return this.#keys[this.#keys[position] === after ? position + 1 : position]
  }

  #below(key: string | undefined): string | undefined {
    const position = (key === undefined ? this.#keys.length : this.#position(key)) - 1
    return position < this.#skip ? undefined : this.#keys[position]
  }

  #erase(position: number): void {
    if (position !== this.#skip) this.#keys.splice(position, 1)
    else if (++this.#skip * 2 > this.#keys.length) {
      this.#keys = this.#keys.slice(this.#skip)
      this.#skip = 0
    }
  }

  #position(key: string): number {
    let low = this.#skip
    let high = this.#keys.length
    if (high > low && this.#keys[high - 1]! < key) return high
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }
}

function recordBytes(key: Uint8Array, value: Uint8Array | null): number {
  return value === null ? 0 : key.length + value.length + RECORD_HEADER_BYTES
}

function text(key: Uint8Array): string {
  return Buffer.from(key.buffer, key.byteOffset, key.length).toString('latin1')
}

function bytes(key: string): Uint8Array {
  return Uint8Array.from(Buffer.from(key, 'latin1'))
}
