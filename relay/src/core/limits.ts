import {
  CREDIT_BYTES,
  CREDIT_PACKETS,
  MAILBOX_BYTES,
  MAILBOX_HELLO_BYTES,
  MAILBOX_HELLO_PACKETS,
  MAILBOX_IDLE_MS,
  MAILBOX_PACKETS,
  MAX_MAILBOXES,
  MAX_RECORDS,
  PACKET_TTL_MS,
  TOTAL_BYTES,
} from '../constants.js'

/** What a relay keeps at most. All finite; the defaults are those of docs/relay.md. */
export interface RelayLimits {
  readonly mailboxes: number
  /** Of one mailbox; hellos count in both pairs. */
  readonly mailboxPackets: number
  readonly mailboxBytes: number
  readonly mailboxHelloPackets: number
  readonly mailboxHelloBytes: number
  /** Of all packets together, `PACKET_OVERHEAD_BYTES` each included. */
  readonly totalBytes: number
  /** Prekey records in the directory. */
  readonly records: number
  /** Running time. */
  readonly packetTtlMs: number
  readonly mailboxIdleMs: number
  /** Handed over and not deleted, for each mailbox. */
  readonly creditPackets: number
  readonly creditBytes: number
}

export const DEFAULT_LIMITS: RelayLimits = {
  mailboxes: MAX_MAILBOXES,
  mailboxPackets: MAILBOX_PACKETS,
  mailboxBytes: MAILBOX_BYTES,
  mailboxHelloPackets: MAILBOX_HELLO_PACKETS,
  mailboxHelloBytes: MAILBOX_HELLO_BYTES,
  totalBytes: TOTAL_BYTES,
  records: MAX_RECORDS,
  packetTtlMs: PACKET_TTL_MS,
  mailboxIdleMs: MAILBOX_IDLE_MS,
  creditPackets: CREDIT_PACKETS,
  creditBytes: CREDIT_BYTES,
}
