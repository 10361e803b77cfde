import { createHash } from 'node:crypto'

/** Lines of the log that a failure shows. */
const SHOWN_LINES = 60

interface Task {
  readonly at: number
  readonly order: number
  readonly run: () => void
  cancelled: boolean
}

/** Events at one moment; more of them, and somebody tries again without waiting. */
const MAX_AT_ONCE = 100_000

/** A promise of a system under test is broken; its message says which. */
export class Broken extends Error {}

/** One clock, one queue of events, one log. Time stands still while an event is worked on. */
export class World {
  now = 0
  events = 0
  /** What looks around all the time does so this many times less often: for long simulated times. */
  pace = 1
  readonly #queue: Task[] = []
  readonly #hash = createHash('sha256')
  readonly #lines: string[] = []
  readonly #echo: ((line: string) => void) | undefined
  #order = 0
  #atOnce = 0
  #broken: unknown

  constructor(echo?: (line: string) => void) {
    this.#echo = echo
  }

  /** Runs once after `delayMs`; the returned function cancels it. */
  after(delayMs: number, run: () => void): () => void {
    const task = { at: this.now + Math.max(0, delayMs), order: this.#order++, run, cancelled: false }
    this.#push(task)
    return () => void (task.cancelled = true)
  }

  log(line: string): void {
    this.#lines.push(this.trace(line))
    if (this.#lines.length > 2 * SHOWN_LINES) this.#lines.splice(0, SHOWN_LINES)
  }

  /** What only the whole log shows, and its fingerprint. */
  trace(line: string): string {
    const entry = `${this.now.toFixed(3)} ${line}`
    this.#hash.update(entry)
    this.#echo?.(entry)
    return entry
  }

  get lastLines(): readonly string[] {
    return this.#lines.slice(-SHOWN_LINES)
  }

  /** Of everything that was logged so far. */
  get fingerprint(): string {
    return this.#hash.copy().digest('hex')
  }

  /** Ends the run with what went wrong where nobody waits. */
  note(error: unknown): void {
    this.#broken ??= error
  }

  /** Ends the run: thrown out of `until`, also from inside a promise or an effect whose owner would swallow it. */
  broken(what: string): never {
    this.#broken ??= new Broken(what)
    throw this.#broken as Error
  }

  /** What nobody catches in this world ends its run; the returned function stops that. */
  catchRejections(): () => void {
    const note = (error: unknown): void => this.note(error)
    process.on('unhandledRejection', note)
    return () => void process.off('unhandledRejection', note)
  }

  /** Runs events until `done` says so, or until that time; true where it was done. */
  async until(endMs: number, done: () => boolean = () => false): Promise<boolean> {
    for (;;) {
      if (this.#broken) throw this.#broken as Error
      if (done()) return true
      const next = this.#queue[0]
      if (!next || next.at > endMs) break
      this.#pop()
      if (next.cancelled) continue
      this.#atOnce = next.at > this.now ? 0 : this.#atOnce + 1
      if (this.#atOnce > MAX_AT_ONCE) this.broken('somebody works for ever without waiting')
      this.now = next.at
      this.events++
      next.run()
      await settled()
    }
    this.now = Math.max(this.now, endMs)
    return false
  }

  /** A binary heap by time, then by order of asking. */
  #push(task: Task): void {
    const queue = this.#queue
    let at = queue.push(task) - 1
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!before(queue[at]!, queue[parent]!)) return
      swap(queue, at, parent)
      at = parent
    }
  }

  #pop(): void {
    const queue = this.#queue
    const last = queue.pop()!
    if (queue.length === 0) return
    queue[0] = last
    for (let at = 0; ;) {
      const left = 2 * at + 1
      let first = at
      if (left < queue.length && before(queue[left]!, queue[first]!)) first = left
      if (left + 1 < queue.length && before(queue[left + 1]!, queue[first]!)) first = left + 1
      if (first === at) return
      swap(queue, at, first)
      at = first
    }
  }
}

function before(a: Task, b: Task): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order)
}

function swap(queue: Task[], a: number, b: number): void {
  const kept = queue[a]!
  queue[a] = queue[b]!
  queue[b] = kept
}

/** Every promise that could settle has. */
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}
