import { asError, errorText, type Snapshot, type SnapshotStore } from '@fieldwhisper/host'
import { concat } from '@fieldwhisper/protocol'
import { randomBytes } from 'node:crypto'
import { open, readdir, readFile, rm, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { z } from 'zod'
import { BROKER_USERS_FILE } from '../bridge/constants.js'
import { BRIDGE_TABLES } from '../bridge/outbox-entry.js'
import { TABLE } from '../core/tables.js'
import { GatewayError } from '../errors.js'
import { EVENTS_TABLE } from '../event-list.js'
import { IDENTITY_FILE } from '../identity-file.js'
import { VERSION } from '../version.js'
import { CHUNK_BYTES, ChunkSealer, encodeItem, HEADER_BYTES, ITEM, KEY_BYTES, type Item } from './format.js'

/** Registry, revocations, ledger, outbox. Never `prekeys`, `hellos` and `sessions*`: those keys must die with the disk. */
export const BACKUP_TABLES: readonly string[] = [
  TABLE.meta,
  TABLE.agents,
  TABLE.invites,
  TABLE.ledger,
  ...BRIDGE_TABLES,
  'running',
  EVENTS_TABLE,
]
/** In the state folder; without the first there is no backup. */
export const BACKUP_FILES: readonly string[] = [
  IDENTITY_FILE,
  'relays.json',
  'mqtt-password',
  BROKER_USERS_FILE,
  'relay/access-token',
]
export const CONFIG_FILE = 'gateway.yaml'
const PART_PATTERN = /^backup-[0-9a-f]{12}\.part$/
/** Left on the disk for the gateway's own work. */
const SPARE_BYTES = 64 * 1024 * 1024
const CONTINUE_EVERY = 500

const bytes = (length: number) =>
  z
    .string()
    .transform((text) => new Uint8Array(Buffer.from(text, 'base64url')))
    .refine((value) => value.length === length)
const request = z.object({
  header: bytes(HEADER_BYTES),
  key: bytes(KEY_BYTES),
  /** Text of the configuration file. */
  config: z.string().max(1_048_576).exactOptional(),
})

export type BackupRequest = z.input<typeof request>

export interface BackupMade {
  /** A sealed file in the state folder, to be moved away. */
  readonly part: string
  readonly bytes: number
  readonly agents: number
}

/**
 * Writes a backup into the state folder, sealed, as everything was at one moment. By whoever has the store open. Throws GatewayError
 * `FW_IDENTITY_MISSING`, `FW_BACKUP_FAILED`.
 */
export async function writeBackup(
  stateDir: string,
  store: SnapshotStore,
  args: unknown,
): Promise<BackupMade> {
  const { header, key, config } = request.parse(args)
  await removeParts(stateDir)
  const part = join(stateDir, `backup-${randomBytes(6).toString('hex')}.part`)
  const snapshot = store.snapshot()
  try {
    await checkRoom(stateDir, store.bytesUsed())
    const file = await open(part, 'wx', 0o600)
    try {
      let written = 0
      let agents = 0
      const write = async (chunk: Uint8Array): Promise<void> => {
        written += chunk.length
        for (let done = 0; done < chunk.length;)
          done += (await file.write(chunk, done, chunk.length - done)).bytesWritten
      }
      const sealer = new ChunkSealer(header, key)
      await write(header)
      await write(sealer.seal(new Uint8Array(0), false))
      let pending: Uint8Array[] = []
      let size = 0
      for await (const item of items(stateDir, snapshot, config)) {
        if (item.kind === ITEM.record && item.name === TABLE.agents) agents++
        pending.push(encodeItem(item))
        size += pending.at(-1)!.length
        if (size < CHUNK_BYTES) continue
        let plain = concat(...pending)
        for (; plain.length > CHUNK_BYTES; plain = plain.subarray(CHUNK_BYTES))
          await write(sealer.seal(plain.subarray(0, CHUNK_BYTES), false))
        pending = [plain]
        size = plain.length
      }
      const rest = concat(...pending)
      await write(sealer.seal(rest, true))
      await file.sync()
      return { part, bytes: written, agents }
    } finally {
      await file.close()
    }
  } catch (error) {
    await rm(part, { force: true })
    if (error instanceof GatewayError) throw error
    const text = `the backup could not be written: ${errorText(error)}`
    throw new GatewayError('FW_BACKUP_FAILED', text, { cause: asError(error) })
  } finally {
    snapshot.close()
  }
}

async function* items(stateDir: string, snapshot: Snapshot, config: string | undefined): AsyncIterable<Item> {
  const none = new Uint8Array(0)
  const text = (value: string): Uint8Array => new TextEncoder().encode(value)
  let count = 0
  const manifest = { made: Date.now(), release: VERSION }
  yield { kind: ITEM.manifest, name: '', key: none, value: text(JSON.stringify(manifest)) }
  for (const name of BACKUP_FILES) {
    const value = await contentOf(join(stateDir, name))
    if (!value && name === IDENTITY_FILE) {
      const reason = `${stateDir} has no ${IDENTITY_FILE}: without it a backup is worth nothing`
      throw new GatewayError('FW_IDENTITY_MISSING', reason)
    }
    if (!value) continue
    count++
    yield { kind: ITEM.file, name, key: none, value: new Uint8Array(value) }
  }
  if (config !== undefined) {
    count++
    yield { kind: ITEM.file, name: CONFIG_FILE, key: none, value: text(config) }
  }
  for (const table of BACKUP_TABLES) {
    for (const { key, value } of snapshot.range(table)) {
      if (++count % CONTINUE_EVERY === 0) await nextTurn()
      yield { kind: ITEM.record, name: table, key, value }
    }
  }
  yield { kind: ITEM.end, name: '', key: none, value: text(String(count)) }
}

async function contentOf(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** What an earlier backup left that was cut off. */
async function removeParts(stateDir: string): Promise<void> {
  for (const name of await readdir(stateDir)) {
    if (PART_PATTERN.test(name)) await rm(join(stateDir, name), { force: true })
  }
}

async function checkRoom(stateDir: string, storeBytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(stateDir)
  const needed = storeBytes + SPARE_BYTES
  if (bavail * bsize >= needed) return
  const text = `the disk of ${stateDir} has no room for a backup: ${Math.ceil(needed / 1_048_576)} MiB are needed for a moment`
  throw new GatewayError('FW_BACKUP_FAILED', text)
}
