import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { MAX_SOCKET_PATH_BYTES } from './constants.js'
import { HostError, errorText } from './errors.js'

/**
 * The path of a program's control socket: in its state folder, or, where that path is longer than a socket's may be,
 * in a folder of this user alone under the system's folder for temporary files, named after a hash of the state path.
 * Throws HostError `FW_STATE_DIR` when that folder is not ours alone: somebody else could answer in our place.
 */
export function controlSocketPath(stateDir: string): string {
  const state = resolve(stateDir)
  const path = join(state, 'control.sock')
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH_BYTES) return path
  const user = process.getuid?.() ?? 0
  const folder = join(tmpdir(), `fieldwhisper-${user}`)
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const found = lstatSync(folder)
    if (!found.isDirectory() || found.uid !== user || (found.mode & 0o077) !== 0) {
      throw new Error('it is not a folder of this user alone')
    }
  } catch (error) {
    const text = `The folder ${folder} for control sockets cannot be used: ${errorText(error)}`
    throw new HostError('FW_STATE_DIR', text, { cause: error })
  }
  return join(folder, `${createHash('sha256').update(state).digest('hex').slice(0, 16)}.sock`)
}
