import type { Reporter } from '@fieldwhisper/host'
import type { GapCause } from '@fieldwhisper/protocol'
import { BATCHES_A_TURN, FULL_REPORT_MS } from './constants.js'
import type { Draft } from './draft.js'
import { withDropped } from './gaps.js'
import type { HeldBatch, Shelf } from './shelf.js'

/** What gives way when the spool is full. */
export type OnFull = 'drop_oldest' | 'drop_newest' | 'block'

export interface SpoolLimits {
  readonly maxBytes: number
  readonly maxAgeMs: number
  /** Bytes of the disk that are left to the rest of the machine. */
  readonly minFreeBytes: number
  /** What the spool may hold also then. */
  readonly alwaysBytes: number
  readonly onFull: OnFull
}

/** How much the store may hold now. */
export class Allowance {
  /** The store refused for want of room: nothing more until it takes something. */
  diskFull = false
  readonly #limits: SpoolLimits
  readonly #freeBytes: () => number | undefined
  /** The limit while the disk has less than `minFreeBytes`. */
  #tightAt: number | undefined

  constructor(limits: SpoolLimits, freeBytes: () => number | undefined = () => undefined) {
    this.#limits = limits
    this.#freeBytes = freeBytes
  }

  bytes(used: number): number {
    const { maxBytes, minFreeBytes, alwaysBytes } = this.#limits
    if (this.diskFull) return Math.min(maxBytes, used)
    if ((this.#freeBytes() ?? Infinity) >= minFreeBytes) this.#tightAt = undefined
    // As much as when the disk became short: the growth of each turn must not raise the limit of the next.
    else this.#tightAt ??= Math.max(used, alwaysBytes)
    return Math.min(maxBytes, this.#tightAt ?? Infinity)
  }
}

const FULL_TEXT: Readonly<Record<OnFull, string>> = {
  drop_oldest: 'the oldest readings give way to new ones',
  drop_newest: 'new readings give way',
  block: 'sources that can wait do so',
}

/** A full spool says so, once a minute. */
export class FullReport {
  readonly #reporter: Reporter
  #at = -Infinity

  constructor(reporter: Reporter) {
    this.#reporter = reporter
  }

  say(onFull: OnFull, held: number, now: number): void {
    if (now - this.#at < FULL_REPORT_MS) return
    this.#at = now
    const message = `The spool is full: ${FULL_TEXT[onFull]}.`
    this.#reporter.event('warn', 'FW_SPOOL_FULL', message, { held, on_full: onFull })
  }
}

/** Drops one batch: it is counted, and its number goes into the gap of its stream. */
export function dropBatch(draft: Draft, shelf: Shelf, batch: HeldBatch, cause: GapCause): void {
  const { stream, id, number, record } = batch
  draft.eraseBatch(stream, id, number, record)
  draft.count({ dropped: record.readings })
  const owner = draft.stream(id)
  if (!owner) return
  const free = (from: number, to: number): boolean => !shelf.hasHeld(stream, from, to)
  draft.change(withDropped(owner, { from: number, to: number + 1 }, record.readings, cause, free))
}

/** Drops the oldest batches until `bytes` are free; false where there is not so much to drop. */
export function dropOldest(draft: Draft, shelf: Shelf, bytes: number): HeldBatch[] {
  const dropped: HeldBatch[] = []
  let freed = 0
  for (const batch of shelf.behind()) {
    if (freed >= bytes || dropped.length >= BATCHES_A_TURN) break
    if (draft.erased.has(`${batch.id}/${batch.number}`)) continue
    dropBatch(draft, shelf, batch, 'full')
    dropped.push(batch)
    freed += batch.record.bytes
  }
  return dropped
}

/** Drops batches that were closed before `before` (running ms), at most so many at once. */
export function dropAged(draft: Draft, shelf: Shelf, before: number): HeldBatch[] {
  const dropped: HeldBatch[] = []
  for (const batch of shelf.behind()) {
    if (batch.record.closedAtMs >= before || dropped.length >= BATCHES_A_TURN) break
    if (draft.erased.has(`${batch.id}/${batch.number}`)) continue
    dropBatch(draft, shelf, batch, 'age')
    dropped.push(batch)
  }
  return dropped
}
