/** `npm run demo:node-red` as its user sees it: readings of this machine in the debug panel and on the page, which follows them. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { root } from '../../support/repository.js'
import { until } from '../../support/until.js'
import { CHROMIUM, Editor } from '../support/editor.js'
import { here } from '../support/process.js'

t.setTimeout(180_000)

void t.test(
  'a reading of this machine in the debug panel, and on the page',
  { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed` },
  async (t) => {
    const demo = here.spawn(process.execPath, [join(root, 'examples/dist/node-red.js')], {
      name: 'npm run demo:node-red',
      cwd: temporaryFolder(t),
    })
    t.teardown(() => demo.kill())
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] })
    t.teardown(() => browser.close())
    const url = /http:\S+/.exec(await demo.line(/Node-RED editor {2,}http:/, 120_000))![0]

    const editor = await Editor.open(browser, url)
    await editor.steps(async () => {
      const { page } = editor
      await editor.status('fwdemoin', /^connected$/)
      await editor.status('fwdemoagents', /^1 online, 0 late, 0 away$/)
      await editor.showDebug()
      const message = await editor.message(/fieldwhisper\/home\/[^/]+\/memory_used/)
      t.match(await message.textContent(), 'reading')
      t.same(
        (await editor.nodes()).filter(({ valid }) => !valid),
        [],
        'no node asks for more',
      )
      await editor.picture('demo-editor', { x: 0, y: 0, width: 1_280, height: 620 })

      await page.goto(`${url}readings`)
      const row = page.locator('tr', { hasText: 'memory_used' })
      const measured = row.locator('td').nth(3)
      await measured.waitFor()
      const before = await measured.textContent()
      await until(async () => (await measured.textContent()) !== before, {
        withinMs: 20_000,
        what: 'a newer reading on the page that is open',
        everyMs: 100,
      })
      t.match(await row.locator('td').allTextContents(), [
        /\S/,
        'memory_used',
        / GiB$/,
        /^\d\d:/,
        /^(lan|relay)$/,
      ])
      await editor.picture('demo-page', { x: 240, y: 0, width: 800, height: 570 })
      for (const theme of ['dark', 'light'] as const) {
        await page.emulateMedia({ colorScheme: theme })
        const colours = await page.evaluate(() => {
          const { color, backgroundColor } = getComputedStyle(document.querySelector('td')!)
          return { color, backgroundColor }
        })
        t.equal(
          colours.color,
          theme === 'dark' ? 'rgb(255, 255, 255)' : 'rgb(0, 0, 0)',
          `text of the ${theme} page`,
        )
      }
      t.same(editor.complaints, [], 'nothing to complain of')

      const { code } = await demo.stop(20_000, 'SIGINT')
      t.equal(code, 0)
      await page.getByText('Node-RED does not answer: these are the last readings.').waitFor()
      t.equal(await row.count(), 1)
    })
  },
)
