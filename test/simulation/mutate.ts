import { execFileSync, spawnSync } from 'node:child_process'
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { MUTATIONS, type Edit } from './mutations.js'
import { readPart, writeSection } from './summary.js'

/*
 * npm run mutate: takes each safeguard out of a copy of the sources and says which simulations notice, for docs/reliability.md.
 */

const FROM = 100
const SEEDS = 24
const REPOSITORY = fileURLToPath(new URL('../../', import.meta.url))
const RUN_MS = 15 * 60_000

interface Row {
  readonly name: string
  readonly seeds: number
  readonly cuts: string
  readonly first: string
}

/** A copy of what git knows, with the packages of this one. */
function copyOfSources(): string {
  const copy = mkdtempSync(join(tmpdir(), 'fieldwhisper-mutants-'))
  const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: REPOSITORY,
    encoding: 'utf8',
  })
  for (const file of files.split('\0').filter(Boolean)) {
    mkdirSync(dirname(join(copy, file)), { recursive: true })
    cpSync(join(REPOSITORY, file), join(copy, file))
  }
  const modules = join(copy, 'node_modules')
  mkdirSync(modules)
  for (const name of readdirSync(join(REPOSITORY, 'node_modules'))) {
    const link = join(REPOSITORY, 'node_modules', name)
    if (name === '@fieldwhisper')
      cpSync(link, join(modules, name), { recursive: true, verbatimSymlinks: true })
    else symlinkSync(link, join(modules, name))
  }
  return copy
}

function build(copy: string): void {
  const { status, stdout } = spawnSync('npx', ['tsc', '-b'], { cwd: copy, encoding: 'utf8' })
  if (status !== 0) throw new Error(`a mutant does not build:\n${stdout}`)
}

function apply(copy: string, edits: readonly Edit[]): () => void {
  const before = new Map<string, string>()
  for (const { file, from, to } of edits) {
    const path = join(copy, file)
    const text = readFileSync(path, 'utf8')
    if (text.split(from).length !== 2) throw new Error(`${file} does not have once: ${from}`)
    if (!before.has(path)) before.set(path, text)
    writeFileSync(
      path,
      text.replace(from, () => to),
    )
  }
  return () => before.forEach((text, path) => writeFileSync(path, text))
}

function run(copy: string, program: string, ...args: readonly string[]): string {
  const { stdout } = spawnSync(process.execPath, ['--import=tsx', `test/simulation/${program}`, ...args], {
    cwd: copy,
    encoding: 'utf8',
    timeout: RUN_MS,
    maxBuffer: 2 ** 28,
  })
  return stdout
}

/** What the seeds and the sweep say of the sources as they are in the copy. */
function judge(copy: string, name: string): Row {
  const seeds = run(copy, 'simulate.ts', '--from', String(FROM), '--seeds', String(SEEDS), '--part')
  const sweep = run(copy, 'sweep.test.ts')
  const cuts = sweep.match(/^ +not ok .*(before|after) write/gm)?.length ?? 0
  const undisturbed = /^ *ok .*(before|after) write/m.test(sweep) || cuts > 0
  const first = /^seed \d+: (.*)$/m.exec(seeds)?.[1] ?? ''
  return {
    name,
    seeds: readPart(seeds).failed.length,
    cuts: undisturbed ? String(cuts) : 'all',
    first: first.replace(/\b[0-9a-f]{16,}\b/g, '…').slice(0, 120),
  }
}

function main(): number {
  const copy = copyOfSources()
  try {
    const rows: Row[] = []
    for (const { name, edits } of MUTATIONS) {
      const undo = apply(copy, edits)
      build(copy)
      const row = judge(copy, name)
      undo()
      rows.push(row)
      process.stdout.write(`${JSON.stringify(row)}\n`)
    }
    const lines = rows.map(
      ({ name, seeds, cuts, first }) => `| ${name} | ${seeds} of ${SEEDS} | ${cuts} | ${first} |`,
    )
    const head = [
      '| Taken out | Seeds that fail | Power cuts of the sweep that fail | The first seed says |',
      '|---|---|---|---|',
    ]
    writeSection('mutated', [...head, ...lines].join('\n'))
    return rows.every(({ seeds, cuts }) => seeds > 0 || cuts !== '0') ? 0 : 1
  } finally {
    rmSync(copy, { recursive: true, force: true })
  }
}

process.exitCode = main()
