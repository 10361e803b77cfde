import { createServer } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { message } from '../../../gateway/src/bridge/topics.js'
import { agentStatus } from '../gateway/bridge-support.js'
import { gatewayNode, PASSWORD, run, startBroker, TAB, told, topics } from './support.js'

const list = (id = 'gw') => `/fieldwhisper/gateway/${id}/directory`

void t.test('the editor is told which agents and names the gateway knows', async (t) => {
  const { broker, port, clients } = await startBroker(t)
  await broker.publish(told('pump-7', 'temp', 1, 1))
  await broker.publish(told('pump-7', 'flow', 1, 2))
  await broker.publish(told('oven/2', 'température', 1, 3))
  await broker.publish(message(topics.agent('pump-7'), agentStatus('late'), true))
  await broker.publish(message(topics.agent('new'), agentStatus('waiting'), true))
  const flow = await run(t, [TAB, gatewayNode(port)])
  t.equal(clients(), 0, 'a gateway node that nobody uses does not connect')
  const [one, two] = await Promise.all([flow.helper.request().get(list()), flow.helper.request().get(list())])
  t.equal(one.status, 200)
  t.equal(one.headers['cache-control'], 'no-store')
  t.same(one.body, {
    complete: true,
    agents: [
      { site: 'hall', agent: 'new', state: 'waiting', names: [] },
      { site: 'hall', agent: 'oven/2', names: ['température'] },
      { site: 'hall', agent: 'pump-7', state: 'late', names: ['flow', 'temp'] },
    ],
  })
  t.same(two.body, one.body)
  await until(() => clients() === 0, {
    withinMs: 1_000,
    what: 'the end of the connection for the question',
    everyMs: 2,
  })
})

void t.test('why there is no list is said in words', async (t) => {
  const { port } = await startBroker(t)
  const empty = await freePort()
  const deaf = createServer((socket) => socket.on('error', () => undefined).end()).listen(0, '127.0.0.1')
  await once(deaf, 'listening')
  t.teardown(() => deaf.close())
  const flow = await run(
    t,
    [
      TAB,
      gatewayNode(port),
      gatewayNode(empty, { id: 'empty' }),
      gatewayNode(1, { id: 'closing', url: `mqtt://127.0.0.1:${(deaf.address() as { port: number }).port}` }),
      gatewayNode(1, { id: 'wrong', url: 'nonsense' }),
    ],
    { gw: { user: 'fieldwhisper', password: 'wrong password' } },
  )
  const told = async (id: string) => {
    const { status, body, text } = await flow.helper.request().get(list(id))
    t.notMatch(text, /wrong password/)
    t.equal(status, 200, 'a browser writes every other answer into its console')
    t.same(Object.keys(body), ['error'])
    return body.error
  }
  t.same(await told('gw'), 'wrong user or password')
  t.same(await told('empty'), `no gateway at 127.0.0.1:${empty}`)
  t.match(await told('closing'), /closed the connection/)
  t.same(await told('wrong'), 'broker address is not valid')
  t.match(await told('not-there'), /Deploy the gateway node first/)
  t.match(await told('tab'), /Deploy the gateway node first/, 'nodes of other types have no list')
})

void t.test('user and password are credentials: no flow holds them', async (t) => {
  const { port } = await startBroker(t)
  const flow = await run(t, [TAB, gatewayNode(port)])
  const node = flow.helper.getNode('gw')
  t.match(node.credentials, { user: 'fieldwhisper', password: PASSWORD })
  const { user, password, ...rest } = node
  t.same([user, password], [undefined, undefined])
  t.notMatch(JSON.stringify(Object.keys(rest)), /password/)
})
