import { readU16, u16 } from '../bytes.js'
import { MAX_CONTENT_BYTES, MIN_PLAINTEXT_BYTES } from '../constants.js'
import { malformed, ProtocolError } from '../errors.js'

/**
 * Padmé (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019, section 4): the
 * next size whose lowest bits are zero, so that a size tells O(log log n) bits. Below 256 always 256.
 */
export function paddedLength(length: number): number {
  if (length <= MIN_PLAINTEXT_BYTES) return MIN_PLAINTEXT_BYTES
  const exponent = floorLog2(length)
  const kept = floorLog2(exponent) + 1
  const step = 2 ** (exponent - kept)
  return Math.ceil(length / step) * step
}

function floorLog2(value: number): number {
  return 31 - Math.clz32(value)
}

/** length u16 ‖ content ‖ zeros. */
export function pad(content: Uint8Array): Uint8Array {
  if (content.length > MAX_CONTENT_BYTES) {
    throw new ProtocolError(
      'FW_TOO_LARGE',
      `a content of ${content.length} bytes, at most ${MAX_CONTENT_BYTES} fit`,
    )
  }
  const padded = new Uint8Array(paddedLength(content.length + 2))
  padded.set(u16(content.length))
  padded.set(content, 2)
  return padded
}

export function unpad(padded: Uint8Array): Uint8Array {
  const end = 2 + readU16(padded, 0)
  if (end > padded.length || paddedLength(end) !== padded.length)
    throw malformed('the padding has a wrong length')
  for (let i = end; i < padded.length; i++) if (padded[i] !== 0) throw malformed('the padding is not zero')
  return padded.subarray(2, end)
}
