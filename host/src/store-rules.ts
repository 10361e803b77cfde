import { MAX_COMMIT_WRITES, MAX_KEY_BYTES, MAX_VALUE_BYTES, QUARANTINE_TABLE } from './constants.js'
import { HostError } from './errors.js'
import type { Write } from './store.js'

/** What every implementation of `Store` refuses before it touches anything. Throws HostError `FW_STORE_MISUSED`. */
export function checkWrites(tables: ReadonlySet<string>, writes: readonly Write[]): void {
  if (writes.length > MAX_COMMIT_WRITES) {
    throw misused(`A commit holds ${writes.length} writes; at most ${MAX_COMMIT_WRITES} are allowed.`)
  }
  for (const { table, key, value } of writes) {
    checkTable(tables, table)
    if (key.length < 1 || key.length > MAX_KEY_BYTES) {
      throw misused(`A key for table "${table}" has ${key.length} bytes; 1 to ${MAX_KEY_BYTES} are allowed.`)
    }
    if (value !== null && value.length > MAX_VALUE_BYTES) {
      throw misused(
        `A value for table "${table}" has ${value.length} bytes; at most ${MAX_VALUE_BYTES} are allowed.`,
      )
    }
  }
}

export function checkTable(tables: ReadonlySet<string>, table: string): void {
  if (!tables.has(table)) throw misused(`The store was opened without a table "${table}".`)
}

/** The table names of a store: lower-case words, the quarantine not among them. */
export function tableSet(tables: readonly string[]): ReadonlySet<string> {
  for (const table of tables) {
    if (!/^[a-z][a-z0-9_-]{0,63}$/.test(table) || table === QUARANTINE_TABLE) {
      throw misused(`"${table}" cannot be the name of a table.`)
    }
  }
  return new Set(tables)
}

export function closedError(): HostError {
  return new HostError('FW_STORE_CLOSED', 'The store is closed.')
}

export function fullError(maxBytes: number): HostError {
  return new HostError('FW_STORE_FULL', `The store has reached its limit of ${maxBytes} bytes.`)
}

function misused(message: string): HostError {
  return new HostError('FW_STORE_MISUSED', message)
}
