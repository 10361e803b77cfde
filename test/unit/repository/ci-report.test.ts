import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { root } from '../../support/repository.js'

/** What .ci/report.mjs makes of the output of one tap run. */
function report(t: Test, tap: string, exitCode: number): { totals: string; text: string } {
  const folder = temporaryFolder(t)
  writeFileSync(join(folder, 'tap'), tap)
  const args = [
    join(root, '.ci/report.mjs'),
    'units',
    join(folder, 'tap'),
    String(exitCode),
    join(folder, 'totals'),
  ]
  const text = execFileSync(process.execPath, args, { encoding: 'utf8' })
  return { totals: readFileSync(join(folder, 'totals'), 'utf8').trim(), text }
}

const good = `# Subtest: a.test.ts
    ok 1 - one
    # { total: 9, pass: 9, fail: 9 }
    not ok 2 - printed by a program under test, not by tap
ok 1 - a.test.ts
# { total: 12, pass: 12 }
`

void t.test('counts are those of the last unindented summary', (t) => {
  t.equal(report(t, good, 0).totals, '12 0 0')
  const failing = `    not ok 1 - two is three\n      ---\n      diff: here\n      ...\n# { total: 3, pass: 2, fail: 1 }\n`
  const { totals, text } = report(t, failing, 1)
  t.equal(totals, '2 1 0')
  t.match(text, 'two is three')
  t.match(text, 'diff: here')
  t.end()
})

void t.test('a skipped or postponed test is a failure', (t) => {
  const skipping = `    ok 1 - hosts reach each other # SKIP needs root\n# { total: 5, pass: 3, todo: 1, skip: 1 }\n`
  const { totals, text } = report(t, skipping, 0)
  t.equal(totals, '3 2 0')
  t.match(text, 'hosts reach each other: needs root')
  t.end()
})

void t.test('a run without tests, without an end or with an odd exit code has failed', (t) => {
  t.equal(report(t, '# { total: 0 }\n', 0).totals, '0 1 0')
  t.equal(report(t, 'error TS2307: Cannot find module\n', 2).totals, '0 1 0')
  t.match(report(t, 'error TS2307: Cannot find module\n', 2).text, 'TS2307')
  t.equal(report(t, '', 137).totals, '0 1 0')
  t.equal(report(t, good, 1).totals, '12 1 0')
  t.end()
})
