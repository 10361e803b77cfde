import { asBytes, crypto, encodeCbor, equalBytes, type RelayInfo } from '@fieldwhisper/protocol'
import type { Store } from '@fieldwhisper/host'
import { readRecord, RECORD_VERSION, TABLE } from './tables.js'
import type { Turn } from './turn.js'

const KEY = new TextEncoder().encode('told relays')

/**
 * Which relays agents were told last, over restarts: the configuration may name others after one, and addresses of an embedded
 * relay change with the network. Kept as a hash, since access tokens are part of it.
 */
export class ToldRelays {
  #hash: Uint8Array | undefined

  constructor(store: Store) {
    const bytes = store.get(TABLE.meta, KEY)
    if (bytes) this.#hash = asBytes(readRecord(bytes, 'told relays', 2)[1], 'hash', 32)
  }

  are(relays: readonly RelayInfo[]): boolean {
    return this.#hash !== undefined && equalBytes(this.#hash, hashOf(relays))
  }

  set(turn: Turn, relays: readonly RelayInfo[]): void {
    const hash = hashOf(relays)
    turn.put(TABLE.meta, KEY, encodeCbor([RECORD_VERSION, hash]))
    turn.then(() => (this.#hash = hash))
  }
}

function hashOf(relays: readonly RelayInfo[]): Uint8Array {
  const list = relays.map(({ url, token, fingerprint }) => [url, token ?? null, fingerprint ?? null])
  return crypto.sha256(new TextEncoder().encode(JSON.stringify(list)))
}
