/** The command node in a real Node-RED, by the gateway's broker, to a real agent that allows what its configuration says. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { startNodeRed } from '../support/node-red.js'
import { cli, here } from '../support/process.js'
import { Agent } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

/** A web page asks: what it names is commanded, and it gets the answer, or what a Catch node got. */
const flow = (broker: string): object[] => [
  { id: 'tab', type: 'tab', label: 'ask' },
  { id: 'gw', type: 'fieldwhisper-gateway', name: '', url: broker, tls: '', site: '', topic: '' },
  { id: 'in', z: 'tab', type: 'http in', url: '/ask', method: 'get', upload: false, wires: [['prepare']] },
  work(
    'prepare',
    `const { args, ...rest } = msg.req.query
     return { ...msg, ...rest, topic: 'kept', ...(args && { args: JSON.parse(args) }) }`,
    'ask',
  ),
  {
    ...{
      id: 'ask',
      z: 'tab',
      type: 'fieldwhisper-command',
      gateway: 'gw',
      agent: '',
      command: '',
      args: '',
      ttl: '',
    },
    wires: [['done']],
  },
  work(
    'done',
    'const { topic, payload, reply } = msg; msg.payload = { topic, payload, reply }; return msg',
    'out',
  ),
  { id: 'caught', z: 'tab', type: 'catch', scope: ['ask'], uncaught: false, wires: [['failed']] },
  work(
    'failed',
    `const { message, code, cause } = msg.error
     msg.statusCode = 409; msg.payload = { message, code, cause }; return msg`,
    'out',
  ),
  { id: 'out', z: 'tab', type: 'http response', statusCode: '', headers: {}, wires: [] },
]

function work(id: string, func: string, to: string): object {
  return {
    ...{
      id,
      z: 'tab',
      type: 'function',
      func,
      outputs: 1,
      timeout: 0,
      noerr: 0,
      initialize: '',
      finalize: '',
    },
    ...{ libs: [], wires: [[to]] },
  }
}

void t.test('a flow has a device do things, and is told why not', { timeout: 150_000 }, async (t) => {
  const site = await WireSite.start(t, { name: 'uptime' })
  const folder = temporaryFolder(t)
  const agent = new Agent(
    here,
    'press',
    { folder },
    {
      lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
      sources: [{ type: 'system', interval: '1h', readings: ['uptime'] }],
      commands: { allow: ['ping', 'read_now'] },
    },
  )
  await agent.command('join', await site.gateway.enroll('press'))
  const device = agent.spawn('run')
  t.teardown(() => device.kill())
  await site.values(1)

  const [node, program] = cli('gateway')
  const passwordFile = join(folder, 'flows-password')
  writeFileSync(passwordFile, 'what the flows say\n')
  const rights = ['--write', 'fieldwhisper/+/$agents/+/command', '--password-file', passwordFile]
  const user = await here.run(
    node,
    [program, 'broker', 'user', 'add', 'flows', ...rights, '--state', site.gateway.stateDir],
    { withinMs: 30_000 },
  )
  t.equal(user.code, 0, user.stderr)
  const userDir = join(folder, 'node-red')
  await here.run('mkdir', [userDir])
  const { program: nodeRed, at, deploy, said } = await startNodeRed(t, userDir)
  const broker = (await site.status()).mqtt.broker.address
  const credentials = { gw: { user: 'flows', password: 'what the flows say' } }
  t.equal(await deploy(flow(broker), credentials), 200)
  const ask = async (query: Record<string, string>): Promise<{ status: number; told: any }> => {
    const answer = await fetch(at(`ask?${new URLSearchParams(query).toString()}`), {
      signal: AbortSignal.timeout(20_000),
    })
    return { status: answer.status, told: await answer.json() }
  }
  const pinged = (): Promise<boolean> =>
    ask({ agent: 'press', command: 'ping' }).then(
      ({ status }) => status === 200,
      () => false,
    )
  await until(pinged, { withinMs: 30_000, what: 'the command node to be connected', everyMs: 200 })

  const ping = await ask({ agent: 'press', command: 'ping' })
  t.equal(ping.status, 200)
  t.match(ping.told, {
    topic: 'kept',
    payload: { version: String },
    reply: { agent: 'press', command: 'ping', status: 'done', code: 'FW_COMMAND_DONE' },
  })
  const read = await ask({ agent: 'press', command: 'read_now', args: '{"source":"system"}' })
  t.equal(read.status, 200)
  t.ok(read.told.payload.uptime > 0)
  t.equal((await site.values(2))[1], read.told.payload.uptime, 'the same reading in MQTT')

  const refused = async (query: Record<string, string>, code: string, reply: object, message: RegExp) => {
    const { status, told } = await ask(query)
    t.equal(status, 409)
    t.match(told, { code, message, ...(Object.keys(reply).length > 0 && { cause: reply }) })
  }
  const NOT_DONE = 'FW_NODERED_COMMAND_NOT_DONE'
  await refused(
    { agent: 'press', command: 'restart_source', args: '{"source":"system"}' },
    NOT_DONE,
    { status: 'refused', code: 'FW_COMMAND_NOT_ALLOWED' },
    /press: restart_source refused\. .*commands\.allow.*\(FW_COMMAND_NOT_ALLOWED\)$/,
  )
  await refused(
    { agent: 'press', command: 'read_now', args: '{"source":"nobody"}' },
    NOT_DONE,
    { code: 'FW_COMMAND_ARGUMENTS' },
    /press: read_now/,
  )
  await refused(
    { agent: 'nobody', command: 'ping' },
    NOT_DONE,
    { code: 'FW_AGENT_UNKNOWN' },
    /nobody: ping .*\(FW_AGENT_UNKNOWN\)$/,
  )
  await refused({ command: 'ping' }, 'FW_NODERED_INPUT_INVALID', {}, /No agent/)
  device.signal('SIGSTOP')
  await refused(
    { agent: 'press', command: 'ping', ttl: '1' },
    NOT_DONE,
    { status: 'expired', code: 'FW_COMMAND_EXPIRED' },
    /press: ping expired\. .*\(FW_COMMAND_EXPIRED\)$/,
  )
  device.signal('SIGCONT')
  t.ok(await pinged(), 'and goes on')

  t.equal((await site.program.stop()).code, 0)
  await refused({ agent: 'press', command: 'ping' }, 'FW_NODERED_NOT_CONNECTED', {}, /nothing was sent/)
  t.notOk(said(/Uncaught/))
  t.equal((await nodeRed.stop()).code, 0)
  t.same(nodeRed.survivors(), [])
})
