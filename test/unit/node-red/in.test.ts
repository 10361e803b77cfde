import t from 'tap'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { gatewayNode, gatewayState, node, run, sink, startBroker, TAB, told, topics } from './support.js'
import type { AgentPresence } from '../../../gateway/src/bridge/payload.js'
import { message } from '../../../gateway/src/bridge/topics.js'
import { agentStatus } from '../gateway/bridge-support.js'

const one = (change: object = {}): object => node('in', 'fieldwhisper-in', { wires: [['out']], ...change })

void t.test('a reading becomes a message: the current one at once, then each as it comes', async (t) => {
  const { broker, port } = await startBroker(t)
  await broker.publish(gatewayState('online'))
  await broker.publish(told('pump-7', 'temp', 20.5, 1))
  const flow = await run(t, [TAB, gatewayNode(port), one(), sink('out')])
  await flow.untilStatus('in', 'connected')
  t.match(flow.statuses('in'), [
    { fill: 'yellow', shape: 'ring', text: 'connecting' },
    { fill: 'green', shape: 'dot', text: 'connected' },
  ])
  t.match(await flow.untilSeen('out', 1), [
    {
      topic: 'fieldwhisper/hall/pump-7/temp',
      payload: 20.5,
      reading: {
        site: 'hall',
        agent: 'pump-7',
        name: 'temp',
        unit: 'Cel',
        time: '2026-03-04T05:06:07.890Z',
        quality: 'good',
        clock: 'synchronised',
        path: 'lan',
        historical: false,
        retained: true,
        id: /-1-0$/,
      },
    },
  ])
  await broker.publish(told('pump-7', 'temp', 21, 2))
  await broker.publish(told('pump-7', 'temp', 21, 2))
  await broker.publish(told('oven 2/b', 'état', true, 3))
  await broker.publish(told('pump-7', 'raw', Uint8Array.of(1, 255), 4, { historical: true, path: 'relay' }))
  const [, live, escaped, late] = await flow.untilSeen('out', 4)
  t.match(live, { payload: 21, reading: { retained: false } }, 'a repeat of the same id is sent once')
  t.match(escaped, { payload: true, reading: { agent: 'oven 2/b', name: 'état' } })
  t.same(late.payload, Buffer.from([1, 255]))
  t.match(late.reading, { historical: true, path: 'relay' })
})

void t.test(
  'agent and name are chosen by name or pattern, history and current values by choice',
  async (t) => {
    const { broker, port } = await startBroker(t)
    await broker.publish(told('pump-7', 'temp', 0, 1))
    // Node-RED takes a property that equals a node's id for a reference to it.
    const choose = (id: string, change: object) =>
      node(`${id}-in`, 'fieldwhisper-in', { wires: [[`${id}-out`]], ...change })
    const flow = await run(t, [
      TAB,
      gatewayNode(port),
      choose('agent', { agent: 'pump-7' }),
      choose('name', { reading: 'temp' }),
      choose('pattern', { agent: 'pump-*', reading: 't*p' }),
      choose('live', { history: 'live' }),
      choose('late', { history: 'late' }),
      choose('new', { current: false }),
      ...['agent', 'name', 'pattern', 'live', 'late', 'new'].map((id) => sink(`${id}-out`)),
    ])
    await flow.untilSeen('agent-out', 1)
    await broker.publish(told('pump-7', 'flow', 1, 2))
    await broker.publish(told('oven-2', 'temp', 2, 3))
    await broker.publish(told('pump-8', 'temp', 3, 4, { historical: true }))
    await broker.publish(told('pump-7', 'temp', 4, 5))
    const values = (id: string) => flow.seen(`${id}-out`).map(({ payload }) => payload)
    await flow.untilSeen('new-out', 4)
    t.same(values('agent'), [0, 1, 4])
    t.same(values('name'), [0, 2, 3, 4])
    t.same(values('pattern'), [0, 3, 4])
    t.same(values('live'), [0, 1, 2, 4])
    t.same(values('late'), [3])
    t.same(values('new'), [1, 2, 3, 4])
  },
)

void t.test('without a usable gateway the node says so and does nothing', async (t) => {
  const flow = await run(t, [
    TAB,
    gatewayNode(1, { url: 'http://127.0.0.1:1' }),
    gatewayNode(1, { id: 'gw-topic', topic: 'no words' }),
    gatewayNode(1, { id: 'gw-tls', url: 'mqtts://127.0.0.1:1', tls: 'gone' }),
    gatewayNode(1, { id: 'gw-password', url: 'mqtt://user:secret@127.0.0.1:1' }),
    node('none', 'fieldwhisper-in', { gateway: '' }),
    node('gone', 'fieldwhisper-in', { gateway: 'not there' }),
    node('other', 'fieldwhisper-in', { gateway: 'none' }),
    node('url', 'fieldwhisper-in'),
    node('topic', 'fieldwhisper-in', { gateway: 'gw-topic' }),
    node('tls', 'fieldwhisper-in', { gateway: 'gw-tls' }),
    node('password', 'fieldwhisper-in', { gateway: 'gw-password' }),
  ])
  const text = (id: string) => flow.statuses(id).map(({ fill, text }) => [fill, text])
  t.same(text('none'), [['red', 'no gateway chosen']])
  t.same(text('gone'), [['red', 'no gateway chosen']])
  t.same(text('other'), [['red', 'no gateway chosen']])
  t.same(text('url'), [['red', 'broker address is not valid']])
  t.same(text('password'), [['red', 'broker address is not valid']])
  t.same(text('topic'), [['red', 'topic template is not valid']])
  t.same(text('tls'), [['red', 'TLS settings are not usable']])
})

void t.test('a pattern or name that no gateway has is named, and the rest works', async (t) => {
  const { broker, port } = await startBroker(t)
  const flow = await run(t, [
    TAB,
    gatewayNode(port),
    node('long', 'fieldwhisper-in', { agent: 'x'.repeat(129) }),
    node('bytes', 'fieldwhisper-in', { agent: 'é'.repeat(100) }),
    one(),
    sink('out'),
  ])
  await flow.untilStatus('in', 'connected')
  await flow.untilStatus('long', 'agent or name not valid')
  await flow.untilStatus('bytes', 'agent or name not valid')
  await broker.publish(told('pump-7', 'temp', 1, 1))
  t.match(await flow.untilSeen('out', 1), [{ payload: 1 }])
})

void t.test('no gateway, a wrong password, a gateway that goes: each has its words', async (t) => {
  const port = await freePort()
  const wrong = { gw2: { user: 'fieldwhisper', password: 'wrong password' } }
  const good = { gw: { user: 'fieldwhisper', password: 'correct horse battery' } }
  const flow = await run(
    t,
    [
      TAB,
      gatewayNode(port),
      gatewayNode(port, { id: 'gw2' }),
      one(),
      node('wrong', 'fieldwhisper-in', { gateway: 'gw2' }),
      sink('out'),
    ],
    { ...wrong, ...good },
  )
  await flow.untilStatus('in', `no gateway at 127.0.0.1:${port}`)
  const { broker, stop } = await startBroker(t, { port })
  await broker.publish(told('pump-7', 'temp', 1, 1))
  await flow.untilStatus('in', 'connected')
  await flow.untilStatus('wrong', 'wrong user or password')
  await flow.untilSeen('out', 1)
  await broker.publish(gatewayState('offline'))
  await flow.untilStatus('in', 'gateway offline')
  await stop()
  await flow.untilStatus('in', `no gateway at 127.0.0.1:${port}`)
  const again = await startBroker(t, { port })
  await again.broker.publish(told('pump-7', 'temp', 1, 1))
  await flow.untilStatus('in', 'connected')
  await again.broker.publish(told('pump-7', 'temp', 2, 2))
  t.same(
    (await flow.untilSeen('out', 2)).map(({ payload }) => payload),
    [1, 2],
    'what was there before the break is not sent again',
  )
})

void t.test('the status of one agent is the status of its node', async (t) => {
  const { broker, port } = await startBroker(t)
  const state = (agent: string, presence: AgentPresence) =>
    broker.publish(message(topics.agent(agent), agentStatus(presence), true))
  await state('pump-7', 'late')
  const flow = await run(t, [TAB, gatewayNode(port), one({ agent: 'pump-7' }), sink('out')])
  await flow.untilStatus('in', 'agent pump-7 is late')
  t.match(flow.statuses('in').at(-1), { fill: 'yellow', shape: 'dot' })
  for (const [said, text] of [
    ['offline', 'agent pump-7 is offline'],
    ['copied', 'agent pump-7 exists twice'],
    ['waiting', 'agent pump-7 waits for confirmation'],
    ['revoked', 'agent pump-7 is revoked'],
    ['new in a later release', 'pump-7: new in a later release'],
    ['online', 'connected'],
  ] as const) {
    await state('pump-8', 'late')
    await state('pump-7', said as AgentPresence)
    await flow.untilStatus('in', text)
  }
})

void t.test('whatever arrives at these topics, the flow goes on', async (t) => {
  const { broker, port } = await startBroker(t)
  const flow = await run(t, [TAB, gatewayNode(port), one({ agent: 'pump-7' }), sink('out')])
  await flow.untilStatus('in', 'connected')
  const send = (topic: string, text: string | Uint8Array) =>
    broker.publish({ topic, payload: Buffer.from(text as string), retain: false })
  await send('fieldwhisper/hall/pump-7/temp', '')
  await send('fieldwhisper/hall/pump-7/%zz', '1')
  await send('fieldwhisper/hall/$agents/pump-7/status', '[')
  await send('fieldwhisper/hall/$agents/pump-7/status', '{"state":7}')
  await send('fieldwhisper/hall/$gateway', 'null')
  await send('fieldwhisper/hall/pump-7/temp', Uint8Array.of(0xff, 0xfe))
  await send('fieldwhisper/hall/pump-7/temp', '{"value":1,"id":7,"unit":[]}')
  await send('fieldwhisper/hall/pump-7/temp', '17')
  const seen = await flow.untilSeen('out', 3)
  t.same(
    seen.map(({ payload }) => payload),
    ['\ufffd\ufffd', 1, 17],
  )
  t.match(flow.statuses('in').at(-1), { text: 'connected' })
})

void t.test('two deploys in a row leave one connection, an unload none, each within a second', async (t) => {
  const { broker, port, clients } = await startBroker(t)
  const flows = [TAB, gatewayNode(port), one(), sink('out')]
  const flow = await run(t, flows)
  await flow.untilStatus('in', 'connected')
  const from = performance.now()
  await flow.deploy([TAB, gatewayNode(port, { name: 'renamed' }), one(), sink('out')], 'full')
  await flow.deploy(flows, 'full')
  t.ok(performance.now() - from < 2_000)
  await flow.untilStatus('in', 'connected')
  await until(() => clients() === 1, { withinMs: 1_000, what: 'one client', everyMs: 2 })
  await broker.publish(told('pump-7', 'temp', 1, 1))
  await flow.untilSeen('out', 1)
  await flow.helper.unload()
  await until(() => clients() === 0, { withinMs: 1_000, what: 'no client', everyMs: 2 })
  t.equal(flow.seen('out').length, 1)
})

void t.test('a node that is deployed later gets the current values, the others do not again', async (t) => {
  const { broker, port } = await startBroker(t)
  await broker.publish(told('pump-7', 'temp', 1, 1))
  const flows = [TAB, gatewayNode(port), one(), sink('out')]
  const flow = await run(t, flows)
  await flow.untilSeen('out', 1)
  const second = node('second', 'fieldwhisper-in', { agent: 'pump-7', wires: [['out2']] })
  await flow.deploy([...flows, second, sink('out2')], 'nodes')
  t.match(await flow.untilSeen('out2', 1), [{ payload: 1, reading: { retained: true } }])
  await broker.publish(told('pump-7', 'temp', 2, 2))
  await flow.untilSeen('out2', 2)
  t.same(
    (await flow.untilSeen('out', 2)).map(({ payload }) => payload),
    [1, 2],
  )
})
