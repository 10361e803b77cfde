import { Worker } from 'node:worker_threads'
import type { HelloJob, HelloResult } from '../core/ports.js'

/** After a hello that took d the worker rests 3 d: at most a quarter of one core goes to strangers and insiders alike. */
const REST_FACTOR = 3
/** A start after quiet need not wait for a rest longer than this. */
const MAX_REST_MS = 250

/** Feeds the handshake worker one hello at a time within its share of the processor. */
export class HandshakeWorker {
  readonly #worker: Worker
  readonly #queue: HelloJob[] = []
  readonly #onResult: (result: HelloResult) => void
  #busySince: number | undefined
  #rest: NodeJS.Timeout | undefined

  constructor(onResult: (result: HelloResult) => void, onFailure: (error: unknown) => void) {
    this.#onResult = onResult
    this.#worker = new Worker(new URL('./worker.js', import.meta.url))
    this.#worker.on('message', (result: HelloResult) => this.#done(result))
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
    if (this.#busySince !== undefined || this.#rest) return
    const job = this.#queue.shift()
    if (!job) return
    this.#busySince = performance.now()
    this.#worker.postMessage(job)
  }

  #done(result: HelloResult): void {
    const took = performance.now() - (this.#busySince ?? performance.now())
    this.#busySince = undefined
    this.#onResult(result)
    this.#rest = setTimeout(
      () => {
        this.#rest = undefined
        this.#next()
      },
      Math.min(took * REST_FACTOR, MAX_REST_MS),
    )
  }
}
