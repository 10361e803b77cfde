import { expand, sha256 } from '../reference/primitives.js'

const SEED = sha256(new TextEncoder().encode('Fieldwhisper golden vectors, version 1'))

/** Bytes that look random and are the same in every run: HKDF-Expand of a fixed key with the name as info. */
export function fixed(name: string, length = 32): Uint8Array {
  return expand(SEED, new TextEncoder().encode(name), length)
}

/** Hands out these byte strings one after the other, as an injected source of randomness. */
export function scripted(...parts: readonly Uint8Array[]): (length: number) => Uint8Array {
  const left = [...parts]
  return (length) => {
    const next = left.shift()
    if (next?.length !== length)
      throw new Error(`${length} random bytes were asked for, ${next?.length} come next`)
    return new Uint8Array(next)
  }
}
