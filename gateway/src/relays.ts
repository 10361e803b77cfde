import { createRelayClient, type RelayClient, type RelayClientOptions } from '@fieldwhisper/mesh'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import { equalBytes, hex, parseRecord, type AddressKey, type RelayInfo } from '@fieldwhisper/protocol'
import { errorText, type Reporter } from '@fieldwhisper/host'

/** Deletions that a busy socket did not take are tried again after so long. */
const DELETE_AGAIN_MS = 1_000
/** A record that could not be noted, for want of room on the disk, is asked for again. */
const LOOK_AGAIN_MS = 60_000
/** A relay that brings packets and takes no deletions for so long is left and dialled again. */
const MAX_UNDELETED = 65_536

/** How relays are reached, and how work is put off. */
export interface RelayDrive {
  /** Throws where the address is none. */
  readonly client: (options: RelayClientOptions) => RelayClient
  /** With 0 at the end of this turn. */
  readonly after: (delayMs: number, task: () => void) => void
}

const systemDrive: RelayDrive = {
  client: createRelayClient,
  after: (delayMs, task) => void (delayMs === 0 ? setImmediate(task) : setTimeout(task, delayMs).unref()),
}

export interface RelaysOptions {
  readonly reporter: Reporter
  readonly onPacket: (relay: number, packet: Uint8Array) => void
  /** A relay showed what its directory holds in this site's slot. True: it may be overwritten now. */
  readonly onRecord: (relay: number, record: Uint8Array) => Promise<boolean>
  readonly drive?: RelayDrive
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
  undeleted: number
  deleting: boolean
  state: ConnectionState
}

/** What was found out and done on one connection. */
interface ConnectionState {
  /** The slot was looked at: publishing may not overwrite a record that shows a restore. */
  looked: boolean
  /** The newest doorbell whose mailbox is there: an agent that reads its record finds it open. */
  doorbell: string | undefined
  published: Uint8Array | undefined
}

const NOTHING_YET: ConnectionState = { looked: false, doorbell: undefined, published: undefined }

/**
 * The gateway at its relays: every mailbox it holds is held at each of them, every packet deposited at each, and the newest
 * prekey record published at each: after looking whether a newer one of its own is there, and once its doorbell is open.
 */
export class Relays {
  readonly #options: RelaysOptions
  readonly #drive: RelayDrive
  readonly #relays = new Map<number, Connected>()
  readonly #held = new Map<string, AddressKey>()
  readonly #slot: AddressKey
  #record: { readonly bytes: Uint8Array; readonly doorbell: string } | undefined
  #nextId = 0

  constructor(slot: AddressKey, options: RelaysOptions) {
    this.#slot = slot
    this.#options = options
    this.#drive = options.drive ?? systemDrive
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
    if (++connected.undeleted > MAX_UNDELETED) {
      this.#forgetDeletes(connected)
      return this.renew(relay)
    }
    const name = hex(address)
    const entry = connected.deletes.get(name)
    if (entry) entry.hashes.push(hash)
    else connected.deletes.set(name, { address, hashes: [hash] })
    this.#flushLater(connected, 0)
  }

  /** A new connection: the relay hands over again what was not deleted. */
  renew(relay: number): void {
    const connected = this.#relays.get(relay)
    if (!connected) return
    void connected.client.stop().then(() => {
      if (this.#relays.get(relay) === connected) connected.client.start()
    })
  }

  publish(bytes: Uint8Array): void {
    this.#record = { bytes, doorbell: hex(parseRecord(bytes).address) }
    for (const connected of this.#relays.values()) this.#publishAt(connected)
  }

  status(): RelayState[] {
    return [...this.#relays.values()].map(({ info, client }) => ({
      url: info.url,
      connected: client.connected,
    }))
  }

  #connect(info: RelayInfo): void {
    const id = this.#nextId++
    let client: RelayClient
    try {
      client = this.#drive.client({ ...info, ...this.#handlers(id) })
    } catch (error) {
      const text = 'A relay cannot be used: its address, token or fingerprint is none.'
      const fields = { relay: info.url, reason: errorText(error) }
      return this.#options.reporter.event('error', 'FW_RELAY_UNUSABLE', text, fields)
    }
    const connected: Connected = {
      info,
      client,
      deletes: new Map(),
      undeleted: 0,
      deleting: false,
      state: { ...NOTHING_YET },
    }
    this.#relays.set(id, connected)
    for (const key of this.#held.values()) client.prove(key, { create: true, subscribe: true })
    client.start()
  }

  #handlers(id: number): Omit<RelayClientOptions, keyof RelayInfo> {
    const { reporter, onPacket, onRecord } = this.#options
    const here = (): Connected | undefined => this.#relays.get(id)
    return {
      reporter,
      onConnected: () => {
        const connected = here()
        if (connected) connected.state = { ...NOTHING_YET }
        connected?.client.lookup(this.#slot.address)
      },
      onDisconnected: () => this.#forgetDeletes(here()),
      onProved: (address, status) => {
        const connected = here()
        if (status !== STATUS.done || hex(address) !== this.#record?.doorbell || !connected) return
        connected.state.doorbell = this.#record.doorbell
        this.#publishAt(connected)
      },
      onPacket: (packet) => onPacket(id, new Uint8Array(packet)),
      onRecord: (slot, record) => {
        const connected = here()
        if (!connected || !equalBytes(slot, this.#slot.address)) return
        const { state } = connected
        const shown = record ? onRecord(id, new Uint8Array(record)) : Promise.resolve(true)
        void shown.then((done) => {
          state.looked = done
          if (done) this.#publishAt(connected)
          else this.#drive.after(LOOK_AGAIN_MS, () => connected.client.lookup(slot))
        })
      },
    }
  }

  #publishAt({ client, state }: Connected): void {
    const record = this.#record
    if (!record || !state.looked || state.doorbell !== record.doorbell || state.published === record.bytes)
      return
    state.published = record.bytes
    void client.publish(this.#slot, record.bytes).then(({ status }) => {
      // Tried again when the record is published the next time.
      if (status !== 'done') state.published = undefined
    })
  }

  #flushDeletes(connected: Connected): void {
    const { client, deletes } = connected
    connected.deleting = false
    for (const [name, { address, hashes }] of deletes) {
      if (!client.deleteFrom(address, hashes)) continue
      deletes.delete(name)
      connected.undeleted -= hashes.length
    }
    if (!client.connected) this.#forgetDeletes(connected)
    // What is not deleted is not handed over again: the relay waits for it before it gives more.
    if (deletes.size > 0) this.#flushLater(connected, DELETE_AGAIN_MS)
  }

  #flushLater(connected: Connected, delayMs: number): void {
    if (connected.deleting) return
    connected.deleting = true
    this.#drive.after(delayMs, () => this.#flushDeletes(connected))
  }

  /** On the next connection the relay hands over again what it still holds. */
  #forgetDeletes(connected: Connected | undefined): void {
    if (!connected) return
    connected.deletes.clear()
    connected.undeleted = 0
  }
}
