/** The repository as text: what its own rules are checked against. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, posix } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('../../', import.meta.url))

/** Packages from the lowest to the highest: each imports only from those before it. */
export const ladder = [
  'protocol',
  'host',
  'mesh',
  'relay',
  'agent',
  'gateway',
  'examples',
  'node-red-nodes',
] as const

const notOurs = new Set(['node_modules', 'dist', '.git', '.tap', '.fieldwhisper'])

/** Paths of all files below `folder`, relative to the repository, `/` between parts, sorted; nothing built or installed. */
export function files(folder = '', accept: (path: string) => boolean = () => true): string[] {
  if (!existsSync(join(root, folder))) return []
  return readdirSync(join(root, folder), { withFileTypes: true })
    .flatMap((entry) => {
      if (notOurs.has(entry.name)) return []
      const path = posix.join(folder, entry.name)
      if (entry.isDirectory()) return files(path, accept)
      return accept(path) ? [path] : []
    })
    .sort()
}

export function sources(folder: string): string[] {
  return files(folder, (path) => /\.[cm]?[jt]s$/.test(path))
}

export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8')
}

export function exists(path: string): boolean {
  return existsSync(join(root, path))
}

export interface Manifest {
  readonly name: string
  readonly scripts?: Readonly<Record<string, string>>
  readonly license?: string
  readonly bin?: Readonly<Record<string, string>>
  readonly exports?: Readonly<Record<string, { readonly default: string }>>
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

export function manifest(folder: string): Manifest {
  return JSON.parse(read(posix.join(folder, 'package.json'))) as Manifest
}
