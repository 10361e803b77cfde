/** Bytes from an injected source of randomness. */
export type Random = (length: number) => Uint8Array

/** A number in [low, high), with 32 bits of choice. */
export function between(random: Random, low: number, high: number): number {
  const [a = 0, b = 0, c = 0, d = 0] = random(4)
  const share = (((a << 24) | (b << 16) | (c << 8) | d) >>> 0) / 0x1_0000_0000
  return low + share * (high - low)
}
