import { concat, u32 } from '../bytes.js'
import { HEADER_BYTES, PACKET_DATA, PACKET_HELLO, PROTOCOL_VERSION } from '../constants.js'
import { crypto } from '../primitives/index.js'
import { headerWithoutHops, parseHeader, type PacketType } from './header.js'
import { pad, unpad } from './padding.js'

/** version ‖ type, hops 0, address 16, nonce 12. */
export function makeHeader(type: PacketType, address: Uint8Array, nonce: Uint8Array): Uint8Array {
  return concat(Uint8Array.of((PROTOCOL_VERSION << 4) | type, 0), address, nonce)
}

/** Seals one content under one leaf. `random` are 8 fresh bytes: a second net under the counter, should a disk be restored. */
export function sealPacket(
  leaf: Uint8Array,
  address: Uint8Array,
  counter: number,
  random: Uint8Array,
  content: Uint8Array,
): Uint8Array {
  const header = makeHeader(PACKET_DATA, address, concat(u32(counter), random))
  const nonce = header.subarray(HEADER_BYTES - 12)
  return concat(header, crypto.seal(leaf, nonce, headerWithoutHops(header), pad(content)))
}

/** The content, or undefined where the packet was not sealed under this leaf. */
export function openPacket(leaf: Uint8Array, packet: Uint8Array): Uint8Array | undefined {
  const { nonce, type } = parseHeader(packet)
  if (type === PACKET_HELLO) return undefined
  const padded = crypto.open(leaf, nonce, headerWithoutHops(packet), packet.subarray(HEADER_BYTES))
  return padded && unpad(padded)
}
