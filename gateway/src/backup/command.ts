import { askControl, errorText, systemCode, systemRandom, type ProgramReporter } from '@fieldwhisper/host'
import {
  closeSync,
  constants,
  copyFileSync,
  chmodSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import type { GatewayConfig } from '../config/index.js'
import { GatewayError } from '../errors.js'
import { offline, withStoreToRead } from '../operator.js'
import { keyOf, newHeader } from './format.js'
import { writeBackup, type BackupMade, type BackupRequest } from './make.js'
import { readPassphrase } from './passphrase.js'
import { restoreBackup, type Restored } from './restore.js'

/** A full outbox is two gigabytes, and the disk may be a card. */
const BACKUP_MS = 3_600_000

interface Place {
  readonly stateDir: string
  readonly config: GatewayConfig
  readonly reporter: ProgramReporter
}

/** Makes a sealed backup in a new file, by the running gateway or from its disk. */
export async function backup(
  { stateDir, reporter }: Place,
  path: string,
  { passphraseFile, configFile }: { readonly passphraseFile?: string; readonly configFile?: string },
): Promise<BackupMade> {
  if (existsSync(path)) throw exists(path)
  const passphrase = await readPassphrase(passphraseFile, true)
  const header = newHeader(systemRandom)
  const request: BackupRequest = {
    header: Buffer.from(header).toString('base64url'),
    key: Buffer.from(await keyOf(passphrase, header)).toString('base64url'),
    ...(configFile !== undefined && { config: readFileSync(configFile, 'utf8') }),
  }
  const reply = await askControl(stateDir, 'backup', request, { timeoutMs: BACKUP_MS })
  if (reply && 'error' in reply) throw new GatewayError(reply.error.code, reply.error.message)
  const made = reply
    ? (reply.ok as BackupMade)
    : await withStoreToRead(stateDir, reporter, (store) => writeBackup(stateDir, store, request))
  try {
    move(made.part, path)
  } finally {
    rmSync(made.part, { force: true })
  }
  return made
}

/** Restores a backup into a folder that has nothing, and marks it as restored. */
export function restore(
  { stateDir, config, reporter }: Place,
  path: string,
  passphraseFile: string | undefined,
): Promise<Restored> {
  const passphrase = (): Promise<string> => readPassphrase(passphraseFile, false)
  return restoreBackup(path, stateDir, passphrase, reporter, (folder, madeWallMs) =>
    offline({ stateDir: folder, config, reporter }, (core) =>
      core.restoredFromBackup(new Date(madeWallMs).toISOString()),
    ),
  )
}

function move(part: string, path: string): void {
  try {
    copyFileSync(part, path, constants.COPYFILE_EXCL)
    chmodSync(path, 0o600)
    const file = openSync(path, 'r')
    try {
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
  } catch (error) {
    if (systemCode(error) === 'EEXIST') throw exists(path)
    rmSync(path, { force: true })
    throw new GatewayError('FW_BACKUP_FAILED', `${path} cannot be written: ${errorText(error)}`, {
      cause: error,
    })
  }
}

function exists(path: string): GatewayError {
  return new GatewayError('FW_BACKUP_FILE_EXISTS', `${path} exists and is not overwritten: name another file`)
}
