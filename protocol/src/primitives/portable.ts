import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256, sha512 } from '@noble/hashes/sha2.js'
import { concat, equalBytes } from '../bytes.js'
import { KEY_BYTES, SIGNATURE_BYTES } from '../constants.js'
import { ProtocolError } from '../errors.js'
import { isStrictPublicKey } from './ed25519-key.js'
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
    if (signature.length !== SIGNATURE_BYTES || !isStrictPublicKey(publicKey)) return false
    try {
      return verifyCofactorless(publicKey, message, signature)
    } catch {
      return false
    }
  },
  kem: portableKem,
}

/**
 * RFC 8032 section 5.1.7 without the cofactor, R compared as bytes: what OpenSSL computes. @noble's own check multiplies by the
 * cofactor and so takes some crafted signatures that OpenSSL refuses.
 */
function verifyCofactorless(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): boolean {
  const { Point } = ed25519
  const order = Point.Fn.ORDER
  const r = signature.subarray(0, KEY_BYTES)
  const s = littleEndian(signature.subarray(KEY_BYTES))
  if (s >= order) return false
  const k = littleEndian(sha512(concat(r, publicKey, message))) % order
  const point = Point.BASE.multiplyUnsafe(s).subtract(Point.fromBytes(publicKey).multiplyUnsafe(k))
  return equalBytes(point.toBytes(), r)
}

function littleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)
}
