import { readFileSync } from 'node:fs'
import t from 'tap'
import * as constants from '../../../protocol/dist/constants.js'
import { ROLE, TYPE } from '../../../protocol/dist/items.js'

const page = readFileSync(new URL('../../../docs/protocol.md', import.meta.url), 'utf8')

/** Cells of the rows below a heading. */
function table(heading: string): string[][] {
  const [, after = ''] = page.split(`\n${heading}\n`)
  const [section = ''] = after.split(/\n#/)
  return section
    .split('\n')
    .filter((line) => line.startsWith('|'))
    .map((line) =>
      line
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim()),
    )
}

void t.test('docs/protocol.md lists every label, each once', (t) => {
  const listed = table('### 13.1 Labels')
    .slice(2)
    .map(([label = '']) => label.replaceAll('`', ''))
  t.same([...listed].sort(), Object.values(constants.LABEL).sort())
  t.end()
})

void t.test('each label is used in the sections before the list', (t) => {
  const [before = ''] = page.split('### 13.1 Labels')
  for (const label of Object.values(constants.LABEL)) {
    t.ok(before.includes(`"${label}"`) || before.includes(`${label}"`), label)
  }
  t.end()
})

void t.test('the limits in docs/protocol.md are those of the code', (t) => {
  const rows = table('### 13.2 Limits').slice(2)
  t.ok(rows.length > 30)
  for (const [, value = '', name = ''] of rows) {
    const constant = constants[name.replaceAll('`', '') as keyof typeof constants]
    t.equal(Number(value.replaceAll(',', '')), constant, name)
  }
  t.end()
})

void t.test('every limit of the code stands in docs/protocol.md', (t) => {
  const listed = new Set(table('### 13.2 Limits').map(([, , name = '']) => name.replaceAll('`', '')))
  const limits = Object.keys(constants).filter((name) => name.startsWith('MAX_') || name.startsWith('MIN_'))
  t.same(
    limits.filter((name) => !listed.has(name)),
    [],
  )
  t.end()
})

void t.test('the types and roles of items in docs/protocol.md are those of the code', (t) => {
  const rows = table('### 1.2 Items').slice(2)
  const number = (cell = '') => (cell === '' ? undefined : Number(cell))
  const types = rows.map(([type = '', value]) => [type.replace(' (reserved)', ''), number(value)])
  const roles = rows.map(([, , , role = '', value]) => [role, number(value)]).filter(([role]) => role !== '')
  t.same(Object.fromEntries(types), TYPE)
  t.same(Object.fromEntries(roles), ROLE)
  t.end()
})
