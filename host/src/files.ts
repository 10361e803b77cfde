import { randomBytes } from 'node:crypto'
import {
  chmodSync,
  closeSync,
  constants,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { crc32 } from 'node:zlib'
import type { ZodType } from 'zod'
import { MAX_JSON_FILE_BYTES } from './constants.js'
import { HostError, errorText, systemCode } from './errors.js'
import type { Reporter } from './events.js'

/**
 * Writes a file so that after a power cut there is either the old one or the whole new one: temporary file beside it,
 * fsync, rename, fsync of the folder. Synchronous and slow (two flushes); for identities and small state, not for data.
 * Throws HostError `FW_FILE_FAILED`; the old file is then untouched unless only the last flush failed.
 */
export function writeFileDurably(path: string, bytes: Uint8Array | string, mode = 0o600): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}.tmp`)
  try {
    const file = openSync(temporary, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL, mode)
    try {
      const all = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
      for (let done = 0; done < all.length;) done += writeSync(file, all, done)
      fsyncSync(file)
    } finally {
      closeSync(file)
    }
    renameSync(temporary, path)
    syncFolder(dirname(path))
  } catch (error) {
    rmSync(temporary, { force: true })
    throw new HostError('FW_FILE_FAILED', `${path} cannot be written: ${errorText(error)}`, { cause: error })
  }
}

/** Makes renames, new and removed names in a folder last. */
export function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}

/**
 * Writes a JSON state file durably, with a checksum as its last key where the value is an object: a flipped bit must not make
 * another key, address or number of it. Bytes are written as hexadecimal. Throws HostError `FW_FILE_FAILED`.
 */
export function writeJsonFile(path: string, value: object, indent = 0): void {
  const text = JSON.stringify(
    value,
    (_, item: unknown) => (item instanceof Uint8Array ? Buffer.from(item).toString('hex') : item),
    indent,
  )
  const body = /^(\{[^]*\S)\s*\}$/.exec(text)?.[1]
  const [line, space] = indent > 0 ? [`\n${' '.repeat(indent)}`, ' '] : ['', '']
  const whole = body && `${body},${line}"crc32":${space}"${checksum(body)}"${indent > 0 ? '\n' : ''}}`
  writeFileDurably(path, `${whole ?? text}\n`)
}

const CHECKED = /^(\{[^]*\S),\s*"crc32":\s*"([0-9a-f]{8})"\s*\}\s*$/

function checksum(text: string): string {
  return crc32(text).toString(16).padStart(8, '0')
}

/** Release of a state file's format; a file with a higher one is of a newer release. */
const JSON_VERSION = 1

/** The content of a state file. Throws SyntaxError or TypeError for one that is damaged, HostError `FW_FILE_NEWER`. */
function parseJson(path: string, bytes: Uint8Array): unknown {
  const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  const [, body, sum] = CHECKED.exec(text) ?? []
  // One that a person wrote has no checksum; a damaged one leaves a key that no schema knows.
  if (body === undefined) return JSON.parse(text)
  if (checksum(body) !== sum) throw new SyntaxError('its checksum does not hold')
  const content = JSON.parse(`${body}}`) as { readonly version?: unknown }
  if (typeof content.version === 'number' && content.version > JSON_VERSION) {
    const text = `${path} was written by a newer release (version ${content.version}).`
    throw new HostError('FW_FILE_NEWER', text)
  }
  return content
}

export interface ReadJsonOptions<T> {
  /** Strict about every key; what it transforms is what is returned. */
  readonly schema: ZodType<T>
  readonly reporter: Reporter
  readonly clock?: { wallMs(): number }
}

/**
 * The content of a JSON state file, or undefined where there is none or it is not what it should be (a folder in its place
 * too): then it is renamed `<name>.corrupt-<time>` and reported (`FW_FILE_SET_ASIDE`). Throws HostError `FW_FILE_NEWER` for one
 * that a newer release wrote, and `FW_FILE_FAILED` when it exists and cannot be read (permissions, disk): that is no reason to
 * replace it.
 */
export function readJsonFile<T>(path: string, options: ReadJsonOptions<T>): T | undefined {
  let reason: string
  try {
    const { size } = statSync(path)
    if (size > MAX_JSON_FILE_BYTES)
      throw new SyntaxError(`${size} bytes are more than ${MAX_JSON_FILE_BYTES}`)
    const result = options.schema.safeParse(parseJson(path, readFileSync(path)))
    if (result.success) return result.data
    reason = `${result.error.issues[0]?.path.join('.') || 'its top level'} is not as it should be`
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    // Text of the parser would quote the file, which may hold a secret.
    if (error instanceof SyntaxError)
      reason = error.message.startsWith('its checksum') ? error.message : 'it is not JSON'
    else if (error instanceof HostError) throw error
    else if (error instanceof TypeError) reason = 'it is not text'
    else if (systemCode(error) === 'EISDIR') reason = 'it is a folder'
    else
      throw new HostError('FW_FILE_FAILED', `${path} cannot be read: ${errorText(error)}`, { cause: error })
  }
  const kept = setAside(path, options.clock?.wallMs() ?? Date.now())
  const text = 'A state file could not be used; it was set aside.'
  options.reporter.event('error', 'FW_FILE_SET_ASIDE', text, { file: path, kept, reason })
  return undefined
}

/**
 * Throws HostError `FW_FILE_NEWER` if one of these state files was written by a newer release. To be called before anything in
 * the folder changes; everything else that may be wrong with them is left to `readJsonFile`.
 */
export function refuseNewerFiles(paths: readonly string[]): void {
  for (const path of paths) {
    try {
      if (statSync(path).size <= MAX_JSON_FILE_BYTES) parseJson(path, readFileSync(path))
    } catch (error) {
      if (error instanceof HostError) throw error
    }
  }
}

/** Renames what cannot be used to `<name>.corrupt-<time>` and returns the new path. Throws HostError `FW_FILE_FAILED`. */
export function setAside(path: string, wallMs: number): string {
  const stamp = new Date(wallMs).toISOString().replaceAll(/[-:]|\.\d+/g, '')
  for (let attempt = 0; attempt < 100; attempt++) {
    const name = `${basename(path)}.corrupt-${stamp}${attempt === 0 ? '' : `-${attempt}`}`
    const target = join(dirname(path), name)
    if (lstatSync(target, { throwIfNoEntry: false })) continue
    try {
      renameSync(path, target)
      syncFolder(dirname(path))
      return target
    } catch (error) {
      throw new HostError('FW_FILE_FAILED', `${path} cannot be set aside: ${errorText(error)}`, {
        cause: error,
      })
    }
  }
  throw new HostError('FW_FILE_FAILED', `${path} cannot be set aside: too many older ones lie beside it.`)
}

/**
 * Makes the state folder of a program (mode 0700) or checks that it is ours. One that others may enter is closed to them
 * and that is said (`FW_STATE_TIGHTENED`). Throws HostError `FW_STATE_DIR` when it is not a folder, belongs to somebody
 * else, or cannot be made.
 */
export function ensureStateDir(path: string, reporter: Reporter): void {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
    const found = statSync(path)
    const me = process.getuid?.()
    if (me !== undefined && found.uid !== me) {
      throw new HostError(
        'FW_STATE_DIR',
        `The state folder ${path} belongs to user ${found.uid}, not to user ${me} who runs this program.`,
      )
    }
    if ((found.mode & 0o077) === 0) return
    chmodSync(path, 0o700)
    const text = 'The state folder was open to other users; it is closed to them now.'
    reporter.event('warn', 'FW_STATE_TIGHTENED', text, {
      folder: path,
      mode: (found.mode & 0o777).toString(8),
    })
  } catch (error) {
    if (error instanceof HostError) throw error
    const text = `The state folder ${path} cannot be used: ${errorText(error)}`
    throw new HostError('FW_STATE_DIR', text, { cause: error })
  }
}
