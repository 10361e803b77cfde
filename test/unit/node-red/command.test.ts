import t from 'tap'
import { until } from '../../support/until.js'
import { freePort } from '../../support/ports.js'
import { type Command, commandBroker, type Flow, gatewayNode, node, run, sink, TAB } from './support.js'

const ask = (change: object = {}): object =>
  node('ask', 'fieldwhisper-command', { command: 'ping', wires: [['out']], ...change })

/** With core nodes that see every completion: `complete` what ended well, `catch` what did not. */
const around = (...asking: object[]): object[] => [
  TAB,
  ...asking,
  sink('out'),
  node('when-done', 'complete', { scope: ['ask'], wires: [['done']] }),
  node('when-failed', 'catch', { scope: ['ask'], uncaught: false, wires: [['failed']] }),
  sink('done'),
  sink('failed'),
]

const send = (flow: Flow, message: object): void => flow.helper.getNode('ask').receive(message)
const counts = (flow: Flow) => ['out', 'done', 'failed'].map((id) => flow.seen(id).length)

const answers: Readonly<Record<string, object | undefined>> = {
  ping: { status: 'done', result: { ms: 7 }, time: '2026-03-04T05:06:07.890Z' },
  write: { status: 'refused', code: 'FW_COMMAND_NOT_ALLOWED', message: 'Not allowed by its configuration.' },
  read_now: { status: 'expired' },
}
const byCommand = ({ command }: Command) => answers[command]

void t.test('a message asks, the answer is another message, and the first one stays as it was', async (t) => {
  const { port, requests } = await commandBroker(t, byCommand)
  const flow = await run(t, around(gatewayNode(port), ask({ agent: 'pump-7', args: '{"a":[1]}', ttl: '2' })))
  await flow.untilStatus('ask', 'connected')
  const nested = { kept: 1 }
  const message = Object.freeze({ _msgid: 'm1', payload: 'mine', topic: 'x', nested, agent: 'ignored' })
  send(flow, message)
  const [answer] = await flow.untilSeen('out', 1)
  t.match(answer, {
    _msgid: 'm1',
    topic: 'x',
    nested: { kept: 1 },
    payload: { ms: 7 },
    reply: { agent: 'pump-7', command: 'ping', status: 'done', time: '2026-03-04T05:06:07.890Z' },
  })
  t.not(answer.nested, nested)
  t.same(message, { _msgid: 'm1', payload: 'mine', topic: 'x', nested: { kept: 1 }, agent: 'ignored' })
  t.match(requests, [{ agent: 'pump-7', command: 'ping', args: { a: [1] }, ttl: '2000ms' }])
  await flow.untilStatus('ask', 'done')
  await flow.untilSeen('done', 1)
  t.same(counts(flow), [1, 1, 0])
})

void t.test('the message says what the node leaves open', async (t) => {
  const { port, requests } = await commandBroker(t, byCommand)
  const flow = await run(t, around(gatewayNode(port), ask({ command: '' })))
  await flow.untilStatus('ask', 'connected')
  send(flow, { agent: 'pump-7', command: 'ping', args: 0, ttl: 1.5 })
  await flow.untilSeen('done', 1)
  send(flow, { agent: 'pump-8', command: 'ping' })
  await flow.untilSeen('done', 2)
  t.match(requests[0], { agent: 'pump-7', args: 0, ttl: '1500ms' })
  t.match(requests[1], { agent: 'pump-8', ttl: '30000ms' })
  t.notOk('args' in requests[1]!)
})

void t.test('what an agent did not do is an error with its reasons, once', async (t) => {
  const { port } = await commandBroker(t, byCommand)
  const flow = await run(t, around(gatewayNode(port), ask({ command: '' })))
  await flow.untilStatus('ask', 'connected')
  send(flow, { agent: 'pump-7', command: 'write', mine: 1 })
  const [refused] = await flow.untilSeen('failed', 1)
  t.equal(refused.mine, 1)
  t.match(
    refused.error.message,
    'pump-7: write refused. Not allowed by its configuration. (FW_COMMAND_NOT_ALLOWED)',
  )
  t.match(refused.error, { code: 'FW_NODERED_COMMAND_NOT_DONE' })
  await flow.untilStatus('ask', 'not done')
  send(flow, { agent: 'pump-7', command: 'read_now' })
  const [, expired] = await flow.untilSeen('failed', 2)
  t.match(expired.error.message, 'pump-7: read_now expired')
  t.same(counts(flow), [0, 0, 2])
})

void t.test('a message that is not valid is an error, and nothing is sent', async (t) => {
  const { port, requests } = await commandBroker(t, byCommand)
  const flow = await run(
    t,
    around(
      gatewayNode(port),
      ask({ command: '' }),
      node('fixed', 'fieldwhisper-command', { agent: 'a', args: '{' }),
    ),
  )
  await flow.untilStatus('ask', 'connected')
  const circular: Record<string, unknown> = {}
  circular['self'] = circular
  const good = { agent: 'pump-7', command: 'ping' }
  const wrong: [object, RegExp][] = [
    [{ command: 'ping' }, /No agent/],
    [{ ...good, agent: 7 }, /No agent/],
    [{ ...good, agent: 'x'.repeat(129) }, /at most 128 bytes/],
    [{ agent: 'pump-7' }, /No command/],
    [{ ...good, command: 'x'.repeat(65) }, /No command/],
    [{ ...good, args: circular }, /no JSON/],
    [{ ...good, args: 10n }, /no JSON/],
    [{ ...good, args: 'x'.repeat(20_000) }, /too long/],
    [{ ...good, args: () => 1 }, /no JSON/],
    [{ ...good, ttl: 0 }, /between 1 and 600/],
    [{ ...good, ttl: 601 }, /between 1 and 600/],
    [{ ...good, ttl: 'soon' }, /between 1 and 600/],
  ]
  for (const [index, [message, reason]] of wrong.entries()) {
    send(flow, message)
    const seen = await flow.untilSeen('failed', index + 1)
    t.match(seen.at(-1).error.message, reason)
    t.match(seen.at(-1).error, { code: 'FW_NODERED_INPUT_INVALID' })
  }
  await flow.untilStatus('ask', 'message not valid')
  flow.helper.getNode('fixed').receive({ command: 'ping' })
  await flow.untilStatus('fixed', 'message not valid')
  t.same(counts(flow), [0, 0, wrong.length])
  t.same(requests, [])
})

void t.test('without a gateway or a connection it is an error at once', async (t) => {
  const port = await freePort()
  const flow = await run(t, around(gatewayNode(port), ask({ agent: 'pump-7' })))
  await flow.untilStatus('ask', `no gateway at 127.0.0.1:${port}`)
  send(flow, {})
  const [failed] = await flow.untilSeen('failed', 1)
  t.match(failed.error, { code: 'FW_NODERED_NOT_CONNECTED', message: /not connected: nothing was sent/ })
  t.same(counts(flow), [0, 0, 1])
  t.match(flow.statuses('ask').at(-1), { text: `no gateway at 127.0.0.1:${port}` })
})

void t.test('a node without a gateway node says so for each message', async (t) => {
  const flow = await run(t, around(ask({ gateway: '', agent: 'pump-7' })))
  send(flow, {})
  const [failed] = await flow.untilSeen('failed', 1)
  t.match(failed.error, { code: 'FW_NODERED_SETTINGS_INVALID', message: /No usable gateway/ })
  t.same(counts(flow), [0, 0, 1])
})

void t.test(
  'a connection that breaks before the answer ends the message once, and the next one works',
  async (t) => {
    let silent = true
    const { port, cut, requests } = await commandBroker(t, (request) =>
      silent ? undefined : byCommand(request),
    )
    const flow = await run(t, around(gatewayNode(port), ask({ agent: 'pump-7' })))
    await flow.untilStatus('ask', 'connected')
    send(flow, {})
    await flow.untilStatus('ask', 'waiting for 1')
    await until(() => requests.length === 1, { withinMs: 5_000, what: 'the request', everyMs: 2 })
    cut()
    const [failed] = await flow.untilSeen('failed', 1)
    t.match(failed.error, { code: 'FW_NODERED_CONNECTION_LOST', message: /not known whether/ })
    await flow.untilStatus('ask', 'connection lost')
    silent = false
    send(flow, {})
    await flow.untilSeen('done', 1)
    t.same(counts(flow), [1, 1, 1])
  },
)

void t.test('a broker that cuts whoever asks is an error each time, not a message that hangs', async (t) => {
  const { broker, port } = await commandBroker(t, byCommand)
  broker.authorizePublish = (_client, _packet, done) => done(new Error('not you'))
  const flow = await run(t, around(gatewayNode(port), ask({ agent: 'pump-7' })))
  await flow.untilStatus('ask', 'connected')
  send(flow, {})
  const [failed] = await flow.untilSeen('failed', 1)
  t.match(failed.error, { code: 'FW_NODERED_CONNECTION_LOST' })
  t.same(counts(flow), [0, 0, 1])
})

void t.test('a node that is closed before the answer ends its message once', async (t) => {
  const { port, requests, publish, sockets } = await commandBroker(t, () => undefined)
  const flow = await run(t, around(gatewayNode(port), ask({ agent: 'pump-7' })))
  await flow.untilStatus('ask', 'connected')
  send(flow, {})
  await until(() => requests.length === 1, { withinMs: 5_000, what: 'the request', everyMs: 2 })
  const node = flow.helper.getNode('ask')
  const errors: string[] = node.error.getCalls().map((call: any) => call.args[0].code)
  t.same(errors, [])
  const from = performance.now()
  await flow.helper.clearFlows()
  t.ok(performance.now() - from < 1_000, 'within a second')
  const codes = () =>
    node.error
      .getCalls()
      .filter((call: any) => call.thisValue === node)
      .map((call: any) => call.args[0].code)
  t.same(codes(), ['FW_NODERED_CLOSED'])
  publish('fieldwhisper/hall/$agents/pump-7/reply', { ...requests[0], status: 'done' })
  await until(() => sockets.size === 0, { withinMs: 1_000, what: 'no connection', everyMs: 2 })
  t.same(codes(), ['FW_NODERED_CLOSED'])
  t.same(flow.seen('out'), [])
})

void t.test(
  'no answer in time is an error, and an answer after that is nobody’s',
  { timeout: 30_000 },
  async (t) => {
    const { port, requests, publish } = await commandBroker(t, () => undefined)
    const flow = await run(t, around(gatewayNode(port), ask({ agent: 'pump-7', ttl: 1 })))
    await flow.untilStatus('ask', 'connected')
    send(flow, {})
    const [failed] = await flow.untilSeen('failed', 1)
    t.match(failed.error, { code: 'FW_NODERED_NO_REPLY', message: /release that has no commands/ })
    await flow.untilStatus('ask', 'no answer')
    publish('fieldwhisper/hall/$agents/pump-7/reply', { ...requests[0], status: 'done' })
    publish('fieldwhisper/hall/$gateway', { state: 'offline' }, true)
    await flow.untilStatus('ask', 'gateway offline')
    t.same(counts(flow), [0, 0, 1])
  },
)

void t.test('a flood is answered message by message', { timeout: 60_000 }, async (t) => {
  const { port } = await commandBroker(t, byCommand)
  const flow = await run(t, around(gatewayNode(port), ask({ agent: 'pump-7' })))
  await flow.untilStatus('ask', 'connected')
  for (let index = 0; index < 1_000; index += 1) send(flow, { index })
  await until(() => counts(flow).reduce((a, b) => a + b, 0) === 1_200, {
    withinMs: 30_000,
    what: '200 answers and 800 errors',
  })
  t.same(counts(flow), [200, 200, 800])
  t.match(flow.seen('failed')[0].error, { code: 'FW_NODERED_TOO_MANY_OPEN', message: /200 commands wait/ })
})
