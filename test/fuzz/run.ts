/**
 * `npm run fuzz -- [--target NAME] [--seconds N] [--seed S] [--replay FILE] [--keep]`, see docs/fuzzing.md. Exit code 1 where
 * something was found.
 */
import './engine/coverage.js'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { check } from './engine/check.js'
import { load, replaceCorpus, save } from './engine/files.js'
import { distil, fuzz, type Finding } from './engine/fuzzer.js'
import type { Target } from './engine/target.js'
import { targets } from './targets/index.js'

const DEFAULT_SECONDS = '60'
const MAX_SHOWN_BYTES = 256
/** What one target may put into the repository; the whole corpus stays below 500 KB. */
const MAX_CORPUS_BYTES = 16_384
const MAX_CORPUS_INPUT_BYTES = 4_096

const { values } = parseArgs({
  options: {
    target: { type: 'string' },
    seconds: { type: 'string', default: DEFAULT_SECONDS },
    seed: { type: 'string', default: '1' },
    replay: { type: 'string' },
    keep: { type: 'boolean', default: false },
  },
})

interface Row {
  readonly name: string
  readonly inputs: number
  readonly rate: number
  /** Blocks of our code that ran, of those in functions that ran. */
  readonly reached: number
  readonly known: number
  readonly corpus: number
  readonly found: number
}

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function theTarget(name: string): Promise<Target> {
  const load = targets[name]
  if (!load) throw new Error(`no such target; there are ${Object.keys(targets).join(', ')}`)
  return load()
}

async function replay(path: string): Promise<void> {
  if (values.target === undefined) throw new Error('--replay needs --target')
  const target = await theTarget(values.target)
  await check(target, new Uint8Array(readFileSync(path)))
  say(`${target.name}: ${path} keeps the contract`)
}

function tell(target: Target, seed: number, { input, error }: Finding): void {
  const path = save('found', target.name, input)
  const shown = Buffer.from(input.subarray(0, MAX_SHOWN_BYTES)).toString('hex')
  say(
    `\n${target.name}, seed ${seed}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
  )
  say(`  input  ${shown}${input.length > MAX_SHOWN_BYTES ? '…' : ''} (${input.length} bytes)`)
  say(`  replay npm run fuzz -- --target ${target.name} --replay ${path}\n`)
}

/** The smallest inputs first, until the room for one target is used up. */
async function keepCorpus(target: Target, corpus: readonly Uint8Array[]): Promise<void> {
  let left = MAX_CORPUS_BYTES
  const small = corpus.filter(({ length }) => length <= MAX_CORPUS_INPUT_BYTES)
  const kept = (await distil(target, small)).filter(({ length }) => (left -= length) >= 0)
  replaceCorpus(target.name, kept)
}

async function run(name: string): Promise<Row> {
  const [seconds, seed] = [Number(values.seconds), Number(values.seed)]
  if (!(seconds > 0) || !Number.isSafeInteger(seed)) throw new Error('--seconds and --seed are numbers')
  const target = await theTarget(name)
  const corpus = load('corpus', name).map(({ input }) => input)
  const result = await fuzz(target, { seed, seconds, inputs: Infinity, corpus })
  for (const finding of result.findings) tell(target, seed, finding)
  if (values.keep) await keepCorpus(target, [...corpus, ...result.corpus])
  const { inputs, reached, known, findings } = result
  const rate = Math.round(inputs / result.seconds)
  return { name, inputs, rate, reached, known, corpus: result.corpus.length, found: findings.length }
}

/** Each target in a process of its own: alone it is faster, and one that ends its process ends no other. */
async function runAll(): Promise<Row[]> {
  const rows: Row[] = []
  for (const name of Object.keys(targets)) {
    const passed = ['--target', name, '--seconds', values.seconds, '--seed', values.seed]
    if (values.keep) passed.push('--keep')
    const child = fork(fileURLToPath(import.meta.url), passed, { execArgv: process.execArgv })
    const exited = once(child, 'exit') as Promise<[number | null]>
    let row: Row | undefined
    child.once('message', (message) => (row = message as Row))
    const [code] = await exited
    if (!row) throw new Error(`${name} ended with code ${code} and no result`)
    rows.push(row)
    say(`${name}: ${row.inputs} inputs, ${row.found} found`)
  }
  return rows
}

function table(rows: readonly Row[]): void {
  const head = ['target', 'inputs', 'inputs/s', 'blocks', 'of', 'corpus', 'found']
  const cells = [head, ...rows.map((row) => Object.values(row).map(String))]
  const widths = head.map((_, column) => Math.max(...cells.map((row) => row[column]!.length)))
  say('')
  for (const row of cells)
    say(
      row
        .map((cell, column) => cell.padEnd(widths[column]!))
        .join('  ')
        .trimEnd(),
    )
}

if (values.replay !== undefined) await replay(values.replay)
else {
  const rows = values.target === undefined ? await runAll() : [await run(values.target)]
  if (rows.some(({ found }) => found > 0)) process.exitCode = 1
  if (process.send) process.send(rows[0], () => process.disconnect())
  else table(rows)
}
