import { equalBytes, parseRecord, ProtocolError, siteFingerprint, verifyRecord } from '@fieldwhisper/protocol'
import { MAX_RECORD_JUMP } from './constants.js'
import type { Invites } from './invites.js'
import type { Meta } from './meta.js'
import type { Ports } from './ports.js'
import type { Prekeys } from './prekeys.js'
import type { Turn } from './turn.js'

/**
 * A record of this gateway's own with a number it has never given out means that it was restored from a backup: it goes on above
 * that number and closes what the backup may have re-opened. A second time, or by a long way, somebody else uses its keys.
 */
export class RestoreWatch {
  readonly #parts: {
    meta: Meta
    prekeys: Prekeys
    invites: Invites
    ports: Ports
    siteKey: Uint8Array
    gatewayKey: Uint8Array
  }
  #adopted = false
  #overtakenAgain = false

  constructor(parts: {
    meta: Meta
    prekeys: Prekeys
    invites: Invites
    ports: Ports
    siteKey: Uint8Array
    gatewayKey: Uint8Array
  }) {
    this.#parts = parts
  }

  /** No handshake is taken until an operator has looked. */
  get blocked(): boolean {
    return this.#overtakenAgain
  }

  /** Somebody showed the record of this gateway's own directory slot. True where a new signed prekey has to be made. */
  seen(turn: Turn, bytes: Uint8Array): boolean {
    const { meta, invites, ports } = this.#parts
    const number = this.#newerOwnNumber(bytes)
    if (number === undefined) return false
    const jump = number - meta.counters.nextPrekey
    if (this.#adopted || jump > MAX_RECORD_JUMP) {
      this.#overtakenAgain = true
      ports.report(
        'error',
        'FW_SECOND_GATEWAY',
        'a prekey record of this gateway exists that it did not make: a second gateway runs with its keys, or they are stolen. No handshakes are taken.',
        { number },
      )
      return false
    }
    this.#adopted = true
    meta.counters.nextPrekey = number + 1
    meta.counters.restores++
    meta.save(turn)
    invites.closeAll(turn)
    ports.report(
      'warn',
      'FW_GATEWAY_RESTORED',
      'this gateway was restored from a backup: open invites are closed; repeat the revocations that were made since the backup',
      { number },
    )
    return true
  }

  #newerOwnNumber(bytes: Uint8Array): number | undefined {
    const { siteKey, gatewayKey, meta } = this.#parts
    try {
      if (parseRecord(bytes).number < meta.counters.nextPrekey) return undefined
      const record = verifyRecord(bytes, siteFingerprint(siteKey))
      return equalBytes(record.gateway.signingKey, gatewayKey) ? record.number : undefined
    } catch (error) {
      if (error instanceof ProtocolError) return undefined
      throw error
    }
  }
}
