/** Section 1.1 of docs/protocol.md. */
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { hmac } from '@noble/hashes/hmac.js'
import { sha256 as nobleSha256, sha512 } from '@noble/hashes/sha2.js'
import { createMlKem768 } from 'mlkem'
import { join, u8, type Bytes } from './bytes.js'

const mlkem = await createMlKem768()

export const sha256 = (data: Bytes): Bytes => nobleSha256(data)
export const hmac256 = (key: Bytes, data: Bytes): Bytes => hmac(nobleSha256, key, data)
export const hmac512 = (key: Bytes, data: Bytes): Bytes => hmac(sha512, key, data)

export const extract = (salt: Bytes, keyMaterial: Bytes): Bytes => hmac256(salt, keyMaterial)

export function expand(key: Bytes, info: Bytes, length: number): Bytes {
  const blocks: Bytes[] = []
  for (let i = 1; blocks.length * 32 < length; i++) {
    blocks.push(hmac256(key, join(blocks.at(-1) ?? new Uint8Array(0), info, u8(i))))
  }
  return join(...blocks).slice(0, length)
}

export const x25519Public = (secret: Bytes): Bytes => x25519.getPublicKey(secret)
/** Throws on a result of zeros. */
export const x25519Shared = (secret: Bytes, key: Bytes): Bytes => x25519.getSharedSecret(secret, key)

export const ed25519Public = (seed: Bytes): Bytes => ed25519.getPublicKey(seed)
export const ed25519Sign = (seed: Bytes, message: Bytes): Bytes => ed25519.sign(message, seed)
export const ed25519Verify = (key: Bytes, message: Bytes, signature: Bytes): boolean =>
  ed25519.verify(signature, message, key, { zip215: false })

export const kemPublic = (seed: Bytes): Bytes => mlkem.deriveKeyPair(seed)[0]
export function encapsulate(key: Bytes, coins: Bytes): { ciphertext: Bytes; secret: Bytes } {
  const [ciphertext, secret] = mlkem.encap(key, coins)
  return { ciphertext, secret }
}
export const decapsulate = (seed: Bytes, ciphertext: Bytes): Bytes =>
  mlkem.decap(ciphertext, mlkem.deriveKeyPair(seed)[1])

export const seal = (key: Bytes, nonce: Bytes, aad: Bytes, plaintext: Bytes): Bytes =>
  chacha20poly1305(key, nonce, aad).encrypt(plaintext)
/** Throws where the tag does not verify. */
export const open = (key: Bytes, nonce: Bytes, aad: Bytes, sealed: Bytes): Bytes =>
  chacha20poly1305(key, nonce, aad).decrypt(sealed)
