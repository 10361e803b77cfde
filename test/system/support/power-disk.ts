import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { here } from './process.js'

const SIZE = '512M'
/** Copies until two in a row are the same. */
const COPIES = 20

/**
 * A disk whose power can be cut: ext4 in a file, mounted by loop. What is in the file is what was flushed, and what the kernel
 * wrote by itself; a copy of it is that disk after a power cut. The kernel writes by itself as late as it can be told to.
 */
export class PowerDisk {
  readonly path: string
  readonly #image: string

  private constructor(folder: string) {
    this.path = join(folder, 'disk')
    this.#image = join(folder, 'image')
  }

  static async make(t: Test, folder: string): Promise<PowerDisk> {
    const disk = new PowerDisk(folder)
    await run('truncate', '-s', SIZE, disk.#image)
    await run('mkfs.ext4', '-q', '-F', disk.#image)
    mkdirSync(disk.path, { mode: 0o700 })
    t.teardown(() => here.run('umount', ['-l', disk.path]))
    await disk.#mount()
    return disk
  }

  /** Flushes what the test itself has put there, as an operator's editor does. */
  async flush(...names: readonly string[]): Promise<void> {
    await run('sync', ...names.map((name) => join(this.path, name)))
  }

  /** Copies the disk as it is, for programs that stand still or do not. */
  async copy(): Promise<void> {
    const [copy, again] = [`${this.#image}.copy`, `${this.#image}.again`]
    for (let left = COPIES; left > 0; left--) {
      for (const to of [copy, again]) await run('cp', '--sparse=always', this.#image, to)
      // The same twice: between the two nothing was written, so it is the disk of one moment.
      if ((await here.run('cmp', [copy, again])).code === 0) return
    }
    throw new Error('the disk does not come to rest')
  }

  /** Puts the copy in the place of the disk. Nothing may run on it any more. */
  async replaceByCopy(): Promise<void> {
    await run('umount', this.path)
    await run('mv', `${this.#image}.copy`, this.#image)
    await this.#mount()
  }

  async #mount(): Promise<void> {
    await run('mount', '-o', 'loop,commit=300', this.#image, this.path)
  }
}

async function run(command: string, ...args: readonly string[]): Promise<void> {
  const { code, stderr } = await here.run(command, args, { withinMs: 60_000 })
  if (code !== 0) throw new Error(`${command} ${args.join(' ')}: ${stderr}`)
}
