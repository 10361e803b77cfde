/// <reference lib="dom" />
/** Node-RED's editor in a real Chromium, driven by mouse and keyboard as a user does. */
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Browser, Locator, Page } from 'playwright-core'
import { until } from '../../support/until.js'

/** The part of the editor's own interface that is asked, never told. */
interface EditorNode {
  readonly id: string
  readonly type: string
  readonly valid: boolean
}
interface Red {
  readonly nodes: {
    eachNode(each: (node: EditorNode) => void): void
    eachConfig(each: (node: EditorNode) => void): void
    dirty(): boolean
    getType(type: string): {
      readonly category: string
      readonly defaults: Readonly<Record<string, { readonly type?: string }>>
      readonly inputs?: number
      readonly outputs?: number
    }
  }
}
declare const RED: Red

export type Theme = 'light' | 'dark'
interface Clip {
  readonly x: number
  readonly y: number
  readonly width: number
  readonly height: number
}
/** Of Debian's package; nothing is downloaded for the tests. */
export const CHROMIUM = '/usr/bin/chromium'
const WAIT_MS = 15_000
/** Folder for pictures. */
const PICTURES = process.env['FIELDWHISPER_PICTURES']

export class Editor {
  readonly page: Page
  /** What the browser complained of: errors in the console, exceptions, requests that failed. */
  readonly complaints: string[] = []

  private constructor(page: Page) {
    this.page = page
  }

  /** Opens the editor at `url`. */
  static async open(browser: Browser, url: string): Promise<Editor> {
    const context = await browser.newContext({
      viewport: { width: 1_280, height: 800 },
      colorScheme: 'light',
      reducedMotion: 'reduce',
      locale: 'en-US',
    })
    context.setDefaultTimeout(WAIT_MS)
    // Node-RED 5: the setting "as the system".
    await context.addInitScript(() => localStorage.setItem('view-dark-theme', 'auto'))
    // What runs in the page was translated for the test, with this helper around every function's name.
    await context.addInitScript({ content: 'globalThis.__name = (it) => it' })
    // The list of packages is somebody else's server: nothing of this test leaves the machine.
    await context.route(
      (asked) => asked.hostname !== '127.0.0.1',
      (route) => route.fulfill({ json: { name: 'none', updated_at: '2026-01-01T00:00:00Z', modules: [] } }),
    )
    const page = await context.newPage()
    const editor = new Editor(page)
    page.on('pageerror', (error) => editor.complaints.push(String(error.stack)))
    page.on('console', (message) => {
      if (message.type() === 'error') editor.complaints.push(`${message.text()} (${message.location().url})`)
    })
    page.on('requestfailed', (request) =>
      editor.complaints.push(`${request.url()} failed: ${request.failure()?.errorText}`),
    )
    page.on('response', (response) => {
      if (response.status() >= 400) editor.complaints.push(`${response.url()} answered ${response.status()}`)
    })
    await page.goto(url)
    await page.locator('.red-ui-palette-node').first().waitFor()
    await page.locator('#red-ui-loading-progress').waitFor({ state: 'hidden' })
    return editor
  }

  /** Runs steps; where one fails, its error names a picture of what was on the screen. */
  async steps(run: () => Promise<void>): Promise<void> {
    try {
      await run()
    } catch (cause) {
      const path = join(tmpdir(), `fieldwhisper-editor-${process.pid}.png`)
      await this.page.screenshot({ path })
      throw new Error(`${String(cause)}\non the screen: ${path}\n${this.complaints.join('\n')}`, { cause })
    } finally {
      await this.page.context().close()
    }
  }

  /**
   * A picture for the documents, where `npm run pictures` asks for them: a part of the screen, or a dialog without the empty part
   * below its form, or all.
   */
  async picture(name: string, of?: Clip | Locator): Promise<void> {
    if (PICTURES === undefined) return
    const clip = of === undefined || 'width' in of ? of : await this.#form(of)
    const style = '#red-ui-notifications { visibility: hidden }'
    await this.page.screenshot({ path: join(PICTURES, `${name}.png`), style, ...(clip && { clip }) })
  }

  async #form(dialog: Locator): Promise<Clip> {
    const { x, y, width } = (await dialog.boundingBox())!
    const last = (await dialog.locator('.form-row:visible, .form-tips:visible').last().boundingBox())!
    return { x, y, width, height: last.y + last.height + 16 - y }
  }

  /** What the system asks for; Node-RED 4 has one theme, Node-RED 5 follows. */
  async theme(theme: Theme, major: number): Promise<void> {
    await this.page.emulateMedia({ colorScheme: theme })
    const dark = this.page.locator('html.nr-theme-dark')
    if (major >= 5) await dark.waitFor({ state: theme === 'dark' ? 'attached' : 'detached' })
  }

  /** Types into the palette's filter and waits until the entry of this type stands still among the few that are left. */
  async find(type: string, filter: string): Promise<Locator> {
    const { page } = this
    await page.locator('#red-ui-palette-search input').click()
    await page.keyboard.press('ControlOrMeta+a')
    await page.keyboard.type(filter)
    await page.locator('.red-ui-palette-node[data-palette-type="split"]').waitFor({ state: 'hidden' })
    const entry = page.locator(`.red-ui-palette-node[data-palette-type="${type}"]`)
    await entry.scrollIntoViewIfNeeded()
    await still(entry)
    return entry
  }

  /** Drags a node from the palette onto the canvas, its middle at `x`, `y` of the canvas. Returns its id. */
  async drag(type: string, filter: string, x: number, y: number): Promise<string> {
    const before = await this.nodes()
    const from = await centre(await this.find(type, filter))
    const canvas = (await this.page.locator('#red-ui-workspace-chart').boundingBox())!
    const { mouse } = this.page
    await mouse.move(from.x, from.y)
    await mouse.down()
    await mouse.move(from.x + 20, from.y + 5, { steps: 3 })
    await mouse.move(canvas.x + x, canvas.y + y, { steps: 6 })
    await mouse.up()
    return until(
      async () => (await this.nodes()).find(({ id }) => !before.some((old) => old.id === id))?.id,
      { withinMs: WAIT_MS, what: `${type} on the canvas` },
    )
  }

  /** From the output `port` of one node to the input of another. */
  async wire(from: string, to: string, port = 0): Promise<void> {
    const start = await centre(
      this.node(from).locator('.red-ui-flow-port-output .red-ui-flow-port').nth(port),
    )
    const end = await centre(this.node(to).locator('.red-ui-flow-port-input .red-ui-flow-port'))
    const { mouse } = this.page
    await mouse.move(start.x, start.y)
    await mouse.down()
    await mouse.move((start.x + end.x) / 2, (start.y + end.y) / 2, { steps: 4 })
    await mouse.move(end.x, end.y, { steps: 4 })
    await mouse.up()
  }

  node(id: string): Locator {
    return this.page.locator(`[id="${id}"]`)
  }

  /** Double-clicks a node; its dialog is open. */
  async open(id: string): Promise<void> {
    const { x, y } = await centre(this.node(id).locator('.red-ui-flow-node').first())
    await this.page.mouse.dblclick(x, y)
    await this.page.locator('#node-dialog-ok').waitFor()
    await this.settled()
  }

  /** Opens the dialog of a config node from the dialog of the node that uses it. */
  async openConfig(property: string, which: 'add' | 'edit'): Promise<void> {
    await this.page.locator(`#node-input-btn-${property}-${which}`).click()
    await this.page.locator('#node-config-dialog-ok').waitFor()
    await this.settled()
  }

  /** Presses Done, or Add or Update of a config node's dialog. */
  async done(dialog: 'node' | 'config' = 'node'): Promise<void> {
    const button = this.page.locator(dialog === 'node' ? '#node-dialog-ok' : '#node-config-dialog-ok')
    await button.click()
    await button.waitFor({ state: 'detached' })
    await (dialog === 'node' ? this.closed() : this.settled())
  }

  /** The dialog that lies on top. */
  get dialog(): Locator {
    return this.page.locator('.red-ui-tray').last()
  }

  /** Dialogs slide; what is clicked before they stand is not what was meant. Only the top one is in the page. */
  async settled(): Promise<void> {
    await still(this.dialog)
  }

  async closed(): Promise<void> {
    await this.page.locator('.red-ui-tray').waitFor({ state: 'detached' })
    await this.page.locator('#red-ui-header-shade').waitFor({ state: 'hidden' })
  }

  /** Deploys all that was changed and waits until the editor says that it is done. */
  async deploy(): Promise<void> {
    await this.page.locator('#red-ui-header-button-deploy').click()
    await until(() => this.page.evaluate(() => !RED.nodes.dirty()), {
      withinMs: WAIT_MS,
      what: 'the flows are deployed',
    })
    await this.page.locator('.red-ui-deploy-button-spinner').waitFor({ state: 'hidden' })
  }

  /** Text below a node on the canvas; waits until it is as wanted. */
  async status(id: string, wanted: RegExp): Promise<string> {
    const label = this.node(id).locator('.red-ui-flow-node-status-label')
    let last = ''
    return until(
      async () => {
        last = (await label.textContent()) ?? ''
        return wanted.test(last) && last
      },
      { withinMs: WAIT_MS, what: `the status ${String(wanted)} of a node`, everyMs: 50 },
    ).catch((error: unknown) => {
      throw new Error(`${String(error)}; it was "${last}"`)
    })
  }

  /** Opens the debug panel; `message` waits for one that holds a text. */
  async showDebug(): Promise<void> {
    await this.page.evaluate(() => (RED as any).sidebar.show('debug'))
    await this.page.locator('.red-ui-debug-content-list').waitFor()
  }

  async message(text: string | RegExp): Promise<Locator> {
    const found = this.page.locator('.red-ui-debug-msg').filter({ hasText: text }).last()
    await found.waitFor()
    return found
  }

  /** The help of a node type, as the help panel shows it. */
  async help(type: string): Promise<Locator> {
    await this.page.evaluate((chosen) => (RED as any).sidebar.help.show(chosen, true), type)
    const help = this.page.locator('.red-ui-help').last()
    await help.locator('h3').first().waitFor()
    return help
  }

  /** Menu, Import, Examples: takes one of this palette's. Returns what is new on the canvas. */
  async importExample(path: readonly string[]): Promise<readonly EditorNode[]> {
    const before = await this.nodes()
    const { page } = this
    await page.locator('#red-ui-header-button-sidemenu').click()
    await page.locator('#menu-item-import').click()
    const dialog = page.locator('#red-ui-clipboard-dialog')
    await dialog.waitFor()
    await dialog.getByRole('link', { name: 'Examples' }).click()
    for (const [index, name] of path.entries()) {
      const row = dialog
        .locator('#red-ui-clipboard-dialog-import-tab-examples .red-ui-treeList-label')
        .filter({ hasText: new RegExp(`^\\s*${name}\\s*$`) })
        .last()
      await row.waitFor()
      if (index === path.length - 1) await row.click()
      else if (!/expanded/.test((await row.locator('xpath=..').getAttribute('class')) ?? ''))
        await row.click()
    }
    const button = page.locator('#red-ui-clipboard-dialog-ok')
    await button.click()
    await dialog.waitFor({ state: 'hidden' })
    return until(
      async () => {
        const added = (await this.nodes()).filter(({ id }) => !before.some((old) => old.id === id))
        return added.length > 0 && added
      },
      { withinMs: WAIT_MS, what: `the nodes of ${path.join(' / ')}` },
    )
  }

  nodes(): Promise<EditorNode[]> {
    return this.page.evaluate(() => {
      const found: EditorNode[] = []
      RED.nodes.eachNode(({ id, type, valid }) => void found.push({ id, type, valid }))
      return found
    })
  }

  /** How a node type was registered: config nodes that it needs, and its ports. */
  registered(
    type: string,
  ): Promise<{ category: string; inputs: number; outputs: number; needs: readonly [string, string][] }> {
    return this.page.evaluate((asked) => {
      const { category, inputs = 0, outputs = 0, defaults } = RED.nodes.getType(asked)
      const needs = Object.entries(defaults).flatMap(([name, { type }]): [string, string][] =>
        type === undefined ? [] : [[name, type]],
      )
      return { category, inputs, outputs, needs }
    }, type)
  }

  /** What a user could not read in the open dialog: labels without text, keys in place of texts, texts that do not stand out. */
  unreadable(): Promise<string[]> {
    return this.dialog.evaluate(unreadableIn)
  }
}

/** Runs in the page. WCAG asks for a contrast of 4.5; Node-RED's own grey labels have 4 and more. */
function unreadableIn(dialog: Element): string[] {
  const LEAST = 3
  const key = /^[a-z][\w-]*(:[\w-]+)?(\.[\w-]+)+$/
  const channels = (colour: string): number[] => (colour.match(/[\d.]+/g) ?? []).map(Number)
  const brightness = ([r = 0, g = 0, b = 0]: number[]): number => {
    const linear = (c: number): number =>
      c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4
    return 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
  }
  const behind = (start: Element): number[] => {
    for (let at: Element | null = start; at; at = at.parentElement) {
      const colour = channels(getComputedStyle(at).backgroundColor)
      if (colour.length === 3 || (colour[3] ?? 0) > 0.9) return colour
    }
    return [255, 255, 255]
  }
  const problems: string[] = []
  const shown = (element: Element): boolean => element.getClientRects().length > 0
  for (const element of dialog.querySelectorAll<HTMLElement>(
    '.form-row label, .form-row [data-i18n], .form-row option, .form-tips, .form-row span[id]',
  )) {
    const text = (element.textContent ?? '').trim()
    const where = element.id || element.getAttribute('for') || element.outerHTML.slice(0, 80)
    const placeholder = element.getAttribute('placeholder') ?? ''
    if (key.test(text) || key.test(placeholder)) problems.push(`${where}: "${text}${placeholder}" is a key`)
    if (element.matches('label[for]') && shown(element) && text === '') problems.push(`${where}: no text`)
    if (text === '' || !shown(element) || element.matches('option')) continue
    const [a, b] = [channels(getComputedStyle(element).color), behind(element)].map(brightness) as [
      number,
      number,
    ]
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)
    if (contrast < LEAST) problems.push(`${where}: "${text}" has a contrast of ${contrast.toFixed(1)}`)
  }
  return problems
}

/** Until two looks find it at the same place. */
async function still(element: Locator): Promise<void> {
  let last = ''
  await until(
    async () => {
      const before = last
      last = JSON.stringify(await element.boundingBox())
      return last !== 'null' && last === before
    },
    { withinMs: WAIT_MS, what: 'something that stands still', everyMs: 60 },
  )
}

async function centre(element: Locator): Promise<{ x: number; y: number }> {
  const box = (await element.boundingBox())!
  return { x: box.x + box.width / 2, y: box.y + box.height / 2 }
}
