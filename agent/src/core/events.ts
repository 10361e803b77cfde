import type { EventFields, Level } from '@fieldwhisper/host'
import type { CourierPath, OutgoingPacket } from '@fieldwhisper/mesh'
import type { AddressKey, RelayInfo } from '@fieldwhisper/protocol'
import type { BatchPlace, HeldBatch } from '../spool/index.js'
import type { CommandReply, DueCommand } from './commands.js'
import type { KeyState, SessionState, SiteState } from './state.js'

export type CoreEvent =
  | { readonly type: 'start' }
  | { readonly type: 'tick' }
  /** A packet from anybody, over a link or from a mailbox. */
  | { readonly type: 'packet'; readonly path: CourierPath; readonly packet: Uint8Array }
  /** A prekey record from anybody. `source` names the sender, for its budget. */
  | { readonly type: 'record'; readonly source: string; readonly record: Uint8Array }
  | { readonly type: 'closed'; readonly batch: HeldBatch; readonly urgent?: boolean }
  | { readonly type: 'dropped'; readonly batches: readonly BatchPlace[] }
  | { readonly type: 'relayConnected' }
  /** A `save` was carried out. */
  | { readonly type: 'saved'; readonly file: SaveEffect['file']; readonly ok: boolean }
  /** A `command` was carried out, or not. */
  | { readonly type: 'replied'; readonly id: number; readonly reply: CommandReply }
  /** Every relay in use has removed this mailbox. */
  | { readonly type: 'mailboxRemoved'; readonly address: Uint8Array }

export type SaveEffect =
  | { readonly type: 'save'; readonly file: 'key'; readonly value: KeyState }
  | { readonly type: 'save'; readonly file: 'site'; readonly value: SiteState }
  | { readonly type: 'save'; readonly file: 'session'; readonly value: SessionState }

/** To be carried out in order. */
export type CoreEffect =
  /** On disk before the next effect; answered by `saved`. */
  | SaveEffect
  /** K is on disk: the invite has done its work. */
  | { readonly type: 'joined'; readonly name: string }
  | { readonly type: 'send'; readonly packet: OutgoingPacket }
  | { readonly type: 'settle'; readonly ids: readonly number[] }
  /** Create this mailbox at every relay, and read it where `subscribe` is set, now and on each connection. */
  | { readonly type: 'prove'; readonly key: AddressKey; readonly subscribe: boolean }
  | { readonly type: 'unprove'; readonly address: Uint8Array }
  /** Remove it at every relay; answered by `mailboxRemoved`. */
  | { readonly type: 'remove'; readonly key: AddressKey }
  /** A packet from this relay is done with. */
  | {
      readonly type: 'discard'
      readonly relay: string
      readonly address: Uint8Array
      readonly hash: Uint8Array
    }
  /** Something that came over this path opened; `acked` packets were acknowledged by it. */
  | { readonly type: 'heard'; readonly path: CourierPath; readonly ack: boolean; readonly acked: number }
  /** Ask every relay and link for the record of the directory slot. */
  | { readonly type: 'lookUp'; readonly slot: Uint8Array }
  /** The newest record, for links that ask. */
  | { readonly type: 'serve'; readonly slot: Uint8Array; readonly record: Uint8Array }
  | { readonly type: 'relays'; readonly relays: readonly RelayInfo[] }
  /** Carry it out, once; answered by `replied`. */
  | { readonly type: 'command'; readonly command: DueCommand }
  /** Batches stay open for so long, or for the configured time if that is longer. */
  | { readonly type: 'batchInterval'; readonly atLeastMs: number }
  | {
      readonly type: 'event'
      readonly level: Level
      readonly code: string
      readonly message: string
      readonly fields?: EventFields
    }
