import { verifyAddressProof } from '@fieldwhisper/protocol/address'
import { TokenBucket } from '@fieldwhisper/host'
import { BAD_PROOFS } from '../constants.js'
import type { RelayLimits } from '../limits.js'

export type ProofResult = 'valid' | 'invalid' | 'too many' | 'rate'

/** Signatures that may be checked, a second's worth at once. */
export function proofBudgets(
  { proofsPerSecond, strangerProofsPerSecond }: RelayLimits,
  now: number,
): { readonly memberProofs: TokenBucket; readonly strangerProofs: TokenBucket } {
  const bucket = (perSecond: number): TokenBucket => new TokenBucket({ perSecond, burst: perSecond }, now)
  return { memberProofs: bucket(proofsPerSecond), strangerProofs: bucket(strangerProofsPerSecond) }
}

/**
 * Checks the proofs of one connection. A proof is a signature over this connection's nonce, the relay's name as the client
 * dialled it, and the address; the relay has several names and learns which one was dialled from the first proof that
 * holds. Every signature looked at costs the bucket one token.
 */
export class ProofCheck {
  readonly #nonce: Uint8Array
  readonly #names: () => readonly string[]
  readonly #bucket: TokenBucket
  #dialled: string | undefined
  #bad = 0

  constructor(nonce: Uint8Array, names: () => readonly string[], bucket: TokenBucket) {
    this.#nonce = nonce
    this.#names = names
    this.#bucket = bucket
  }

  check(publicKey: Uint8Array, signature: Uint8Array, now: number): ProofResult {
    for (const name of this.#dialled === undefined ? this.#names() : [this.#dialled]) {
      if (!this.#bucket.take(now)) return 'rate'
      if (verifyAddressProof(publicKey, signature, this.#nonce, name)) {
        this.#dialled = name
        return 'valid'
      }
    }
    return ++this.#bad > BAD_PROOFS ? 'too many' : 'invalid'
  }
}
