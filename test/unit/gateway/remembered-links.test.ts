import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { RememberedLinks } from '../../../gateway/src/remembered-links.js'
import { temporaryFolder } from '../../support/folder.js'

function reports(): { codes: string[]; event: (level: string, code: string) => void } {
  const codes: string[] = []
  return { codes, event: (_level, code) => void codes.push(code) }
}

void t.test('addresses are there again after a restart', (t) => {
  const folder = temporaryFolder(t)
  const reporter = reports()
  const targets = [{ address: '10.0.0.7', port: 24_708 }]
  new RememberedLinks(folder, reporter).save(targets)
  t.same(new RememberedLinks(folder, reporter).load(), targets)
  t.same(reporter.codes, [])
  t.end()
})

void t.test('addresses that cannot be written are said, and nothing else happens', (t) => {
  const reporter = reports()
  const links = new RememberedLinks(join(temporaryFolder(t), 'not-there'), reporter)
  links.save([{ address: '10.0.0.7', port: 24_708 }])
  t.same(reporter.codes, ['FW_LINKS_UNSAVED'])
  t.same(links.load(), [])
  t.end()
})

void t.test('a file that does not read is set aside and counts as none', (t) => {
  const folder = temporaryFolder(t)
  const reporter = reports()
  writeFileSync(join(folder, 'links.json'), '{"address":')
  t.same(new RememberedLinks(folder, reporter).load(), [])
  t.same(reporter.codes, ['FW_FILE_SET_ASIDE'])
  t.end()
})
