import { STORE_VERSION } from './constants.js'
import { HostError } from './errors.js'
import { frameRecord, isNewerRecord, openRecord } from './record.js'

/** What a store knows about itself without counting; written in every transaction, beside the names of the tables. */
export interface StoreCounters {
  usedBytes: number
  quarantined: number
  quarantineBytes: number
}

const VALUE_BYTES = 1 + 8 + 4 + 8

export const COUNTERS_KEY = Buffer.from('\0counters', 'latin1')

/** Layout version u8 ‖ used f64 ‖ quarantined u32 ‖ quarantine bytes f64, framed as a record. */
export function encodeCounters({ usedBytes, quarantined, quarantineBytes }: StoreCounters): Buffer {
  const value = Buffer.alloc(VALUE_BYTES)
  value[0] = STORE_VERSION
  value.writeDoubleBE(usedBytes, 1)
  value.writeUInt32BE(quarantined, 9)
  value.writeDoubleBE(quarantineBytes, 13)
  return frameRecord(COUNTERS_KEY, value)
}

/** Undefined when the record is missing or bad: count anew. Throws HostError `FW_STORE_NEWER`. */
export function decodeCounters(raw: Buffer | undefined, dir: string): StoreCounters | undefined {
  if (raw && isNewerRecord(COUNTERS_KEY, raw)) throw newerError(dir, `records of version ${raw[0]}`)
  const value = raw && openRecord(COUNTERS_KEY, raw)
  if (!value || value.length === 0) return undefined
  if (value[0] !== STORE_VERSION) throw newerError(dir, `layout ${value[0]}`)
  if (value.length !== VALUE_BYTES) return undefined
  const view = Buffer.from(value)
  return {
    usedBytes: view.readDoubleBE(1),
    quarantined: view.readUInt32BE(9),
    quarantineBytes: view.readDoubleBE(13),
  }
}

function newerError(dir: string, what: string): HostError {
  return new HostError('FW_STORE_NEWER', `The store ${dir} was written by a newer release (${what}).`)
}

/** A bad record as the quarantine keeps it: table length u8 ‖ table ‖ key length u16 ‖ key ‖ what was stored. */
export function encodeQuarantined(table: string, key: Uint8Array, raw: Uint8Array): Buffer {
  const lengths = Buffer.from([table.length, key.length >>> 8, key.length & 0xff])
  return Buffer.concat([lengths.subarray(0, 1), Buffer.from(table), lengths.subarray(1), key, raw])
}
