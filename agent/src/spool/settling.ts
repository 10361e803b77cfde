import { BATCHES_A_TURN } from './constants.js'
import type { Draft } from './draft.js'
import { withSettled } from './gaps.js'
import { addRange, type Ranges } from './ranges.js'
import type { HeldBatch, Shelf } from './shelf.js'

interface Job {
  readonly stream: Uint8Array
  readonly id: string
  readonly numbers: Ranges
}

/** What one commit erases of the acknowledged batches. */
export interface Erasing {
  readonly erased: readonly { readonly id: string; readonly from: number; readonly to: number }[]
  readonly batches: readonly HeldBatch[]
  readonly left: readonly Job[]
  readonly jobs: number
}

/** Acknowledged numbers on their way out of the store, a page a commit. */
export class Settling {
  readonly #shelf: Shelf
  #jobs: readonly Job[] = []

  constructor(shelf: Shelf) {
    this.#shelf = shelf
  }

  get isEmpty(): boolean {
    return this.#jobs.length === 0
  }

  /** From now on the shelf leaves them out, whatever the store still has. */
  add(stream: Uint8Array, id: string, numbers: Ranges): void {
    for (const { from, to } of numbers) this.#shelf.settle(id, from, to)
    this.#jobs = [...this.#jobs, { stream, id, numbers }]
  }

  erase(draft: Draft): Erasing {
    const erased: { id: string; from: number; to: number }[] = []
    const batches: HeldBatch[] = []
    const left: Job[] = []
    for (const { stream, id, numbers } of this.#jobs) {
      const before = draft.stream(id)
      const after = before && withSettled(before, numbers)
      if (after && (after.told !== before.told || after.gap !== before.gap)) draft.change(after)
      let rest: Ranges = []
      for (const { from, to } of numbers) {
        const room = BATCHES_A_TURN - batches.length
        const page = room > 0 ? [...this.#shelf.stored(stream, from, to, room)] : []
        for (const batch of page) if (draft.eraseAcked(batch)) batches.push(batch)
        const next = room <= 0 ? from : page.length < room ? to : page.at(-1)!.number + 1
        erased.push({ id, from, to: next })
        rest = addRange(rest, next, to)
      }
      if (rest.length > 0) left.push({ stream, id, numbers: rest })
    }
    return { erased, batches, left, jobs: this.#jobs.length }
  }

  /** The commit is on disk. */
  done({ erased, left, jobs }: Erasing): void {
    this.#jobs = [...left, ...this.#jobs.slice(jobs)]
    for (const { id, from, to } of erased) this.#shelf.erased(id, from, to)
  }
}
