import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { runSeed } from './run.js'
import { Tally } from './tally.js'

/** What a run of many seeds comes to. */
export interface Summary {
  readonly from: number
  readonly seeds: number
  readonly failed: readonly number[]
  readonly virtualMs: number
  readonly readings: number
  readonly dropped: number
  readonly longestHeal: { readonly ms: number; readonly seed: number }
  readonly faults: Readonly<Record<string, number>>
}

export interface Range {
  readonly from: number
  readonly seeds: number
  /** No seed is begun after so long. */
  readonly minutes: number
}

/** Printed before the summary of a part, for the process that put the parts out. */
const PART_MARK = 'part: '
const DOCUMENT = fileURLToPath(new URL('../../docs/reliability.md', import.meta.url))
/** Parts of the document that programs write. */
const SECTIONS = {
  simulated: [
    '<!-- simulated: begin, written by npm run simulate -- --report -->',
    '<!-- simulated: end -->',
  ],
  mutated: ['<!-- mutated: begin, written by npm run mutate -->', '<!-- mutated: end -->'],
} as const

export async function runSeeds(
  { from, seeds, minutes }: Range,
  say: (text: string) => void,
  echo?: (line: string) => void,
): Promise<Summary> {
  const faults = new Tally()
  const failed: number[] = []
  const sums = { virtualMs: 0, readings: 0, dropped: 0 }
  let longestHeal = { ms: 0, seed: from }
  let saidAt = performance.now()
  const endAt = saidAt + minutes * 60_000
  let seed = from
  for (; seed < from + seeds && performance.now() < endAt; seed++) {
    try {
      const result = await runSeed(seed, echo)
      faults.merge(result.faults)
      sums.virtualMs += result.virtualMs
      sums.readings += result.readings
      sums.dropped += result.dropped
      if (result.healMs > longestHeal.ms) longestHeal = { ms: result.healMs, seed }
    } catch (error) {
      failed.push(seed)
      say(error instanceof Error ? error.message : String(error))
    }
    if (performance.now() - saidAt < 10_000) continue
    saidAt = performance.now()
    say(`... ${seed - from + 1} of ${seeds} seeds from ${from}, ${failed.length} failed`)
  }
  return { from, seeds: seed - from, failed, ...sums, longestHeal, faults: Object.fromEntries(faults.counts) }
}

/** The same in several processes. */
export async function runParts(range: Range, jobs: number, say: (text: string) => void): Promise<Summary> {
  const size = Math.ceil(range.seeds / jobs)
  const parts = await Promise.all(
    Array.from({ length: jobs }, (_, job) => {
      const from = range.from + job * size
      return runPart({ ...range, from, seeds: Math.min(size, range.from + range.seeds - from) }, say)
    }),
  )
  return parts.reduce(merged)
}

export function partText(summary: Summary): string {
  return PART_MARK + JSON.stringify(summary)
}

/** The summary in what such a process printed. */
export function readPart(output: string): Summary {
  const line = output.split('\n').find((text) => text.startsWith(PART_MARK))
  if (line === undefined) throw new Error('a process with seeds ended without a summary')
  return JSON.parse(line.slice(PART_MARK.length)) as Summary
}

async function runPart({ from, seeds, minutes }: Range, say: (text: string) => void): Promise<Summary> {
  const program = fileURLToPath(new URL('./simulate.ts', import.meta.url))
  const numbers = { '--from': from, '--seeds': seeds, '--minutes': minutes }
  const options = Object.entries(numbers).flatMap(([name, value]) => [name, String(value)])
  const child = spawn(process.execPath, [...process.execArgv, program, ...options, '--part'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let last = ''
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.startsWith(PART_MARK)) last = line
    else say(line)
  }
  return readPart(last)
}

function merged(a: Summary, b: Summary): Summary {
  const faults = new Tally()
  for (const part of [a, b]) faults.merge(new Map(Object.entries(part.faults)))
  return {
    from: Math.min(a.from, b.from),
    seeds: a.seeds + b.seeds,
    failed: [...a.failed, ...b.failed],
    virtualMs: a.virtualMs + b.virtualMs,
    readings: a.readings + b.readings,
    dropped: a.dropped + b.dropped,
    longestHeal: a.longestHeal.ms >= b.longestHeal.ms ? a.longestHeal : b.longestHeal,
    faults: Object.fromEntries(faults.counts),
  }
}

export function summaryText({
  from,
  seeds,
  failed,
  virtualMs,
  readings,
  longestHeal,
  faults,
}: Summary): string {
  const tally = new Tally()
  tally.merge(new Map(Object.entries(faults)))
  const which = failed.length > 0 ? ` (${failed.join(', ')})` : ''
  return (
    `${seeds} seeds from ${from}: ${failed.length} failed${which}; ` +
    `${hours(virtualMs)} of simulated time, ${readings} readings, ` +
    `longest heal ${(longestHeal.ms / 1_000).toFixed(0)} s (seed ${longestHeal.seed}); faults: ${tally.text}`
  )
}

/** Puts the figures of a run into the document. */
export function report(summary: Summary): void {
  writeSection('simulated', tableOf(summary))
}

export function writeSection(name: keyof typeof SECTIONS, table: string): void {
  const text = readFileSync(DOCUMENT, 'utf8')
  const [begin, end] = SECTIONS[name].map((mark) => text.indexOf(mark)) as [number, number]
  if (begin < 0 || end < begin) throw new Error(`${DOCUMENT} has no place for what was ${name}`)
  const section = `${SECTIONS[name][0]}\n\n${table}\n\n`
  writeFileSync(DOCUMENT, text.slice(0, begin) + section + text.slice(end))
}

function tableOf({ seeds, failed, virtualMs, readings, dropped, longestHeal, faults }: Summary): string {
  const kinds = Object.entries(faults).sort(([a], [b]) => (a < b ? -1 : 1))
  const rows: readonly (readonly [string, string])[] = [
    ['Seeds', count(seeds)],
    ['of them broken', failed.length === 0 ? 'none' : failed.join(', ')],
    ['Simulated time', hours(virtualMs)],
    ['Readings', count(readings)],
    ['of them dropped by spools that were too small', count(dropped)],
    ['Longest from the heal to the last reading', `${count(Math.round(longestHeal.ms / 1_000))} s`],
    ...kinds.map(([kind, times]) => [`Fault: ${kind}`, count(times)] as const),
  ]
  return [
    '| The last long run | |',
    '|---|---|',
    ...rows.map(([what, value]) => `| ${what} | ${value} |`),
  ].join('\n')
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}

function hours(ms: number): string {
  return `${(ms / 3_600_000).toFixed(1)} h`
}
