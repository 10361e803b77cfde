import { createHash, randomBytes, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { systemCode, writeFileDurably } from '@fieldwhisper/host'
import { RelayError } from '../errors.js'

/** Where the generated access token lies in the state folder. */
export const TOKEN_FILE = 'access-token'
const TOKEN_BYTES = 24
/** Printable ASCII without spaces, as it fits an HTTP header and a line in a file. */
const TOKEN = /^[\x21-\x7e]{16,128}$/

/**
 * The access token of this relay: `configured`, or the one in the state folder, made at the first start (mode 0600).
 * Throws RelayError `FW_RELAY_TOKEN_INVALID`: a token that changed by accident would lock every device out.
 */
export function accessToken(stateDir: string, configured?: string): string {
  if (configured !== undefined) return checked(configured, 'The access token of the configuration')
  const path = join(stateDir, TOKEN_FILE)
  try {
    return checked(readFileSync(path, 'utf8').trim(), path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error
  }
  const token = randomBytes(TOKEN_BYTES).toString('base64url')
  writeFileDurably(path, `${token}\n`)
  return token
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

function checked(token: string, what: string): string {
  if (TOKEN.test(token)) return token
  throw new RelayError(
    'FW_RELAY_TOKEN_INVALID',
    `${what} is not an access token: 16 to 128 printable characters without spaces are needed.`,
  )
}
