/** What a source file imports, and where that leads inside this repository. */
import { isBuiltin } from 'node:module'
import { posix } from 'node:path'
import ts from 'typescript'
import { exists, ladder, type Manifest, manifest, read } from './repository.js'

/** Static imports, exports from, type imports, `import()` and `require()` with a literal name. */
export function importsOf(path: string): string[] {
  return ts.preProcessFile(read(path), true, true).importedFiles.map((file) => file.fileName)
}

/** `@scope/name/entry` → `@scope/name`; `name/entry` → `name`. */
export function packageOf(specifier: string): string {
  return specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/')
}

/** The source file that an import of `from` means, if it is one of this repository, else `undefined`. */
export function resolveSource(from: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return sourceOf(posix.join(posix.dirname(from), specifier))
  const folder = ladder.find((name) => packageOf(specifier) === `@fieldwhisper/${name}`)
  if (folder === undefined) return undefined
  const entry = `.${specifier.slice(packageOf(specifier).length)}`
  const built = manifest(folder).exports?.[entry]?.default
  return built === undefined ? undefined : sourceOf(posix.join(folder, built.replace(/^\.\/dist\//, 'src/')))
}

function sourceOf(path: string): string | undefined {
  return [path.replace(/\.js$/, '.ts'), path.replace(/\.cjs$/, '.cts'), path].find(exists)
}

/** Every source file of this repository that `starts` reach, themselves included. */
export function reach(starts: readonly string[]): Set<string> {
  const reached = new Set<string>()
  const queue = [...starts]
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (reached.has(path)) continue
    reached.add(path)
    for (const specifier of importsOf(path)) {
      const target = resolveSource(path, specifier)
      if (target !== undefined) queue.push(target)
    }
  }
  return reached
}

/** What the relay may know of the layers whose secrets it must not be able to touch. */
const relayMayImport = new Map([
  ['protocol', ['@fieldwhisper/protocol/packet', '@fieldwhisper/protocol/address']],
  ['mesh', ['@fieldwhisper/mesh/relay-frames']],
])

/** Why `specifier` may not stand in a source file of package `folder`, or `undefined` if it may. */
export function objection(
  folder: string,
  path: string,
  specifier: string,
  own: Manifest = manifest(folder),
): string | undefined {
  if (isBuiltin(specifier)) return specifier.startsWith('node:') ? undefined : 'write node: before a builtin'
  if (specifier.startsWith('.')) {
    const target = posix.join(posix.dirname(path), specifier)
    return target.startsWith(`${folder}/src/`) ? undefined : 'leaves its package by a relative path'
  }
  const name = packageOf(specifier)
  if (own.dependencies?.[name] === undefined && own.optionalDependencies?.[name] === undefined) {
    return `${name} is not a dependency in ${folder}/package.json`
  }
  const other = ladder.find((rung) => name === `@fieldwhisper/${rung}`)
  return other === undefined ? undefined : objectionToRung(folder, other, specifier)
}

/** The ladder itself, for imports and for manifests (where `specifier` is absent). */
export function objectionToRung(folder: string, other: string, specifier?: string): string | undefined {
  const rung = (name: string): number => ladder.indexOf(name as (typeof ladder)[number])
  if (rung(other) >= rung(folder)) return `${folder} stands below ${other}`
  if (other === 'examples') return 'nobody imports the examples'
  if (folder === 'agent' && other === 'relay') return 'an agent never holds relay code'
  const allowed = folder === 'relay' ? relayMayImport.get(other) : undefined
  return specifier === undefined || allowed === undefined || allowed.includes(specifier)
    ? undefined
    : `the relay may import only ${allowed.join(' and ')} from ${other}`
}
