import type { Reporter } from '@fieldwhisper/host'
import type { AddressKey } from '@fieldwhisper/protocol/address'
import type { RelayTiming, Status } from './constants.js'
import type { ProveOptions } from './proofs.js'

/** What is left at the relay for packets of the same kind from this client. */
export interface RelayRoom {
  readonly packets: number
  readonly bytes: number
}

/**
 * `stored`: durable at the relay, or taken by its recipient. `refused`: `code` says why (STATUS). `unsent`: not connected,
 * too much waiting, or the answer never came; the relay may have it all the same.
 */
export type RelayDepositResult =
  | { readonly status: 'stored'; readonly code: Status; readonly room: RelayRoom }
  | { readonly status: 'refused'; readonly code: Status; readonly room: RelayRoom }
  | { readonly status: 'unsent' }

export type RelayRequestResult =
  | { readonly status: 'done' }
  | { readonly status: 'refused'; readonly code: Status }
  | { readonly status: 'unsent' }

/** Byte fields are views into a received message of up to 64 KiB: copy what you keep. */
export interface RelayClientOptions {
  /** ws:// or wss://, host, port. */
  readonly url: string
  /** Access token of the relay's operator. */
  readonly token?: string | undefined
  /** SHA-256 of the relay's certificate: then exactly that certificate is accepted, whatever its name and dates. */
  readonly fingerprint?: string | undefined
  readonly reporter: Reporter
  /** The relay challenged: proofs, deposits and lookups go out from now on. */
  readonly onConnected?: () => void
  /** Everything that waited for an answer has been told `unsent`. */
  readonly onDisconnected?: (reason: string) => void
  /** A packet for an address that was proven with `subscribe`; again on every connection until it is deleted. */
  readonly onPacket?: (packet: Uint8Array) => void
  /** The answer to a lookup; undefined: the relay has none. */
  readonly onRecord?: (slot: Uint8Array, record: Uint8Array | undefined) => void
  /** An address that is kept was proven or refused on this connection. */
  readonly onProved?: (address: Uint8Array, status: Status) => void
  /** For tests: in [0, 1). */
  readonly random?: () => number
  /** For tests: shorter times. */
  readonly timing?: Partial<RelayTiming>
}

export interface RelayClient {
  readonly url: string
  /** The relay's name as dialled, which proofs are signed for. */
  readonly name: string
  readonly connected: boolean
  start(): void
  /** Resolves when the socket is closed. */
  stop(): Promise<void>
  /** Proves the address now and on every connection to come, in the order in which addresses were first given. */
  prove(key: AddressKey, options: ProveOptions): void
  /** No more proofs of this address. The present connection keeps what it was given. */
  forget(address: Uint8Array): void
  /** Never rejects. `packet` is copied. */
  deposit(packet: Uint8Array): Promise<RelayDepositResult>
  /** Deletes packets by hash; needs `prove` of the address. False: not connected, they will be handed over again. */
  deleteFrom(address: Uint8Array, hashes: readonly Uint8Array[]): boolean
  /** Ends a mailbox and forgets it. Given a key it proves the address first, given an address it must be proven. */
  remove(target: AddressKey | Uint8Array): Promise<RelayRequestResult>
  /** Puts a record into a directory slot, proving the slot's address first. */
  publish(slotKey: AddressKey, record: Uint8Array): Promise<RelayRequestResult>
  /** Asks for a record; the answer comes by `onRecord`. False: not connected. */
  lookup(slot: Uint8Array): boolean
}
