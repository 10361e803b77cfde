import { randomBytes } from 'node:crypto'
import { chmodSync, linkSync, lstatSync, renameSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import type { Server } from 'node:net'
import { CONTROL_PROBE_MS } from './constants.js'
import { HostError, errorText, systemCode } from './errors.js'
import { setAside } from './files.js'

export interface Claim {
  /** Removes the socket if it is still the one of this claim. */
  release(): void
}

/**
 * Makes `server` listen at `path` so that only one process can hold it. The socket itself is the lock: it dies with its
 * process, and one that nobody answers is a leftover. Throws HostError `FW_STATE_IN_USE` or `FW_CONTROL_FAILED`.
 *
 * A name in the folder is only ever made by link, which fails where there is one, and a leftover is only removed by
 * renaming it and looking at what was moved: two processes that start at once cannot both win.
 */
export async function claimSocket(server: Server, path: string): Promise<Claim> {
  const own = `${path}.${randomBytes(2).toString('hex')}`
  try {
    await listen(server, own)
    chmodSync(own, 0o600)
    const inode = lstatSync(own).ino
    for (let attempt = 0; attempt < 10; attempt++) {
      const before = inodeOf(path)
      if (before !== undefined) {
        if (await answers(path)) throw inUse(path)
        removeLeftover(path, before)
      }
      try {
        linkSync(own, path)
      } catch (error) {
        if (systemCode(error) === 'EEXIST') continue
        throw error
      }
      rmSync(own, { force: true })
      return {
        release() {
          if (inodeOf(path) === inode) rmSync(path, { force: true })
        },
      }
    }
    throw inUse(path)
  } catch (error) {
    rmSync(own, { force: true })
    server.close()
    if (error instanceof HostError) throw error
    throw new HostError(
      'FW_CONTROL_FAILED',
      `The control socket ${path} cannot be made: ${errorText(error)}`,
      {
        cause: error,
      },
    )
  }
}

function removeLeftover(path: string, inode: number): void {
  if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory()) return void setAside(path, Date.now())
  const moved = `${path}.${randomBytes(2).toString('hex')}`
  try {
    renameSync(path, moved)
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return
    throw error
  }
  // Somebody took the name between our look and our rename: give it back.
  if (inodeOf(moved) !== inode) linkSync(moved, path)
  rmSync(moved, { force: true })
}

/** Whether a process listens there: the kernel says so even for one that is too busy to answer. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path)
    const end = (answer: boolean): void => {
      socket.destroy()
      resolve(answer)
    }
    socket.setTimeout(CONTROL_PROBE_MS, () => end(true))
    socket.once('connect', () => end(true))
    socket.once('error', (error) =>
      end(!['ECONNREFUSED', 'ENOENT', 'ENOTSOCK'].includes(String(systemCode(error)))),
    )
  })
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      server.off('error', reject)
      resolve()
    })
  })
}

function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino
}

function inUse(path: string): HostError {
  return new HostError('FW_STATE_IN_USE', `Another process runs on this state folder; it answers at ${path}.`)
}
