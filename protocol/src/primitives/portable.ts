import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { concat } from '../bytes.js'
import { ProtocolError } from '../errors.js'
import { portableKem } from './kem.js'
import type { Primitives } from './types.js'

/** Pure JavaScript, for runtimes without node:crypto and as the reference that `native` must equal. */
export const portable: Primitives = {
  sha256: (...parts) => sha256(concat(...parts)),
  hmacSha256: (key, ...parts) => hmac(sha256, key, concat(...parts)),
  hmacSha512: (key, ...parts) => hmac(sha512, key, concat(...parts)),
  seal: (key, nonce, aad, plaintext) => chacha20poly1305(key, nonce, aad).encrypt(plaintext),
  open(key, nonce, aad, sealed) {
    try {
      return chacha20poly1305(key, nonce, aad).decrypt(sealed)
    } catch {
      return undefined
    }
  },
  agreementKey: (secret) => ({
    publicKey: x25519.getPublicKey(secret),
    agree(publicKey) {
      try {
        return x25519.getSharedSecret(secret, publicKey)
      } catch (cause) {
        throw new ProtocolError('FW_KEY_INVALID', 'the X25519 key gives no shared secret', { cause })
      }
    },
  }),
  signingKey: (seed) => ({
    publicKey: ed25519.getPublicKey(seed),
    sign: (message) => ed25519.sign(message, seed),
  }),
  verify(publicKey, message, signature) {
    try {
      return ed25519.verify(signature, message, publicKey, { zip215: false })
    } catch {
      return false
    }
  },
  kem: portableKem,
}
