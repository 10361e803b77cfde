import { randomBytes } from 'node:crypto'

/** `n` bytes (0 or more) from the operating system's generator: what cores take as their randomness. */
export function systemRandom(n: number): Uint8Array {
  return Uint8Array.from(randomBytes(n))
}
