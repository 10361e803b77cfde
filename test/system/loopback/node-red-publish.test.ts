/** A flow publishes in a real Node-RED while its gateway is killed and comes back: every reading arrives, once. */
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'mqtt'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { startNodeRed } from '../support/node-red.js'
import { cli, here } from '../support/process.js'
import { type AgentState } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

/** Twenty readings a second, numbered; the numbers go on over a deploy. */
const flow = (repeat: string, name: string): object[] => [
  { id: 'tab', type: 'tab', label: 'counter' },
  { id: 'agent', type: 'fieldwhisper-agent', name, folder: '', lan: false, room: '', full: 'drop_oldest' },
  {
    ...{ id: 'tick', z: 'tab', type: 'inject', props: [], repeat, crontab: '', once: false, onceDelay: 0.1 },
    ...{ topic: '', wires: [['count']] },
  },
  {
    ...{ id: 'count', z: 'tab', type: 'function', outputs: 1, timeout: 0, noerr: 0, wires: [['publish']] },
    func: `const n = (global.get('n') || 0) + 1; global.set('n', n); return { topic: 'counter', payload: n }`,
    ...{ initialize: '', finalize: '', libs: [] },
  },
  {
    id: 'publish',
    z: 'tab',
    type: 'fieldwhisper-publish',
    agent: 'agent',
    reading: '',
    unit: '',
    wires: [['out']],
  },
  { id: 'out', z: 'tab', type: 'debug', active: false, tosidebar: false, complete: 'payload', wires: [] },
]

void t.test(
  'a flow publishes over a gateway that is killed and over deploys',
  { timeout: 180_000 },
  async (t) => {
    const port = await freePort()
    const site = await WireSite.start(t, { name: 'counter', more: { mqtt: { embedded: { port } } } })
    await site.close()
    const seen: { id: string; value: number }[] = []
    const subscriber = connect(`mqtt://127.0.0.1:${port}`, {
      username: 'fieldwhisper',
      password: readFileSync(join(site.gateway.stateDir, 'mqtt-password'), 'utf8').trim(),
      clientId: 'every-reading',
      clean: false,
      reconnectPeriod: 100,
    })
    t.teardown(() => subscriber.endAsync(true))
    subscriber.on('message', (topic, payload, { retain }) => {
      if (!retain && topic === 'fieldwhisper/test/flows/counter') {
        seen.push(JSON.parse(String(payload)) as (typeof seen)[0])
      }
    })
    await subscriber.subscribeAsync('fieldwhisper/test/flows/#', { qos: 1 })

    const folder = temporaryFolder(t)
    const { program: nodeRed, deploy, said } = await startNodeRed(t, folder)
    const invite = await site.gateway.enroll('flows')
    t.equal(await deploy(flow('0.05', 'first'), { agent: { invite } }), 200)
    const stateDir = join(folder, 'fieldwhisper', 'agent')
    await until(() => seen.length >= 20, { withinMs: 30_000, what: 'readings before the gateway is killed' })
    t.equal(statSync(stateDir).mode & 0o777, 0o700)

    await site.program.kill()
    const status = async (): Promise<AgentState> => {
      const [node, program] = cli('agent')
      const { stdout } = await here.run(node, [program, 'status', '--json', '--state', stateDir])
      return JSON.parse(stdout) as AgentState
    }
    await until(async () => (await status()).spool?.held >= 20, {
      withinMs: 30_000,
      what: 'readings kept without a gateway',
      everyMs: 200,
    })
    // Twice in a row, with the invite as credentials have it: not sent again.
    t.equal(await deploy(flow('0.05', 'second'), {}), 200)
    t.equal(await deploy(flow('0.05', 'third'), {}), 200)

    const again = site.gateway.spawn('run')
    t.teardown(() => again.stop())
    const before = seen.length
    await until(() => seen.length >= before + 60, {
      withinMs: 40_000,
      what: 'readings after the gateway is back',
    })

    t.equal(await deploy(flow('', 'fourth'), {}), 200)
    const done = await until(
      async () => {
        const found = await status()
        return found.joined && found.spool.accepted > 0 && found.spool.held === 0 ? found : undefined
      },
      { withinMs: 30_000, what: 'everything is confirmed', everyMs: 200 },
    )
    t.match(done, { name: 'flows', lost: 0 })
    const { accepted } = done.spool
    const ids = (): number => new Set(seen.map(({ id }) => id)).size
    await until(() => ids() >= accepted, { withinMs: 20_000, what: `${accepted} readings in MQTT` })
    t.equal(ids(), accepted, 'what was kept arrived, and nothing else')
    t.equal(new Set(seen.map(({ value }) => value)).size, accepted, 'each number under one id')
    t.notOk(said(/\[error\]|Uncaught/), 'no error was written')
    t.equal((await nodeRed.stop()).code, 0)
    t.same(nodeRed.survivors(), [])
    t.ok(existsSync(join(stateDir, 'identity.json')))
  },
)
