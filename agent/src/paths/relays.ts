import type { Reporter } from '@fieldwhisper/host'
import {
  createRelayClient,
  type CourierEvent,
  type RelayClient,
  type RelayClientOptions,
} from '@fieldwhisper/mesh'
import { hex, type AddressKey, type RelayInfo } from '@fieldwhisper/protocol'

export interface RelayHandlers {
  readonly courier: (event: CourierEvent) => void
  readonly packet: (relay: string, packet: Uint8Array) => void
  readonly record: (relay: string, record: Uint8Array) => void
  readonly connected: () => void
  /** Every relay in use has removed it. */
  readonly mailboxRemoved: (address: Uint8Array) => void
}

/** How relays are reached, and how work is put off to the end of a turn. */
export interface RelayDrive {
  /** Throws where the address is none. */
  readonly client: (options: RelayClientOptions) => RelayClient
  readonly soon: (task: () => void) => void
}

const systemDrive: RelayDrive = { client: createRelayClient, soon: (task) => void setImmediate(task) }

interface Connected {
  readonly info: RelayInfo
  readonly client: RelayClient
  /** Hashes to delete, by address, collected for one event-loop turn. */
  readonly deletes: Map<string, { readonly address: Uint8Array; readonly hashes: Uint8Array[] }>
}

interface Removal {
  readonly key: AddressKey
  /** URLs of relays that have not answered yet. */
  readonly waits: Set<string>
}

/** An agent at its relays: every mailbox it makes is made at each of them, and every packet offered to each. */
export class AgentRelays {
  readonly #reporter: Reporter
  readonly #handlers: RelayHandlers
  readonly #drive: RelayDrive
  readonly #relays = new Map<string, Connected>()
  readonly #kept = new Map<string, { readonly key: AddressKey; readonly subscribe: boolean }>()
  readonly #removals = new Map<string, Removal>()
  #depositing = 0

  constructor(reporter: Reporter, handlers: RelayHandlers, drive = systemDrive) {
    this.#reporter = reporter
    this.#handlers = handlers
    this.#drive = drive
  }

  /** Deposits whose answer is still to come. */
  get depositing(): number {
    return this.#depositing
  }

  get list(): { readonly url: string; readonly connected: boolean }[] {
    return [...this.#relays.values()].map(({ info, client }) => ({
      url: info.url,
      connected: client.connected,
    }))
  }

  /** Connects to those that are new in the list and leaves those that are not in it any more. */
  async use(relays: readonly RelayInfo[]): Promise<void> {
    const wanted = new Map(relays.map((info) => [info.url, info]))
    const ending: Promise<void>[] = []
    for (const [url, { info, client }] of this.#relays) {
      if (JSON.stringify(wanted.get(url)) === JSON.stringify(info)) {
        wanted.delete(url)
        continue
      }
      this.#relays.delete(url)
      this.#handlers.courier({ type: 'relayRemoved', relay: url })
      for (const [address, { waits }] of this.#removals) if (waits.delete(url)) this.#removed(address)
      ending.push(client.stop())
    }
    for (const info of wanted.values()) this.#connect(info)
    await Promise.all(ending)
  }

  prove(key: AddressKey, subscribe: boolean): void {
    this.#kept.set(hex(key.address), { key, subscribe })
    for (const { client } of this.#relays.values()) client.prove(key, { create: true, subscribe })
  }

  unprove(address: Uint8Array): void {
    this.#kept.delete(hex(address))
    for (const { client } of this.#relays.values()) client.forget(address)
  }

  remove(key: AddressKey): void {
    const address = hex(key.address)
    this.unprove(key.address)
    this.#removals.set(address, { key, waits: new Set(this.#relays.keys()) })
    for (const [url, { client }] of this.#relays) if (client.connected) this.#removeAt(url, client, address)
    this.#removed(address)
  }

  deposit(relay: string, id: number, packet: Uint8Array): void {
    const connected = this.#relays.get(relay)
    if (!connected) return
    this.#depositing++
    void connected.client.deposit(packet).then(({ status }) => {
      this.#depositing--
      this.#handlers.courier({ type: 'deposited', relay, id, result: status })
    })
  }

  discard(relay: string, address: Uint8Array, hash: Uint8Array): void {
    const connected = this.#relays.get(relay)
    if (!connected) return
    if (connected.deletes.size === 0) this.#drive.soon(() => flushDeletes(connected))
    const entry = connected.deletes.get(hex(address))
    if (entry) entry.hashes.push(hash)
    else connected.deletes.set(hex(address), { address, hashes: [hash] })
  }

  lookUp(slot: Uint8Array): void {
    for (const { client } of this.#relays.values()) client.lookup(slot)
  }

  #connect(info: RelayInfo): void {
    const { url } = info
    const { courier, packet, record, connected } = this.#handlers
    let client: RelayClient
    try {
      client = this.#drive.client({
        ...info,
        reporter: this.#reporter,
        onConnected: () => {
          courier({ type: 'relayConnected', relay: url })
          for (const [address, { waits }] of this.#removals) {
            if (waits.has(url)) this.#removeAt(url, client, address)
          }
          connected()
        },
        onDisconnected: () => courier({ type: 'relayDisconnected', relay: url }),
        onPacket: (bytes) => packet(url, new Uint8Array(bytes)),
        onRecord: (_slot, bytes) => bytes && record(url, new Uint8Array(bytes)),
        onProved: (address, status) =>
          courier({ type: 'mailboxProved', relay: url, mailbox: hex(address), accepted: status === 0 }),
      })
    } catch (error) {
      const text = 'A relay cannot be used: its address is not one.'
      this.#reporter.event('error', 'FW_AGENT_RELAY_UNUSABLE', text, { relay: url, reason: String(error) })
      return
    }
    for (const { key, subscribe } of this.#kept.values()) client.prove(key, { create: true, subscribe })
    this.#relays.set(url, { info, client, deletes: new Map() })
    client.start()
  }

  #removeAt(url: string, client: RelayClient, address: string): void {
    const removal = this.#removals.get(address)
    if (!removal) return
    void client.remove(removal.key).then(({ status }) => {
      // A relay that refuses has no such mailbox, or none of ours.
      if (status === 'unsent' || this.#removals.get(address) !== removal) return
      removal.waits.delete(url)
      this.#removed(address)
    })
  }

  #removed(address: string): void {
    const removal = this.#removals.get(address)
    if (!removal || removal.waits.size > 0) return
    this.#removals.delete(address)
    this.#handlers.mailboxRemoved(removal.key.address)
  }
}

function flushDeletes({ client, deletes }: Connected): void {
  for (const { address, hashes } of deletes.values()) client.deleteFrom(address, hashes)
  deletes.clear()
}
