import { runSeed } from './run.js'
import { Tally } from './tally.js'

const USAGE = `Runs a whole site on a virtual clock, network and disk, with the faults that each seed draws.

  npm run simulate -- --seeds 1000 --from 1

  --seeds N   how many (default 100)
  --from S    the first one (default 1)
  --log       print every event
`

function option(name: string, fallback: number): number {
  const at = process.argv.indexOf(name)
  if (at < 0) return fallback
  const value = Number(process.argv[at + 1])
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`${name} needs a number`)
  return value
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}

/** Returns the exit code: 0 clean, 1 a promise was broken. */
async function main(): Promise<number> {
  if (process.argv.includes('--help')) {
    say(USAGE)
    return 0
  }
  const seeds = option('--seeds', 100)
  const from = option('--from', 1)
  const echo = process.argv.includes('--log') ? say : undefined
  const faults = new Tally()
  const failed: number[] = []
  let virtualMs = 0
  let readings = 0
  let longestHeal = { ms: 0, seed: from }
  let saidAt = performance.now()
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      const result = await runSeed(seed, echo)
      faults.merge(result.faults)
      virtualMs += result.virtualMs
      readings += result.readings
      if (result.healMs > longestHeal.ms) longestHeal = { ms: result.healMs, seed }
    } catch (error) {
      failed.push(seed)
      say(error instanceof Error ? error.message : String(error))
    }
    if (performance.now() - saidAt > 10_000) {
      saidAt = performance.now()
      say(`... ${seed - from + 1} of ${seeds} seeds, ${failed.length} failed`)
    }
  }
  say(
    `${seeds} seeds from ${from}: ${failed.length} failed${failed.length > 0 ? ` (${failed.join(', ')})` : ''}; ` +
      `${(virtualMs / 3_600_000).toFixed(1)} h of simulated time, ${readings} readings, ` +
      `longest heal ${(longestHeal.ms / 1_000).toFixed(0)} s (seed ${longestHeal.seed}); faults: ${faults.text}`,
  )
  return failed.length > 0 ? 1 : 0
}

process.exitCode = await main()
