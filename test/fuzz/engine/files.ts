import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from '../../support/repository.js'

const FOLDER = join(root, 'test/fuzz')

type Kind = 'corpus' | 'found'

/** The kept inputs of a target, in order of their names. */
export function load(kind: Kind, target: string): { readonly name: string; readonly input: Uint8Array }[] {
  const folder = join(FOLDER, kind, target)
  if (!existsSync(folder)) return []
  return readdirSync(folder)
    .sort()
    .map((name) => ({ name, input: new Uint8Array(readFileSync(join(folder, name))) }))
}

/** Named by content, so that the same input is kept once. Returns the path from the root of the repository. */
export function save(kind: Kind, target: string, input: Uint8Array): string {
  const folder = join(FOLDER, kind, target)
  mkdirSync(folder, { recursive: true })
  const name = createHash('sha256').update(input).digest('hex').slice(0, 16)
  writeFileSync(join(folder, name), input)
  return `test/fuzz/${kind}/${target}/${name}`
}

/** Replaces the kept corpus of a target. */
export function replaceCorpus(target: string, inputs: readonly Uint8Array[]): void {
  rmSync(join(FOLDER, 'corpus', target), { recursive: true, force: true })
  for (const input of inputs) save('corpus', target, input)
}
