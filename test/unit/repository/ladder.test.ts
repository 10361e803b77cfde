import t from 'tap'
import { importsOf, objection, objectionToRung, reach } from '../../support/imports.js'
import { ladder, type Manifest, manifest, read, sources } from '../../support/repository.js'

void t.test('every import of every package obeys the ladder and its manifest', (t) => {
  const broken = ladder.flatMap((folder) =>
    sources(`${folder}/src`).flatMap((path) =>
      importsOf(path).flatMap((specifier) => {
        const why = objection(folder, path, specifier)
        return why === undefined ? [] : [`${path}: '${specifier}': ${why}`]
      }),
    ),
  )
  t.same(broken, [])
  t.ok(sources('protocol/src').length > 1, 'the walk found source files')
  t.end()
})

void t.test('the workspaces of the root manifest are the rungs of the ladder', (t) => {
  const { workspaces } = JSON.parse(read('package.json')) as { workspaces: string[] }
  t.same([...workspaces].sort(), [...ladder].sort())
  t.end()
})

void t.test('manifests and project references go only up the ladder', (t) => {
  const broken = ladder.flatMap((folder) => {
    const own = manifest(folder)
    const named = Object.keys({ ...own.dependencies, ...own.optionalDependencies })
      .filter((name) => name.startsWith('@fieldwhisper/'))
      .map((name) => name.slice('@fieldwhisper/'.length))
    const referenced = [...references(folder)]
    const undeclared = referenced.filter((other) => !named.includes(other))
    return [
      ...[...named, ...referenced].flatMap((other) => {
        const why = objectionToRung(folder, other)
        return why === undefined ? [] : [`${folder}: ${why}`]
      }),
      ...undeclared.map((other) => `${folder}: tsconfig.json refers to ${other}, package.json does not`),
    ]
  })
  t.same(broken, [])
  t.end()
})

void t.test('the relay reaches no session, handshake, message or telemetry code, by whatever way', (t) => {
  const reached = [...reach(sources('relay/src'))]
  const forbidden = /^protocol\/src\/(session|handshake|messages|telemetry)\//
  t.same(
    reached.filter((path) => forbidden.test(path)),
    [],
  )
  t.same(
    reached.filter((path) => /^(agent|gateway|examples)\//.test(path)),
    [],
  )
  t.ok(
    reached.some((path) => path.startsWith('protocol/src/packet/')),
    'the walk follows imports across packages',
  )
  t.end()
})

void t.test('main entries reach no test double', (t) => {
  const entries = ladder
    .map((folder) => `${folder}/src/index.ts`)
    .filter((path) => sources(path.split('/')[0] ?? '').includes(path))
  const doubles = [...reach(entries)].filter((path) => /\/testing\//.test(path))
  t.same(doubles, [])
  t.end()
})

void t.test('the checks object to what they should', (t) => {
  const own = (...names: string[]): Manifest => ({
    name: 'x',
    dependencies: Object.fromEntries(names.map((name) => [name, '1'])),
  })
  const says = (folder: string, specifier: string, names: string[] = []): string | undefined =>
    objection(folder, `${folder}/src/a/b.ts`, specifier, own(...names))
  const relay = '@fieldwhisper/relay'
  const protocol = '@fieldwhisper/protocol'

  t.match(says('agent', relay, [relay]), 'never holds relay code')
  t.match(says('mesh', '@fieldwhisper/agent', ['@fieldwhisper/agent']), 'mesh stands below agent')
  t.match(says('protocol', protocol, [protocol]), 'protocol stands below protocol')
  t.match(says('relay', protocol, [protocol]), 'may import only')
  t.match(says('relay', '@fieldwhisper/mesh', ['@fieldwhisper/mesh']), 'may import only')
  t.match(
    says('node-red-nodes', '@fieldwhisper/examples', ['@fieldwhisper/examples']),
    'nobody imports the examples',
  )
  t.match(says('mesh', 'ws'), 'ws is not a dependency in mesh/package.json')
  t.match(says('mesh', '@noble/hashes/sha2.js'), '@noble/hashes is not a dependency')
  t.match(says('mesh', '../../../protocol/src/bytes.js'), 'relative path')
  t.match(says('mesh', 'fs'), 'node: before a builtin')

  t.equal(says('relay', `${protocol}/packet`, [protocol]), undefined)
  t.equal(says('relay', '@fieldwhisper/mesh/relay-frames', ['@fieldwhisper/mesh']), undefined)
  t.equal(says('gateway', relay, [relay]), undefined)
  t.equal(says('mesh', 'ws', ['ws']), undefined)
  t.equal(says('mesh', '../c.js'), undefined)
  t.equal(says('mesh', 'node:fs'), undefined)
  t.end()
})

function references(folder: string): Set<string> {
  if (!sources(`${folder}/src`).some((path) => path.endsWith('.ts'))) return new Set()
  const config = JSON.parse(read(`${folder}/tsconfig.json`)) as { references?: { path: string }[] }
  return new Set((config.references ?? []).map((reference) => reference.path.replace(/^\.\.\//, '')))
}
