import { KEY_BYTES } from '../constants.js'
import { encodeItems, type Item } from '../items.js'
import { hkdfExpand } from './hkdf.js'

/** 32 bytes from a uniform 32-byte key: HKDF-Expand with the label and items as info. */
export function derive(key: Uint8Array, label: string, ...items: readonly Item[]): Uint8Array {
  return hkdfExpand(key, encodeItems(label, ...items), KEY_BYTES)
}
