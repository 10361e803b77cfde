/** A repeatable number in [0, 1): mulberry32. */
export function chanceFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 0x1_0000_0000
  }
}

/** Repeatable bytes, in place of the machine's randomness. */
export function randomFrom(seed: number): (length: number) => Uint8Array {
  const chance = chanceFrom(seed)
  return (length) => Uint8Array.from({ length }, () => chance() * 256)
}
