import { concat } from '../bytes.js'
import { crypto } from './index.js'

/** HKDF-Extract with SHA-256, RFC 5869 section 2.2. */
export function hkdfExtract(salt: Uint8Array, keyMaterial: Uint8Array): Uint8Array {
  return crypto.hmacSha256(salt, keyMaterial)
}

/** HKDF-Expand with SHA-256, RFC 5869 section 2.3; `length` at most 255 × 32 bytes. */
export function hkdfExpand(key: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  let block: Uint8Array = new Uint8Array(0)
  let out: Uint8Array = new Uint8Array(0)
  for (let counter = 1; out.length < length; counter++) {
    block = crypto.hmacSha256(key, block, info, Uint8Array.of(counter))
    out = concat(out, block)
  }
  return out.subarray(0, length)
}
