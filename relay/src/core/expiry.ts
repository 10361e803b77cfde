import type { Store } from '@fieldwhisper/host'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { EXPIRE_PACKETS, TABLE } from '../constants.js'
import type { Mailbox } from './mailbox.js'
import { decodeHeld, decodePacket, heldKey, hex, packetKey } from './records.js'
import type { HeldRecord } from './records.js'

export interface HeldEntry {
  readonly hash: Uint8Array
  readonly held: HeldRecord
}

/** What a mailbox holds that was stored at `untilMs` or before, oldest first; a bounded part of it, the rest next time. */
export function expiredPackets(store: Store, mailbox: Mailbox, untilMs: number): readonly HeldEntry[] {
  const { address } = mailbox
  const range = {
    from: packetKey(address, 0),
    to: packetKey(address, mailbox.nextSequence),
    limit: EXPIRE_PACKETS,
  }
  const expired: HeldEntry[] = []
  let empty = true
  for (const { value } of store.range(TABLE.packets, range)) {
    empty = false
    const record = decodePacket(value)
    if (!record) continue
    if (record.storedMs > untilMs) {
      mailbox.oldestMs = record.storedMs
      return expired
    }
    const hash = packetHash(record.packet)
    const entry = store.get(TABLE.held, heldKey(address, hash))
    const held = entry && decodeHeld(entry)
    if (held && !mailbox.leaving.has(hex(hash))) expired.push({ hash, held })
  }
  // Counted, but no packet can be read: their records went bad and were set aside. What is left of them goes too.
  return empty ? heldEntries(store, mailbox).filter(({ hash }) => !mailbox.leaving.has(hex(hash))) : expired
}

/** All that the index names for a mailbox. */
export function heldEntries(store: Store, mailbox: Mailbox): readonly HeldEntry[] {
  const { address } = mailbox
  const range = {
    from: heldKey(address, new Uint8Array(32)),
    to: heldKey(address, new Uint8Array(32).fill(0xff)),
  }
  const entries: HeldEntry[] = []
  for (const { key, value } of store.range(TABLE.held, range)) {
    const hash = key.slice(address.length)
    const held = decodeHeld(value)
    if (held) entries.push({ hash, held })
  }
  return entries
}
