import { createMlKem768 } from 'mlkem'
import { wipe } from '../bytes.js'
import { KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, KEM_SEED_BYTES } from '../constants.js'
import { expectLength, ProtocolError } from '../errors.js'
import type { Kem } from './types.js'

const COINS_BYTES = 32
const mlkem = await createMlKem768()

/** ML-KEM-768 by the `mlkem` package: Node 20 has no native one. */
export const portableKem: Kem = {
  publicKey(seed) {
    expectLength('KEM seed', seed, KEM_SEED_BYTES)
    const [publicKey, expanded] = mlkem.deriveKeyPair(seed)
    wipe(expanded)
    return publicKey
  },
  encapsulate(publicKey, coins) {
    expectLength('KEM public key', publicKey, KEM_PUBLIC_BYTES)
    expectLength('KEM coins', coins, COINS_BYTES)
    try {
      const [ciphertext, secret] = mlkem.encap(publicKey, coins)
      return { ciphertext, secret }
    } catch (cause) {
      throw new ProtocolError('FW_KEY_INVALID', 'the ML-KEM-768 key fails its modulus check', { cause })
    }
  },
  decapsulate(seed, ciphertext) {
    expectLength('KEM seed', seed, KEM_SEED_BYTES)
    expectLength('KEM ciphertext', ciphertext, KEM_CIPHERTEXT_BYTES)
    const expanded = mlkem.deriveKeyPair(seed)[1]
    try {
      return mlkem.decap(ciphertext, expanded)
    } finally {
      wipe(expanded)
    }
  },
}
