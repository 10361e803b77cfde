import t from 'tap'
import type { AgentPresence } from '../../../gateway/src/bridge/payload.js'
import { message } from '../../../gateway/src/bridge/topics.js'
import { agentStatus } from '../gateway/bridge-support.js'
import {
  commandBroker,
  gatewayNode,
  gatewayState,
  node,
  run,
  sink,
  startBroker,
  TAB,
  topics,
} from './support.js'

const time = '2026-03-04T05:06:07.890Z'
const agents = (change: object = {}): object =>
  node('agents', 'fieldwhisper-agents', { wires: [['states'], ['events']], ...change })
const state = (agent: string, presence: AgentPresence) =>
  message(topics.agent(agent), agentStatus(presence), true)
const event = (level: 'info' | 'warn' | 'error', change: object = {}) =>
  message(topics.events, { level, code: 'FW_X', message: 'x', time, ...change }, false)

void t.test('states come at output 1, the known ones first, and are counted in the status', async (t) => {
  const { broker, port } = await startBroker(t)
  await broker.publish(gatewayState('online'))
  await broker.publish(state('pump-7', 'online'))
  const flow = await run(t, [TAB, gatewayNode(port), agents(), sink('states'), sink('events')])
  await flow.untilSeen('states', 2)
  await flow.untilStatus('agents', '1 online, 0 late, 0 away')
  const payloads = () => flow.seen('states').map(({ payload }) => payload)
  t.strictSame(
    payloads().sort((a, b) => (a.kind < b.kind ? -1 : 1)),
    [
      { kind: 'agent', site: 'hall', agent: 'pump-7', ...agentStatus('online') },
      { kind: 'gateway', site: 'hall', state: 'online', time },
    ],
  )
  await broker.publish(state('oven/2', 'late'))
  await flow.untilStatus('agents', '1 online, 1 late, 0 away')
  t.match(flow.statuses('agents').at(-1), { fill: 'yellow', shape: 'dot' })
  t.match((await flow.untilSeen('states', 3)).at(-1), {
    topic: 'fieldwhisper/hall/$agents/oven%2F2/status',
    payload: { kind: 'agent', agent: 'oven/2', state: 'late' },
  })
  await broker.publish(state('pump-7', 'offline'))
  await flow.untilStatus('agents', '0 online, 1 late, 1 away')
  t.match(flow.statuses('agents').at(-1), { fill: 'red', shape: 'ring' })
  await broker.publish({ topic: topics.agent('pump-7'), payload: new Uint8Array(0), retain: true })
  await flow.untilStatus('agents', '0 online, 1 late, 0 away')
  t.match((await flow.untilSeen('states', 5)).at(-1), { payload: { agent: 'pump-7', state: 'removed' } })
  t.same(flow.seen('events'), [])
})

void t.test('events come at output 2, from a level on, and once', async (t) => {
  const { broker, port } = await startBroker(t)
  const flow = await run(t, [
    TAB,
    gatewayNode(port),
    agents({ level: 'warn', agent: 'pump-*' }),
    sink('states'),
    sink('events'),
  ])
  await flow.untilStatus('agents', 'connected')
  const sent = [
    event('info'),
    event('warn', { id: 'e1', agent: 'pump-7' }),
    event('warn', { id: 'e1', agent: 'pump-7' }),
    event('error', { agent: 'oven-2' }),
    event('error'),
    event('error'),
    event('critical' as 'error', { id: 'e2' }),
  ]
  for (const one of sent) await broker.publish(one)
  await broker.publish({ topic: topics.events, payload: Buffer.from('no json'), retain: false })
  await broker.publish(event('error', { id: 'last', fields: { lost: 3 } }))
  const seen = await flow.untilSeen('events', 5)
  t.match(seen, [
    {
      topic: 'fieldwhisper/hall/$events',
      payload: { level: 'warn', id: 'e1', code: 'FW_X', message: 'x', time },
    },
    { payload: { level: 'error' } },
    { payload: { level: 'error' } },
    { payload: { level: 'critical', id: 'e2' } },
    { payload: { id: 'last', fields: { lost: 3 } } },
  ])
  t.same(flow.seen('states'), [])
})

void t.test('states of other agents are not delivered, and a wrong choice is named', async (t) => {
  const { broker, port } = await startBroker(t)
  const flow = await run(t, [
    TAB,
    gatewayNode(port),
    agents({ agent: 'pump-7' }),
    node('long', 'fieldwhisper-agents', { agent: 'x'.repeat(129) }),
    node('none', 'fieldwhisper-agents', { gateway: '' }),
    sink('states'),
    sink('events'),
  ])
  await flow.untilStatus('long', 'agent not valid')
  t.match(flow.statuses('none'), [{ fill: 'red', text: 'no gateway chosen' }])
  await flow.untilStatus('agents', 'connected')
  await broker.publish(state('pump-8', 'online'))
  await broker.publish({ topic: topics.agent('pump-7'), payload: Buffer.from('['), retain: false })
  await broker.publish({ topic: topics.gateway, payload: Buffer.from('['), retain: false })
  await broker.publish(state('pump-7', 'online'))
  t.match(await flow.untilSeen('states', 1), [{ payload: { agent: 'pump-7' } }])
})

void t.test('a user who may not read states is told so', async (t) => {
  const { broker, port } = await commandBroker(t, () => undefined)
  broker.authorizeSubscribe = (_client, subscription, done) =>
    done(null, subscription.topic.includes('$agents') ? null : subscription)
  const flow = await run(t, [TAB, gatewayNode(port), agents(), sink('states'), sink('events')])
  await flow.untilStatus('agents', 'user may not read this')
})
