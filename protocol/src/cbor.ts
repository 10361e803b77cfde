import { Encoder } from 'cbor-x'
import { readU16, readU32 } from './bytes.js'
import { MAX_CBOR_DEPTH, MAX_CBOR_ITEMS } from './constants.js'
import { malformed } from './errors.js'

/*
 * CBOR (RFC 8949) as the messages use it: arrays, unsigned and negative integers, byte and text strings, booleans, null and
 * floats, all of definite length. No maps, no tags: what is not needed cannot be attacked.
 */

export type CborValue = number | string | boolean | null | Uint8Array | readonly CborValue[]

const codec = new Encoder({
  useRecords: false,
  mapsAsObjects: false,
  tagUint8Array: false,
  structuredClone: false,
  int64AsNumber: true,
} as ConstructorParameters<typeof Encoder>[0])

/** Integers that fit 32 bits as CBOR integers, every other number as a 64-bit float. */
export function encodeCbor(value: CborValue): Uint8Array {
  return codec.encode(value)
}

/** Decodes exactly one item; throws ProtocolError FW_MALFORMED on anything the messages never contain. */
export function decodeCbor(bytes: Uint8Array): CborValue {
  if (skim(bytes) !== bytes.length) throw malformed('bytes follow the CBOR item')
  try {
    return codec.decode(bytes) as CborValue
  } catch (cause) {
    throw Object.assign(malformed('the CBOR body does not decode'), { cause })
  }
}

/** Walks the item heads without building anything and returns where the first item ends. */
function skim(bytes: Uint8Array): number {
  const open: number[] = [1]
  let offset = 0
  for (let items = 0; open.length > 0; items++) {
    if (items > MAX_CBOR_ITEMS) throw malformed(`more than ${MAX_CBOR_ITEMS} CBOR items`)
    const head = bytes[offset++]
    if (head === undefined) throw malformed('the CBOR body is cut off')
    open[open.length - 1]!--
    const major = head >>> 5
    const info = head & 31
    if (major === 7) {
      offset += simpleLength(info)
    } else {
      if (info > 26) throw malformed(`CBOR length form ${info} is not used`)
      const width = info < 24 ? 0 : 1 << (info - 24)
      if (offset + width > bytes.length) throw malformed('the CBOR body is cut off')
      const count =
        width === 0
          ? info
          : width === 1
            ? bytes[offset]!
            : width === 2
              ? readU16(bytes, offset)
              : readU32(bytes, offset)
      offset += width
      if (major === 2 || major === 3) offset += count
      else if (major === 4) {
        open.push(count)
        if (open.length > MAX_CBOR_DEPTH + 1) throw malformed(`CBOR nested deeper than ${MAX_CBOR_DEPTH}`)
      } else if (major > 4) throw malformed(`CBOR major type ${major} is not used`)
    }
    if (offset > bytes.length) throw malformed('the CBOR body is cut off')
    while (open.length > 0 && open[open.length - 1] === 0) open.pop()
  }
  return offset
}

/** false, true, null, and floats of 16, 32 and 64 bits. */
function simpleLength(info: number): number {
  if (info >= 20 && info <= 22) return 0
  if (info >= 25 && info <= 27) return 1 << (info - 24)
  throw malformed(`CBOR simple value ${info} is not used`)
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

export function asFinite(value: CborValue | undefined, what: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value)) throw malformed(`${what} is not a finite number`)
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
