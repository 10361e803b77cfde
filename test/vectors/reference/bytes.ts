/** Section 1 of docs/protocol.md. */

export type Bytes = Uint8Array

export function join(...parts: readonly Bytes[]): Bytes {
  return Uint8Array.from(parts.flatMap((part) => [...part]))
}

export const u8 = (value: number): Bytes => bigEndian(value, 1)
export const u16 = (value: number): Bytes => bigEndian(value, 2)
export const u32 = (value: number): Bytes => bigEndian(value, 4)

function bigEndian(value: number, width: number): Bytes {
  if (!Number.isInteger(value) || value < 0 || value >= 256 ** width)
    throw new Refused(`${value} in ${width} bytes`)
  return Uint8Array.from({ length: width }, (_, i) => Math.floor(value / 256 ** (width - 1 - i)) % 256)
}

export function readNumber(bytes: Bytes, at: number, width: number): number {
  if (at + width > bytes.length) throw new Refused('cut off')
  return bytes.slice(at, at + width).reduce((value, byte) => value * 256 + byte, 0)
}

export const zeros = (length: number): Bytes => new Uint8Array(length)
export const text = (value: string): Bytes => new TextEncoder().encode(value)
export const same = (a: Bytes, b: Bytes): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])

export function readText(bytes: Bytes): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
}

/** What the page says is refused. */
export class Refused extends Error {}

export function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Refused(what)
}
