/** The palette in a real Node-RED beside a real gateway: found, imported, shown in the editor, guarded, and running. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { files, read } from '../../support/repository.js'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { startNodeRed } from '../support/node-red.js'
import { here } from '../support/process.js'
import { Agent, counterSource } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

const TYPES = ['gateway', 'in', 'agents', 'command', 'agent', 'publish'].map((type) => `fieldwhisper-${type}`)

interface FlowNode {
  readonly id: string
  readonly type: string
  readonly [property: string]: unknown
}

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
    if (one.type === 'fieldwhisper-agent') return { ...one, lan: false }
    if (one.type === 'debug') return { ...one, console: true, tosidebar: false }
    return one
  })

  const folder = temporaryFolder(t)
  const { program: nodeRed, at, get, deploy, said } = await startNodeRed(t, folder)
  const list = `fieldwhisper/gateway/${gateways[0]!}/directory`
  t.equal((await fetch(at(list))).status, 401, 'a stranger gets no list')
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
    const help = await get(`nodes/@fieldwhisper/node-red-nodes/${name}`, {
      headers: { accept: 'text/html', 'accept-language': 'en-US' },
    })
    t.match(await help.text(), `data-help-name="${name}"`, `help of ${name}`)
  }

  const invite = await site.gateway.enroll('node-red')
  const credentials: Record<string, object> = {}
  for (const { id, type } of flows) {
    if (type === 'fieldwhisper-gateway') credentials[id] = { user: 'fieldwhisper', password }
    if (type === 'fieldwhisper-agent') credentials[id] = { invite }
  }
  t.equal(await deploy(deployed, credentials), 200)
  await until(() => said(/\[debug:reading\]/), { withinMs: 30_000, what: 'a reading in the debug panel' })
  await until(() => said(/name: 'counter'/), { withinMs: 30_000, what: 'the reading of the agent' })
  await until(
    async () => {
      const found = (await (await get(list)).json()) as { agents?: { agent: string; names: string[] }[] }
      const has = (name: string, reading: string): boolean =>
        found.agents?.some(({ agent, names }) => agent === name && names.includes(reading)) === true
      return has('pump-7', 'counter') && has('node-red', 'room.temperature')
    },
    { withinMs: 30_000, what: 'both agents in the list for the editor', everyMs: 500 },
  )
  t.ok(said(/\[debug:kept\]/), 'what the flow published went on')

  const exported = await (await get('flows')).text()
  t.notMatch(exported, password, 'flows hold no password')
  const stored = readFileSync(join(folder, 'flows.json'), 'utf8')
  t.notMatch(stored, password)
  t.notOk(exported.includes(invite) || stored.includes(invite), 'and no invite')
  t.notOk(said(/\[error\]|Uncaught|at Object\./), 'no error was written')
  const { code } = await nodeRed.stop()
  t.equal(code, 0)
  t.same(nodeRed.survivors(), [])
})
