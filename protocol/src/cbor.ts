import { isUtf8 } from 'node:buffer'
import { Encoder } from 'cbor-x'
import { fromUtf8 } from './bytes.js'
import { MAX_CBOR_DEPTH, MAX_CBOR_ITEMS } from './constants.js'
import { malformed } from './errors.js'

/*
 * CBOR (RFC 8949) as the messages use it: arrays, unsigned and negative integers, byte and text strings, booleans, null and
 * floats, all of definite length. No maps, no tags: what is not needed cannot be attacked.
 *
 * cbor-x writes it. Reading is done here, because cbor-x reads text that is not UTF-8 differently with and without its native
 * part, drops a leading byte order mark from long text, and hands out views that keep a whole opened packet alive.
 */

export type CborValue = number | string | boolean | null | Uint8Array | readonly CborValue[]

const codec = new Encoder({
  useRecords: false,
  mapsAsObjects: false,
  tagUint8Array: false,
  structuredClone: false,
})

/** Integers that fit 32 bits as CBOR integers, every other number as a 64-bit float (so −0 becomes 0). */
export function encodeCbor(value: CborValue): Uint8Array {
  // A copy: cbor-x returns a view into a slab that it shares between messages.
  return new Uint8Array(codec.encode(value))
}

/** Decodes exactly one item; throws ProtocolError FW_MALFORMED on anything the messages never contain. */
export function decodeCbor(bytes: Uint8Array): CborValue {
  const reader: Reader = {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset, bytes.length),
    offset: 0,
    items: 0,
  }
  const value = readItem(reader, 0)
  if (reader.offset !== bytes.length) throw malformed('bytes follow the CBOR item')
  return value
}

interface Reader {
  readonly bytes: Uint8Array
  readonly view: DataView
  offset: number
  items: number
}

function readItem(reader: Reader, depth: number): CborValue {
  if (++reader.items > MAX_CBOR_ITEMS) throw malformed(`more than ${MAX_CBOR_ITEMS} CBOR items`)
  const head = reader.bytes[take(reader, 1)]!
  const major = head >>> 5
  const info = head & 31
  if (major === 7) return readSimple(reader, info)
  const count = readCount(reader, info)
  switch (major) {
    case 0:
      return count
    case 1:
      return -1 - count
    case 2: {
      const start = take(reader, count)
      return new Uint8Array(reader.bytes.subarray(start, start + count))
    }
    case 3: {
      const start = take(reader, count)
      const text = reader.bytes.subarray(start, start + count)
      if (!isUtf8(text)) throw malformed('CBOR text is not UTF-8')
      return fromUtf8(text)
    }
    case 4:
      return readArray(reader, count, depth)
    default:
      throw malformed(`CBOR major type ${major} is not used`)
  }
}

function readArray(reader: Reader, count: number, depth: number): readonly CborValue[] {
  if (depth >= MAX_CBOR_DEPTH) throw malformed(`CBOR nested deeper than ${MAX_CBOR_DEPTH}`)
  // Every item has at least one byte: a count that cannot be there is refused before anything is allocated for it.
  if (count > reader.bytes.length - reader.offset) throw malformed('the CBOR body is cut off')
  const array: CborValue[] = []
  for (let i = 0; i < count; i++) array.push(readItem(reader, depth + 1))
  return array
}

/** The number in an item's head: 5 bits of it, or the 1, 2 or 4 bytes that follow. */
function readCount(reader: Reader, info: number): number {
  if (info < 24) return info
  if (info > 26) throw malformed(`CBOR length form ${info} is not used`)
  const width = 1 << (info - 24)
  const at = take(reader, width)
  if (width === 1) return reader.bytes[at]!
  return width === 2 ? reader.view.getUint16(at) : reader.view.getUint32(at)
}

/** false, true, null, and floats of 16, 32 and 64 bits. */
function readSimple(reader: Reader, info: number): CborValue {
  if (info === 20) return false
  if (info === 21) return true
  if (info === 22) return null
  if (info < 25 || info > 27) throw malformed(`CBOR simple value ${info} is not used`)
  const width = 1 << (info - 24)
  const at = take(reader, width)
  if (width === 8) return reader.view.getFloat64(at)
  return width === 4 ? reader.view.getFloat32(at) : float16(reader.view.getUint16(at))
}

/** RFC 8949 appendix D. */
function float16(bits: number): number {
  const exponent = (bits >>> 10) & 31
  const fraction = bits & 1023
  const sign = bits & 0x8000 ? -1 : 1
  if (exponent === 0) return sign * fraction * 2 ** -24
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN
  return sign * (1024 + fraction) * 2 ** (exponent - 25)
}

/** Moves on by `count` bytes and returns where they begin. */
function take(reader: Reader, count: number): number {
  const start = reader.offset
  if (count > reader.bytes.length - start) throw malformed('the CBOR body is cut off')
  reader.offset = start + count
  return start
}

export function asArray(
  value: CborValue | undefined,
  what: string,
  min: number,
  max = min,
): readonly CborValue[] {
  if (!Array.isArray(value)) throw malformed(`${what} is not an array`)
  const items = value as readonly CborValue[]
  if (items.length < min || items.length > max) throw malformed(`${what} has ${items.length} items`)
  return items
}

export function asUint(value: CborValue | undefined, what: string, max = 0xffff_ffff): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0 || value > max) {
    throw malformed(`${what} is not an unsigned number up to ${max}`)
  }
  return value
}

/** A whole number within ±(2^53 − 1), or within the limits given. */
export function asInteger(
  value: CborValue | undefined,
  what: string,
  min = Number.MIN_SAFE_INTEGER,
  max = Number.MAX_SAFE_INTEGER,
): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < min || value > max) {
    throw malformed(`${what} is not a whole number from ${min} to ${max}`)
  }
  return value
}

export function asFinite(
  value: CborValue | undefined,
  what: string,
  min = -Number.MAX_VALUE,
  max = Number.MAX_VALUE,
): number {
  if (typeof value !== 'number' || !(value >= min && value <= max)) {
    throw malformed(`${what} is not a finite number within its range`)
  }
  return value
}

export function asBytes(value: CborValue | undefined, what: string, min: number, max = min): Uint8Array {
  if (!(value instanceof Uint8Array)) throw malformed(`${what} is not a byte string`)
  if (value.length < min || value.length > max) throw malformed(`${what} has ${value.length} bytes`)
  return value
}

export function asText(value: CborValue | undefined, what: string, min: number, maxBytes: number): string {
  if (typeof value !== 'string') throw malformed(`${what} is not text`)
  const bytes = Buffer.byteLength(value)
  if (bytes < min || bytes > maxBytes) throw malformed(`${what} has ${bytes} bytes`)
  return value
}

export function asBool(value: CborValue | undefined, what: string): boolean {
  if (typeof value !== 'boolean') throw malformed(`${what} is not true or false`)
  return value
}
