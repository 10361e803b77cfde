import { parseRecord, ProtocolError, verifyRecord, type VerifiedRecord } from '@fieldwhisper/protocol'
import { MAX_SENDERS, VERIFY_INTERVAL_MS } from './constants.js'

export type RecordOutcome =
  | { readonly outcome: 'newer'; readonly record: VerifiedRecord }
  /** The one that is known, an older one, or too soon after the last from this sender. */
  | { readonly outcome: 'ignored' }
  | { readonly outcome: 'wrong-site' }
  | { readonly outcome: 'invalid' }

/** The signed prekey record with the highest number ever seen. Anybody may offer one; lower numbers never count. */
export class RecordBook {
  #newest: VerifiedRecord | undefined
  readonly #verifiedAt = new Map<string, number>()
  #ignored = 0

  /** `stored`: what was kept on disk; verified again. */
  constructor(stored: Uint8Array | undefined, fingerprint: Uint8Array | undefined) {
    if (!stored || !fingerprint) return
    try {
      this.#newest = verifyRecord(stored, fingerprint)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
  }

  get newest(): VerifiedRecord | undefined {
    return this.#newest
  }

  /** Offers that were older than what is known. */
  get ignored(): number {
    return this.#ignored
  }

  offer(bytes: Uint8Array, source: string, fingerprint: Uint8Array, now: number): RecordOutcome {
    try {
      const { number, role } = parseRecord(bytes)
      if (role !== 'signed') return { outcome: 'invalid' }
      if (this.#newest && number <= this.#newest.number) {
        if (number < this.#newest.number) this.#ignored++
        return { outcome: 'ignored' }
      }
      if (!this.#mayVerify(source, now)) return { outcome: 'ignored' }
      const record = verifyRecord(new Uint8Array(bytes), fingerprint)
      this.#newest = record
      return { outcome: 'newer', record }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      return { outcome: error.code === 'FW_WRONG_SITE' ? 'wrong-site' : 'invalid' }
    }
  }

  #mayVerify(source: string, now: number): boolean {
    if (now - (this.#verifiedAt.get(source) ?? -Infinity) < VERIFY_INTERVAL_MS) return false
    this.#verifiedAt.delete(source)
    this.#verifiedAt.set(source, now)
    if (this.#verifiedAt.size > MAX_SENDERS) this.#verifiedAt.delete(this.#verifiedAt.keys().next().value!)
    return true
  }
}
