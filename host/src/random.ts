import { randomBytes } from 'node:crypto'

/** `n` bytes (0 or more) from the operating system's generator: what cores take as their randomness. */
export function systemRandom(n: number): Uint8Array {
  return Uint8Array.from(randomBytes(n))
}

/** `bytes` random bytes as base64url, for people: never with a `-` in front, which a command line takes for an option. */
export function randomText(bytes: number, random = systemRandom): string {
  for (;;) {
    const text = Buffer.from(random(bytes)).toString('base64url')
    if (!text.startsWith('-')) return text
  }
}
