import { partText, report, runParts, runSeeds, summaryText } from './summary.js'

const USAGE = `Runs a whole site on a virtual clock, network and disk, with the faults that each seed draws.

  npm run simulate -- --seeds 1000 --from 1

  --seeds N     how many (default 100)
  --from S      the first one (default 1)
  --jobs J      in so many processes (default 1)
  --minutes M   begins no seed after so many minutes (default: all)
  --report      puts the figures into docs/reliability.md
  --log         print every event
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
  const has = (name: string): boolean => process.argv.includes(name)
  if (has('--help')) {
    say(USAGE)
    return 0
  }
  const range = {
    seeds: option('--seeds', 100),
    from: option('--from', 1),
    minutes: option('--minutes', 1e6),
  }
  const jobs = option('--jobs', 1)
  const summary =
    jobs > 1 ? await runParts(range, jobs, say) : await runSeeds(range, say, has('--log') ? say : undefined)
  say(has('--part') ? partText(summary) : summaryText(summary))
  if (has('--report')) report(summary)
  return summary.failed.length > 0 ? 1 : 0
}

process.exitCode = await main()
