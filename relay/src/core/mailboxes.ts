import type { Store } from '@fieldwhisper/host'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import type { Status } from '@fieldwhisper/mesh/relay-frames'
import { ADDRESS_BYTES } from '@fieldwhisper/protocol/packet'
import {
  MAX_PENDING_BYTES,
  MAX_PENDING_PACKETS,
  MAX_WAITING_COPIES,
  TABLE,
  USED_STEP_MS,
} from '../constants.js'
import { Arrivals } from './arrivals.js'
import { deletion, Departures } from './departures.js'
import { expiredPackets, heldEntries } from './expiry.js'
import { Handover } from './handover.js'
import type { Subscriber } from './handover.js'
import type { RelayLimits } from '../limits.js'
import { count, countOut, NO_ROOM, part, roomFor } from './mailbox.js'
import type { Kind, Mailbox, Room, Totals } from './mailbox.js'
import { decodeHeld, decodeMailbox, encodeMailbox, heldKey, hex, packetKey } from './records.js'
import type { HeldRecord } from './records.js'

export interface MailboxesOptions {
  readonly store: Store
  readonly limits: RelayLimits
  /** Asks for a call of `tick` at or soon after that time; earlier wishes stand. */
  readonly alarm: (atMs: number) => void
}

export interface Deposit {
  readonly address: Uint8Array
  readonly packet: Uint8Array
  /** See `packetHash`. */
  readonly hash: Uint8Array
  readonly hello: boolean
  /** The client showed the access token. */
  readonly member: boolean
}

export interface DepositAnswer {
  readonly status: Status
  /** What is left for packets of the same kind from the same client. */
  readonly room: Room
}

/**
 * All mailboxes of a relay, on a `Store`. `now` is running time in milliseconds: it stands still while the relay is off
 * and a clock that is set does not change it.
 *
 *   deposit -> held already? room? -> handed over at once (lingers) or not (is written) -> flushed: "stored"
 *   delete  -> before the flush: taken, never written, "stored"; after it: out of store and counts
 *
 * Status 0 is said when the flush is done or the recipient has deleted the packet, never before.
 */
export class Mailboxes {
  readonly #options: MailboxesOptions
  readonly #mailboxes = new Map<string, Mailbox>()
  readonly #totals: Totals = { mailboxes: 0, strangerMailboxes: 0, packets: 0, bytes: 0, strangerCharged: 0 }
  readonly #handover: Handover
  readonly #departures: Departures
  readonly #arrivals: Arrivals
  #waiting = 0

  /** Reads what the store holds: a short record for each mailbox and each packet. */
  constructor(options: MailboxesOptions, now: number) {
    this.#options = options
    const { store, limits, alarm } = options
    const totals = this.#totals
    this.#handover = new Handover(store, limits)
    this.#departures = new Departures({ store, totals, alarm })
    this.#arrivals = new Arrivals({ store, totals, alarm, departures: this.#departures })
    this.#load(now)
  }

  get counts(): { readonly mailboxes: number; readonly packets: number; readonly bytes: number } {
    const { mailboxes, packets, bytes } = this.#totals
    return { mailboxes, packets, bytes }
  }

  /** So many there may be. */
  get most(): number {
    return this.#options.limits.mailboxes
  }

  /** Makes a mailbox; resolves when it is durable, also where it was there before: `done`, `full` or `disk`. */
  async create(address: Uint8Array, member: boolean, now: number): Promise<Status> {
    let mailbox = this.#mailboxes.get(hex(address))
    if (mailbox?.removal) {
      await mailbox.removal
      return this.create(address, member, now)
    }
    if (mailbox?.savedMs !== undefined) return STATUS.done
    if (!mailbox) {
      const { mailboxes } = this.#options.limits
      if (this.#totals.mailboxes >= mailboxes) return STATUS.full
      if (!member && this.#totals.strangerMailboxes >= part(mailboxes, this.#options.limits))
        return STATUS.full
      mailbox = this.#add(address, !member, now, undefined)
    }
    return (await this.#save(mailbox)) ? STATUS.done : STATUS.disk
  }

  has(address: Uint8Array): boolean {
    return this.#get(address) !== undefined
  }

  /** This subscriber gets what the mailbox holds and what comes; the one before it gets nothing more. */
  subscribe(address: Uint8Array, subscriber: Subscriber, now: number): Status {
    const mailbox = this.#get(address)
    if (!mailbox) return STATUS.noMailbox
    mailbox.usedMs = now
    if (this.#handover.subscribe(mailbox, subscriber)) this.#arrivals.write(mailbox)
    return STATUS.done
  }

  /** The subscriber is gone: what it was handed and did not delete is written. */
  leave(subscriber: Subscriber, now: number): void {
    for (const mailbox of this.#handover.leave(subscriber)) {
      mailbox.usedMs = now
      this.#arrivals.write(mailbox)
    }
  }

  /** The subscriber can take more. */
  resume(subscriber: Subscriber): void {
    this.#handover.resume(subscriber)
  }

  /** Refuses before anything is kept. A packet identical to one that is held gets the answer of that one. */
  async deposit(deposit: Deposit, now: number): Promise<DepositAnswer> {
    const mailbox = this.#get(deposit.address)
    if (!mailbox) return { status: STATUS.noMailbox, room: NO_ROOM }
    const status = await this.#accept(mailbox, deposit, now)
    return { status, room: status === STATUS.noMailbox ? NO_ROOM : this.#room(mailbox, kindOf(deposit)) }
  }

  /** Deletes what the recipient has committed or does not want, by packet hash; one that is not held is passed over. */
  delete(address: Uint8Array, hashes: readonly Uint8Array[], now: number): void {
    const mailbox = this.#get(address)
    if (!mailbox) return
    for (const hash of hashes) {
      const key = hex(hash)
      this.#handover.release(mailbox, key)
      const held = this.#arrivals.take(mailbox, key) ?? this.#held(mailbox, hash)
      if (held && held !== 'never written') this.#departures.add(mailbox, hash, held, now)
    }
    this.#handover.proceed(mailbox)
  }

  /** Ends the mailbox and all it holds; resolves when that is durable: `done`, `noMailbox` or `disk`. */
  remove(address: Uint8Array): Promise<Status> {
    const mailbox = this.#get(address)
    if (!mailbox) return Promise.resolve(STATUS.noMailbox)
    this.#handover.unsubscribe(mailbox)
    this.#arrivals.abandon(mailbox)
    this.#departures.flush()
    const inFlight = [...mailbox.pending.values()].map(({ hash, held }) => ({
      hash: Buffer.from(hash, 'hex'),
      held,
    }))
    const writes = [...heldEntries(this.#options.store, mailbox), ...inFlight].flatMap(({ hash, held }) =>
      deletion(mailbox.address, hash, held.sequence),
    )
    const record = { table: TABLE.mailboxes, key: mailbox.address, value: null }
    mailbox.removal = this.#options.store.commit([record, ...writes]).then(
      () => {
        this.#mailboxes.delete(hex(mailbox.address))
        countOut(mailbox, this.#totals)
        return STATUS.done
      },
      () => {
        mailbox.removal = undefined
        return STATUS.disk
      },
    )
    return mailbox.removal
  }

  /** Writes what has waited long enough. */
  tick(now: number): void {
    this.#arrivals.tick(now)
    this.#departures.tick(now)
  }

  /** To be called every minute or so: drops what is beyond its time and answers how many packets and mailboxes. */
  sweep(now: number): { readonly packets: number; readonly mailboxes: number } {
    const { limits, store } = this.#options
    const dropped = { packets: 0, mailboxes: 0 }
    for (const mailbox of this.#mailboxes.values()) {
      if (mailbox.removal) continue
      const stored = mailbox.tally.packets - mailbox.pending.size
      if (stored > 0 && now - mailbox.oldestMs >= limits.packetTtlMs) {
        for (const { hash, held } of expiredPackets(store, mailbox, now - limits.packetTtlMs)) {
          this.#handover.release(mailbox, hex(hash))
          this.#departures.add(mailbox, hash, held, now)
          dropped.packets++
        }
        this.#handover.proceed(mailbox)
      }
      if (mailbox.subscription || mailbox.tally.packets > 0) mailbox.usedMs = now
      if (now - mailbox.usedMs >= limits.mailboxIdleMs) {
        dropped.mailboxes++
        void this.remove(mailbox.address)
      } else if (mailbox.savedMs !== undefined && mailbox.usedMs - mailbox.savedMs >= USED_STEP_MS) {
        void this.#save(mailbox)
      }
    }
    return dropped
  }

  /** Writes all that waits and resolves when the disk has it or refused it. */
  async close(): Promise<void> {
    for (const mailbox of this.#mailboxes.values()) this.#arrivals.write(mailbox)
    this.#departures.flush()
    await this.#options.store.commit([]).catch(() => undefined)
  }

  async #accept(mailbox: Mailbox, deposit: Deposit, now: number): Promise<Status> {
    const hash = hex(deposit.hash)
    const twin = mailbox.pending.get(hash)
    if (twin) return twin.done
    const leaving = mailbox.leaving.get(hash)
    if (leaving) return this.#acceptAfter(leaving, mailbox, deposit, now)
    const held = this.#held(mailbox, deposit.hash)
    if (held) {
      // Held means that the packet can be read: one whose record went bad must not be called stored.
      const key = packetKey(mailbox.address, held.sequence)
      if (this.#options.store.get(TABLE.packets, key) !== undefined) return STATUS.done
      this.#departures.add(mailbox, deposit.hash, held, now)
      return this.#acceptAfter(mailbox.leaving.get(hash)!, mailbox, deposit, now)
    }
    const size = deposit.packet.length
    const kind = kindOf(deposit)
    const room = this.#room(mailbox, kind)
    if (room.bytes < size) return STATUS.full
    const { packets, bytes } = this.#arrivals.pending
    if (packets >= MAX_PENDING_PACKETS || bytes + size > MAX_PENDING_BYTES) return STATUS.rate
    mailbox.usedMs = now
    // A copy: the packet is a view into a message of 64 KiB, which would stay in memory with it.
    const item = this.#arrivals.add(mailbox, hash, { ...kind, size }, Uint8Array.from(deposit.packet), now)
    if (this.#handover.offer(mailbox, item)) this.#arrivals.linger(item)
    else this.#arrivals.write(mailbox, item)
    return item.done
  }

  /** A packet that comes again while its deletion is on its way to the disk waits for the end of that. */
  async #acceptAfter(
    leaving: Promise<void>,
    mailbox: Mailbox,
    deposit: Deposit,
    now: number,
  ): Promise<Status> {
    if (this.#waiting >= MAX_WAITING_COPIES) return STATUS.rate
    this.#waiting++
    this.#departures.flush()
    await leaving
    this.#waiting--
    return mailbox.removal ? STATUS.noMailbox : this.#accept(mailbox, deposit, now)
  }

  #get(address: Uint8Array): Mailbox | undefined {
    const mailbox = this.#mailboxes.get(hex(address))
    return mailbox?.removal ? undefined : mailbox
  }

  #room(mailbox: Mailbox, kind: Kind): Room {
    return roomFor(mailbox.tally, this.#totals, this.#options.limits, kind)
  }

  #held(mailbox: Mailbox, hash: Uint8Array): HeldRecord | undefined {
    if (mailbox.leaving.has(hex(hash))) return undefined
    const value = this.#options.store.get(TABLE.held, heldKey(mailbox.address, hash))
    return value && decodeHeld(value)
  }

  #save(mailbox: Mailbox): Promise<boolean> {
    const { address, stranger, usedMs } = mailbox
    const value = encodeMailbox({ stranger, usedMs })
    return this.#options.store.commit([{ table: TABLE.mailboxes, key: address, value }]).then(
      () => {
        mailbox.savedMs = usedMs
        return true
      },
      () => false,
    )
  }

  #add(address: Uint8Array, stranger: boolean, usedMs: number, savedMs: number | undefined): Mailbox {
    const mailbox: Mailbox = {
      address: Uint8Array.from(address),
      stranger,
      tally: { packets: 0, bytes: 0, helloPackets: 0, helloBytes: 0, strangerCharged: 0 },
      pending: new Map(),
      lingering: new Set(),
      leaving: new Map(),
      nextSequence: 0,
      oldestMs: 0,
      usedMs,
      savedMs,
      subscription: undefined,
      removal: undefined,
    }
    this.#mailboxes.set(hex(address), mailbox)
    this.#totals.mailboxes++
    if (stranger) this.#totals.strangerMailboxes++
    return mailbox
  }

  #load(now: number): void {
    const { store } = this.#options
    for (const { key, value } of store.range(TABLE.mailboxes)) {
      const record = decodeMailbox(value)
      if (record) this.#add(key, record.stranger, record.usedMs, record.usedMs)
    }
    for (const { key, value } of store.range(TABLE.held)) {
      const held = decodeHeld(value)
      if (!held) continue
      const address = key.subarray(0, ADDRESS_BYTES)
      // A mailbox whose own record went bad lives on while it holds something.
      const mailbox = this.#mailboxes.get(hex(address)) ?? this.#add(address, held.stranger, now, undefined)
      count(mailbox.tally, this.#totals, held, 1)
      mailbox.nextSequence = Math.max(mailbox.nextSequence, held.sequence + 1)
    }
  }
}

function kindOf({ hello, member }: Deposit): Kind {
  return { hello, stranger: !member }
}
