import type { Clock } from '@fieldwhisper/host'
import { equalBytes, parseRecord, ProtocolError, siteFingerprint, verifyRecord } from '@fieldwhisper/protocol'
import { outboxEventWrite } from '../bridge/outbox-entry.js'
import { MAX_RECORD_JUMP, RESTORE_MARGIN } from './constants.js'
import type { Invites } from './invites.js'
import type { Meta } from './meta.js'
import type { Ports } from './ports.js'
import type { Prekeys } from './prekeys.js'
import type { Turn } from './turn.js'

interface Parts {
  readonly meta: Meta
  readonly prekeys: Pick<Prekeys, 'newest'>
  readonly invites: Invites
  readonly ports: Ports
  readonly siteKey: Uint8Array
  readonly gatewayKey: Uint8Array
  readonly clock: Pick<Clock, 'wallMs'>
  readonly nextSequence: () => number
}

/**
 * A signed record of this gateway's own with a number that it has never given out, or with that of its newest and other keys, means
 * that it was restored from a backup: it goes on well above that number and closes what the backup may have re-opened. A second
 * time, or by a long way, somebody else uses its keys.
 */
export class RestoreWatch {
  readonly #parts: Parts
  #adopted = false
  #overtakenAgain = false

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** No handshake is taken until an operator has looked. */
  get blocked(): boolean {
    return this.#overtakenAgain
  }

  /** Whether a record might be news: cheap, and no reason to believe it. */
  mayBeNewer(bytes: Uint8Array): boolean {
    try {
      const { role, number } = parseRecord(bytes)
      if (role !== 'signed') return false
      const newest = this.#parts.prekeys.newest()
      const isFork = newest?.number === number && !equalBytes(newest.record, bytes)
      return isFork || number >= this.#parts.meta.counters.nextPrekey
    } catch (error) {
      if (error instanceof ProtocolError) return false
      throw error
    }
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
    meta.counters.nextPrekey = number + 1 + RESTORE_MARGIN
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

  /** The operator restored it from a backup made then (RFC 3339): the same, before anything else happens and without a record that shows it. */
  fromBackup(turn: Turn, made: string): void {
    const { meta, invites, clock, nextSequence, ports } = this.#parts
    meta.counters.nextPrekey += RESTORE_MARGIN
    meta.counters.restores++
    meta.save(turn)
    invites.closeAll(turn)
    const code = 'FW_GATEWAY_RESTORED'
    const message = `this gateway was restored from a backup of ${made}: open invites are closed; repeat the revocations that were made since then`
    const event = { level: 'warn', code, message, wallMs: clock.wallMs(), fields: { made } } as const
    turn.write(outboxEventWrite(nextSequence(), event))
    turn.then(() => ports.report('warn', code, message, { made }))
  }

  #newerOwnNumber(bytes: Uint8Array): number | undefined {
    if (!this.mayBeNewer(bytes)) return undefined
    const { siteKey, gatewayKey } = this.#parts
    try {
      const record = verifyRecord(bytes, siteFingerprint(siteKey))
      return equalBytes(record.gateway.signingKey, gatewayKey) ? record.number : undefined
    } catch (error) {
      if (error instanceof ProtocolError) return undefined
      throw error
    }
  }
}
