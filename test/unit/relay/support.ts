import { createHash } from 'node:crypto'
import { createMemoryStore, type MemoryStore } from '@fieldwhisper/host/testing'
import type { Write } from '@fieldwhisper/host'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { addressKeyFromSeed, type AddressKey } from '@fieldwhisper/protocol/address'
import { DEFAULT_LIMITS, Mailboxes, relayConstants } from '@fieldwhisper/relay'
import type { Deposit, RelayLimits } from '@fieldwhisper/relay'

export const { DELETE_LINGER_MS, LIVE_LINGER_MS, PACKET_OVERHEAD_BYTES, TABLES } = relayConstants

/** Bytes that follow from a text: addresses, seeds, contents. Beyond 64 they only fill. */
export function from(text: string, length: number): Uint8Array {
  const head = createHash('sha512').update(text).digest()
  const out = new Uint8Array(length).fill(head[0]!)
  out.set(head.subarray(0, Math.min(length, head.length)))
  return out
}

export function addressKey(name: string): AddressKey {
  return addressKeyFromSeed(from(`seed ${name}`, 32))
}

export interface PacketShape {
  readonly bytes?: number
  readonly hello?: boolean
}

/** A packet that parses, with contents that follow from its name. */
export function packetTo(
  address: Uint8Array,
  name: string,
  { bytes = 300, hello = false }: PacketShape = {},
): Uint8Array {
  const packet = from(`packet ${name}`, bytes)
  packet[0] = hello ? 0x11 : 0x12
  packet[1] = 0
  packet.set(address, 2)
  return packet
}

/** What `Mailboxes.deposit` takes. */
export function depositOf(packet: Uint8Array, member = true): Deposit {
  return {
    address: packet.subarray(2, 18),
    packet,
    hash: packetHash(packet),
    hello: (packet[0]! & 0x0f) === 1,
    member,
  }
}

/** A subscriber that keeps what it was handed. */
export class Reader {
  readonly got: Uint8Array[] = []
  open = true

  ready(): boolean {
    return this.open
  }

  hand(packet: Uint8Array): void {
    this.got.push(Uint8Array.from(packet))
  }

  /** Names under which `packetTo` made what was handed, in order. */
  names(known: ReadonlyMap<string, string>): string[] {
    return this.got.map((packet) => known.get(Buffer.from(packet).toString('hex')) ?? 'unknown')
  }
}

export interface Rig {
  readonly store: MemoryStore
  readonly mailboxes: Mailboxes
  /** When the core asked to be called. */
  readonly alarms: number[]
  /** Commits that reached the disk, oldest first. */
  readonly commits: (readonly Write[])[]
  /** The next commits fail as on a full disk while true. */
  full: boolean
}

/** Mailboxes on a store in memory. */
export function rig(
  limits: Partial<RelayLimits> = {},
  options: { store?: MemoryStore; now?: number; slow?: boolean } = {},
): Rig {
  const commits: (readonly Write[])[] = []
  const alarms: number[] = []
  const flush = async (writes: readonly Write[]): Promise<void> => {
    if (options.slow) await settled()
    if (made.full) throw Object.assign(new Error('no room'), { code: 'FW_STORE_FULL' })
    commits.push(writes)
  }
  const store = options.store?.afterPowerCut({ flush }) ?? createMemoryStore({ tables: TABLES, flush })
  const made: Rig = {
    store,
    alarms,
    commits,
    full: false,
    mailboxes: new Mailboxes(
      { store, limits: { ...DEFAULT_LIMITS, ...limits }, alarm: (atMs) => alarms.push(atMs) },
      options.now ?? 0,
    ),
  }
  return made
}

/** Lets every promise that can settle without a timer do so. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** Whether a promise is settled by now. */
export async function isPending(promise: Promise<unknown>): Promise<boolean> {
  await settled()
  const mark = Symbol()
  return (await Promise.race([promise, Promise.resolve(mark)])) === mark
}
