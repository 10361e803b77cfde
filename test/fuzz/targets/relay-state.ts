import { concat, u32 } from '@fieldwhisper/protocol'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { DEFAULT_LIMITS, Directory, Mailboxes } from '@fieldwhisper/relay'
import * as records from '../../../relay/dist/core/records.js'
import { sameValue } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { storeOf } from '../support.js'

const address = new Uint8Array(16).fill(1)
const packet = concat(Uint8Array.of(0x12, 0), address, new Uint8Array(60).fill(7))
const hash = packetHash(packet)

/** First byte: which table; the rest: the value of its one odd record. */
const TABLES = ['mailboxes', 'packets', 'held', 'directory'] as const
const VALUES: readonly Uint8Array[] = [
  records.encodeMailbox({ stranger: false, usedMs: 1_000 }),
  records.encodePacket({ stranger: true, storedMs: 2_000, packet }),
  records.encodeHeld({ stranger: false, hello: false, sequence: 1, size: packet.length }),
  records.encodeDirectory({ stranger: false, record: new Uint8Array(9) }),
]
const KEYS: readonly Uint8Array[] = [
  address,
  records.packetKey(address, 1),
  records.heldKey(address, hash),
  address,
]
const CODECS = [
  [records.decodeMailbox, records.encodeMailbox],
  [records.decodePacket, records.encodePacket],
  [records.decodeHeld, records.encodeHeld],
  [records.decodeDirectory, records.encodeDirectory],
] as unknown as readonly [(bytes: Uint8Array) => object | undefined, (value: object) => Uint8Array][]

async function settled(): Promise<void> {
  for (let i = 0; i < 24; i++) await Promise.resolve()
}

export const relayState: Target = {
  name: 'relay-state',
  contract:
    'A record reads as undefined or encodes and decodes to itself; a relay starts on it, takes, hands over and deletes packets.',
  maxBytes: 256,
  testInputs: 3_000,
  seeds: () => VALUES.map((value, index) => concat(Uint8Array.of(index), value)),
  dictionary: [u32(0xffff_ffff), Uint8Array.of(0xff, 0xff, 0xff, 0xff, 0xff, 0xff)],
  async run(input) {
    const which = (input[0] ?? 0) % TABLES.length
    const value = input.subarray(1)
    const [decode, encode] = CODECS[which]!
    const read = decode(value)
    if (read) sameValue(decode(new Uint8Array(encode(read))), read)

    const store = storeOf(
      TABLES.map((table, index) => ({
        table,
        key: KEYS[index]!,
        value: index === which ? value : VALUES[index]!,
      })),
    )
    const now = 10_000
    const mailboxes = new Mailboxes({ store, limits: DEFAULT_LIMITS, alarm: () => undefined }, now)
    const directory = new Directory(store, DEFAULT_LIMITS)
    directory.lookup(address)
    await mailboxes.create(address, true, now)
    const other = new Uint8Array(packet)
    other[70] = 1
    const deposit = { address, packet: other, hash: packetHash(other), hello: false, member: true }
    void mailboxes.deposit(deposit, now).catch(() => undefined)
    mailboxes.tick(now + 1_000)
    await settled()
    mailboxes.subscribe(address, { ready: () => true, hand: () => undefined }, now)
    mailboxes.delete(address, [hash, deposit.hash], now)
    mailboxes.tick(now + 60_000)
    await settled()
    void Promise.resolve(mailboxes.remove(address)).catch(() => undefined)
    await settled()
  },
}
