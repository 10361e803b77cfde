import type { Store } from '@fieldwhisper/host'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import type { Status } from '@fieldwhisper/mesh/relay-frames'
import { LIVE_LINGER_MS, TABLE } from '../constants.js'
import type { Departures } from './departures.js'
import { count } from './mailbox.js'
import type { Mailbox, Pending, Totals } from './mailbox.js'
import { encodeHeld, encodePacket, heldKey, packetKey } from './records.js'
import type { HeldRecord } from './records.js'

interface ArrivalsOptions {
  readonly store: Store
  readonly totals: Totals
  readonly departures: Departures
  readonly alarm: (atMs: number) => void
}

/**
 * Packets on their way to the disk. Within a mailbox they are written in order of sequence, so that what the store holds
 * always comes before what is pending.
 *
 *   add --linger--> lingering --take--> never written, "stored"
 *   add --write--> writing <--tick, write-- lingering
 *   writing --flushed--> "stored"   --refused by the disk--> "disk", counted out
 */
export class Arrivals {
  readonly #options: ArrivalsOptions
  /** All lingering packets; the time to linger is one, so insertion order is the order in which they are due. */
  readonly #lingering = new Set<Pending>()
  #packets = 0
  #bytes = 0

  constructor(options: ArrivalsOptions) {
    this.#options = options
  }

  /** Accepted and not settled: what the process would lose now without having called it stored. */
  get pending(): { readonly packets: number; readonly bytes: number } {
    return { packets: this.#packets, bytes: this.#bytes }
  }

  /** Counts a packet in; `linger` or `write` must follow. `packet` is kept and must not change. */
  add(
    mailbox: Mailbox,
    hash: string,
    kind: Omit<HeldRecord, 'sequence'>,
    packet: Uint8Array,
    now: number,
  ): Pending {
    const held = { ...kind, sequence: mailbox.nextSequence++ }
    let resolve!: (status: Status) => void
    const done = new Promise<Status>((settle) => (resolve = settle))
    const item: Pending = { mailbox, hash, held, packet, storedMs: now, done, resolve }
    mailbox.pending.set(hash, item)
    if (mailbox.tally.packets === 0) mailbox.oldestMs = now
    count(mailbox.tally, this.#options.totals, held, 1)
    this.#packets++
    this.#bytes += packet.length
    return item
  }

  linger(item: Pending): void {
    item.mailbox.lingering.add(item)
    if (this.#lingering.size === 0) this.#options.alarm(item.storedMs + LIVE_LINGER_MS)
    this.#lingering.add(item)
  }

  /** Writes what lingers in this mailbox, and then `item`. */
  write(mailbox: Mailbox, item?: Pending): void {
    for (const earlier of mailbox.lingering) this.#write(earlier)
    if (item) this.#write(item)
  }

  /**
   * The recipient has a packet that was not flushed yet. Answers what must be deleted from the store after all, or
   * 'never written', or undefined where no such packet is pending.
   */
  take(mailbox: Mailbox, hash: string): HeldRecord | 'never written' | undefined {
    const item = mailbox.pending.get(hash)
    if (!item) return undefined
    mailbox.pending.delete(hash)
    if (!mailbox.lingering.has(item)) return item.held
    this.#drop(item, STATUS.done)
    return 'never written'
  }

  /** The mailbox ends: what lingers in it is forgotten. */
  abandon(mailbox: Mailbox): void {
    for (const item of mailbox.lingering) {
      mailbox.pending.delete(item.hash)
      this.#drop(item, STATUS.noMailbox)
    }
  }

  tick(now: number): void {
    for (const item of this.#lingering) {
      const dueMs = item.storedMs + LIVE_LINGER_MS
      if (dueMs > now) {
        this.#options.alarm(dueMs)
        return
      }
      this.#write(item)
    }
  }

  #write(item: Pending): void {
    const { mailbox, held, packet, storedMs } = item
    mailbox.lingering.delete(item)
    this.#lingering.delete(item)
    // Deletions before it, above all one of the same hash, and one flush for both.
    this.#options.departures.flush()
    const hash = Buffer.from(item.hash, 'hex')
    const writes = [
      {
        table: TABLE.packets,
        key: packetKey(mailbox.address, held.sequence),
        value: encodePacket({ stranger: held.stranger, storedMs, packet }),
      },
      { table: TABLE.held, key: heldKey(mailbox.address, hash), value: encodeHeld(held) },
    ]
    this.#options.store.commit(writes).then(
      () => this.#settle(item, STATUS.done),
      () => this.#settle(item, STATUS.disk),
    )
  }

  #settle(item: Pending, status: typeof STATUS.done | typeof STATUS.disk): void {
    const { mailbox } = item
    this.#packets--
    this.#bytes -= item.packet.length
    if (mailbox.pending.get(item.hash) !== item) {
      item.resolve(STATUS.done) // taken meanwhile
      return
    }
    mailbox.pending.delete(item.hash)
    if (status === STATUS.disk) count(mailbox.tally, this.#options.totals, item.held, -1)
    item.resolve(mailbox.removal && status === STATUS.done ? STATUS.noMailbox : status)
  }

  #drop(item: Pending, status: Status): void {
    item.mailbox.lingering.delete(item)
    this.#lingering.delete(item)
    this.#packets--
    this.#bytes -= item.packet.length
    count(item.mailbox.tally, this.#options.totals, item.held, -1)
    item.resolve(status)
  }
}
