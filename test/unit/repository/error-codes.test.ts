import t from 'tap'
import { codesIn, documentedCodes, emptyParagraphs } from '../../support/codes.js'
import { ladder, read, sources } from '../../support/repository.js'

const said = new Map<string, string>()
const composed: string[] = []
for (const path of ladder.flatMap((folder) => sources(`${folder}/src`))) {
  const found = codesIn(read(path))
  for (const code of found.codes) said.set(code, path)
  for (const head of found.composed) composed.push(`${path}: ${head}`)
}
const documented = documentedCodes(read('docs/errors.md'))

void t.test('every code of the source has a heading in docs/errors.md', (t) => {
  t.same(
    [...said].filter(([code]) => !documented.includes(code)).map(([code, path]) => `${code} (${path})`),
    [],
  )
  t.end()
})

void t.test('docs/errors.md explains only codes that exist, each once and in words', (t) => {
  t.same(
    documented.filter((code) => !said.has(code)),
    [],
  )
  t.same(
    documented.filter((code, i) => documented.indexOf(code) !== i),
    [],
  )
  t.same(emptyParagraphs(read('docs/errors.md')), [])
  t.end()
})

void t.test('every code occurs in a test', (t) => {
  const tests = new Set(sources('test').flatMap((path) => read(path).match(/FW_[A-Z0-9_]+/g) ?? []))
  t.same(
    [...said].filter(([code]) => !tests.has(code)).map(([code, path]) => `${code} (${path})`),
    [],
  )
  t.end()
})

void t.test('no code is put together at run time', (t) => {
  t.same(composed, [])
  t.end()
})

void t.test('codes are found in literals, not in comments', (t) => {
  // Written in parts, or these would count as codes of this test.
  const code = (name: string): string => `FW_${name}`
  const text = `// '${code('COMMENT')}'
    throw new E('${code('ONE')}', \`${code('TWO')}\`, \`${code('MADE_')}\${x}\`, '${code('HALF_')}' + x)`
  t.same(codesIn(text), { codes: [code('ONE'), code('TWO')], composed: [code('MADE_'), code('HALF_')] })
  const page = `# Errors
## Relay
### \`${code('A_B')}\`
What happened and what to do.
### ${code('C')}
`
  t.same(documentedCodes(page), [code('A_B'), code('C')])
  t.same(emptyParagraphs(page), [code('C')])
  t.end()
})
