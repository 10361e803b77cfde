import type { DoorbellSecret, RelayInfo } from '@fieldwhisper/protocol'

/*
 * What an agent keeps on disk, each in a file of its own, so that losing one loses no more than it says.
 */

/** K and what came with it: proves for life that this device belongs to the site. */
export interface KeyState {
  readonly k: Uint8Array
  readonly certificate: Uint8Array
  readonly siteKey: Uint8Array
  readonly fingerprint: Uint8Array
  readonly directorySlot: Uint8Array
}

/** What the site says of itself, newest first seen. */
export interface SiteState {
  readonly doorbell?: DoorbellSecret
  readonly relays: readonly RelayInfo[]
  readonly siteRevision: number
  /** The signed prekey record with the highest number ever seen. */
  readonly record?: Uint8Array
  /** Every NOTICE and COMMAND up to this id was taken; no such COMMAND is carried out. */
  readonly downThrough: number
}

/** The newest session in which the gateway answered and reserved a successor: what the next hello builds on. */
export interface Base {
  readonly id: Uint8Array
  readonly resumption: Uint8Array
  /** The one-time record of its successor. */
  readonly oneTime: Uint8Array
}

/** Seeds of a session's mailboxes, to remove them when it is over. */
export interface Mailboxes {
  readonly up: Uint8Array
  readonly down: Uint8Array
  /** Answered: the upper one may hold what the gateway has not fetched, and is its to remove. */
  readonly answered: boolean
}

export interface SilenceState {
  readonly silentMs: number
  /** Next try after this much silence. */
  readonly nextMs: number
  readonly step: 'none' | 'probed' | 'lost'
}

export interface SessionState {
  readonly base?: Base
  readonly mailboxes: readonly Mailboxes[]
  readonly silence: SilenceState
}

export interface InviteState {
  readonly fingerprint: Uint8Array
  readonly directorySlot: Uint8Array
  readonly id: number
  readonly secret: Uint8Array
  readonly relays: readonly RelayInfo[]
}

/** Who this device is to the site. */
export type Standing =
  /** No K and no invite: nothing can be sealed; readings are kept. */
  | { readonly state: 'stranger' }
  | { readonly state: 'joining'; readonly invite: InviteState }
  | { readonly state: 'member'; readonly key: KeyState }

export const NO_SITE: SiteState = { relays: [], siteRevision: 0, downThrough: 0 }
export const NO_SESSION: SessionState = {
  mailboxes: [],
  silence: { silentMs: 0, nextMs: 0, step: 'none' },
}
