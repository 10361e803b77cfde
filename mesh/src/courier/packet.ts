/** A sealed packet that somebody is to get, whatever the path. */
export interface OutgoingPacket {
  /** Chosen by its owner, never used twice. */
  readonly id: number
  readonly bytes: Uint8Array
  /** Hexadecimal address of the mailbox it is deposited in. */
  readonly mailbox: string
  /** The sender makes that mailbox itself: nothing is deposited on a connection before its proof of it was answered. */
  readonly proves: boolean
  readonly kind: 'hello' | 'data'
  /** Id of the hello that has to go before it on every path, as long as that is unsettled. */
  readonly after?: number
  /** Backlog waits behind live packets, and goes to one link only. */
  readonly priority: 'live' | 'backlog'
  /** Not waited for: offered once on each path and forgotten. */
  readonly once?: boolean
}

/** What the courier knows of a packet that is not settled. */
export interface Entry {
  readonly packet: OutgoingPacket
  readonly addedAt: number
  lan: LanState
  /** By relay; absent where it was never offered. */
  readonly relays: Map<string, RelayState>
}

export interface LanState {
  /** When to offer it again; Infinity while it waits in a queue. */
  dueAt: number
  stepMs: number
  last?: { readonly link: number; readonly at: number }
}

export type RelayState =
  | { readonly state: 'queued' }
  | { readonly state: 'deposited' }
  | { readonly state: 'waits'; readonly dueAt: number }

/** Everything unsettled, oldest first. */
export type Outstanding = ReadonlyMap<number, Entry>
