import { hex } from '../bytes.js'
import { KEY_BYTES } from '../constants.js'

/** y of the points of order 1, 2, 4 and 8, little endian, the sign bit cleared. A signature under such a key proves nothing. */
const SMALL_ORDER_Y: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

/**
 * The two checks that OpenSSL leaves out and RFC 8032 (5.1.3, canonical encoding) and good sense (no key of small order) ask
 * for. Both implementations use them, so that they take and refuse the same keys.
 */
export function isStrictPublicKey(key: Uint8Array): boolean {
  if (key.length !== KEY_BYTES) return false
  const y = new Uint8Array(key)
  y[KEY_BYTES - 1]! &= 0x7f
  return isBelowPrime(y) && !SMALL_ORDER_Y.has(hex(y))
}

/** y < 2^255 − 19: only 19 encodings are not, and they are all ones above their first byte. */
function isBelowPrime(y: Uint8Array): boolean {
  if (y[0]! < 0xed || y[KEY_BYTES - 1] !== 0x7f) return true
  return y.subarray(1, KEY_BYTES - 1).some((byte) => byte !== 0xff)
}
