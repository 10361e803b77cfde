import { errorText, setAside, type Reporter } from '@fieldwhisper/host'
import { randomBytes } from 'node:crypto'
import { lstatSync, rmSync, statSync } from 'node:fs'
import { open, statfs } from 'node:fs/promises'
import { join } from 'node:path'

export const BALLAST_BYTES = 16 * 1024 * 1024
/** It is laid down again where so much is free: what was short a moment ago should not be short at once. */
const FREE_TO_REGAIN = 2 * BALLAST_BYTES
const LOOK_EVERY_MS = 10_000
const CHUNK_BYTES = 1024 * 1024

interface BallastOptions {
  /** Folder on the disk of the store. */
  readonly dir: string
  readonly reporter: Reporter
  readonly monoMs: () => number
  /** What live records occupy. */
  readonly bytesUsed: () => number
}

/**
 * Room on the disk that is kept for the day it is full: given up then, for counters and handshakes alone. Readings wait until it
 * is laid down again, or until the store has shrunk by as much, which leaves that room inside its file.
 */
export class Ballast {
  readonly #options: BallastOptions
  readonly #path: string
  #whole: boolean
  #usedWhenFreed: number
  #lookAt = 0
  #laying: Promise<void> = Promise.resolve()

  /** Lays it down where it is not. Never throws: without it the disk counts as full. */
  static async open(options: BallastOptions): Promise<Ballast> {
    const ballast = new Ballast(options)
    ballast.#clear()
    if (!ballast.#whole) await ballast.#lay()
    if (!ballast.#whole) ballast.#full()
    return ballast
  }

  private constructor(options: BallastOptions) {
    this.#options = options
    this.#path = join(options.dir, 'ballast')
    const found = statSync(this.#path, { throwIfNoEntry: false })
    this.#whole = found !== undefined && found.isFile() && found.size === BALLAST_BYTES
    this.#usedWhenFreed = options.bytesUsed()
  }

  /** Whatever is there instead is put aside: it would count as a full disk for ever. */
  #clear(): void {
    const { dir, reporter } = this.#options
    try {
      if (this.#whole || !lstatSync(this.#path, { throwIfNoEntry: false })?.isDirectory()) return
      const kept = setAside(this.#path, Date.now())
      const text = 'A state file could not be used; it was set aside.'
      reporter.event('error', 'FW_FILE_SET_ASIDE', text, { file: this.#path, kept, reason: 'it is a folder' })
    } catch (error) {
      const text = 'The room kept for a full disk could not be set aside.'
      reporter.event('warn', 'FW_BALLAST_FAILED', text, { state: dir, reason: errorText(error) })
    }
  }

  /** Readings wait. */
  get spent(): boolean {
    return !this.#whole && this.#options.bytesUsed() > this.#usedWhenFreed - BALLAST_BYTES
  }

  /** The disk is full. False where there is nothing to give up. */
  free(): boolean {
    if (!this.#whole) return false
    this.#whole = false
    rmSync(this.#path, { force: true })
    this.#full()
    return true
  }

  /** To be called now and then: lays it down where there is room. */
  tick(): void {
    const now = this.#options.monoMs()
    if (this.#whole || now < this.#lookAt) return
    this.#lookAt = Infinity
    this.#laying = this.#lay().then(() => {
      this.#lookAt = this.#options.monoMs() + LOOK_EVERY_MS
      if (!this.#whole) return
      const text = 'The disk has room again; readings are taken.'
      this.#options.reporter.event('info', 'FW_DISK_ROOM', text, { state: this.#options.dir })
    })
  }

  stop(): Promise<void> {
    return this.#laying
  }

  #full(): void {
    const { dir, reporter, monoMs, bytesUsed } = this.#options
    this.#usedWhenFreed = bytesUsed()
    this.#lookAt = monoMs() + LOOK_EVERY_MS
    const text = 'The disk is full: readings stay with their agents until there is room.'
    reporter.event('error', 'FW_DISK_FULL', text, { state: dir, bytes_to_free: FREE_TO_REGAIN })
  }

  async #lay(): Promise<void> {
    const { dir, reporter } = this.#options
    try {
      const { bavail, bsize } = await statfs(dir)
      if (bavail * bsize < FREE_TO_REGAIN) return
      await writeAll(this.#path)
      this.#whole = true
    } catch (error) {
      rmSync(this.#path, { force: true })
      const text = 'The room kept for a full disk could not be set aside.'
      reporter.event('debug', 'FW_BALLAST_FAILED', text, { state: dir, reason: errorText(error) })
    }
  }
}

/** Bytes that no file system compresses away or leaves as a hole. */
async function writeAll(path: string): Promise<void> {
  const file = await open(path, 'w', 0o600)
  try {
    const chunk = randomBytes(CHUNK_BYTES)
    for (let done = 0; done < BALLAST_BYTES; done += CHUNK_BYTES) await file.write(chunk)
    await file.sync()
  } finally {
    await file.close()
  }
}
