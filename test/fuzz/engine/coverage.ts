import { Session } from 'node:inspector'
import type { Profiler } from 'node:inspector'

/*
 * V8 counts how often each block ran ("precise coverage", block granularity), for this process and by itself. A function is
 * reported with ranges, outermost first; an inner range overrides the one around it. What matters here is where nothing ran
 * yet: for each function the intervals of source that were never reached. An input that makes them shorter is worth keeping.
 */

/*
 * A function counts its blocks only if it was compiled after counting began, so that begins here, once for the process:
 * import this before what is to be watched has run.
 */
const session = new Session()
session.connect()
post('Profiler.enable')
post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })

type Interval = readonly [start: number, end: number]

/** Functions that ran, by script and place, with their ranges. */
export type Sample = readonly (readonly [key: string, ranges: readonly Profiler.CoverageRange[]])[]

interface FunctionCoverage {
  readonly unreached: readonly Interval[]
  /** Blocks as V8 named them so far, `start-end`. */
  readonly blocks: Set<string>
}

export class Coverage {
  readonly #functions = new Map<string, FunctionCoverage>()
  readonly #wanted: (url: string) => boolean

  /** `wanted`: which scripts count. */
  constructor(wanted: (url: string) => boolean) {
    this.#wanted = wanted
    this.discard()
  }

  /** Forgets what ran since the last call. */
  discard(): void {
    this.#take()
  }

  /** Whether anything ran since the last call that had not run before; that is then known. */
  sample(): boolean {
    const news = this.peek()
    if (news) this.accept(news)
    return news !== undefined
  }

  /** What ran since the last call, where some of it had not run before; nothing is known by that. */
  peek(): Sample | undefined {
    const sample: [string, readonly Profiler.CoverageRange[]][] = []
    for (const { url, functions } of this.#take()) {
      if (!this.#wanted(url)) continue
      for (const { ranges } of functions) {
        const whole = ranges[0]
        if (whole && whole.count > 0) sample.push([`${url}:${whole.startOffset}-${whole.endOffset}`, ranges])
      }
    }
    return sample.some(([key, ranges]) => this.#isNews(key, ranges)) ? sample : undefined
  }

  accept(sample: Sample): void {
    for (const [key, ranges] of sample) {
      const gaps = gapsOf(ranges)
      const known = this.#functions.get(key)
      const blocks = known?.blocks ?? new Set()
      for (const { startOffset, endOffset } of ranges) blocks.add(`${startOffset}-${endOffset}`)
      this.#functions.set(key, { blocks, unreached: known ? intersect(known.unreached, gaps) : gaps })
    }
  }

  /** Blocks that ran, and blocks of the functions that ran. */
  totals(): { readonly reached: number; readonly known: number } {
    let [reached, known] = [0, 0]
    for (const { blocks, unreached } of this.#functions.values()) {
      known += blocks.size
      for (const block of blocks) {
        const [start, end] = block.split('-').map(Number) as [number, number]
        if (!unreached.some((gap) => gap[0] <= start && end <= gap[1])) reached++
      }
    }
    return { reached, known }
  }

  #isNews(key: string, ranges: readonly Profiler.CoverageRange[]): boolean {
    const known = this.#functions.get(key)
    if (!known) return true
    return (
      known.unreached.length > 0 && size(intersect(known.unreached, gapsOf(ranges))) < size(known.unreached)
    )
  }

  #take(): readonly Profiler.ScriptCoverage[] {
    return (post('Profiler.takePreciseCoverage') as Profiler.TakePreciseCoverageReturnType).result
  }
}

/** A session within the process answers before `post` returns. */
function post(method: string, params: object = {}): unknown {
  let answer: unknown
  let failure: Error | null = null
  session.post(method, params, (error, result) => {
    failure = error
    answer = result
  })
  if (failure) throw failure as Error
  return answer
}

/** The source intervals of one function that did not run: ranges come outermost first, inner ones override. */
function gapsOf(ranges: readonly Profiler.CoverageRange[]): Interval[] {
  const gaps: Interval[] = []
  const open: Profiler.CoverageRange[] = []
  let at = ranges[0]!.startOffset
  const upTo = (end: number): void => {
    const top = open.at(-1)
    if (top?.count === 0 && end > at) {
      const last = gaps.at(-1)
      if (last?.[1] === at) gaps[gaps.length - 1] = [last[0], end]
      else gaps.push([at, end])
    }
    at = Math.max(at, end)
  }
  for (const range of ranges) {
    while (open.length > 0 && open.at(-1)!.endOffset <= range.startOffset) {
      upTo(open.at(-1)!.endOffset)
      open.pop()
    }
    upTo(range.startOffset)
    open.push(range)
  }
  while (open.length > 0) {
    upTo(open.at(-1)!.endOffset)
    open.pop()
  }
  return gaps
}

/** Both lists ascend and do not overlap. */
function intersect(a: readonly Interval[], b: readonly Interval[]): Interval[] {
  const both: Interval[] = []
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    const [start, end] = [Math.max(a[i]![0], b[j]![0]), Math.min(a[i]![1], b[j]![1])]
    if (start < end) both.push([start, end])
    if (a[i]![1] < b[j]![1]) i++
    else j++
  }
  return both
}

function size(intervals: readonly Interval[]): number {
  return intervals.reduce((sum, [start, end]) => sum + end - start, 0)
}
