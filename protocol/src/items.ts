import { concat, u32, utf8 } from './bytes.js'

/** Type byte of a hashed, signed or derived-from item: what it is. */
export const TYPE = {
  label: 0,
  bytes: 1,
  x25519: 2,
  ed25519: 3,
  kemPublic: 4,
  kemCiphertext: 5,
  certificate: 6,
  record: 7,
  header: 8,
  nonce: 9,
  text: 10,
  number: 11,
  address: 12,
  hash: 13,
} as const

/** Role byte: whose it is, or what it is for. */
export const ROLE = {
  none: 0,
  site: 1,
  agent: 2,
  gateway: 3,
  relay: 4,
  signedPrekey: 5,
  oneTimePrekey: 6,
  ephemeral: 7,
} as const

export type ItemType = (typeof TYPE)[keyof typeof TYPE]
export type ItemRole = (typeof ROLE)[keyof typeof ROLE]
export type Item = readonly [type: ItemType, role: ItemRole, bytes: Uint8Array]

/**
 * The one unambiguous encoding of everything that is hashed, signed or bound into a key: the label and then each item as
 * type u8 ‖ role u8 ‖ length u32 ‖ bytes (docs/protocol.md, "Items").
 */
export function encodeItems(label: string, ...items: readonly Item[]): Uint8Array {
  const parts: Uint8Array[] = []
  for (const [type, role, bytes] of [[TYPE.label, ROLE.none, utf8(label)] as const, ...items]) {
    parts.push(Uint8Array.of(type, role), u32(bytes.length), bytes)
  }
  return concat(...parts)
}
