import { createMlKem768 } from 'mlkem'
import { KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, KEM_SEED_BYTES } from '../constants.js'
import { ProtocolError } from '../errors.js'
import type { Kem } from './types.js'

const mlkem = await createMlKem768()

/** ML-KEM-768 by the `mlkem` package: Node 20 has no native one. About 0.6 ms an operation. */
export const portableKem: Kem = {
  publicKey(seed) {
    expectLength('KEM seed', seed, KEM_SEED_BYTES)
    return mlkem.deriveKeyPair(seed)[0]
  },
  encapsulate(publicKey, coins) {
    expectLength('KEM public key', publicKey, KEM_PUBLIC_BYTES)
    expectLength('KEM coins', coins, 32)
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
    return mlkem.decap(ciphertext, mlkem.deriveKeyPair(seed)[1])
  },
}

export function expectLength(what: string, bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) {
    throw new ProtocolError('FW_MALFORMED', `${what} has ${bytes.length} bytes, expected ${length}`)
  }
}
