import { errorText, openStore, type ProgramReporter, type Write } from '@fieldwhisper/host'
import { chmodSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { GATEWAY_TABLES } from '../app.js'
import { GatewayError } from '../errors.js'
import { IDENTITY_FILE, STORE_FOLDER } from '../identity-file.js'
import { writeFileDurably } from '@fieldwhisper/host'
import { checkHeader, damaged, HEADER_BYTES, ITEM, keyOf, openItems } from './format.js'
import { BACKUP_FILES, BACKUP_TABLES, CONFIG_FILE } from './make.js'

const WRITES_AT_ONCE = 1_000
const BYTES_AT_ONCE = 4 * 1024 * 1024
const WORKSHOP = '.restoring'

export interface Restored {
  readonly madeWallMs: number
  readonly agents: number
  /** Where the configuration of the backup lies, if one was in it. */
  readonly config?: string
}

/**
 * Puts a backup into an empty or new state folder: whole, or nothing of it. `finish` is called on the folder before it becomes
 * the state. Throws GatewayError `FW_STATE_NOT_EMPTY`, `FW_BACKUP_*`.
 */
export async function restoreBackup(
  path: string,
  stateDir: string,
  passphrase: () => Promise<string>,
  reporter: ProgramReporter,
  finish: (folder: string, madeWallMs: number) => Promise<void>,
): Promise<Restored> {
  const isNew = !existsSync(stateDir)
  if (!isNew && readdirSync(stateDir).length > 0) {
    const text = `${stateDir} is not empty: a backup is restored into a new or empty folder only, so that nothing is overwritten`
    throw new GatewayError('FW_STATE_NOT_EMPTY', text)
  }
  const workshop = join(stateDir, WORKSHOP)
  try {
    const found = await unpack(path, workshop, passphrase, reporter)
    await finish(workshop, found.madeWallMs)
    for (const name of readdirSync(workshop).filter((name) => name !== IDENTITY_FILE))
      renameSync(join(workshop, name), join(stateDir, name))
    // The identity last: without it no gateway starts on half of a state.
    renameSync(join(workshop, IDENTITY_FILE), join(stateDir, IDENTITY_FILE))
    rmSync(workshop, { recursive: true })
    const { config, ...rest } = found
    return { ...rest, ...(config && { config: join(stateDir, CONFIG_FILE) }) }
  } catch (error) {
    rmSync(isNew ? stateDir : workshop, { recursive: true, force: true })
    throw error
  }
}

async function unpack(
  path: string,
  folder: string,
  passphrase: () => Promise<string>,
  reporter: ProgramReporter,
): Promise<{ readonly madeWallMs: number; readonly agents: number; readonly config: boolean }> {
  const file = await openBackup(path)
  try {
    const read = async (length: number): Promise<Uint8Array> => {
      const bytes = Buffer.alloc(length)
      let done = 0
      for (;;) {
        const { bytesRead } = await file.read(bytes, done, length - done)
        done += bytesRead
        if (bytesRead === 0 || done === length) return new Uint8Array(bytes.subarray(0, done))
      }
    }
    const header = await read(HEADER_BYTES)
    checkHeader(header)
    const key = await keyOf(await passphrase(), header)
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    chmodSync(dirname(folder), 0o700)
    const store = await openStore({ dir: join(folder, STORE_FOLDER), tables: GATEWAY_TABLES, reporter })
    try {
      let [madeWallMs, agents, count, config, ended] = [0, 0, 0, false, false]
      let writes: Write[] = []
      let size = 0
      const flush = async (): Promise<void> => {
        if (writes.length > 0) await store.commit(writes)
        writes = []
        size = 0
      }
      for await (const { kind, name, key: recordKey, value } of openItems(header, key, read)) {
        const text = (): string => Buffer.from(value).toString('utf8')
        if (ended) throw damaged()
        if (kind === ITEM.manifest) madeWallMs = madeOf(text())
        else if (kind === ITEM.end) ended = Number(text()) === count
        else if (kind === ITEM.file && [...BACKUP_FILES, CONFIG_FILE].includes(name)) {
          count++
          config ||= name === CONFIG_FILE
          mkdirSync(dirname(join(folder, name)), { recursive: true, mode: 0o700 })
          writeFileDurably(join(folder, name), value)
        } else if (kind === ITEM.record && BACKUP_TABLES.includes(name)) {
          count++
          if (name === 'agents') agents++
          writes.push({ table: name, key: recordKey, value })
          size += value.length
          if (writes.length >= WRITES_AT_ONCE || size >= BYTES_AT_ONCE) await flush()
        } else throw damaged()
      }
      if (!ended || !existsSync(join(folder, IDENTITY_FILE))) throw damaged()
      await flush()
      return { madeWallMs, agents, config }
    } finally {
      await store.close()
    }
  } finally {
    await file.close()
  }
}

async function openBackup(path: string) {
  try {
    return await open(path, 'r')
  } catch (error) {
    throw new GatewayError('FW_BACKUP_INVALID', `${path} cannot be read: ${errorText(error)}`, {
      cause: error,
    })
  }
}

function madeOf(manifest: string): number {
  const { made } = JSON.parse(manifest) as { made?: unknown }
  if (typeof made !== 'number' || !Number.isFinite(made) || Math.abs(made) > 8e15) throw damaged()
  return made
}
