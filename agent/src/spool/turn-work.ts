import type { Draft } from './draft.js'
import type { ClosedBatch, OpenBatch } from './open-batch.js'
import type { BatchPlace } from './shelf.js'

/** What one commit of the spool is about, beside its draft. */
export interface TurnWork {
  readonly draft: Draft
  batch: OpenBatch | undefined
  readonly closed: ClosedBatch[]
  readonly dropped: BatchPlace[]
}
