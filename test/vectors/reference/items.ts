/** Section 1.2 of docs/protocol.md. */
import { join, text, u32, u8, type Bytes } from './bytes.js'
import { expand, sha256 } from './primitives.js'

const TYPES = [
  'label',
  'bytes',
  'x25519',
  'ed25519',
  'kemPublic',
  'kemCiphertext',
  'certificate',
  'record',
  'header',
  'nonce',
  'text',
  'number',
  'address',
  'hash',
]
const ROLES = ['none', 'site', 'agent', 'gateway', 'relay', 'signedPrekey', 'oneTimePrekey', 'ephemeral']

/** `name` as the page writes it: "type/role", or "type" alone. */
export type Item = readonly [name: string, bytes: Bytes]

export function items(label: string, ...rest: readonly Item[]): Bytes {
  return join(item(['label', text(label)]), ...rest.map(item))
}

function item([name, bytes]: Item): Bytes {
  const [type = '', role = 'none'] = name.split('/')
  return join(u8(TYPES.indexOf(type)), u8(ROLES.indexOf(role)), u32(bytes.length), bytes)
}

export const H = (label: string, ...rest: readonly Item[]): Bytes => sha256(items(label, ...rest))
export const derive = (key: Bytes, label: string, ...rest: readonly Item[]): Bytes =>
  expand(key, items(label, ...rest), 32)
