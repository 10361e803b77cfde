import { createHash } from 'node:crypto'

/** Bytes that look random and are the same in every run. */
export function seededRandom(seed: number): (length: number) => Uint8Array {
  let counter = 0
  return (length) => {
    const blocks: Buffer[] = []
    for (let have = 0; have < length; have += 32) {
      blocks.push(createHash('sha256').update(`${seed} ${counter++}`).digest())
    }
    return new Uint8Array(Buffer.concat(blocks).subarray(0, length))
  }
}
