import type { Store } from '@fieldwhisper/host'
import { asArray, asUint, decodeCbor, ProtocolError, type CborValue } from '@fieldwhisper/protocol'
import { GatewayError } from '../errors.js'
import type { Ports } from './ports.js'

/** Tables of the gateway's own store; the bridge has its own beside them. */
export const TABLE = {
  meta: 'meta',
  agents: 'agents',
  invites: 'invites',
  prekeys: 'prekeys',
  hellos: 'hellos',
  sessions: 'sessions',
  sessionUp: 'session_up',
  sessionDown: 'session_down',
  ledger: 'ledger',
} as const

export const CORE_TABLES: readonly string[] = Object.values(TABLE)

/** First item of every record. */
export const RECORD_VERSION = 1

/**
 * The items of a stored record, its version first. Throws GatewayError `FW_STATE_NEWER` on one that a later release wrote: then
 * this program must not run on it, and has changed nothing.
 */
export function readRecord(value: Uint8Array, what: string, items: number): readonly CborValue[] {
  const record = asArray(decodeCbor(value), what, 1, 64)
  if (asUint(record[0], `version of the ${what}`) > RECORD_VERSION) {
    throw new GatewayError(
      'FW_STATE_NEWER',
      `the state folder was used by a newer release (${what}): install that again, or restore the backup made before it`,
    )
  }
  return asArray(record, what, items)
}

/**
 * Throws GatewayError `FW_STATE_NEWER` where a later release wrote one of the records that a start reads. `range` yields those of a
 * table; to be called before the folder changes.
 */
export function refuseNewerRecords(range: (table: string) => Iterable<{ readonly value: Uint8Array }>): void {
  for (const table of [
    TABLE.meta,
    TABLE.agents,
    TABLE.invites,
    TABLE.prekeys,
    TABLE.sessions,
    TABLE.ledger,
  ]) {
    for (const { value } of range(table)) {
      try {
        readRecord(value, table, 0)
      } catch (error) {
        if (error instanceof GatewayError) throw error
        // Whatever else is wrong with it is told by who needs it.
      }
    }
  }
}

/**
 * What a table holds. A record that does not read is left out and said: its checksum was right, so a program wrote it wrongly,
 * and one such record must not keep the gateway from starting. Throws GatewayError `FW_STATE_NEWER`.
 */
export function* readTable<T>(
  store: Store,
  table: string,
  ports: Pick<Ports, 'report'>,
  decode: (key: Uint8Array, value: Uint8Array) => T,
): Generator<T> {
  for (const { key, value } of store.range(table)) {
    let record: T
    try {
      record = decode(new Uint8Array(key), value)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const text = 'a stored record does not read and is left out; what it said is as if it had never been'
      ports.report('error', 'FW_STATE_RECORD_CORRUPT', text, { table, reason: error.message })
      continue
    }
    yield record
  }
}
