import type { Store, Write } from '@fieldwhisper/host'
import { DELETE_GROUP, DELETE_LINGER_MS, TABLE } from '../constants.js'
import { count } from './mailbox.js'
import type { Mailbox, Totals } from './mailbox.js'
import { heldKey, hex, packetKey } from './records.js'
import type { HeldRecord } from './records.js'

interface DeparturesOptions {
  readonly store: Store
  readonly totals: Totals
  readonly alarm: (atMs: number) => void
}

interface Departure {
  readonly mailbox: Mailbox
  readonly hash: Uint8Array
  readonly held: HeldRecord
  readonly settled: () => void
}

/**
 * Deletions on their way to the disk. They wait for each other and for the next packet that is written. A deletion lost in
 * a crash means that its packet is handed over once more.
 */
export class Departures {
  readonly #options: DeparturesOptions
  #queue: Departure[] = []
  #dueMs = 0

  constructor(options: DeparturesOptions) {
    this.#options = options
  }

  /** Counts a packet out; it is `leaving` until the disk has deleted it or refused to. */
  add(mailbox: Mailbox, hash: Uint8Array, held: HeldRecord, now: number): void {
    count(mailbox.tally, this.#options.totals, held, -1)
    let settled!: () => void
    mailbox.leaving.set(hex(hash), new Promise((resolve) => (settled = resolve)))
    if (this.#queue.length === 0) {
      this.#dueMs = now + DELETE_LINGER_MS
      this.#options.alarm(this.#dueMs)
    }
    this.#queue.push({ mailbox, hash: Uint8Array.from(hash), held, settled })
    if (this.#queue.length >= DELETE_GROUP) this.flush()
  }

  tick(now: number): void {
    if (this.#queue.length === 0) return
    if (now >= this.#dueMs) this.flush()
    else this.#options.alarm(this.#dueMs)
  }

  flush(): void {
    if (this.#queue.length === 0) return
    const group = this.#queue
    this.#queue = []
    const writes = group.flatMap(({ mailbox, hash, held }) => deletion(mailbox.address, hash, held.sequence))
    this.#options.store.commit(writes).then(
      () => this.#settle(group, false),
      () => this.#settle(group, true),
    )
  }

  /** What the disk refused to delete is still held, where it ever got there. */
  #settle(group: readonly Departure[], refused: boolean): void {
    const { store, totals } = this.#options
    for (const { mailbox, hash, held, settled } of group) {
      mailbox.leaving.delete(hex(hash))
      if (refused && store.get(TABLE.held, heldKey(mailbox.address, hash)) !== undefined) {
        count(mailbox.tally, totals, held, 1)
      }
      settled()
    }
  }
}

/** The writes that take a packet and its entry out of the store. */
export function deletion(address: Uint8Array, hash: Uint8Array, sequence: number): readonly Write[] {
  return [
    { table: TABLE.packets, key: packetKey(address, sequence), value: null },
    { table: TABLE.held, key: heldKey(address, hash), value: null },
  ]
}
