import type { Status } from '@fieldwhisper/mesh/relay-frames'
import { PACKET_OVERHEAD_BYTES } from '../constants.js'
import type { Subscription } from './handover.js'
import type { RelayLimits } from '../limits.js'
import type { HeldRecord } from './records.js'

/** One mailbox as the running relay sees it. What it holds lies in the store; here are the counts. */
export interface Mailbox {
  readonly address: Uint8Array
  /** Made by a client without the access token. */
  readonly stranger: boolean
  readonly tally: Tally
  /** Accepted and not yet flushed, by hash, in order of sequence; all of them come after what the store holds. */
  readonly pending: Map<string, Pending>
  /** Those of `pending` that are written only if nobody deletes them soon, in order. */
  readonly lingering: Set<Pending>
  /**
   * Hashes whose deletion is on its way to the disk, until that is settled: they count as not held. A new copy of one waits
   * for that, so that there is never more than one copy.
   */
  readonly leaving: Map<string, Promise<void>>
  nextSequence: number
  /** Not later than the time at which the oldest stored packet was stored. */
  oldestMs: number
  usedMs: number
  /** What the store has for `usedMs`; undefined until the mailbox itself is durable. */
  savedMs: number | undefined
  subscription: Subscription | undefined
  /** Set while the mailbox is being ended: it takes and gives nothing more. */
  removal: Promise<Status> | undefined
}

/** A packet between its arrival and its flush. */
export interface Pending {
  readonly mailbox: Mailbox
  readonly hash: string
  readonly held: HeldRecord
  readonly packet: Uint8Array
  readonly storedMs: number
  readonly done: Promise<Status>
  readonly resolve: (status: Status) => void
}

/** What counts against the quotas. */
export interface Tally {
  packets: number
  bytes: number
  helloPackets: number
  helloBytes: number
  /** With the overhead: what clients without the access token brought. */
  strangerCharged: number
}

export interface Totals {
  mailboxes: number
  strangerMailboxes: number
  packets: number
  bytes: number
  strangerCharged: number
}

export interface Room {
  readonly packets: number
  readonly bytes: number
}

export type Kind = Pick<HeldRecord, 'hello' | 'stranger'>

export const NO_ROOM: Room = { packets: 0, bytes: 0 }

/** Counts a packet in (`sign` 1) or out (-1). */
export function count(
  tally: Tally,
  totals: Totals,
  { size, hello, stranger }: HeldRecord,
  sign: 1 | -1,
): void {
  tally.packets += sign
  tally.bytes += sign * size
  totals.packets += sign
  totals.bytes += sign * size
  if (hello) {
    tally.helloPackets += sign
    tally.helloBytes += sign * size
  }
  if (stranger) {
    tally.strangerCharged += sign * (size + PACKET_OVERHEAD_BYTES)
    totals.strangerCharged += sign * (size + PACKET_OVERHEAD_BYTES)
  }
}

/** A mailbox ends: all it held is counted out. */
export function countOut(mailbox: Mailbox, totals: Totals): void {
  totals.mailboxes--
  if (mailbox.stranger) totals.strangerMailboxes--
  totals.packets -= mailbox.tally.packets
  totals.bytes -= mailbox.tally.bytes
  totals.strangerCharged -= mailbox.tally.strangerCharged
}

/** What is left for packets of this kind from this client; both parts are 0 when nothing fits. */
export function roomFor(tally: Tally, totals: Totals, limits: RelayLimits, kind: Kind): Room {
  let packets = limits.mailboxPackets - tally.packets
  let bytes = limits.mailboxBytes - tally.bytes
  if (kind.hello) {
    packets = Math.min(packets, limits.mailboxHelloPackets - tally.helloPackets)
    bytes = Math.min(bytes, limits.mailboxHelloBytes - tally.helloBytes)
  }
  let charged = limits.totalBytes - totals.bytes - totals.packets * PACKET_OVERHEAD_BYTES
  if (kind.stranger) charged = Math.min(charged, part(limits.totalBytes, limits) - totals.strangerCharged)
  bytes = Math.min(bytes, charged - PACKET_OVERHEAD_BYTES)
  return packets > 0 && bytes > 0 ? { packets, bytes } : NO_ROOM
}

/** The part of a total that clients without the access token share. */
export function part(total: number, { strangerPart }: Pick<RelayLimits, 'strangerPart'>): number {
  return Math.floor(total / strangerPart)
}
