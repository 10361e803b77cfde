/** `npm run demo:node-red`, the real one: a site and a Node-RED on loopback, a page with readings, and the end of all of it. */
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { read, root } from '../../support/repository.js'
import { until } from '../../support/until.js'
import { processes } from '../support/proc.js'
import { here, type Program } from '../support/process.js'

const DEMO = `${root}examples/dist/node-red.js`
/** A site is made, an agent joins and Node-RED loads, on a machine that may be busy. */
const READY_MS = 120_000

interface FlowNode {
  readonly id: string
  readonly type: string
  readonly url?: string
}

async function start(t: Test, folder: string): Promise<{ program: Program; editor: string }> {
  const program = here.spawn(process.execPath, [DEMO], { name: 'npm run demo:node-red', cwd: folder })
  t.teardown(() => program.kill())
  const line = await program.line(/Node-RED editor {2,}http:/, READY_MS)
  return { program, editor: /http:\S+/.exec(line)![0] }
}

function ofSite(folder: string): string[] {
  return processes()
    .map(({ command }) => command)
    .filter((command) => command.includes(join(folder, '.fieldwhisper')))
}

/** A row of the page with a reading of this machine: its name and how it came. */
async function reading(page: string): Promise<void> {
  const row = /<tr class="good">[^]*?<td>memory_used<\/td>[^]*?GiB[^]*?<td>(lan|relay)<\/td>/
  await until(async () => row.test(await (await fetch(page)).text()), {
    withinMs: 60_000,
    everyMs: 200,
    what: 'a reading of this machine on the page',
  })
}

async function ended(t: Test, program: Program, folder: string): Promise<void> {
  const done = await program.stop(20_000, 'SIGINT')
  t.equal(done.code, 0, 'Ctrl-C ends it with 0')
  t.match(done.stdout, /All have ended\. \.\/\.fieldwhisper keeps the site and the flows\./)
  t.same(done.stderr, '')
  t.same(ofSite(folder), [], 'nothing is left running')
}

t.setTimeout(300_000)

void t.test('the script of the manifest is what is tested here', (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  t.equal(scripts['demo:node-red'], 'tsc -b && node examples/dist/node-red.js')
  t.ok(existsSync(DEMO))
  t.end()
})

void t.test('a reading of this machine on the page; what the user made of the flow stays', async (t) => {
  const folder = temporaryFolder(t)
  // As in a checkout of this repository.
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  const squatter = createServer()
  t.teardown(() => squatter.close())
  // If another program was faster, so much the better.
  squatter.listen(1_880, '127.0.0.1')
  await Promise.race([once(squatter, 'listening'), once(squatter, 'error')])

  const first = await start(t, folder)
  await first.program.line(/port 1880 is taken by another program: Node-RED uses \d+$/, 0)
  const page = `${first.editor}readings`
  await first.program.line((line) => line.endsWith(page), 0)
  await reading(page)
  t.match((await fetch(page)).headers.get('content-type'), 'text/html')

  const get = async (): Promise<FlowNode[]> =>
    ((await (await fetch(`${first.editor}flows`)).json()) as FlowNode[]).filter(
      ({ type }) => type !== 'comment',
    )
  const flow = await get()
  const password = readFileSync(join(folder, '.fieldwhisper/gateway/mqtt-password'), 'utf8').trim()
  t.notMatch(JSON.stringify(flow), password, 'the flow holds no password')
  const userDir = join(folder, '.fieldwhisper/node-red')
  t.notMatch(readFileSync(join(userDir, 'flows_cred.json'), 'utf8'), password, 'and its file is encrypted')
  t.equal(statSync(userDir).mode & 0o777, 0o700)

  const strangers = [
    { origin: 'http://attacker.example', 'content-type': 'application/json' },
    { origin: first.editor.replace(/:\d+\/$/, ':1') },
  ]
  for (const headers of strangers) {
    const refused = await fetch(`${first.editor}flows`, { method: 'POST', headers, body: '[]' })
    t.equal(refused.status, 403, 'a page of another origin deploys nothing')
  }
  t.same(await get(), flow)

  // The user takes the page out, and renames a node.
  const mine = flow
    .filter(({ type }) => type !== 'http in')
    .map((node) => (node.type === 'fieldwhisper-in' ? { ...node, name: 'mine' } : node))
  const deployed = await fetch(`${first.editor}flows`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(mine),
  })
  t.equal(deployed.status, 204)
  await ended(t, first.program, folder)

  const second = await start(t, folder)
  const kept = (await (await fetch(`${second.editor}flows`)).json()) as FlowNode[]
  t.same(kept.map(({ id }) => id).sort(), mine.map(({ id }) => id).sort())
  t.match(
    kept.find(({ type }) => type === 'fieldwhisper-in'),
    { name: 'mine' },
  )
  t.equal((await fetch(`${second.editor}readings`)).status, 404)
  await ended(t, second.program, folder)
})

void t.test('the second Ctrl-C is not needed: one in mid-start ends all of it too', async (t) => {
  const folder = temporaryFolder(t)
  const program = here.spawn(process.execPath, [DEMO], { name: 'npm run demo:node-red', cwd: folder })
  t.teardown(() => program.kill())
  await program.line(/Node-RED started, process \d+$/, READY_MS)
  await ended(t, program, folder)
})

void t.test('a Node-RED that cannot start is given up, with its log named', async (t) => {
  const folder = temporaryFolder(t)
  // A node that takes Node-RED down with it.
  const broken = join(folder, '.fieldwhisper/node-red/node_modules/node-red-contrib-broken')
  mkdirSync(broken, { recursive: true })
  writeFileSync(
    join(broken, 'package.json'),
    '{"name":"node-red-contrib-broken","version":"1.0.0","node-red":{"nodes":{"broken":"broken.js"}}}',
  )
  writeFileSync(join(broken, 'broken.js'), 'process.exit(3)')
  writeFileSync(join(broken, 'broken.html'), '')
  const program = here.spawn(process.execPath, [DEMO], { name: 'npm run demo:node-red', cwd: folder })
  t.teardown(() => program.kill())
  const done = await program.exited(READY_MS)
  t.equal(done.code, 1)
  t.match(done.stdout, /Node-RED ended \(exit code 3\), is started again in 0\.5 s/)
  t.match(done.stderr, /^Node-RED does not start\. Its log is \.\/\.fieldwhisper\/logs\/node-red\.log\.$/)
  t.same(ofSite(folder), [])
})

void t.test('a mistake in the arguments is told with the help', async (t) => {
  const wrong = await here.run(process.execPath, [DEMO, '--prot', '1'])
  t.equal(wrong.code, 2)
  t.match(wrong.stderr, /Usage: npm run demo:node-red/)
  const help = await here.run(process.execPath, [DEMO, '--help'])
  t.equal(help.code, 0)
  t.match(help.stdout, /lets no page of another origin read or deploy flows/)
})
