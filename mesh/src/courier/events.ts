import type { OutgoingPacket } from './packet.js'

/** A path that something came over. */
export type CourierPath = { readonly link: number } | { readonly relay: string }

export type DepositResult = 'stored' | 'refused' | 'unsent'

export type CourierEvent =
  | { readonly type: 'added'; readonly packet: OutgoingPacket }
  /** Acknowledged, sealed anew or given up: these need not arrive any more. */
  | { readonly type: 'settled'; readonly ids: readonly number[] }
  | { readonly type: 'linkOpened'; readonly link: number }
  | { readonly type: 'linkClosed'; readonly link: number }
  /** The link did not take these offers: too much waits for it already. */
  | { readonly type: 'linkBusy'; readonly link: number; readonly ids: readonly number[] }
  /** An ACK that opened came over this path, for so many packets. */
  | { readonly type: 'acked'; readonly path: CourierPath; readonly packets: number }
  | { readonly type: 'relayConnected'; readonly relay: string }
  | { readonly type: 'relayDisconnected'; readonly relay: string }
  /** The relay answered the proof of a mailbox on this connection. */
  | {
      readonly type: 'mailboxProved'
      readonly relay: string
      readonly mailbox: string
      readonly accepted: boolean
    }
  | {
      readonly type: 'deposited'
      readonly relay: string
      readonly id: number
      readonly result: DepositResult
    }
  | { readonly type: 'relayDrained'; readonly relay: string }
  /** The relay is no longer used. */
  | { readonly type: 'relayRemoved'; readonly relay: string }
  | { readonly type: 'tick' }

export type CourierEffect =
  /** Answered by `linkBusy` where the link does not take it. */
  | { readonly type: 'offer'; readonly link: number; readonly id: number; readonly bytes: Uint8Array }
  /** Answered by `deposited`, unless the relay disconnects first. */
  | { readonly type: 'deposit'; readonly relay: string; readonly id: number; readonly bytes: Uint8Array }

export interface CourierStep {
  readonly effects: readonly CourierEffect[]
  /** There is more to offer at once: step again, with `tick`, when these are out. */
  readonly more: boolean
}
