/** Sections 3 and 5.2 of docs/protocol.md. */
import { join, must, readNumber, text, u16, u32, u8, zeros, type Bytes } from './bytes.js'
import { hmac512, open, seal, sha256 } from './primitives.js'

export function header(type: 'hello' | 'data', address: Bytes, nonce: Bytes): Bytes {
  return join(u8(16 + (type === 'hello' ? 1 : 2)), u8(0), address, nonce)
}

export const bareHeader = (packet: Bytes): Bytes => join(packet.slice(0, 1), packet.slice(2, 30))
export const nonceOf = (packet: Bytes): Bytes => packet.slice(18, 30)
export const packetHash = (packet: Bytes): Bytes => sha256(join(packet.slice(0, 1), u8(0), packet.slice(2)))

export function padded(n: number): number {
  if (n <= 256) return 256
  const E = Math.floor(Math.log2(n))
  const S = Math.floor(Math.log2(E)) + 1
  const step = 2 ** (E - S)
  return Math.ceil(n / step) * step
}

export function pad(content: Bytes): Bytes {
  const filled = join(u16(content.length), content)
  must(content.length <= 15_870, 'content too long')
  return join(filled, zeros(padded(filled.length) - filled.length))
}

export function unpad(plaintext: Bytes): Bytes {
  must(plaintext.length >= 256, 'plaintext too short')
  const end = 2 + readNumber(plaintext, 0, 2)
  must(padded(end) === plaintext.length, 'size')
  must(
    plaintext.slice(end).every((byte) => byte === 0),
    'filling',
  )
  return plaintext.slice(2, end)
}

/** The key of one leaf, from the root every time. */
export function leaf(root: Bytes, counter: number): Bytes {
  let node = root
  for (let bit = 15; bit >= 0; bit--) {
    const children = hmac512(node, text('fw1 node'))
    node = (counter >> bit) & 1 ? children.slice(32) : children.slice(0, 32)
  }
  return node
}

export function sealData(
  treeRoot: Bytes,
  address: Bytes,
  counter: number,
  random: Bytes,
  content: Bytes,
): Bytes {
  const head = header('data', address, join(u32(counter), random))
  return join(head, seal(leaf(treeRoot, counter), nonceOf(head), bareHeader(head), pad(content)))
}

export function openData(treeRoot: Bytes, packet: Bytes): { counter: number; content: Bytes } {
  must(packet[0] === 0x12 && packet.length >= 46 && packet.length <= 16_384, 'data packet')
  const counter = readNumber(packet, 18, 4)
  must(counter < 65_536, 'counter')
  const plaintext = open(leaf(treeRoot, counter), nonceOf(packet), bareHeader(packet), packet.slice(30))
  return { counter, content: unpad(plaintext) }
}
