import { createHash } from 'node:crypto'
import { check, globalState, signature } from './check.js'
import { Coverage } from './coverage.js'
import { minimise } from './minimise.js'
import { mutate } from './mutate.js'
import { SeededNumbers } from './random.js'
import type { Target } from './target.js'

/** Inputs between two looks at the coverage: a look walks the heap and takes 2 ms, whatever ran. */
const BATCH_INPUTS = 256
const NEWEST = 16
const MAX_CORPUS_INPUTS = 4_000
const MAX_FINDINGS = 10

export interface FuzzOptions {
  readonly seed: number
  /** Ends the run; with `inputs` alone the same seed gives the same run. */
  readonly inputs: number
  readonly seconds?: number
  /** Kept inputs of earlier runs. */
  readonly corpus: readonly Uint8Array[]
  /** False: coverage is not looked at, and everything starts from seeds and corpus; five times as fast, and still seeded. */
  readonly guided?: boolean
  /** Which scripts count; default: what the packages of this repository built. */
  readonly watched?: (url: string) => boolean
}

export interface Finding {
  readonly input: Uint8Array
  readonly error: unknown
}

export interface FuzzResult {
  readonly inputs: number
  readonly seconds: number
  /** Blocks of our own code that ran, and blocks of the functions that ran. */
  readonly reached: number
  readonly known: number
  /** Everything that reached something new, in order. */
  readonly corpus: readonly Uint8Array[]
  readonly findings: readonly Finding[]
  /** SHA-256 over all inputs: two runs with one seed have one digest. */
  readonly digest: string
}

export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  const numbers = new SeededNumbers(options.seed)
  const digest = createHash('sha256')
  const begun = performance.now()
  const start = [...target.seeds(), ...options.corpus]
  const findings = new Map<string, Finding>()
  const globals = globalState()
  const attempt = async (input: Uint8Array): Promise<void> => {
    try {
      await check(target, input)
    } catch (error) {
      const id = signature(error)
      if (!findings.has(id)) findings.set(id, { input, error })
    }
  }
  // Once without looking: what is set up at first use belongs to no input.
  for (const input of start) await attempt(input)

  const { guided = true } = options
  const coverage = new Coverage(options.watched ?? isOurs)
  const corpus: Uint8Array[] = guided ? [] : [...start]
  let inputs = 0
  /** Finds in halves which of the inputs reach something new. */
  const keep = async (candidates: readonly Uint8Array[]): Promise<void> => {
    coverage.discard()
    for (const input of candidates) await attempt(input)
    const news = coverage.peek()
    if (!news) return
    if (candidates.length === 1) {
      coverage.accept(news)
      if (corpus.length < MAX_CORPUS_INPUTS) corpus.push(candidates[0]!)
      return
    }
    const half = candidates.length >>> 1
    await keep(candidates.slice(0, half))
    await keep(candidates.slice(half))
  }
  if (guided) for (const input of start) await keep([input])
  const secondsUp = (): boolean =>
    options.seconds !== undefined && performance.now() - begun > options.seconds * 1_000
  const words = [...(target.dictionary ?? [])]
  while (inputs < options.inputs && findings.size < MAX_FINDINGS && !secondsUp()) {
    const batch: Uint8Array[] = []
    if (guided) coverage.discard()
    while (batch.length < BATCH_INPUTS && inputs + batch.length < options.inputs) {
      const base = pick(corpus, numbers)
      const others = [pick(corpus, numbers)]
      const { maxBytes, text = false } = target
      const input = mutate(base, numbers, { maxBytes, text, others, dictionary: words })
      digest.update(input).update('|')
      batch.push(input)
      await attempt(input)
    }
    inputs += batch.length
    const news = guided ? coverage.peek() : undefined
    if (news) {
      await keep(batch)
      // What only a series of inputs reaches would be news again and again.
      coverage.accept(news)
    }
    if (globalState() !== globals) {
      findings.set('globals', { input: batch[0]!, error: new Error('global state was changed') })
      break
    }
  }
  const found: Finding[] = []
  for (const { input, error } of findings.values()) {
    found.push({ input: await minimise(target, input, signature(error)), error })
  }
  const seconds = (performance.now() - begun) / 1_000
  return { inputs, seconds, ...coverage.totals(), corpus, findings: found, digest: digest.digest('hex') }
}

/** Of many inputs the smallest that together reach all that they reach. */
export async function distil(target: Target, inputs: readonly Uint8Array[]): Promise<Uint8Array[]> {
  const coverage = new Coverage(isOurs)
  const kept: Uint8Array[] = []
  const attempt = async (input: Uint8Array): Promise<boolean> => {
    coverage.discard()
    await check(target, input).catch(() => undefined)
    return coverage.sample()
  }
  for (const input of target.seeds()) await attempt(input)
  for (const input of [...inputs].sort((a, b) => a.length - b.length))
    if (await attempt(input)) kept.push(input)
  return kept
}

function pick(corpus: readonly Uint8Array[], numbers: SeededNumbers): Uint8Array {
  if (corpus.length === 0) return new Uint8Array(0)
  const newest = Math.max(0, corpus.length - NEWEST)
  const from = numbers.below(2) === 0 ? newest : 0
  return corpus[from + numbers.below(corpus.length - from)]!
}

/** Only what this repository built counts, not what it depends on. */
function isOurs(url: string): boolean {
  return /\/(?:protocol|host|mesh|relay|agent|gateway)\/dist\//.test(url)
}
