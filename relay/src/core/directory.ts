import type { Store } from '@fieldwhisper/host'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import type { Status } from '@fieldwhisper/mesh/relay-frames'
import { TABLE } from '../constants.js'
import type { RelayLimits } from '../limits.js'
import { part } from './mailbox.js'
import { decodeDirectory, encodeDirectory, hex } from './records.js'

/** The newest prekey record of each slot. The relay cannot read them; whoever proves the slot's address may replace one. */
export class Directory {
  readonly #store: Store
  readonly #limits: RelayLimits
  /** Slot to "brought by a client without the access token". */
  readonly #slots = new Map<string, boolean>()
  #strangers = 0

  constructor(store: Store, limits: RelayLimits) {
    this.#store = store
    this.#limits = limits
    for (const { key, value } of store.range(TABLE.directory)) {
      const record = decodeDirectory(value)
      if (record) this.#count(hex(key), record.stranger)
    }
  }

  get size(): number {
    return this.#slots.size
  }

  /** Resolves when the record is durable: `done`, `full` or `disk`. */
  async publish(slot: Uint8Array, record: Uint8Array, member: boolean): Promise<Status> {
    const key = hex(slot)
    const before = this.#slots.get(key)
    if (before === undefined) {
      if (this.#slots.size >= this.#limits.records) return STATUS.full
      if (!member && this.#strangers >= part(this.#limits.records, this.#limits)) return STATUS.full
    }
    this.#count(key, !member)
    const value = encodeDirectory({ stranger: !member, record })
    try {
      await this.#store.commit([{ table: TABLE.directory, key: slot, value }])
      return STATUS.done
    } catch {
      if (before !== undefined) this.#count(key, before)
      else if (this.#slots.delete(key) && !member) this.#strangers--
      return STATUS.disk
    }
  }

  lookup(slot: Uint8Array): Uint8Array | undefined {
    const value = this.#store.get(TABLE.directory, slot)
    return value && decodeDirectory(value)?.record
  }

  #count(key: string, stranger: boolean): void {
    if (this.#slots.get(key) === true) this.#strangers--
    if (stranger) this.#strangers++
    this.#slots.set(key, stranger)
  }
}
