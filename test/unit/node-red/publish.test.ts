/** Messages of a flow as sealed readings: by a real agent in the runtime, to a gateway and a relay that run as programs. */
import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { runInNewContext } from 'node:vm'
import { EmbeddedAgent } from '@fieldwhisper/agent'
import { encodeInvite, INVITE_ID_BIT } from '@fieldwhisper/protocol'
import t from 'tap'
import { type HostedAgent, wordsFor } from '../../../node-red-nodes/dist/hosted-agent.js'
import { readingsOf } from '../../../node-red-nodes/dist/publication.js'
import { temporaryFolder } from '../../support/folder.js'
import { until, within } from '../../support/until.js'
import { WireSite } from '../../system/support/wire-site.js'
import { catalogue, node, run, sink, TAB, type Flow } from './support.js'

const agentNode = (folder: string, change: object = {}): object => ({
  id: 'agent',
  type: 'fieldwhisper-agent',
  name: 'flows',
  folder,
  lan: false,
  room: '',
  full: 'drop_oldest',
  ...change,
})
const publish = (change: object = {}): object =>
  node('publish', 'fieldwhisper-publish', {
    agent: 'agent',
    reading: '',
    unit: '',
    wires: [['out']],
    ...change,
  })

/** With core nodes that see every completion: `complete` what ended well, `catch` what did not. */
const around = (...nodes: object[]): object[] => [
  TAB,
  ...nodes,
  sink('out'),
  node('when-done', 'complete', { scope: ['publish'], wires: [['done']] }),
  node('when-failed', 'catch', { scope: null, uncaught: false, wires: [['failed']] }),
  sink('done'),
  sink('failed'),
]
const flowOf = (folder: string, agent: object = {}): object[] => around(agentNode(folder, agent), publish())

const send = (flow: Flow, message: object, id = 'publish'): void => flow.helper.getNode(id).receive(message)
const counts = (flow: Flow) => ['out', 'done', 'failed'].map((id) => flow.seen(id).length)

const config = (change: object = {}) => ({ id: 'x', type: 'fieldwhisper-publish', ...change })

void t.test('a payload is a reading, or several', (t) => {
  const at = Date.parse('2026-11-23T08:00:00Z')
  const table: [object, object, object[]][] = [
    [{}, { topic: 'temp', payload: 21.5 }, [{ name: 'temp', value: 21.5 }]],
    [
      { reading: 'own', unit: 'Cel' },
      { topic: 'temp', payload: 1, unit: 'V' },
      [{ name: 'own', value: 1, unit: 'Cel' }],
    ],
    [{}, { topic: 'on', payload: false, unit: '' }, [{ name: 'on', value: false }]],
    [{}, { topic: 'state', payload: 'well', unit: 'V' }, [{ name: 'state', value: 'well', unit: 'V' }]],
    [{}, { topic: 'raw', payload: Buffer.from([1, 2]) }, [{ name: 'raw', value: Uint8Array.of(1, 2) }]],
    [
      {},
      { topic: 't', payload: { value: 1, unit: 'A', quality: 'bad', time: at }, unit: 'V' },
      [{ name: 't', value: 1, unit: 'A', quality: 'bad', time: at }],
    ],
    [
      {},
      { topic: 't', payload: { value: 1, time: '2026-11-23T09:00:00+01:00' } },
      [{ name: 't', value: 1, time: at }],
    ],
    [
      {},
      runInNewContext('({ topic: "t", payload: { value: 1, time: new Date(Date.UTC(2026, 10, 23, 8)) } })'),
      [{ name: 't', value: 1, time: at }],
    ],
    [
      { reading: 'pump' },
      { payload: { speed: { value: 1480, unit: '1/min' }, running: true } },
      [
        { name: 'pump.speed', value: 1480, unit: '1/min' },
        { name: 'pump.running', value: true },
      ],
    ],
    [
      {},
      { payload: { value: 1, pressure: 2 } },
      [
        { name: 'value', value: 1 },
        { name: 'pressure', value: 2 },
      ],
    ],
  ]
  for (const [change, message, readings] of table) {
    t.same(readingsOf(config(change), message as Record<string, unknown>), readings)
  }
  const many = Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`n${i}`, i]))
  const { n0, ...most } = many
  t.equal(readingsOf(config(), { payload: most }).length, 1_000)
  const wrong: [object, string][] = [
    [{ payload: 1 }, 'error.name'],
    [{ payload: 1, topic: 7 }, 'error.name'],
    [{ topic: 't' }, 'error.value'],
    [{ topic: 't', payload: null }, 'error.value'],
    [{ topic: 't', payload: [1] }, 'error.value'],
    [{ topic: 't', payload: Number.NaN }, 'error.value'],
    [{ topic: 't', payload: new Date() }, 'error.value'],
    [{ topic: 't', payload: { a: [1] } }, 'error.value'],
    [{ topic: 't', payload: { a: { b: 1 } } }, 'error.value'],
    [{ topic: 't', payload: {} }, 'error.count'],
    [{ payload: many }, 'error.count'],
    [{ topic: 't', payload: 1, unit: 7 }, 'error.unit'],
    [{ topic: 't', payload: { value: 1, quality: 'fine' } }, 'error.quality'],
    [{ topic: 't', payload: { value: 1, time: 'yesterday' } }, 'error.time'],
    [{ topic: 't', payload: { value: 1, time: Number.NaN } }, 'error.time'],
  ]
  for (const [message, key] of wrong) {
    t.throws(() => readingsOf(config(), message as Record<string, unknown>), {
      code: 'FW_NODERED_INPUT_INVALID',
      key,
    })
  }
  t.equal(n0, 0)
  t.end()
})

void t.test('messages become readings of the site, and pass unchanged', async (t) => {
  const site = await WireSite.start(t)
  const folder = join(temporaryFolder(t), 'agent')
  const invite = await site.gateway.enroll('flows')
  const flow = await run(t, flowOf(folder), { agent: { invite } })
  const messages = [1, 2, 3].map((value) => ({
    _msgid: `m${value}`,
    topic: 'value',
    payload: value,
    more: [value],
  }))
  // Right after the deploy: the agent is still opening.
  for (const message of messages) send(flow, message)
  t.same(await flow.untilSeen('out', 3), messages)
  t.same(await site.values(3), [1, 2, 3])
  await flow.untilStatus('publish', 'sent')
  t.equal(statSync(folder).mode & 0o777, 0o700)
  t.notMatch(JSON.stringify(flow.statuses('publish')), invite)
  t.same(flow.seen('failed'), [])

  // Twice in a row: with readings on their way, and as soon as the flows run.
  for (const at of [4, 6]) {
    send(flow, { topic: 'value', payload: at })
    await flow.deploy(flowOf(folder, { name: `n${at}` }), 'full')
    send(flow, { topic: 'value', payload: at + 1 })
  }
  await site.values(7)
  t.same(site.published.map(({ value }) => value).sort(), [1, 2, 3, 4, 5, 6, 7], 'each once')
  t.same(flow.seen('failed'), [])
})

/** One of a site that is not there. */
const NOWHERE = encodeInvite({
  siteFingerprint: new Uint8Array(16).fill(1),
  directorySlot: new Uint8Array(16).fill(2),
  id: (INVITE_ID_BIT | 7) >>> 0,
  secret: new Uint8Array(32).fill(3),
  relays: [],
})

void t.test('without a gateway readings are kept, and the status says what is missing', async (t) => {
  const folder = temporaryFolder(t)
  const flow = await run(
    t,
    around(
      agentNode(join(folder, 'a')),
      agentNode(join(folder, 'b'), { id: 'invited' }),
      publish(),
      publish({ id: 'other', agent: 'invited' }),
    ),
    { invited: { invite: NOWHERE } },
  )
  send(flow, { topic: 't', payload: { a: 1, b: 2 } })
  send(flow, { topic: 't', payload: 3 }, 'other')
  await flow.untilSeen('out', 2)
  await flow.untilStatus('publish', 'no invite, 2 kept')
  await flow.untilStatus('other', 'waiting for gateway to join, 1 kept')
  t.same(counts(flow), [2, 1, 0])
})

void t.test('a message that is no reading ends with an error, and the next one is kept', async (t) => {
  const flow = await run(t, flowOf(join(temporaryFolder(t), 'agent')), {})
  send(flow, { topic: 't', payload: { x: [] } })
  send(flow, { topic: 't', payload: 'y'.repeat(9_000) })
  const errors = await flow.untilSeen('failed', 2)
  t.match(errors[0].error, { message: /The value of "t\.x" is no finite number, text or boolean\.$/ })
  t.match(errors[1].error, { message: /Not kept: the reading "t" is larger than 8192 bytes/ })
  await flow.untilStatus('publish', 'message not valid')
  send(flow, { topic: 't', payload: 1 })
  await flow.untilSeen('out', 1)
  await flow.untilStatus('publish', 'no invite, 1 kept')
  t.same(counts(flow), [1, 1, 2], 'each once')
})

void t.test('a full agent refuses new readings where it is told to', async (t) => {
  const folder = join(temporaryFolder(t), 'agent')
  const flow = await run(t, flowOf(folder, { room: '1MiB', full: 'drop_newest' }), {})
  const payload = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`n${i}`, 'x'.repeat(8_000)]))
  let sent = 0
  await until(
    () => {
      if (flow.seen('failed').length > 0) return true
      if (sent === flow.seen('out').length) send(flow, { payload, sent: sent++ })
      return false
    },
    { withinMs: 20_000, what: 'the agent to be full', everyMs: 2 },
  )
  t.match(flow.seen('failed')[0].error, {
    message: /Not kept, there is no room: free the disk/,
    code: 'FW_NODERED_NOT_KEPT',
  })
  await flow.untilStatus('publish', 'reading not kept')
  const [out, done, failed] = counts(flow)
  t.equal(out, done)
  t.equal(out! + failed!, sent, 'each ends once')
})

void t.test('what keeps an agent from opening is said, and tried again where that helps', async (t) => {
  const folder = temporaryFolder(t)
  const stateDir = join(folder, 'taken')
  writeFileSync(join(folder, 'file'), '')
  const other = await EmbeddedAgent.open({ stateDir, config: { lan: { enabled: false } } })
  t.teardown(() => other.close())
  const flow = await run(
    t,
    around(
      agentNode(stateDir),
      agentNode(join(folder, 'b'), { id: 'mistyped' }),
      agentNode(join(folder, 'c'), { id: 'unclear', room: 'much' }),
      agentNode(join(folder, 'file', 'state'), { id: 'nowhere' }),
      ...['', 'mistyped', 'unclear', 'nowhere'].map((agent) => publish({ id: `by-${agent}`, agent })),
      publish(),
    ),
    { mistyped: { invite: 'fw1-nonsense' } },
  )
  await flow.untilStatus('publish', "another process uses the agent's folder")
  await flow.untilStatus('by-mistyped', 'invite is not valid: copy the whole line again')
  await flow.untilStatus('by-unclear', 'settings of the agent are not valid')
  await flow.untilStatus('by-nowhere', 'folder of the agent cannot be used')
  await flow.untilStatus('by-', 'no agent chosen')
  t.notMatch(JSON.stringify(flow.helper.getNode('mistyped').warn.args), 'nonsense')

  send(flow, { topic: 't', payload: 1 })
  const [refused] = await flow.untilSeen('failed', 1)
  t.match(refused.error, {
    message: /The agent takes no readings: another process uses the agent's folder\.$/,
    code: 'FW_NODERED_AGENT_NOT_OPEN',
  })
  send(flow, { topic: 't', payload: 1 }, 'by-')
  const [, missing] = await flow.untilSeen('failed', 2)
  t.match(missing.error, {
    message: /No usable agent is chosen: open the node and choose one\.$/,
    code: 'FW_NODERED_SETTINGS_INVALID',
  })

  await other.close()
  await flow.untilStatus('publish', 'no invite, 0 kept')
  send(flow, { topic: 't', payload: 2 })
  await flow.untilSeen('done', 1)
  t.same(counts(flow), [1, 1, 2])
})

void t.test(
  'a deploy frees the folder, also while the agent opens; the folder of a deleted node stays',
  async (t) => {
    const stateDir = join(temporaryFolder(t), 'agent')
    const only = { stateDir, config: { lan: { enabled: false } } }
    const flow = await run(t, flowOf(stateDir))
    send(flow, { topic: 't', payload: 1 })
    const timed = async (nodes: readonly object[], what: string): Promise<void> => {
      const begun = performance.now()
      await flow.deploy(nodes, 'full')
      t.comment(`${what}: ${Math.round(performance.now() - begun)} ms`)
    }
    await timed([TAB], 'deleted while it opens')
    const first = await EmbeddedAgent.open(only)
    t.equal(first.status().waiting, 1, 'what came while it opened is kept')
    await first.close()

    await timed(flowOf(stateDir), 'back again')
    await flow.untilStatus('publish', /kept$/)
    send(flow, { topic: 't', payload: 2 })
    await within(flow.deploy([TAB], 'full'), { withinMs: 2_000, what: 'the nodes to be deleted' })
    const last = await EmbeddedAgent.open(only)
    t.equal(last.status().waiting, 2)
    await last.close()
  },
)

void t.test(
  'a node that is closed while the disk says nothing ends its messages with an error',
  async (t) => {
    const stateDir = join(temporaryFolder(t), 'agent')
    const flow = await run(t, flowOf(stateDir))
    await flow.untilStatus('publish', /kept$/)
    const { agent } = flow.helper.getNode('agent').fieldwhisperAgent as { agent: HostedAgent }
    agent.accept = () => new Promise(() => undefined)
    send(flow, { topic: 't', payload: 1 })
    const changed = flowOf(stateDir).map((one) => ('agent' in one ? { ...one, name: 'changed' } : one))
    await flow.deploy(changed, 'nodes')
    const [closed] = await flow.untilSeen('failed', 1)
    t.match(closed.error, { message: /it is not known whether it was kept\.$/, code: 'FW_NODERED_CLOSED' })
    t.same(counts(flow), [0, 0, 1])
  },
)

void t.test('each state of an agent is said in words that one can act on', (t) => {
  const texts = catalogue('fieldwhisper-agent')['agent'] as Record<string, string>
  const well = {
    ...{ name: 'flows', joined: true, needsInvite: false, failed: false, problems: [] },
    ...{ waiting: 0, accepted: 9, lost: 2, heardAgoMs: 1_000 },
    paths: { lan: { enabled: false, links: 0, devices: 0, searching: false }, relays: [] },
  }
  const table: [object, string, string][] = [
    [{}, 'green', 'sent'],
    [{ waiting: 3 }, 'green', '__waiting__ waiting'],
    [{ waiting: 3, lost: 4 }, 'yellow', '__waiting__ waiting, __lost__ lost'],
    [{ waiting: 3, heardAgoMs: 31_000 }, 'yellow', 'gateway not heard, __waiting__ kept'],
    [{ waiting: 3, heardAgoMs: undefined }, 'yellow', 'gateway not heard, __waiting__ kept'],
    [{ heardAgoMs: 31_000 }, 'green', 'sent'],
    [{ joined: false }, 'yellow', 'waiting for gateway to join, __waiting__ kept'],
    [{ joined: false, needsInvite: true }, 'red', 'no invite, __waiting__ kept'],
    [
      { joined: false, refused: 'invite-expired' },
      'red',
      'invite has expired: enter a new one (__waiting__ kept)',
    ],
    [
      { joined: false, refused: 'invite-used' },
      'red',
      'invite was used elsewhere: enter a new one (__waiting__ kept)',
    ],
    [{ joined: false, refused: 'name-taken' }, 'red', texts['name-taken']!],
    [{ refused: 'revoked' }, 'red', 'revoked: enter a new invite (__waiting__ kept)'],
    [
      { hold: 'clone' },
      'yellow',
      'held as a copy: gateway clone __name__ keep or replace (__waiting__ kept)',
    ],
    [{ hold: 'confirm', joined: false }, 'yellow', texts['confirm']!],
    [{ hold: 'disk' }, 'yellow', 'gateway has no room, __waiting__ kept'],
    [{ hold: 'outbox-full' }, 'yellow', 'gateway has no room, __waiting__ kept'],
    [{ failed: true }, 'red', 'disk failed: restart Node-RED'],
  ]
  for (const [change, fill, text] of table) {
    const { key, ...badge } = wordsFor({ ...well, ...change }, 2)
    t.equal(texts[key.replace('agent.', '')], text)
    t.match(badge, { fill, details: { name: 'flows' } })
  }
  t.match(wordsFor({ ...well, waiting: 3, lost: 4 }, 2).details, { waiting: 3, lost: 2 }, 'since it opened')
  t.end()
})
