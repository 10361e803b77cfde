import { ADDRESS_BYTES } from '@fieldwhisper/protocol/packet'
import { HASH_BYTES } from '@fieldwhisper/mesh/relay-frames'
import { RECORD_VERSION, SEQUENCE_BYTES, TABLE, TIME_BYTES } from '../constants.js'
import { RelayError } from '../errors.js'

/*
 * The relay's records. The store below adds a version of its own layout and a checksum to each value.
 *
 *   mailboxes  address                -> version u8 ‖ flags u8 ‖ last used u48
 *   packets    address ‖ sequence u48 -> version u8 ‖ flags u8 ‖ stored u48 ‖ packet
 *   held       address ‖ hash         -> version u8 ‖ flags u8 ‖ sequence u48 ‖ size u32
 *   directory  slot                   -> version u8 ‖ flags u8 ‖ record
 *
 * Times are milliseconds of running time. A value that is not understood reads as undefined and counts as absent.
 */

const STRANGER = 1
const HELLO = 2
const HEAD_BYTES = 2
const MAX_SEQUENCE = 2 ** (8 * SEQUENCE_BYTES - 1)

export interface MailboxRecord {
  /** Made by a client without the access token. */
  readonly stranger: boolean
  readonly usedMs: number
}

export interface PacketRecord {
  readonly stranger: boolean
  readonly storedMs: number
  readonly packet: Uint8Array
}

export interface HeldRecord {
  readonly stranger: boolean
  readonly hello: boolean
  readonly sequence: number
  /** Bytes of the packet. */
  readonly size: number
}

export interface DirectoryRecord {
  readonly stranger: boolean
  readonly record: Uint8Array
}

export function encodeMailbox({ stranger, usedMs }: MailboxRecord): Uint8Array {
  const value = head(HEAD_BYTES + TIME_BYTES, stranger ? STRANGER : 0)
  value.writeUIntBE(Math.floor(usedMs), HEAD_BYTES, TIME_BYTES)
  return value
}

export function decodeMailbox(bytes: Uint8Array): MailboxRecord | undefined {
  const value = view(bytes, HEAD_BYTES + TIME_BYTES)
  if (!value || value.length !== HEAD_BYTES + TIME_BYTES) return undefined
  return { stranger: (value[1]! & STRANGER) !== 0, usedMs: value.readUIntBE(HEAD_BYTES, TIME_BYTES) }
}

export function encodePacket({ stranger, storedMs, packet }: PacketRecord): Uint8Array {
  const value = head(HEAD_BYTES + TIME_BYTES + packet.length, stranger ? STRANGER : 0)
  value.writeUIntBE(Math.floor(storedMs), HEAD_BYTES, TIME_BYTES)
  value.set(packet, HEAD_BYTES + TIME_BYTES)
  return value
}

export function decodePacket(bytes: Uint8Array): PacketRecord | undefined {
  const value = view(bytes, HEAD_BYTES + TIME_BYTES + 1)
  if (!value) return undefined
  return {
    stranger: (value[1]! & STRANGER) !== 0,
    storedMs: value.readUIntBE(HEAD_BYTES, TIME_BYTES),
    packet: value.subarray(HEAD_BYTES + TIME_BYTES),
  }
}

export function encodeHeld({ stranger, hello, sequence, size }: HeldRecord): Uint8Array {
  const value = head(HEAD_BYTES + SEQUENCE_BYTES + 4, (stranger ? STRANGER : 0) | (hello ? HELLO : 0))
  value.writeUIntBE(sequence, HEAD_BYTES, SEQUENCE_BYTES)
  value.writeUInt32BE(size, HEAD_BYTES + SEQUENCE_BYTES)
  return value
}

export function decodeHeld(bytes: Uint8Array): HeldRecord | undefined {
  const value = view(bytes, HEAD_BYTES + SEQUENCE_BYTES + 4)
  if (!value || value.length !== HEAD_BYTES + SEQUENCE_BYTES + 4) return undefined
  const sequence = value.readUIntBE(HEAD_BYTES, SEQUENCE_BYTES)
  // No relay lives to count so far, and the next packet of that mailbox has to have a number too.
  if (sequence > MAX_SEQUENCE) return undefined
  return {
    stranger: (value[1]! & STRANGER) !== 0,
    hello: (value[1]! & HELLO) !== 0,
    sequence,
    size: value.readUInt32BE(HEAD_BYTES + SEQUENCE_BYTES),
  }
}

export function encodeDirectory({ stranger, record }: DirectoryRecord): Uint8Array {
  const value = head(HEAD_BYTES + record.length, stranger ? STRANGER : 0)
  value.set(record, HEAD_BYTES)
  return value
}

export function decodeDirectory(bytes: Uint8Array): DirectoryRecord | undefined {
  const value = view(bytes, HEAD_BYTES + 1)
  return value && { stranger: (value[1]! & STRANGER) !== 0, record: value.subarray(HEAD_BYTES) }
}

/** Key of a packet; also, with the next sequence number, the end of a range. */
export function packetKey(address: Uint8Array, sequence: number): Uint8Array {
  const key = Buffer.alloc(ADDRESS_BYTES + SEQUENCE_BYTES)
  key.set(address)
  key.writeUIntBE(sequence, ADDRESS_BYTES, SEQUENCE_BYTES)
  return key
}

export function sequenceOf(key: Uint8Array): number {
  return Buffer.from(key.buffer, key.byteOffset, key.length).readUIntBE(ADDRESS_BYTES, SEQUENCE_BYTES)
}

export function heldKey(address: Uint8Array, hash: Uint8Array): Uint8Array {
  const key = Buffer.alloc(ADDRESS_BYTES + HASH_BYTES)
  key.set(address)
  key.set(hash, ADDRESS_BYTES)
  return key
}

/**
 * Throws RelayError `FW_RELAY_STATE_NEWER` where a later release wrote a record of a mailbox, of what it holds, or of the directory.
 * `range` yields those of a table; to be called before the folder changes.
 */
export function refuseNewerRecords(range: (table: string) => Iterable<{ readonly value: Uint8Array }>): void {
  for (const table of [TABLE.mailboxes, TABLE.held, TABLE.directory]) {
    for (const { value } of range(table)) {
      if (value.length === 0 || value[0]! <= RECORD_VERSION) continue
      const text = `The state folder of this relay was used by a newer release (${table}).`
      throw new RelayError('FW_RELAY_STATE_NEWER', text)
    }
  }
}

/** Lower-case hexadecimal, for map keys. */
export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('hex')
}

function head(length: number, flags: number): Buffer {
  const value = Buffer.alloc(length)
  value[0] = RECORD_VERSION
  value[1] = flags
  return value
}

function view(bytes: Uint8Array, atLeast: number): Buffer | undefined {
  if (bytes.length < atLeast || bytes[0] !== RECORD_VERSION) return undefined
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}
