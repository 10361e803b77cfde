/** Section 1.3 of docs/protocol.md. */
import { join, must, readNumber, readText, text, u16, u32, u8, type Bytes } from './bytes.js'

export type Value = number | string | boolean | null | Bytes | readonly Value[]

export function write(value: Value): Bytes {
  if (value === false) return u8(0xf4)
  if (value === true) return u8(0xf5)
  if (value === null) return u8(0xf6)
  if (typeof value === 'number') return writeNumber(value)
  if (typeof value === 'string') return join(head(3, text(value).length), text(value))
  if (value instanceof Uint8Array) return join(head(2, value.length), value)
  return join(head(4, value.length), ...value.map(write))
}

function writeNumber(value: number): Bytes {
  if (Number.isInteger(value) && value >= 0 && value < 2 ** 32) return head(0, value)
  if (Number.isInteger(value) && value < 0 && value >= -(2 ** 32)) return head(1, -1 - value)
  const float = new DataView(new ArrayBuffer(8))
  float.setFloat64(0, value)
  return join(u8(0xfb), new Uint8Array(float.buffer))
}

function head(major: number, count: number): Bytes {
  const top = major * 32
  if (count < 24) return u8(top + count)
  if (count < 256) return join(u8(top + 24), u8(count))
  return count < 65_536 ? join(u8(top + 25), u16(count)) : join(u8(top + 26), u32(count))
}

export function read(bytes: Bytes): Value {
  const [value, end] = readItem(bytes, 0, 0)
  must(end === bytes.length, 'bytes follow the item')
  return value
}

function readItem(bytes: Bytes, at: number, depth: number): [Value, number] {
  const first = readNumber(bytes, at, 1)
  const [major, info] = [first >> 5, first & 31]
  if (major === 7) return readSimple(bytes, at + 1, info)
  must(info <= 26, 'length form')
  const width = info < 24 ? 0 : 2 ** (info - 24)
  const count = width === 0 ? info : readNumber(bytes, at + 1, width)
  const start = at + 1 + width
  if (major === 0) return [count, start]
  if (major === 1) return [-1 - count, start]
  must(major <= 4, 'major type')
  if (major === 4) {
    must(depth < 8, 'depth')
    const array: Value[] = []
    let next = start
    for (let i = 0; i < count; i++) {
      const [value, end] = readItem(bytes, next, depth + 1)
      array.push(value)
      next = end
    }
    return [array, next]
  }
  must(start + count <= bytes.length, 'cut off')
  const body = bytes.slice(start, start + count)
  return [major === 2 ? body : readText(body), start + count]
}

function readSimple(bytes: Bytes, at: number, info: number): [Value, number] {
  if (info === 20) return [false, at]
  if (info === 21) return [true, at]
  if (info === 22) return [null, at]
  must(info >= 25 && info <= 27, 'simple value')
  const width = 2 ** (info - 24)
  must(at + width <= bytes.length, 'cut off')
  const view = new DataView(bytes.slice(at, at + width).buffer)
  const value = width === 8 ? view.getFloat64(0) : width === 4 ? view.getFloat32(0) : half(view.getUint16(0))
  return [value, at + width]
}

function half(bits: number): number {
  const sign = bits >> 15 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = (bits & 1023) / 1024
  if (exponent === 0) return sign * 2 ** -14 * fraction
  if (exponent === 31) return fraction ? NaN : sign * Infinity
  return sign * 2 ** (exponent - 15) * (1 + fraction)
}
