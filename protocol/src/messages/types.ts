import type { RelayInfo } from '../identity/relay-info.js'

/*
 * What travels inside sealed packets (DESIGN section 5, docs/protocol.md "Messages"). Ranges are half open: [from, to).
 */

/** Numbers [from, to). */
export interface Range {
  readonly from: number
  readonly to: number
}

/** A batch is (stream, number) for life, also when it is sealed again. */
export interface SealedBatch {
  /** 12 bytes: start number u32 ‖ 8 random. */
  readonly stream: Uint8Array
  readonly number: number
  /** Waited so long that it must not overwrite a live value. */
  readonly historical: boolean
  /** An encoded `Batch`. */
  readonly bytes: Uint8Array
}

/** Where the agent stands in one stream. */
export interface StreamState {
  readonly stream: Uint8Array
  /** Everything below is acknowledged or covered by an acknowledged gap. */
  readonly floor: number
  /** Numbers assigned so far are below this. */
  readonly end: number
  /** The stream ended: `end` is final. */
  readonly closed: boolean
}

export interface ClockReport {
  readonly bootId: Uint8Array
  /** Add to monotonic milliseconds of that boot to have Unix milliseconds. */
  readonly offsetMs: number
  readonly errorMs: number
}

export interface DataMessage {
  readonly kind: 'data'
  readonly batch?: SealedBatch
  /** The stream of the batch first, then at most 32 others in turn. */
  readonly streams: readonly StreamState[]
  /** K and this session's PREKEY are durable: the gateway may erase what began the session. */
  readonly ready: boolean
  /** Id of the oldest session in which something is outstanding. */
  readonly oldestSession?: Uint8Array
  /** Every NOTICE and COMMAND up to this id has been taken: on disk, and a COMMAND will not be taken twice. */
  readonly downThrough: number
  /** The agent's monotonic milliseconds when it sealed this. */
  readonly stampMs: number
  readonly clock?: ClockReport
}

export type GapCause = 'full' | 'age' | 'lost' | 'corrupt'

export interface GapMessage {
  readonly kind: 'gap'
  readonly cause: GapCause
  /** Readings that went, where the agent could count them. */
  readonly readings?: number
  readonly what:
    | { readonly stream: Uint8Array; readonly ranges: readonly Range[] }
    /** Every stream whose start number is below this. */
    | { readonly startsBefore: number }
}

/** An argument of a command, or a value in its result. */
export type FieldValue = number | string | boolean | null

/** Named values, each name once. */
export type Fields = readonly (readonly [name: string, value: FieldValue])[]

/**
 * done: carried out. refused: not carried out, and would not be the next time. failed: begun, and not brought to its end. expired: not
 * carried out, it came too late. unknown: taken, and nobody knows any more what became of it.
 */
export type ReplyStatus = 'done' | 'refused' | 'failed' | 'expired' | 'unknown'

export interface ReplyMessage {
  readonly kind: 'reply'
  /** Of the COMMAND. */
  readonly id: number
  readonly status: ReplyStatus
  /** A code of docs/errors.md, at most 64 bytes. */
  readonly code: string
  /** For the person who gave the command, at most 256 bytes. */
  readonly text: string
  readonly result: Fields
}

export interface StreamAck {
  readonly stream: Uint8Array
  /** Every number below is received or covered by a gap. */
  readonly through: number
  /** Received above `through`, ascending, at most 64. */
  readonly ranges: readonly Range[]
}

/** Why readings are received but not acknowledged. */
export type HoldReason = 'outbox-full' | 'disk' | 'confirm' | 'clone'

export interface AckMessage {
  readonly kind: 'ack'
  readonly streams: readonly StreamAck[]
  /** All streams with a start number below this are settled by a gap. */
  readonly startsBefore: number
  /** Packets of this session below this counter that are not acknowledged can never be opened: seal their batches again. */
  readonly givenUpBelow: number
  /** The newest stamp of a DATA, and how long ago it came. */
  readonly echo?: { readonly stampMs: number; readonly delayMs: number }
  /** Unix milliseconds; only from a gateway whose own clock is synchronised. */
  readonly wallMs?: number
  readonly hold?: HoldReason
  /** No REPLY up to this id is waited for. Only to an agent that sent a REPLY: earlier releases refuse an ACK that has it. */
  readonly replyThrough?: number
}

export interface DoorbellSecret {
  readonly epoch: number
  readonly secret: Uint8Array
}

export interface WelcomeMessage {
  readonly kind: 'welcome'
  /** The device key. */
  readonly k: Uint8Array
  readonly certificate: Uint8Array
  readonly doorbell: DoorbellSecret
  readonly relays: readonly RelayInfo[]
  readonly directorySlot: Uint8Array
  readonly siteRevision: number
}

export interface PrekeyMessage {
  readonly kind: 'prekey'
  /** This session's successor begins on it. */
  readonly oneTime: Uint8Array
  /** The newest signed record, for a device that loses its session. */
  readonly newest: Uint8Array
}

export type RefusalCode = 'invite-expired' | 'invite-used' | 'revoked' | 'name-taken'

export interface RefusedMessage {
  readonly kind: 'refused'
  readonly code: RefusalCode
}

export interface NoticeMessage {
  readonly kind: 'notice'
  /** Grows per agent. */
  readonly id: number
  readonly siteRevision: number
  readonly doorbell: DoorbellSecret
  readonly relays: readonly RelayInfo[]
  /** Present where the agent was renamed. */
  readonly certificate?: Uint8Array
}

export interface CommandMessage {
  readonly kind: 'command'
  /** From the same row as those of NOTICE. */
  readonly id: number
  /** The agent's monotonic milliseconds when the command was given, as far as the gateway knows: its newest stamp, and the time since. */
  readonly stampMs: number
  /** Not carried out later than this after the stamp; 1 to 600,000. */
  readonly ttlMs: number
  /** 1 to 64 bytes. */
  readonly name: string
  readonly args: Fields
}

export type UpMessage = DataMessage | GapMessage | ReplyMessage
export type DownMessage =
  AckMessage | WelcomeMessage | PrekeyMessage | RefusedMessage | NoticeMessage | CommandMessage
export type Message = UpMessage | DownMessage
