import t from 'tap'
import { CommandDesk } from '../../../gateway/src/bridge/command-desk.js'
import { createTopics, type Message, type MessageProperties } from '../../../gateway/src/bridge/topics.js'
import type { CommandLine, CommandOrder } from '../../../gateway/src/command.js'
import { GatewayError } from '../../../gateway/src/errors.js'
import { recorder, WALL_MS } from './bridge-support.js'

const topics = createTopics('hall')
const TOPIC = 'fieldwhisper/hall/$agents/pump%2F7/command'
const REPLY = 'fieldwhisper/hall/$agents/pump%2F7/reply'
const DONE = {
  status: 'done',
  code: 'FW_COMMAND_DONE',
  message: 'measured',
  result: { cpu_load: 12.4 },
} as const

function desk(run: (order: CommandOrder) => Promise<Partial<CommandLine>> = () => Promise.resolve({})) {
  const orders: CommandOrder[] = []
  const sent: Message[] = []
  const reporter = recorder()
  const made = new CommandDesk({
    topics,
    publish: (message) => void sent.push(message),
    run: async (order) => {
      orders.push(order)
      const { agent, command } = order
      return { agent, command, ...DONE, ...(await run(order)) }
    },
    reporter,
    wallMs: () => WALL_MS,
  })
  return {
    orders,
    sent,
    reporter,
    replies: () => sent.map(({ payload }) => JSON.parse(Buffer.from(payload).toString())),
    ask: async (payload: unknown, properties: MessageProperties = {}, topic = TOPIC, retain = false) => {
      const bytes = typeof payload === 'string' ? Buffer.from(payload) : Buffer.from(JSON.stringify(payload))
      made.received(topic, bytes, retain, properties)
      await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

void t.test('a request is carried out and answered with its correlation', async (t) => {
  const { orders, sent, replies, ask } = desk()
  await ask({ command: 'read_now', args: { source: 'system' }, ttl: '10s', correlation: 'a1' })
  t.same(orders, [{ agent: 'pump/7', command: 'read_now', args: { source: 'system' }, ttlMs: 10_000 }])
  t.match(sent, [{ topic: REPLY, retain: false }])
  const time = '2026-03-04T05:06:07.890Z'
  t.same(replies(), [{ command: 'read_now', correlation: 'a1', ...DONE, time }])
  await ask({ command: 'ping' })
  t.match(orders[1], { command: 'ping', ttlMs: 30_000 })
  t.notHas(replies()[1], { correlation: /./ })
})

void t.test('a request that comes again is not carried out again, its answer is given again', async (t) => {
  let release = (): void => undefined
  const held = new Promise<Partial<CommandLine>>((resolve) => (release = () => resolve({})))
  const { orders, sent, ask } = desk(() => held)
  const request = { command: 'write', args: { output: 'valve', value: 1 }, correlation: 'a1' }
  await ask(request)
  await ask(request)
  t.equal(sent.length, 0, 'its answer is not there yet')
  release()
  await new Promise((resolve) => setImmediate(resolve))
  await ask(request)
  t.equal(orders.length, 1)
  t.equal(sent.length, 2)
  t.same(sent[0], sent[1])
  await ask(request, {}, TOPIC.replace('pump%2F7', 'pump-8'))
  t.equal(orders.length, 2, 'another device has correlations of its own')
  for (let i = 0; i < 1_000; i++) await ask({ command: 'ping', correlation: `b${i}` })
  await ask(request)
  t.equal(orders.length, 1_003, 'only so many are remembered')
})

void t.test(
  'what is wrong with a request is said in its reply, and nothing is sent to the device',
  async (t) => {
    const { orders, replies, ask } = desk()
    const wrong: [unknown, string][] = [
      ['no JSON', 'FW_COMMAND_INVALID'],
      ['[1]', 'FW_COMMAND_INVALID'],
      ['null', 'FW_COMMAND_INVALID'],
      [{}, 'FW_COMMAND_INVALID'],
      [{ command: 7 }, 'FW_COMMAND_INVALID'],
      [{ command: 'ping', ttl: 'soon' }, 'FW_COMMAND_INVALID'],
      [{ command: 'ping', ttl: 7 }, 'FW_COMMAND_INVALID'],
      [{ command: 'ping', correlation: 7 }, 'FW_COMMAND_INVALID'],
      [{ command: 'ping', correlation: 'x'.repeat(257) }, 'FW_COMMAND_INVALID'],
      [{ command: 'ping', args: { text: 'x'.repeat(20_000) } }, 'FW_COMMAND_TOO_LARGE'],
    ]
    for (const [payload, code] of wrong) {
      await ask(payload)
      t.match(replies().at(-1), { status: 'refused', code })
    }
    t.same(orders, [])
    t.equal(replies().length, wrong.length)
    t.notMatch(JSON.stringify(replies()), /no JSON/, 'a payload is not repeated')
  },
)

void t.test('what the core refuses is refused with its code', async (t) => {
  const { replies, ask } = desk(() =>
    Promise.reject(new GatewayError('FW_AGENT_UNKNOWN', 'no agent is called x')),
  )
  await ask({ command: 'ping', correlation: 'a' })
  t.match(replies(), [
    { status: 'refused', code: 'FW_AGENT_UNKNOWN', message: 'no agent is called x', correlation: 'a' },
  ])
})

void t.test('a retained request is not carried out, and the operator is told', async (t) => {
  const { orders, sent, reporter, ask } = desk()
  await ask({ command: 'ping' }, {}, TOPIC, true)
  t.same([orders, sent], [[], []])
  t.same(reporter.codes(), ['FW_COMMAND_RETAINED'])
  await ask('', {}, TOPIC, true)
  await ask('', {}, TOPIC)
  await ask({ command: 'ping' }, {}, 'fieldwhisper/hall/$agents/%zz/command')
  t.same(
    [orders, sent, reporter.codes().length],
    [[], [], 1],
    'its removal is no request, nor is a level that is no name',
  )
})

void t.test('an MQTT 5 client names where its answer goes, outside the topics of the gateway', async (t) => {
  const { sent, replies, ask } = desk()
  const correlation = Uint8Array.of(1, 255)
  await ask({ command: 'ping' }, { responseTopic: 'app/answers', correlation })
  t.match(sent[0], { topic: 'app/answers', properties: { correlation, contentType: 'application/json' } })
  t.match(replies()[0], { correlation: 'Af8=' })
  for (const responseTopic of [
    'fieldwhisper/hall/$agents/pump-8/command',
    'fieldwhisper',
    'a/+',
    'a/#',
    '$SYS/x',
    '',
  ]) {
    await ask({ command: 'ping' }, { responseTopic })
    t.equal(sent.at(-1)!.topic, REPLY, responseTopic)
  }
})
