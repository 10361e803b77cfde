import { statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { capabilities, machinePaths, relativeLinks } from '../../support/documents.js'
import { exists, files, read, root } from '../../support/repository.js'

const pages = files('', (path) => path.endsWith('.md'))
const texts = files('', (path) =>
  /\.([cm]?[jt]s|json|md|ya?ml|service|sh|conf|css|html)$|^\.ci\/|^Dockerfile|^[^/.]+$/.test(path),
)

void t.test('the README says the two commands', (t) => {
  for (const command of ['npm ci && npm start', 'npm ci && npm test']) {
    t.ok(read('README.md').split('\n').includes(command), `${command} alone on a line, to be copied`)
  }
  t.end()
})

void t.test('what capabilities.md calls working names tests that exist', (t) => {
  const rows = capabilities(read('docs/capabilities.md'))
  t.ok(rows.length > 10, 'the table was read')
  for (const row of rows) {
    t.match(row.state, /^(works|partial|planned)$/, `state of ${row.name}`)
    t.same(
      row.tests.filter((path) => !exists(path)),
      [],
      `tests of ${row.name} exist`,
    )
    if (row.state !== 'planned') t.ok(row.tests.length > 0, `${row.name} is shown by a test`)
  }
  t.end()
})

void t.test('every test that a document names exists', (t) => {
  const named = pages.flatMap((page) =>
    [...read(page).matchAll(/`(test\/[\w./-]+\.ts)`/g)].map((match) => ({ page, path: match[1]! })),
  )
  t.ok(named.length > 50)
  t.same(
    named.filter(({ path }) => !exists(path)),
    [],
  )
  t.end()
})

void t.test('links between the documents lead somewhere', (t) => {
  t.same(
    pages.flatMap((page) =>
      relativeLinks(page, read(page))
        .filter((target) => !exists(target))
        .map((target) => `${page}: ${target}`),
    ),
    [],
  )
  t.end()
})

void t.test('pictures are small, and each is shown by a document', (t) => {
  const pictures = files('docs/pictures')
  const shown = pages.flatMap((page) => relativeLinks(page, read(page)))
  t.same(
    pictures.filter((path) => !path.endsWith('.png') || !shown.includes(path)),
    [],
  )
  const sizes = pictures.map((path) => statSync(join(root, path)).size)
  t.ok(Math.max(...sizes) < 150_000, 'none is over 150 kB')
  t.ok(sizes.reduce((sum, size) => sum + size, 0) < 800_000, 'all together are below 800 kB')
  t.end()
})

void t.test('decisions are numbered without gaps and have the three parts', (t) => {
  const decisions = files('docs/decisions')
  t.ok(decisions.length > 0)
  decisions.forEach((path, i) => {
    t.equal(path.split('/').at(-1)?.slice(0, 4), `${String(i + 1).padStart(3, '0')}-`, path)
    for (const part of ['## Context', '## Decision', '## Consequences']) {
      t.ok(read(path).includes(`\n${part}\n`), `${path} has ${part}`)
    }
  })
  t.end()
})

void t.test('the changelog keeps its form', (t) => {
  const text = read('CHANGELOG.md')
  t.match(text, /^## \[Unreleased\]$/m)
  const odd = [...text.matchAll(/^### (.+)$/gm)].map((match) => match[1] ?? '')
  t.same(
    odd.filter((heading) => !['Breaking', 'Added', 'Fixed', 'Security'].includes(heading)),
    [],
  )
  t.end()
})

void t.test('no file names a folder of the machine it was written on', (t) => {
  t.same(
    texts.flatMap((path) => machinePaths(read(path)).map((found) => `${path}: ${found}`)),
    [],
  )
  t.ok(texts.length > 50, 'the walk found files')
  t.end()
})

void t.test('no file is over its cap', (t) => {
  const long = files(
    '',
    (path) => /\.(ts|js|css|html)$/.test(path) && !path.startsWith('test/vectors/'),
  ).flatMap((path) => {
    const lines = read(path).split('\n').length - 1
    return lines > (path.startsWith('test/') ? 800 : 500) ? [`${path}: ${lines} lines`] : []
  })
  t.same(long, [])
  t.end()
})

void t.test('the checks of documents see what they should', (t) => {
  const table =
    '| Capability | State | Shown by |\n|---|---|---|\n| Joining | works | `test/unit/a.test.ts`, `b` |\n'
  t.same(capabilities(table), [{ name: 'Joining', state: 'works', tests: ['test/unit/a.test.ts'] }])
  t.same(
    relativeLinks('docs/a.md', '[x](b.md#part) [y](../README.md) [z](#here) [w](mailto:a@b) `[v](c.md)`'),
    ['docs/b.md', 'README.md'],
  )
  const own = (...parts: string[]): string => `see '/${parts.join('/')}'`
  t.equal(machinePaths(own('root', 'x')).length, 1)
  t.equal(machinePaths(own('home', 'anna', 'x')).length, 1)
  t.same(machinePaths(own('home', 'pi', 'x')), [])
  t.same(machinePaths('an uproot/root/node and at/home/anna/x'), [])
  t.end()
})
