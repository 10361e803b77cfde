import { crc32 } from 'node:zlib'
import { RECORD_HEADER_BYTES, RECORD_VERSION } from './constants.js'

/**
 * A value as it lies on disk: version u8 ‖ CRC-32 of key ‖ value (u32 big-endian) ‖ value. The key is in the sum so
 * that a value found under another key is noticed.
 */
export function frameRecord(key: Uint8Array, value: Uint8Array): Buffer {
  const frame = Buffer.allocUnsafeSlow(RECORD_HEADER_BYTES + value.length)
  frame[0] = RECORD_VERSION
  frame.writeUInt32BE(crc32(value, crc32(key)), 1)
  frame.set(value, RECORD_HEADER_BYTES)
  return frame
}

/** The value of a frame, or undefined when it is not what was written. The result shares the frame's memory. */
export function openRecord(key: Uint8Array, frame: Uint8Array): Uint8Array | undefined {
  if (frame.length < RECORD_HEADER_BYTES || frame[0] !== RECORD_VERSION) return undefined
  const value = new Uint8Array(
    frame.buffer,
    frame.byteOffset + RECORD_HEADER_BYTES,
    frame.length - RECORD_HEADER_BYTES,
  )
  const sum = new DataView(frame.buffer, frame.byteOffset).getUint32(1)
  return crc32(value, crc32(key)) === sum ? value : undefined
}

/**
 * Whether a frame is whole and of a later version. From version 2 on the sum covers the version byte too, before key and value:
 * a damaged byte of this version's frames must not pass for a later one.
 */
export function isNewerRecord(key: Uint8Array, frame: Uint8Array): boolean {
  if (frame.length < RECORD_HEADER_BYTES || frame[0]! <= RECORD_VERSION) return false
  const value = frame.subarray(RECORD_HEADER_BYTES)
  const sum = crc32(value, crc32(key, crc32(frame.subarray(0, 1))))
  return new DataView(frame.buffer, frame.byteOffset).getUint32(1) === sum
}
