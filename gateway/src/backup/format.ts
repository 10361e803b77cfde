import { concat, crypto, u32 } from '@fieldwhisper/protocol'
import { scrypt } from 'node:crypto'
import { GatewayError } from '../errors.js'

/*
 * The file (docs/backup.md):
 *
 *   header   "FWBACKUP" ‖ version u8 = 1 ‖ log2 N u8 ‖ r u8 ‖ p u8 ‖ salt 16
 *   chunks   length u32 ‖ ChaCha20-Poly1305 of at most 256 KiB of items; the first is empty, so that a wrong passphrase shows
 *            nonce: 1 for the last chunk, else 0 ‖ 0 (7 bytes) ‖ number of the chunk u32; aad: the header
 *   item     kind u8 ‖ name length u8 ‖ name ‖ key length u16 ‖ key ‖ value length u32 ‖ value
 */
const MAGIC = new TextEncoder().encode('FWBACKUP')
export const BACKUP_VERSION = 1
const SALT_BYTES = 16
export const HEADER_BYTES = MAGIC.length + 4 + SALT_BYTES
export const KEY_BYTES = 32
export const CHUNK_BYTES = 256 * 1024
const TAG_BYTES = 16
/** 128 MiB and about a second on a small machine for each guess. */
const COST = { log2N: 17, r: 8, p: 1 }
/** A file from elsewhere may not ask for more: 1 GiB. */
const MAX_LOG2_N = 20
const MAX_R = 8
const MAX_P = 4
/** A record of the store is smaller, a state file too. */
const MAX_VALUE_BYTES = 16 * 1024 * 1024

export const ITEM = { manifest: 1, file: 2, record: 3, end: 4 } as const

export interface Item {
  readonly kind: number
  /** Name of a file or table. */
  readonly name: string
  readonly key: Uint8Array
  readonly value: Uint8Array
}

export function newHeader(random: (n: number) => Uint8Array): Uint8Array {
  const { log2N, r, p } = COST
  return concat(MAGIC, Uint8Array.of(BACKUP_VERSION, log2N, r, p), random(SALT_BYTES))
}

/** Throws GatewayError `FW_BACKUP_INVALID`, `FW_BACKUP_NEWER`. */
export function checkHeader(header: Uint8Array): void {
  const start = MAGIC.length
  if (header.length !== HEADER_BYTES || !MAGIC.every((byte, i) => header[i] === byte)) {
    throw new GatewayError('FW_BACKUP_INVALID', 'this file is no backup of a gateway')
  }
  const [version, log2N, r, p] = header.subarray(start, start + 4) as unknown as [
    number,
    number,
    number,
    number,
  ]
  if (version > BACKUP_VERSION) {
    const text = 'this backup was made by a newer release: install that one to restore it'
    throw new GatewayError('FW_BACKUP_NEWER', text)
  }
  if (version < 1 || log2N < 1 || log2N > MAX_LOG2_N || r < 1 || r > MAX_R || p < 1 || p > MAX_P) {
    throw new GatewayError('FW_BACKUP_INVALID', 'the head of this backup is damaged')
  }
}

/** The key of a backup; takes about a second, by design. */
export function keyOf(passphrase: string, header: Uint8Array): Promise<Uint8Array> {
  checkHeader(header)
  const [log2N, r, p] = header.subarray(MAGIC.length + 1, MAGIC.length + 4) as unknown as [
    number,
    number,
    number,
  ]
  const salt = header.subarray(HEADER_BYTES - SALT_BYTES)
  const cost = { N: 2 ** log2N, r, p, maxmem: 256 * 2 ** log2N * r }
  return new Promise((resolve, reject) => {
    scrypt(passphrase.normalize('NFKC'), salt, KEY_BYTES, cost, (error, key) =>
      error ? reject(error) : resolve(new Uint8Array(key)),
    )
  })
}

/** Chunks of a backup, sealed one after the other. */
export class ChunkSealer {
  readonly #header: Uint8Array
  readonly #key: Uint8Array
  #number = 0

  constructor(header: Uint8Array, key: Uint8Array) {
    this.#header = header
    this.#key = key
  }

  seal(plain: Uint8Array, last: boolean): Uint8Array {
    const sealed = crypto.seal(this.#key, nonceOf(this.#number++, last), this.#header, plain)
    return concat(u32(sealed.length), sealed)
  }
}

/** The items of a backup, from the bytes behind its header. Throws GatewayError `FW_BACKUP_PASSPHRASE`, `FW_BACKUP_DAMAGED`. */
export async function* openItems(
  header: Uint8Array,
  key: Uint8Array,
  read: (length: number) => Promise<Uint8Array>,
): AsyncIterable<Item> {
  let rest: Uint8Array = new Uint8Array(0)
  for (let number = 0; ; number++) {
    const length = Buffer.from(await exactly(read, 4)).readUInt32BE()
    if (length < TAG_BYTES || length > CHUNK_BYTES + TAG_BYTES) throw damaged()
    const sealed = await exactly(read, length)
    const open = (last: boolean): Uint8Array | undefined =>
      crypto.open(key, nonceOf(number, last), header, sealed)
    const more = open(false)
    const plain = more ?? open(true)
    if (!plain && number === 0) {
      const text = 'the passphrase is wrong (or the first bytes of the backup are damaged)'
      throw new GatewayError('FW_BACKUP_PASSPHRASE', text)
    }
    if (!plain) throw damaged()
    rest = concat(rest, plain)
    for (let found = firstItem(rest); found; found = firstItem(rest)) {
      rest = rest.subarray(found.bytes)
      yield found.item
    }
    if (rest.length > MAX_VALUE_BYTES + 1024) throw damaged()
    if (more) continue
    if (rest.length > 0 || (await read(1)).length > 0) throw damaged()
    return
  }
}

export function encodeItem({ kind, name, key, value }: Item): Uint8Array {
  const text = new TextEncoder().encode(name)
  const keyLength = Uint8Array.of(key.length >>> 8, key.length & 0xff)
  return concat(Uint8Array.of(kind, text.length), text, keyLength, key, u32(value.length), value)
}

function firstItem(bytes: Uint8Array): { readonly item: Item; readonly bytes: number } | undefined {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  if (view.length < 2) return undefined
  const nameEnd = 2 + view[1]!
  if (view.length < nameEnd + 2) return undefined
  const keyEnd = nameEnd + 2 + view.readUInt16BE(nameEnd)
  if (view.length < keyEnd + 4) return undefined
  const length = view.readUInt32BE(keyEnd)
  if (length > MAX_VALUE_BYTES) throw damaged()
  const end = keyEnd + 4 + length
  if (view.length < end) return undefined
  const item = {
    kind: view[0]!,
    name: view.toString('utf8', 2, nameEnd),
    key: Uint8Array.from(view.subarray(nameEnd + 2, keyEnd)),
    value: Uint8Array.from(view.subarray(keyEnd + 4, end)),
  }
  return { item, bytes: end }
}

async function exactly(read: (length: number) => Promise<Uint8Array>, length: number): Promise<Uint8Array> {
  const bytes = await read(length)
  if (bytes.length < length) throw damaged()
  return bytes
}

export function damaged(): GatewayError {
  return new GatewayError(
    'FW_BACKUP_DAMAGED',
    'this backup is cut off or damaged; nothing was restored from it',
  )
}

function nonceOf(number: number, last: boolean): Uint8Array {
  return concat(Uint8Array.of(last ? 1 : 0, 0, 0, 0, 0, 0, 0, 0), u32(number))
}
