// As a whole, because a name that Node 20 does not have cannot be imported; nothing but decapsulate is taken from it.
// eslint-disable-next-line no-restricted-imports
import * as nodeCrypto from 'node:crypto'
import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { wipe } from '../bytes.js'
import { KEM_CIPHERTEXT_BYTES, KEM_PUBLIC_BYTES, KEM_SEED_BYTES } from '../constants.js'
import { expectLength } from '../errors.js'
import { portableKem } from './kem.js'
import type { Kem } from './types.js'

/** PKCS #8 of a bare 64-byte ML-KEM-768 seed (RFC 9935, the seed form of the private key). */
const PKCS8_SEED = Buffer.from('3054020100300b060960864801650304040204428040', 'hex')

type Decapsulate = (key: KeyObject, ciphertext: Uint8Array) => Uint8Array

/** Node 24.7 and later with OpenSSL 3.5 and later; the types of Node 20 do not know it. */
const { decapsulate } = nodeCrypto as unknown as { readonly decapsulate?: Decapsulate }

function privateKey(seed: Uint8Array): KeyObject {
  expectLength('KEM seed', seed, KEM_SEED_BYTES)
  const key = Buffer.concat([PKCS8_SEED, seed])
  try {
    return createPrivateKey({ key, format: 'der', type: 'pkcs8' })
  } finally {
    wipe(key)
  }
}

function nativeKem(decapsulateWith: Decapsulate): Kem {
  return {
    publicKey(seed) {
      const spki = createPublicKey(privateKey(seed)).export({ format: 'der', type: 'spki' })
      return new Uint8Array(spki.subarray(spki.length - KEM_PUBLIC_BYTES))
    },
    // Node draws the coins of its own encapsulation itself; the protocol is given them.
    encapsulate: (publicKey, coins) => portableKem.encapsulate(publicKey, coins),
    decapsulate(seed, ciphertext) {
      expectLength('KEM ciphertext', ciphertext, KEM_CIPHERTEXT_BYTES)
      return new Uint8Array(decapsulateWith(privateKey(seed), ciphertext))
    },
  }
}

/** The native ML-KEM-768 where this Node.js has one that takes a seed, else undefined. */
export function findNativeKem(): Kem | undefined {
  if (!decapsulate) return undefined
  const kem = nativeKem(decapsulate)
  try {
    kem.decapsulate(new Uint8Array(KEM_SEED_BYTES), new Uint8Array(KEM_CIPHERTEXT_BYTES))
    return kem
  } catch {
    return undefined
  }
}
