import type { Store } from '@fieldwhisper/host'
import { asArray, asUint, decodeCbor, encodeCbor } from '@fieldwhisper/protocol'
import type { Aedes, Client, Subscription } from 'aedes'
import { BRIDGE_RECORD_VERSION, MAX_CLIENTS, READERS_RETURN_MS, READERS_SAVE_MS } from './constants.js'
import { OUTBOX_STATE_TABLE } from './outbox-entry.js'

const READERS_KEY = Buffer.from('readers')

/**
 * How many clients read the gateway's topics. An embedded broker dies with its gateway, and its clients come back seconds
 * after it: what was published before that would pass them by. So the number is kept on disk, and after a restart the
 * readings wait in the outbox until as many are back, at most 16 s.
 */
export class BrokerReaders {
  readonly #store: Store
  readonly #root: string
  readonly #reading = new Set<Client>()
  readonly #before: number
  #saved: number
  #saver: NodeJS.Timeout | undefined
  #timer: NodeJS.Timeout | undefined
  #awaited: (() => void) | undefined
  /** Until the wait is over, the number from before the restart stays on disk. */
  #settled = false
  #stopped = false

  constructor(store: Store, root: string) {
    this.#store = store
    this.#root = root
    const value = store.get(OUTBOX_STATE_TABLE, READERS_KEY)
    this.#before = value ? asUint(asArray(decodeCbor(value), 'readers', 2)[1], 'readers', MAX_CLIENTS) : 0
    this.#saved = this.#before
  }

  get count(): number {
    return this.#reading.size
  }

  /** Readers from before the restart for whom the readings still wait. */
  get awaited(): number {
    return this.#awaited ? this.#before - this.#reading.size : 0
  }

  watch(broker: Aedes): void {
    broker.on('subscribe', (subscriptions: Subscription[], client: Client) => {
      if (!subscriptions.some(({ topic }) => this.#reads(topic))) return
      this.#reading.add(client)
      this.#changed()
    })
    broker.on('clientDisconnect', (client: Client) => {
      if (this.#reading.delete(client)) this.#changed()
    })
  }

  /** Resolves when as many read as before the restart, or after 16 s; at once at a first start and after `stop`. */
  async returned(): Promise<void> {
    if (this.#reading.size < this.#before) {
      await new Promise<void>((resolve) => {
        this.#awaited = resolve
        this.#timer = setTimeout(resolve, READERS_RETURN_MS)
      })
      clearTimeout(this.#timer)
    }
    this.#awaited = undefined
    this.#settled = !this.#stopped
    this.#changed()
  }

  /** Clients that go from now on go because the gateway does: the number on disk stays. */
  stop(): void {
    this.#stopped = true
    this.#settled = false
    clearTimeout(this.#saver)
    this.#awaited?.()
  }

  #changed(): void {
    if (this.#awaited && this.#reading.size >= this.#before) this.#awaited()
    if (!this.#settled || this.#saver || this.#reading.size === this.#saved) return
    this.#saver = setTimeout(() => {
      this.#saver = undefined
      if (this.#settled) void this.#save()
    }, READERS_SAVE_MS)
  }

  async #save(): Promise<void> {
    const count = this.#reading.size
    const value = encodeCbor([BRIDGE_RECORD_VERSION, count])
    try {
      await this.#store.commit([{ table: OUTBOX_STATE_TABLE, key: READERS_KEY, value }])
      this.#saved = count
    } catch {
      // The number only shortens or lengthens a wait; whoever needs the disk reports that it is full.
    }
  }

  #reads(filter: string): boolean {
    const level = filter.split('/', 1)[0]
    return level === this.#root || level === '#' || level === '+'
  }
}
