/** The palette in a real Node-RED beside a real gateway: found, imported, shown in the editor, guarded, and running. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { files, read, root } from '../../support/repository.js'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { here } from '../support/process.js'
import { Agent, counterSource } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

const TYPES = ['fieldwhisper-gateway', 'fieldwhisper-in', 'fieldwhisper-agents', 'fieldwhisper-command']

interface FlowNode {
  readonly id: string
  readonly type: string
  readonly [property: string]: unknown
}

/** An editor with one user, and its flows printed where they have a debug node. */
const SETTINGS = `module.exports = {
  uiHost: '127.0.0.1',
  flowFile: 'flows.json',
  credentialSecret: 'of the test',
  logging: { console: { level: 'info', audit: false } },
  adminAuth: {
    type: 'credentials',
    users: (name) => Promise.resolve(name === 'operator' ? { username: name, permissions: '*' } : null),
    authenticate: (name, password) =>
      Promise.resolve(name === 'operator' && password === 'of the test' ? { username: name, permissions: '*' } : null),
  },
}
`

void t.test('every example runs in Node-RED on the readings of a site', { timeout: 150_000 }, async (t) => {
  const site = await WireSite.start(t, { name: 'counter' })
  const { mqtt } = await site.status()
  const password = readFileSync(join(site.gateway.stateDir, 'mqtt-password'), 'utf8').trim()
  const agent = new Agent(
    here,
    'pump-7',
    { folder: temporaryFolder(t) },
    {
      lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
      sources: [counterSource(5)],
    },
  )
  await agent.command('join', await site.gateway.enroll('pump-7'))
  const readings = agent.spawn('run')
  t.teardown(() => readings.stop())

  const flows = files('node-red-nodes/examples').flatMap((path) => JSON.parse(read(path)) as FlowNode[])
  const gateways = flows.filter(({ type }) => type === 'fieldwhisper-gateway').map(({ id }) => id)
  const deployed = flows.map((one) => {
    if (one.type === 'fieldwhisper-gateway') return { ...one, url: mqtt.broker.address }
    if (one.type === 'debug') return { ...one, console: true, tosidebar: false }
    return one
  })

  const folder = temporaryFolder(t)
  const port = await freePort()
  writeFileSync(join(folder, 'settings.js'), SETTINGS)
  const nodeRed = here.spawn(process.execPath, [
    join(root, 'node_modules/node-red/red.js'),
    ...['--userDir', folder, '--settings', join(folder, 'settings.js'), '--port', String(port)],
  ])
  t.teardown(() => nodeRed.stop())
  const at = (path: string): string => `http://127.0.0.1:${port}/${path}`
  await until(
    () =>
      fetch(at('auth/login')).then(
        ({ ok }) => ok,
        () => false,
      ),
    {
      withinMs: 60_000,
      what: 'Node-RED answers',
      everyMs: 200,
    },
  )

  const list = `fieldwhisper/gateway/${gateways[0]!}/directory`
  t.equal((await fetch(at(list))).status, 401, 'a stranger gets no list')
  const login = await fetch(at('auth/token'), {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      client_id: 'node-red-editor',
      grant_type: 'password',
      scope: '*',
      username: 'operator',
      password: 'of the test',
    }),
  })
  const { access_token: token } = (await login.json()) as { access_token: string }
  const get = (path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(at(path), {
      ...init,
      headers: {
        authorization: `Bearer ${token}`,
        accept: 'application/json',
        'content-type': 'application/json',
        'node-red-api-version': 'v2',
      },
    })

  const sets = (await (await get('nodes')).json()) as {
    module: string
    name: string
    types: string[]
    enabled: boolean
    err?: string
  }[]
  const own = sets.filter(({ module }) => module === '@fieldwhisper/node-red-nodes')
  t.same(own.flatMap(({ types }) => types).sort(), [...TYPES].sort(), 'the palette is found')
  t.ok(own.every(({ enabled, err }) => enabled && err === undefined))
  for (const { name } of own) {
    const texts = await (await get(`locales/@fieldwhisper/node-red-nodes/${name}?lng=en-US`)).json()
    t.same(texts, JSON.parse(read(`node-red-nodes/nodes/locales/en-US/${name}.json`)), `texts of ${name}`)
    const help = await fetch(at(`nodes/@fieldwhisper/node-red-nodes/${name}`), {
      headers: { authorization: `Bearer ${token}`, accept: 'text/html', 'accept-language': 'en-US' },
    })
    t.match(await help.text(), `data-help-name="${name}"`, `help of ${name}`)
  }

  const credentials = Object.fromEntries(gateways.map((id) => [id, { user: 'fieldwhisper', password }]))
  const deploy = await get('flows', {
    method: 'POST',
    body: JSON.stringify({ flows: deployed, credentials }),
  })
  t.equal(deploy.status, 200)
  const said = (pattern: RegExp): boolean =>
    [...nodeRed.stdout, ...nodeRed.stderr].some((line) => pattern.test(line))
  await until(() => said(/\[debug:reading\]/), { withinMs: 30_000, what: 'a reading in the debug panel' })
  await until(() => said(/name: 'counter'/), { withinMs: 30_000, what: 'the reading of the agent' })
  await until(
    async () => {
      const found = (await (await get(list)).json()) as { agents?: { agent: string; names: string[] }[] }
      return found.agents?.some(({ agent, names }) => agent === 'pump-7' && names.includes('counter'))
    },
    { withinMs: 30_000, what: 'the agent in the list for the editor', everyMs: 500 },
  )

  const exported = await (await get('flows')).text()
  t.notMatch(exported, password, 'flows hold no password')
  t.notMatch(readFileSync(join(folder, 'flows.json'), 'utf8'), password)
  t.notOk(said(/\[error\]|Uncaught|at Object\./), 'no error was written')
  const { code } = await nodeRed.stop()
  t.equal(code, 0)
  t.same(nodeRed.survivors(), [])
})
