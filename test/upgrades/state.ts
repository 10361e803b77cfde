import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import { open, type RootDatabase } from 'lmdb'

/*
 * State folders as text: small files as they are, databases entry by entry with the bytes that lie on the disk, checksums and
 * versions included. Pages are left out, since their size differs between machines.
 */

export interface StateDump {
  /** Path in the state folder to content. */
  readonly files: Readonly<Record<string, string>>
  /** Path of a store to its entries: table (empty: the store's own), key and stored bytes in hexadecimal. */
  readonly stores: Readonly<Record<string, readonly (readonly [string, string, string])[]>>
}

const BINARY = {
  encoding: 'binary',
  keyEncoding: 'binary',
  overlappingSync: false,
  eventTurnBatching: false,
} as const
const DATA = 'data.mdb'
/** Made by every start, and nobody's state. */
const PASSING = /^(lock\.mdb|closed|unclosed|ballast|control\.sock.*)$/

type Root = RootDatabase<Buffer, Uint8Array>

function openRoot(dir: string): Root {
  return open<Buffer, Uint8Array>({ path: dir, noSubdir: false, maxDbs: 64, ...BINARY })
}

/** Path of each file below, relative to the folder, in order. */
export function filesIn(folder: string, below = ''): string[] {
  return readdirSync(join(folder, below))
    .sort()
    .flatMap((name) => {
      const path = join(below, name)
      return statSync(join(folder, path)).isDirectory() ? filesIn(folder, path) : [path]
    })
}

export async function dumpState(folder: string): Promise<StateDump> {
  const files: Record<string, string> = {}
  const stores: Record<string, [string, string, string][]> = {}
  for (const path of filesIn(folder)) {
    if (basename(path) === DATA) stores[dirname(path)] = await dumpStore(join(folder, dirname(path)))
    else if (!PASSING.test(basename(path))) files[path] = readFileSync(join(folder, path), 'utf8')
  }
  return { files, stores }
}

async function dumpStore(dir: string): Promise<[string, string, string][]> {
  const root = openRoot(dir)
  const entries: [string, string, string][] = []
  for (const name of [...root.getKeys({ snapshot: false })].map((key) =>
    Buffer.from(key).toString('latin1'),
  )) {
    if (name.startsWith('\0')) {
      const key = Buffer.from(name, 'latin1')
      entries.push(['', key.toString('hex'), root.getBinary(key)!.toString('hex')])
      continue
    }
    const table = name.replace(/\0$/, '')
    for (const { key, value } of root
      .openDB<Buffer, Uint8Array>(table, { ...BINARY })
      .getRange({ snapshot: false }))
      entries.push([table, Buffer.from(key).toString('hex'), value.toString('hex')])
  }
  await root.close()
  return entries
}

/** Writes the folder that was dumped. `change` may give other bytes for an entry. */
export async function loadState(
  folder: string,
  { files, stores }: StateDump,
  change: (table: string, key: Buffer, value: Buffer) => Buffer = (_table, _key, value) => value,
): Promise<void> {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, path)), { recursive: true, mode: 0o700 })
    writeFileSync(join(folder, path), content, { mode: 0o600 })
  }
  for (const [path, entries] of Object.entries(stores)) {
    mkdirSync(join(folder, path), { recursive: true, mode: 0o700 })
    const root = openRoot(join(folder, path))
    const tables = new Map(
      [...new Set(entries.map(([table]) => table))].map((table) => [
        table,
        table === '' ? root : root.openDB<Buffer, Uint8Array>(table, { ...BINARY }),
      ]),
    )
    await root.transaction(() => {
      for (const [table, key, value] of entries) {
        const at = Buffer.from(key, 'hex')
        void tables.get(table)!.put(at, change(table, at, Buffer.from(value, 'hex')))
      }
    })
    await root.close()
  }
}

/** Version, CRC-32 of key and value: what the store puts before a value. */
export function framed(key: Uint8Array, value: Uint8Array): Buffer {
  const frame = Buffer.alloc(5 + value.length)
  frame[0] = 1
  frame.writeUInt32BE(crc32(value, crc32(key)), 1)
  frame.set(value, 5)
  return frame
}

const RUNNING_TIME = ['running', 'running-time'].map((key) => Buffer.from(key).toString('hex'))
const QUALITY_AT = 25

/** Without the word that the clock was right: keys and invites in the folder would expire with the years. */
export function forgetClock({ files, stores }: StateDump): StateDump {
  const forgotten = ([table, key, stored]: readonly [string, string, string]): [string, string, string] => {
    if (!RUNNING_TIME.includes(key)) return [table, key, stored]
    const value = Buffer.from(stored, 'hex').subarray(5)
    value[QUALITY_AT] = 0
    return [table, key, framed(Buffer.from(key, 'hex'), value).toString('hex')]
  }
  const changed = Object.entries(stores).map(([path, entries]) => [path, entries.map(forgotten)] as const)
  return { files, stores: Object.fromEntries(changed) }
}
