import { createHash, timingSafeEqual } from 'node:crypto'
import { chmodSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { HostError, errorText, setAside, systemCode, randomText, writeFileDurably } from '@fieldwhisper/host'
import type { Reporter } from '@fieldwhisper/host'
import { MAX_PASSWORD_LENGTH, MIN_PASSWORD_LENGTH, PASSWORD_BYTES } from './constants.js'

/** The file in the state folder; its content is what `mosquitto_sub -P` takes. */
export function passwordFile(stateDir: string): string {
  return join(stateDir, 'mqtt-password')
}

/**
 * The password of the embedded broker: made at the first start, mode 0600, the same from then on. A file that holds none is
 * set aside and replaced (`FW_BROKER_PASSWORD_REPLACED`). Throws HostError `FW_FILE_FAILED` when the file cannot be read or
 * written.
 */
export function embeddedPassword(stateDir: string, reporter: Reporter): string {
  const path = passwordFile(stateDir)
  const inTheWay = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  const found = inTheWay ? '' : readPassword(path)
  if (found !== undefined && isPassword(found)) {
    if ((statSync(path).mode & 0o077) !== 0) chmodSync(path, 0o600)
    return found
  }
  if (found !== undefined) {
    const kept = setAside(path, Date.now())
    const text = 'The password file of the MQTT broker holds no usable password; a new one was made.'
    reporter.event('warn', 'FW_BROKER_PASSWORD_REPLACED', text, { file: path, kept })
  }
  const password = randomText(PASSWORD_BYTES)
  writeFileDurably(path, `${password}\n`)
  return password
}

/** What a client can be given on its command line; bytes of a damaged file are not. */
function isPassword(text: string): boolean {
  return (
    text.length >= MIN_PASSWORD_LENGTH &&
    text.length <= MAX_PASSWORD_LENGTH &&
    /^[^\p{C}\ufffd]+$/u.test(text)
  )
}

/** A password that the operator keeps in a file: its first line. Throws HostError `FW_FILE_FAILED`. */
export function readPasswordFile(path: string): string {
  const found = readPassword(path)
  if (found === undefined) throw new HostError('FW_FILE_FAILED', `The password file ${path} is not there.`)
  return found
}

function readPassword(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8').split('\n')[0]!.trim()
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined
    throw new HostError('FW_FILE_FAILED', `${path} cannot be read: ${errorText(error)}`, { cause: error })
  }
}

/** Takes as long for a wrong answer as for a right one. */
export function sameSecret(given: Uint8Array | string, expected: string): boolean {
  return timingSafeEqual(digest(given), digest(expected))
}

function digest(text: Uint8Array | string): Buffer {
  return createHash('sha256').update(text).digest()
}
