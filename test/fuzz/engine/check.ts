import assert from 'node:assert/strict'
import { globalState } from './contract.js'
import type { Target } from './target.js'

const DEFAULT_MAX_MS = 50
/** A slow run is repeated so often before it is called slow: a busy machine is no defect of a decoder. */
const SLOW_REPEATS = 5

/** Runs one input; throws what the target threw, or that the input was changed or took too long. */
export async function check(target: Target, input: Uint8Array): Promise<void> {
  const given = new Uint8Array(input)
  const begun = performance.now()
  const running = target.run(given)
  if (running) await running
  const limit = target.maxMs ?? DEFAULT_MAX_MS
  if (performance.now() - begun > limit) await checkTime(target, input, limit)
  assert.ok(Buffer.compare(given, input) === 0, 'the input was changed')
}

async function checkTime(target: Target, input: Uint8Array, limit: number): Promise<void> {
  let least = Infinity
  for (let i = 0; i < SLOW_REPEATS && least > limit; i++) {
    const before = process.cpuUsage()
    const running = target.run(new Uint8Array(input))
    if (running) await running
    const { user, system } = process.cpuUsage(before)
    least = Math.min(least, (user + system) / 1_000)
  }
  assert.ok(least <= limit, `an input of ${input.length} bytes takes more than ${limit} ms of processor time`)
}

/** What a run found, by what makes it another finding: the class, the words without numbers, and the line of ours. */
export function signature(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const line =
    /\/((?:protocol|host|mesh|relay|agent|gateway)\/dist\/[^)\s]+)/.exec(error.stack ?? '')?.[1] ?? ''
  return `${error.name} ${error.message
    .split('\n')[0]!
    .replaceAll(/[0-9a-f]{8,}|\d+/g, '#')
    .slice(0, 120)} ${line}`
}

export { globalState }
