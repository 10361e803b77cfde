import { HostError } from '@fieldwhisper/host'
import type { ClosedBatch } from './open-batch.js'
import type { SpoolOptions } from './options.js'
import { finish } from './recover.js'
import type { Counters, StreamRecord } from './records.js'

/** Streams of dead processes with readings in no batch yet: the disk had no room for that at the start. */
export class Leftovers {
  #streams: readonly StreamRecord[]
  readonly #options: SpoolOptions

  constructor(streams: readonly StreamRecord[], options: SpoolOptions) {
    this.#streams = streams
    this.#options = options
  }

  get some(): boolean {
    return this.#streams.length > 0
  }

  /** Makes batches of what now has room; `streams`: as they are now; `done` hears of each when it is on disk. */
  async finish(
    counters: Counters,
    streams: ReadonlyMap<string, StreamRecord>,
    done: (record: StreamRecord, batches: readonly ClosedBatch[]) => void,
  ): Promise<void> {
    const { store, runningMs, batch } = this.#options
    const options = { store, runningMs, maxReadings: batch.maxReadings }
    try {
      for (const stream of this.#streams) {
        const { record, batches } = await finish(options, counters, streams.get(stream.id) ?? stream)
        this.#streams = this.#streams.filter((other) => other !== stream)
        done(record, batches)
      }
    } catch (error) {
      // Still full, or the store is broken: whoever commits next says so.
      if (!(error instanceof HostError)) throw error
    }
  }
}
