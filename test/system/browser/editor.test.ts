/** The palette in a real browser, as its users see it: Chromium, Node-RED's editor, a gateway and two agents. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { chromium } from 'playwright-core'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { files, read } from '../../support/repository.js'
import { CHROMIUM, Editor } from '../support/editor.js'
import { NODE_RED_MAJOR, startNodeRed } from '../support/node-red-with-palette.js'
import { cli, here } from '../support/process.js'
import { Agent } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

const manifest = JSON.parse(read('node-red-nodes/package.json')) as {
  'node-red': { nodes: Record<string, string> }
}
const TYPES = Object.keys(manifest['node-red'].nodes)
const EXAMPLES = files('node-red-nodes/examples')
const LABELS: Readonly<Record<string, string>> = Object.fromEntries(
  TYPES.map((type) => [
    type,
    /paletteLabel: '([^']+)'/.exec(read(`node-red-nodes/nodes/${type}.html`))?.[1] ?? '',
  ]),
)
const GATEWAY = 'fieldwhisper-gateway'
const GATEWAY_NAME = 'gateway of hall 2'

t.setTimeout(180_000)

interface BrowserSite {
  readonly address: string
  /** Of the broker's user `flows`. */
  readonly password: string
  /** For an agent named `line-3`. */
  readonly invite: string
}

/** A gateway, a user of its broker who may send commands, and two agents with readings that look like a factory's. */
async function startSite(t: Test): Promise<BrowserSite> {
  const site = await WireSite.start(t, { name: 'temperature' })
  const folder = temporaryFolder(t)
  const agents = {
    'pump-7': [
      { name: 'temperature', unit: 'Cel', waveform: 'sine', min: 40, max: 65, period: '60s' },
      { name: 'pressure', unit: 'Pa', waveform: 'triangle', min: 180_000, max: 220_000, period: '45s' },
      { name: 'flow', unit: 'l/s', waveform: 'sine', min: 2, max: 5, period: '30s' },
    ],
    'oven-2': [
      { name: 'temperature', unit: 'Cel', waveform: 'sine', min: 175, max: 185, period: '60s' },
      { name: 'door', waveform: 'square', min: 0, max: 1, period: '20s' },
    ],
  }
  for (const [name, readings] of Object.entries(agents)) {
    const agent = new Agent(
      here,
      name,
      { folder },
      {
        lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
        sources: [{ type: 'simulate', rate: 1, readings }],
      },
    )
    await agent.command('join', await site.gateway.enroll(name))
    const program = agent.spawn('run')
    t.teardown(() => program.stop())
  }
  const password = 'a password of the test'
  writeFileSync(join(folder, 'password'), `${password}\n`)
  const [node, program] = cli('gateway')
  const rights = ['--write', 'fieldwhisper/+/$agents/+/command', '--password-file', join(folder, 'password')]
  const added = await here.run(
    node,
    [program, 'broker', 'user', 'add', 'flows', ...rights, '--state', site.gateway.stateDir],
    { withinMs: 30_000 },
  )
  t.equal(added.code, 0, added.stderr)
  const { address } = (await site.status()).mqtt.broker
  return { address, password, invite: await site.gateway.enroll('line-3') }
}

void t.test(
  `Node-RED ${NODE_RED_MAJOR} in Chromium`,
  { skip: existsSync(CHROMIUM) ? false : `${CHROMIUM} is not installed` },
  async (t) => {
    const userDir = temporaryFolder(t)
    const [site, nodeRed, browser] = await Promise.all([
      startSite(t),
      startNodeRed(userDir),
      chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'] }),
    ])
    t.teardown(() => nodeRed.program.stop())
    t.teardown(() => browser.close())

    await t.test('every node: dragged in, filled in, deployed, seen to work', async (t) => {
      const editor = await Editor.open(browser, nodeRed.url)
      await editor.steps(() => works(t, editor, site))
    })
    await t.test('every dialog, help and example, light and dark', async (t) => {
      const editor = await Editor.open(browser, nodeRed.url)
      await editor.steps(() => looks(t, editor))
    })

    await browser.close()
    const flows = readFileSync(join(userDir, 'flows.json'), 'utf8')
    for (const secret of [site.password, site.invite]) t.notOk(flows.includes(secret), 'flows hold no secret')
    const { code } = await nodeRed.program.stop()
    t.equal(code, 0)
    t.same(nodeRed.program.survivors(), [])
  },
)

async function works(t: Test, editor: Editor, site: BrowserSite): Promise<void> {
  const { page } = editor

  // A gateway node with an address at which nobody is.
  const nowhere = `mqtt://127.0.0.1:${await freePort()}`
  const readings = await editor.drag('fieldwhisper-in', 'readings', 150, 60)
  await editor.open(readings)
  await page.getByText('choose a gateway to list its agents').waitFor()
  await editor.openConfig('gateway', 'add')
  await page.locator('#node-config-input-name').fill(GATEWAY_NAME)
  await page.locator('#node-config-input-url').fill(nowhere)
  await page.locator('#node-config-input-user').fill('flows')
  await page.locator('#node-config-input-password').fill(site.password)
  await editor.picture('fieldwhisper-gateway', editor.dialog)
  await editor.done('config')
  await page.getByText('Deploy the gateway node first').waitFor()
  await editor.done()

  const agents = await editor.drag('fieldwhisper-agents', 'agents', 150, 160)
  const command = await editor.drag('fieldwhisper-command', 'command', 350, 280)
  for (const id of [agents, command]) {
    await editor.open(id)
    await page.locator('#node-input-gateway').selectOption({ label: GATEWAY_NAME })
    if (id === command) await page.locator('#node-input-agent').fill('pump-7')
    await editor.picture(id === command ? 'fieldwhisper-command' : 'fieldwhisper-agents', editor.dialog)
    await editor.done()
  }
  const [debug1, debug2, debug3] = [
    await editor.drag('debug', 'debug', 450, 60),
    await editor.drag('debug', 'debug', 450, 160),
    await editor.drag('debug', 'debug', 550, 280),
  ]
  const inject = await editor.drag('inject', 'inject', 130, 280)
  await editor.wire(readings, debug1)
  await editor.wire(agents, debug2)
  await editor.wire(inject, command)
  await editor.wire(command, debug3)
  await editor.deploy()
  const missing = new RegExp(`^no gateway at ${nowhere.slice('mqtt://'.length)}$`)
  for (const id of [readings, agents, command]) await editor.status(id, missing)
  await editor.picture('missing-gateway', { x: 180, y: 84, width: 560, height: 260 })

  // The list says the same, in the words of the status; then the address is put right.
  await editor.open(readings)
  await page.locator('#fieldwhisper-in-directory').getByText(missing).waitFor()
  await editor.openConfig('gateway', 'edit')
  await page.locator('#node-config-input-url').fill(site.address)
  await editor.done('config')
  await editor.done()
  await editor.deploy()
  await editor.status(readings, /^connected$/)
  await editor.status(agents, /^2 online, 0 late, 0 away$/)
  await editor.status(command, /^connected$/)

  await editor.showDebug()
  await editor.message(/fieldwhisper\/test\/(pump-7|oven-2)\/\w+/)
  await editor.message('kind: "agent"')
  await editor.node(inject).locator('.red-ui-flow-node-button-button').click()
  await editor.message('version:')
  await editor.status(command, /^done$/)
  await editor.picture('flow', { x: 0, y: 0, width: 1_280, height: 420 })

  await publishes(editor, site)

  // What the gateway knows is offered and picked.
  await editor.open(readings)
  await page.getByText('agents known at the gateway: 3').waitFor()
  await page.locator('#node-input-agent').click()
  await page.locator('#node-input-agent').pressSequentially('pump')
  const offered = page.locator('.red-ui-menu:visible').getByText('pump-7')
  await offered.waitFor()
  await editor.picture('fieldwhisper-in', editor.dialog)
  await offered.click()
  t.equal(await page.locator('#node-input-agent').inputValue(), 'pump-7')
  await page.locator('#node-input-reading').pressSequentially('temp')
  await page.locator('.red-ui-menu:visible').getByText('temperature').click()
  t.equal(await page.locator('#node-input-reading').inputValue(), 'temperature')
  await editor.done()
  await editor.deploy()
  await editor.status(readings, /^connected$/)
  t.match(await editor.node(readings).textContent(), 'pump-7 / temperature')

  // A wrong password is said, too.
  await editor.open(readings)
  await editor.openConfig('gateway', 'edit')
  await page.locator('#node-config-input-password').fill('another')
  await editor.done('config')
  await editor.done()
  await editor.deploy()
  for (const id of [readings, agents, command]) await editor.status(id, /^wrong user or password$/)
  t.same(editor.complaints, [], 'nothing to complain of')
}

/** A message becomes a sealed reading of an agent inside Node-RED, and comes back through the gateway into the debug panel. */
async function publishes(editor: Editor, site: BrowserSite): Promise<void> {
  const { page } = editor
  const publish = await editor.drag('fieldwhisper-publish', 'publish', 350, 380)
  await editor.open(publish)
  await editor.openConfig('agent', 'add')
  await page.locator('#node-config-input-name').fill('agent of line 3')
  await page.locator('#node-config-input-invite').fill(site.invite)
  await page.locator('#node-config-input-lan').uncheck()
  await editor.picture('fieldwhisper-agent', editor.dialog)
  await editor.done('config')
  await page.locator('#node-input-reading').fill('pieces')
  await editor.picture('fieldwhisper-publish', editor.dialog)
  await editor.done()
  const inject = await editor.drag('inject', 'inject', 130, 380)
  await editor.wire(inject, publish)
  await editor.deploy()
  await editor.node(inject).locator('.red-ui-flow-node-button-button').click()
  await editor.message('fieldwhisper/test/line-3/pieces')
  await editor.status(publish, /^sent$/)
}

/** Nothing is deployed here: each node is tried alone, whatever the palette holds. */
async function looks(t: Test, editor: Editor): Promise<void> {
  const { page } = editor
  const readable = async (what: string): Promise<void> => {
    for (const theme of ['light', 'dark'] as const) {
      await editor.theme(theme, NODE_RED_MAJOR)
      t.same(await editor.unreadable(), [], `${what}: its dialog, ${theme}`)
    }
  }
  const seen = new Set<string>()
  for (const [index, type] of TYPES.entries()) {
    const { category, needs } = await editor.registered(type)
    const help = await editor.help(type)
    t.same(
      await help.locator('h3').allTextContents(),
      ['Inputs', 'Outputs', 'Details', 'References'],
      `${type}: help`,
    )
    if (category === 'config') continue
    const entry = await editor.find(type, LABELS[type]!)
    t.equal((await entry.locator('.red-ui-palette-label').textContent())?.trim(), LABELS[type])
    const id = await editor.drag(type, LABELS[type]!, 160, 60 + 60 * index)
    await editor.open(id)
    await readable(type)
    for (const [property, config] of needs) {
      if (seen.has(config)) continue
      await editor.openConfig(property, 'add')
      await readable(config)
      seen.add(config)
      await page.locator('#node-config-dialog-cancel').click()
      await editor.settled()
    }
    await page.locator('#node-dialog-cancel').click()
    await editor.closed()
  }
  t.ok(seen.has(GATEWAY))

  for (const path of EXAMPLES) {
    const name = basename(path, '.json')
    const added = await editor.importExample(['@fieldwhisper/node-red-nodes', name])
    const wanted = (JSON.parse(read(path)) as { type: string; z?: string }[]).filter(
      ({ z }) => z !== undefined,
    )
    t.same(
      added.map(({ type }) => type).sort(),
      wanted.map(({ type }) => type).sort(),
      `${name}: all of its nodes`,
    )
    t.same(
      added.filter(({ valid }) => !valid),
      [],
      `${name}: no node asks for more`,
    )
  }
  t.same(editor.complaints, [], 'nothing to complain of')
}
