import { createRelayClient, type RelayClient } from '@fieldwhisper/mesh'
import { equalBytes, hex, type AddressKey, type RelayInfo } from '@fieldwhisper/protocol'
import type { Reporter } from '@fieldwhisper/host'

export interface RelaysOptions {
  readonly reporter: Reporter
  readonly onPacket: (relay: number, packet: Uint8Array) => void
  /** A relay showed what its directory holds in this site's slot. */
  readonly onRecord: (record: Uint8Array) => void
}

export interface RelayState {
  readonly url: string
  readonly connected: boolean
}

interface Connected {
  readonly info: RelayInfo
  readonly client: RelayClient
  /** Hashes to delete, by address, collected for one event-loop turn. */
  readonly deletes: Map<string, { readonly address: Uint8Array; readonly hashes: Uint8Array[] }>
  /** The slot was looked at on this connection: publishing may not overwrite a record that shows a restore. */
  looked: boolean
}

/**
 * The gateway at its relays: every mailbox it holds is held at each of them, every packet deposited at each, and the newest
 * prekey record published at each, after looking whether a newer one of its own is there.
 */
export class Relays {
  readonly #options: RelaysOptions
  readonly #relays = new Map<number, Connected>()
  readonly #held = new Map<string, AddressKey>()
  readonly #slot: AddressKey
  #record: Uint8Array | undefined
  #nextId = 0

  constructor(slot: AddressKey, options: RelaysOptions) {
    this.#slot = slot
    this.#options = options
  }

  /** Connects to those that are new in the list and leaves those that are not in it any more. */
  async use(relays: readonly RelayInfo[]): Promise<void> {
    const wanted = new Map(relays.map((info) => [JSON.stringify(info), info]))
    const ending: Promise<void>[] = []
    for (const [id, { info, client }] of this.#relays) {
      if (wanted.delete(JSON.stringify(info))) continue
      this.#relays.delete(id)
      ending.push(client.stop())
    }
    for (const info of wanted.values()) this.#connect(info)
    await Promise.all(ending)
  }

  async stop(): Promise<void> {
    await this.use([])
  }

  hold(key: AddressKey): void {
    this.#held.set(hex(key.address), key)
    for (const { client } of this.#relays.values()) client.prove(key, { create: true, subscribe: true })
  }

  release(key: AddressKey): void {
    this.#held.delete(hex(key.address))
    for (const { client } of this.#relays.values()) {
      client.forget(key.address)
      // A mailbox that cannot be removed now lapses by itself.
      void client.remove(key)
    }
  }

  deposit(packet: Uint8Array): void {
    for (const { client } of this.#relays.values()) void client.deposit(packet)
  }

  discard(relay: number, address: Uint8Array, hash: Uint8Array): void {
    const connected = this.#relays.get(relay)
    if (!connected) return
    if (connected.deletes.size === 0) setImmediate(() => this.#flushDeletes(connected))
    const name = hex(address)
    const entry = connected.deletes.get(name)
    if (entry) entry.hashes.push(hash)
    else connected.deletes.set(name, { address, hashes: [hash] })
  }

  publish(record: Uint8Array): void {
    this.#record = record
    for (const connected of this.#relays.values()) this.#publishAt(connected)
  }

  status(): RelayState[] {
    return [...this.#relays.values()].map(({ client }) => ({ url: client.url, connected: client.connected }))
  }

  #connect(info: RelayInfo): void {
    const id = this.#nextId++
    const { reporter, onPacket, onRecord } = this.#options
    const client = createRelayClient({
      ...info,
      reporter,
      onConnected: () => {
        connected.looked = false
        client.lookup(this.#slot.address)
      },
      onPacket: (packet) => onPacket(id, new Uint8Array(packet)),
      onRecord: (slot, record) => {
        if (!equalBytes(slot, this.#slot.address)) return
        if (record) onRecord(new Uint8Array(record))
        connected.looked = true
        this.#publishAt(connected)
      },
    })
    const connected: Connected = { info, client, deletes: new Map(), looked: false }
    for (const key of this.#held.values()) client.prove(key, { create: true, subscribe: true })
    this.#relays.set(id, connected)
    client.start()
  }

  #publishAt({ client, looked }: Connected): void {
    if (looked && this.#record) void client.publish(this.#slot, this.#record)
  }

  #flushDeletes({ client, deletes }: Connected): void {
    for (const { address, hashes } of deletes.values()) client.deleteFrom(address, hashes)
    deletes.clear()
  }
}
