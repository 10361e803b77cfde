import type { AddressKey, OpenedHello, PrekeySecrets } from '@fieldwhisper/protocol'
import type { EventFields, Level, Write } from '@fieldwhisper/host'

/** The way a packet came, and the way an answer goes. */
export type Route =
  { readonly via: 'link'; readonly id: number } | { readonly via: 'relay'; readonly id: number }

/** Work for the handshake worker. */
export interface HelloJob {
  readonly id: number
  readonly packet: Uint8Array
  readonly secrets: PrekeySecrets
  /** Private halves of the one-time prekey the session will be answered with. */
  readonly oneTime: OneTimeSecrets
}

export interface OneTimeSecrets {
  /** X25519, 32 bytes. */
  readonly prekeySecret: Uint8Array
  /** ML-KEM-768, 64 bytes. */
  readonly kemSeed: Uint8Array
}

export interface HelloResult {
  readonly id: number
  /** Absent where the hello did not open, for whatever reason. */
  readonly opened?: OpenedHello
  /** The worker itself failed, not the hello. */
  readonly failure?: string
  /** Public halves of the one-time prekey; empty where the hello did not open. */
  readonly agreementKey: Uint8Array
  readonly kemKey: Uint8Array
}

/** What the core asks of the world. None of these may throw or call back at once. */
export interface Ports {
  /** False where the link is gone or full. */
  send(link: number, packet: Uint8Array): boolean
  /** To every relay. */
  deposit(packet: Uint8Array): void
  /** The packet is committed, a duplicate, or failed for good: the relay may forget it. */
  discard(relay: number, address: Uint8Array, packetHash: Uint8Array): void
  /** Packets of this relay were dropped unopened: by a new connection it is to hand over again what was not deleted. */
  renew(relay: number): void
  /** Create and read this mailbox at every relay, from now on and after each reconnect. */
  hold(key: AddressKey): void
  /** The mailbox and what it holds may go. */
  release(key: AddressKey): void
  /** The newest signed record: for relays' directories and for links that ask. */
  publish(record: Uint8Array): void
  openHello(job: HelloJob): void
  /** A packet of this link opened. */
  useful(link: number): void
  /** A device is shut out or replaced: its current values are not current any more. */
  agentGone(agentId: string): void
  /** A turn is on disk; these were its writes. */
  committed(writes: readonly Write[]): void
  /** The store failed for good: this process has to end and start again on what the disk has. */
  fatal(error: unknown): void
  report(level: Level, code: string, message: string, fields?: EventFields): void
}

/** The gateway's own secrets, read from its identity file. */
export interface GatewayIdentity {
  readonly siteName: string
  readonly siteSeed: Uint8Array
  readonly signingSeed: Uint8Array
  readonly agreementSecret: Uint8Array
  readonly master: Uint8Array
  readonly certificate: Uint8Array
}
