import { randomBytes } from 'node:crypto'

/** `n` bytes (0 or more) from the operating system's generator: what cores take as their randomness. */
export function systemRandom(n: number): Uint8Array {
  return Uint8Array.from(randomBytes(n))
}

/** One draw in 64 begins with a `-`: so many in a row are no chance. */
const MOST_DRAWS = 64

/** `bytes` random bytes as base64url, for people: never with a `-` in front, which a command line takes for an option. */
export function randomText(bytes: number, random = systemRandom): string {
  for (let draw = 0; draw < MOST_DRAWS; draw++) {
    const text = Buffer.from(random(bytes)).toString('base64url')
    if (!text.startsWith('-')) return text
  }
  throw new Error('The source of randomness gives the same again and again.')
}
