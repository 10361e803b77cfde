import { Worker } from 'node:worker_threads'
import type { HelloJob, HelloResult } from '../core/ports.js'
import type { WorkDone } from './worker.js'

/** A machine that stood still in the middle of a hello need not rest longer than this. */
const MAX_REST_MS = 2_000

/** After a hello that took so long the worker rests, so that no more than its share of one core goes to strangers and insiders alike. */
export function restMs(tookMs: number, sharePercent: number): number {
  return Math.min((tookMs * (100 - sharePercent)) / sharePercent, MAX_REST_MS)
}

/** Feeds the handshake worker one hello at a time within its share of the processor. */
export class HandshakeWorker {
  readonly #worker: Worker
  readonly #queue: HelloJob[] = []
  readonly #onResult: (result: HelloResult) => void
  readonly #share: number
  #busy = false
  #rest: NodeJS.Timeout | undefined

  /** `share`: percent of one core. */
  constructor(share: number, onResult: (result: HelloResult) => void, onFailure: (error: unknown) => void) {
    this.#share = share
    this.#onResult = onResult
    this.#worker = new Worker(new URL('./worker.js', import.meta.url))
    this.#worker.on('message', (done: WorkDone) => this.#done(done))
    this.#worker.on('error', onFailure)
  }

  open(job: HelloJob): void {
    this.#queue.push(job)
    this.#next()
  }

  async stop(): Promise<void> {
    clearTimeout(this.#rest)
    this.#queue.length = 0
    await this.#worker.terminate()
  }

  #next(): void {
    if (this.#busy || this.#rest) return
    const job = this.#queue.shift()
    if (!job) return
    this.#busy = true
    this.#worker.postMessage(job)
  }

  #done({ result, tookMs }: WorkDone): void {
    this.#busy = false
    const rest = restMs(tookMs, this.#share)
    // Before the result is told: whoever opens the next hello for it waits too.
    if (rest > 0) this.#rest = setTimeout(() => this.#rested(), rest)
    this.#onResult(result)
    this.#next()
  }

  #rested(): void {
    this.#rest = undefined
    this.#next()
  }
}
