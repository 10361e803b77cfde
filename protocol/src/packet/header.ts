import { createHash } from 'node:crypto'
import {
  ADDRESS_BYTES,
  ADDRESS_OFFSET,
  COUNTER_OFFSET,
  HEADER_BYTES,
  MAX_HELLO_BYTES,
  MAX_PACKET_BYTES,
  NONCE_BYTES,
  PACKET_DATA,
  PACKET_HELLO,
  PROTOCOL_VERSION,
  TAG_BYTES,
} from '../constants.js'
import { readU32 } from '../bytes.js'
import { malformed, ProtocolError } from '../errors.js'

export {
  ADDRESS_BYTES,
  HEADER_BYTES,
  MAX_HELLO_BYTES,
  MAX_PACKET_BYTES,
  PACKET_DATA,
  PACKET_HELLO,
  ProtocolError,
}

export type PacketType = typeof PACKET_HELLO | typeof PACKET_DATA

export interface PacketHeader {
  readonly type: PacketType
  readonly hops: number
  /** 16 bytes, a view into the packet. */
  readonly address: Uint8Array
  /** Which leaf of the key tree; in a hello four random bytes. */
  readonly counter: number
  /** 12 bytes: counter ‖ random, a view into the packet. */
  readonly nonce: Uint8Array
}

/** Reads the 30 bytes every packet begins with and checks the packet's size; says nothing about who made it. */
export function parseHeader(packet: Uint8Array): PacketHeader {
  if (packet.length < HEADER_BYTES + TAG_BYTES)
    throw malformed(`a packet of ${packet.length} bytes is too short`)
  const first = packet[0]!
  if (first >>> 4 !== PROTOCOL_VERSION) {
    throw new ProtocolError('FW_VERSION_UNKNOWN', `packet version ${first >>> 4} is not spoken here`)
  }
  const type = first & 0x0f
  if (type !== PACKET_HELLO && type !== PACKET_DATA) throw malformed(`packet type ${type} is unknown`)
  const limit = type === PACKET_HELLO ? MAX_HELLO_BYTES : MAX_PACKET_BYTES
  if (packet.length > limit) {
    throw new ProtocolError(
      'FW_TOO_LARGE',
      `a packet of ${packet.length} bytes, at most ${limit} are allowed`,
    )
  }
  return {
    type,
    hops: packet[1]!,
    address: packet.subarray(ADDRESS_OFFSET, ADDRESS_OFFSET + ADDRESS_BYTES),
    counter: readU32(packet, COUNTER_OFFSET),
    nonce: packet.subarray(COUNTER_OFFSET, COUNTER_OFFSET + NONCE_BYTES),
  }
}

/** The header as it is authenticated and hashed: 29 bytes, without hops. */
export function headerWithoutHops(packet: Uint8Array): Uint8Array {
  const header = new Uint8Array(HEADER_BYTES - 1)
  header[0] = packet[0]!
  header.set(packet.subarray(ADDRESS_OFFSET, HEADER_BYTES), 1)
  return header
}

/** SHA-256 of the whole packet with hops taken as 0: the name under which a mailbox holds and deletes it. */
export function packetHash(packet: Uint8Array): Uint8Array {
  return createHash('sha256')
    .update(packet.subarray(0, 1))
    .update(Uint8Array.of(0))
    .update(packet.subarray(ADDRESS_OFFSET))
    .digest()
}
