import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  errorText,
  HostError,
  randomText,
  setAside,
  systemCode,
  writeFileDurably,
  type Reporter,
} from '@fieldwhisper/host'
import { RelayError } from '../errors.js'

/** Where the generated access token lies in the state folder. */
export const TOKEN_FILE = 'access-token'
const TOKEN_BYTES = 24
/** Printable ASCII without spaces, as it fits an HTTP header and a line in a file. */
const TOKEN = /^[\x21-\x7e]{16,128}$/

/**
 * The access token of this relay: `configured`, or the one in the state folder, made at the first start (mode 0600). A file that
 * holds none is set aside and a new token made (`FW_RELAY_TOKEN_REPLACED`): a relay that does not start helps nobody.
 * Throws RelayError `FW_RELAY_TOKEN_INVALID` for a configured one that is none, HostError `FW_FILE_FAILED`.
 */
export function accessToken(stateDir: string, reporter: Reporter, configured?: string): string {
  if (configured !== undefined) return checked(configured)
  const path = join(stateDir, TOKEN_FILE)
  const found = readToken(path)
  if (found !== undefined && TOKEN.test(found)) return found
  if (found !== undefined) {
    const kept = setAside(path, Date.now())
    const text =
      'The file with the access token of this relay was damaged, and a new one was made: give it to the gateway with `relays --add`.'
    reporter.event('error', 'FW_RELAY_TOKEN_REPLACED', text, { file: path, kept })
  }
  const token = randomText(TOKEN_BYTES)
  writeFileDurably(path, `${token}\n`)
  return token
}

/** Undefined where there is none; empty for a folder in its place. */
function readToken(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').trim()
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    if (systemCode(error) === 'EISDIR') return ''
    throw new HostError('FW_FILE_FAILED', `${path} cannot be read: ${errorText(error)}`, { cause: error })
  }
}

/** Checks `Authorization: Bearer <token>` in a time that tells nothing about the token. */
export function tokenCheck(token: string): (authorization: string | undefined) => boolean {
  const expected = digest(token)
  return (authorization) => {
    const shown = /^Bearer ([\x21-\x7e]{1,256})$/i.exec(authorization ?? '')?.[1]
    return shown !== undefined && timingSafeEqual(digest(shown), expected)
  }
}

function digest(text: string): Uint8Array {
  return createHash('sha256').update(text).digest()
}

function checked(token: string): string {
  if (TOKEN.test(token)) return token
  throw new RelayError(
    'FW_RELAY_TOKEN_INVALID',
    'The access token of the configuration is not one: 16 to 128 printable characters without spaces are needed.',
  )
}
