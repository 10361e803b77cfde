import { packetHash } from '@fieldwhisper/protocol/packet'
import type { Store } from '@fieldwhisper/host'
import { PUMP_PACKETS, TABLE } from '../constants.js'
import type { RelayLimits } from '../limits.js'
import type { Mailbox, Pending } from './mailbox.js'
import { decodePacket, hex, packetKey, sequenceOf } from './records.js'

/** The connection that reads a mailbox. */
export interface Subscriber {
  /** False while its socket has enough to carry; `Handover.resume` is called when that changes. */
  ready(): boolean
  hand(packet: Uint8Array): void
}

/** Who reads a mailbox, how far it has been handed over, and what was handed over and not deleted. */
export interface Subscription {
  readonly subscriber: Subscriber
  /** Packets with a lower sequence number were handed over to this subscriber or are gone. */
  cursor: number
  /** Hash to bytes: at most the credit. */
  readonly outstanding: Map<string, number>
  outstandingBytes: number
}

interface Reader {
  readonly mailboxes: Set<Mailbox>
  /** Mailboxes with something to hand over and credit left, in turn. */
  readonly waiting: Set<Mailbox>
}

/**
 * Hands packets to the connections that subscribed, oldest first: what the store holds, then what is pending. A mailbox has
 * one reader, the newest, because the one before it is most often a dead socket of the same device.
 */
export class Handover {
  readonly #store: Store
  readonly #limits: RelayLimits
  readonly #readers = new Map<Subscriber, Reader>()

  constructor(store: Store, limits: RelayLimits) {
    this.#store = store
    this.#limits = limits
  }

  /** Begins with the oldest packet held. Answers false when this connection reads the mailbox already. */
  subscribe(mailbox: Mailbox, subscriber: Subscriber): boolean {
    if (mailbox.subscription?.subscriber === subscriber) return false
    this.unsubscribe(mailbox)
    mailbox.subscription = { subscriber, cursor: 0, outstanding: new Map(), outstandingBytes: 0 }
    let reader = this.#readers.get(subscriber)
    if (!reader) {
      reader = { mailboxes: new Set(), waiting: new Set() }
      this.#readers.set(subscriber, reader)
    }
    reader.mailboxes.add(mailbox)
    this.#want(mailbox)
    return true
  }

  unsubscribe(mailbox: Mailbox): void {
    const reader = mailbox.subscription && this.#readers.get(mailbox.subscription.subscriber)
    reader?.mailboxes.delete(mailbox)
    reader?.waiting.delete(mailbox)
    mailbox.subscription = undefined
  }

  /** The connection is gone. Returns the mailboxes it read. */
  leave(subscriber: Subscriber): readonly Mailbox[] {
    const reader = this.#readers.get(subscriber)
    this.#readers.delete(subscriber)
    const mailboxes = [...(reader?.mailboxes ?? [])]
    for (const mailbox of mailboxes) mailbox.subscription = undefined
    return mailboxes
  }

  /** A new packet: true when its reader had everything before it and took it at once. */
  offer(mailbox: Mailbox, item: Pending): boolean {
    const subscription = mailbox.subscription
    if (!subscription) return false
    if (subscription.cursor !== item.held.sequence || !this.#fits(subscription, item.packet)) return false
    if (!subscription.subscriber.ready()) {
      this.#readers.get(subscription.subscriber)!.waiting.add(mailbox)
      return false
    }
    this.#hand(subscription, item.hash, item.packet, item.held.sequence)
    return true
  }

  /** A packet left the mailbox: its credit is free again. */
  release(mailbox: Mailbox, hash: string): void {
    const subscription = mailbox.subscription
    const size = subscription?.outstanding.get(hash)
    if (!subscription || size === undefined) return
    subscription.outstanding.delete(hash)
    subscription.outstandingBytes -= size
  }

  /** Hands over more after `release`. */
  proceed(mailbox: Mailbox): void {
    if (mailbox.subscription && mailbox.subscription.cursor < mailbox.nextSequence) this.#want(mailbox)
  }

  /** The socket of this subscriber drained. */
  resume(subscriber: Subscriber): void {
    const waiting = this.#readers.get(subscriber)?.waiting
    if (!waiting) return
    for (const mailbox of waiting) {
      if (!subscriber.ready()) return
      waiting.delete(mailbox)
      // May put the mailbox back at the end, behind the others: the loop meets it again.
      this.#pump(mailbox, waiting)
    }
  }

  #want(mailbox: Mailbox): void {
    const { subscriber } = mailbox.subscription!
    this.#readers.get(subscriber)!.waiting.add(mailbox)
    this.resume(subscriber)
  }

  #pump(mailbox: Mailbox, waiting: Set<Mailbox>): void {
    const subscription = mailbox.subscription!
    const credit = this.#limits.creditPackets - subscription.outstanding.size
    const limit = Math.min(PUMP_PACKETS, credit)
    if (limit <= 0) return
    let read = 0
    for (const { sequence, packet } of this.#after(mailbox, subscription.cursor, limit)) {
      read++
      const hash = packet && hex(packetHash(packet))
      if (!hash || mailbox.leaving.has(hash) || subscription.outstanding.has(hash)) {
        subscription.cursor = sequence + 1
        continue
      }
      if (!this.#fits(subscription, packet)) return
      if (!subscription.subscriber.ready()) {
        waiting.add(mailbox)
        return
      }
      this.#hand(subscription, hash, packet, sequence)
    }
    if (read >= limit) waiting.add(mailbox)
    else subscription.cursor = mailbox.nextSequence
  }

  /**
   * Up to `limit` packets from a sequence number on, without one where a record cannot be read. A packet that is just being
   * flushed is in both places and is met once.
   */
  *#after(
    mailbox: Mailbox,
    from: number,
    limit: number,
  ): Iterable<{ readonly sequence: number; readonly packet: Uint8Array | undefined }> {
    let next = from
    let left = limit
    if (mailbox.tally.packets > mailbox.pending.size) {
      const { address } = mailbox
      const range = { from: packetKey(address, from), to: packetKey(address, mailbox.nextSequence), limit }
      for (const { key, value } of this.#store.range(TABLE.packets, range)) {
        next = sequenceOf(key) + 1
        left--
        yield { sequence: next - 1, packet: decodePacket(value)?.packet }
      }
    }
    for (const { held, packet } of mailbox.pending.values()) {
      if (left <= 0) return
      if (held.sequence < next) continue
      left--
      yield { sequence: held.sequence, packet }
    }
  }

  #fits({ outstanding, outstandingBytes }: Subscription, packet: Uint8Array): boolean {
    if (outstanding.size >= this.#limits.creditPackets) return false
    // One packet always fits, whatever the credit was set to.
    return outstanding.size === 0 || outstandingBytes + packet.length <= this.#limits.creditBytes
  }

  #hand(subscription: Subscription, hash: string, packet: Uint8Array, sequence: number): void {
    subscription.outstanding.set(hash, packet.length)
    subscription.outstandingBytes += packet.length
    subscription.cursor = sequence + 1
    subscription.subscriber.hand(packet)
  }
}
