import type { Clock, Reporter, Store } from '@fieldwhisper/host'
import type { Random } from '@fieldwhisper/protocol'
import type { Timers } from '../sources/timers.js'
import type { SpoolLimits } from './limits.js'
import type { MarkKeeper } from './mark.js'
import type { Counters } from './records.js'
import type { BatchPlace, HeldBatch } from './shelf.js'

export interface SpoolOptions {
  /** Opened with SPOOL_TABLES. The caller closes it after the spool. */
  readonly store: Store
  readonly mark: MarkKeeper
  readonly clock: Pick<Clock, 'monoMs' | 'bootId'>
  /** Running time, which the age of readings is counted in. */
  readonly runningMs: () => number
  readonly timers: Timers
  readonly random: Random
  readonly reporter: Reporter
  readonly limits: SpoolLimits
  readonly batch: { readonly intervalMs: number; readonly maxReadings: number }
  /** Bytes free on the disk of the store; undefined where nobody knows. */
  readonly freeBytes?: () => number | undefined
}

export interface SpoolHandlers {
  /** A batch is closed and on disk: it may be sealed; an urgent one before all others. */
  closed(batch: HeldBatch, urgent: boolean): void
  /** These will not be sent any more. */
  dropped(batches: readonly BatchPlace[]): void
}

export interface SpoolCounters extends Counters {
  readonly held: number
  readonly bytes: number
}
