import { asArray, asUint, decodeCbor, type CborValue } from '@fieldwhisper/protocol'
import { GatewayError } from '../errors.js'

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
