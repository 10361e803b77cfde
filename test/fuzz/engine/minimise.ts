import { check, signature } from './check.js'
import { splice } from './cbor-edits.js'
import type { Target } from './target.js'

const MAX_RUNS = 2_000
const NOTHING = new Uint8Array(0)

/** A shorter and plainer input with the same finding: pieces are taken out, then bytes set to zero. */
export async function minimise(target: Target, input: Uint8Array, finding: string): Promise<Uint8Array> {
  let best = input
  let runs = 0
  const stillFound = async (candidate: Uint8Array): Promise<boolean> => {
    if (++runs > MAX_RUNS) return false
    try {
      await check(target, candidate)
      return false
    } catch (error) {
      if (signature(error) !== finding) return false
      best = candidate
      return true
    }
  }
  for (let piece = best.length >>> 1; piece > 0; piece >>>= 1) {
    for (let at = 0; at < best.length;) {
      const shorter = splice(best, at, Math.min(best.length, at + piece), NOTHING)
      if (!(await stillFound(shorter))) at += piece
    }
  }
  for (let at = 0; at < best.length && at < 256; at++) {
    if (best[at] === 0) continue
    const plainer = new Uint8Array(best)
    plainer[at] = 0
    await stillFound(plainer)
  }
  return best
}
