import {
  encodeMessages,
  type CommandMessage,
  type DownMessage,
  type ReplyMessage,
} from '@fieldwhisper/protocol'
import t from 'tap'
import { HostError } from '@fieldwhisper/host'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import {
  BRIDGE_TABLES,
  CORE_TABLES,
  Meta,
  type CommandAnswer,
  type CommandRequest,
} from '@fieldwhisper/gateway/core'
import {
  COMMAND_GRACE_MS,
  COMMAND_WORK_MS,
  COMMANDS_A_PACKET,
  MAX_COMMANDS_AN_AGENT,
  MAX_OPEN_COMMANDS,
} from '../../../gateway/src/core/constants.js'
import { CoreHarness, testIdentity } from './core-harness.js'
import { enrolled, join, joined, reported, say, settle, settled, type Scene } from './core-scenes.js'

const PING: CommandRequest = { command: 'ping', args: [], ttlMs: 30_000 }
const DONE = { status: 'done', code: 'FW_COMMAND_DONE', text: 'it is there', result: [['a', 1]] } as const

function refusal(code: string): { name: string; code: string } {
  return { name: 'GatewayError', code }
}

/** What the agent was told since the last time. */
function heard({ agent, gateway, session }: Scene): DownMessage[] {
  return agent.read(session, gateway.answers())
}

function commandsIn(messages: readonly DownMessage[]): CommandMessage[] {
  return messages.filter((message) => message.kind === 'command')
}

function reply(id: number, more: Partial<ReplyMessage> = {}): ReplyMessage {
  return { kind: 'reply', id, ...DONE, ...more }
}

/** A settled agent that said what its clock shows. */
async function talking(): Promise<Scene> {
  const scene = await settled()
  await say(scene, scene.agent.empty({ stampMs: 5_000 }))
  heard(scene)
  return scene
}

/** The command, and what became of it so far. */
async function give(
  scene: Scene,
  request: Partial<CommandRequest> = {},
): Promise<{ answer?: CommandAnswer }> {
  const given: { answer?: CommandAnswer } = {}
  void scene.gateway.core
    .command('pump-7', { ...PING, ...request })
    .then((answer) => Object.assign(given, { answer }))
  await scene.gateway.settle()
  return given
}

void t.test(
  'a command is sealed at once with the time of the agent, and answered by its REPLY',
  async (t) => {
    const scene = await talking()
    const { gateway, agent } = scene
    await gateway.tick(700)
    heard(scene)
    const args = [['output', 'valve'] as const, ['value', 1] as const]
    const given = await give(scene, { command: 'write', args, ttlMs: 8_000 })
    const [command] = commandsIn(heard(scene))
    t.same(command, { kind: 'command', id: 1, stampMs: 5_700, ttlMs: 8_000, name: 'write', args })
    t.equal(given.answer, undefined)
    await say(scene, agent.empty({ downThrough: 1, stampMs: 6_000 }), reply(1))
    t.same(given.answer, DONE)
    const acks = heard(scene).filter((message) => message.kind === 'ack')
    t.equal(acks.at(-1)?.replyThrough, 1)
    t.equal(gateway.core.openCommands, 0)
    await gateway.tick(60_000)
    t.same(commandsIn(heard(scene)), [])
    t.equal(reported(gateway, 'FW_COMMAND_ANSWERED'), 1)
  },
)

void t.test('an agent that never said REPLY is never told how far they came', async (t) => {
  const scene = await talking()
  await give(scene)
  await say(scene, scene.agent.empty({ stampMs: 6_000 }))
  const acks = heard(scene).filter((message) => message.kind === 'ack')
  t.ok(acks.length > 0)
  t.ok(acks.every((ack) => !('replyThrough' in ack)))
})

void t.test(
  'a command is repeated after 2, 6 and 14 s until it is taken, and not after its time',
  async (t) => {
    const scene = await talking()
    const { gateway, agent } = scene
    await give(scene, { ttlMs: 12_000 })
    const at: number[] = []
    for (let second = 0; second < 20; second++) {
      if (commandsIn(heard(scene)).length > 0) at.push(second)
      await gateway.tick(1_000)
    }
    t.same(at, [0, 2, 6])
    const second = await give(scene)
    t.equal(commandsIn(heard(scene)).length, 1)
    await say(scene, agent.empty({ downThrough: 2, stampMs: 30_000 }))
    await gateway.tick(25_000)
    t.same(commandsIn(heard(scene)), [])
    t.equal(second.answer, undefined, 'it works on it')
  },
)

void t.test(
  'no command before the session is confirmed, nor before its agent said a stamp in it',
  async (t) => {
    const scene = await joined()
    const { gateway, agent, session } = scene
    await give(scene)
    await gateway.tick(5_000)
    t.same(commandsIn(heard(scene)), [])
    await say(scene, agent.empty({ ready: true, stampMs: 90 }))
    t.equal(commandsIn(heard(scene)).length, 1, 'then at once')
    gateway.restart()
    await gateway.tick(0)
    heard(scene)
    await give(scene)
    await gateway.tick(5_000)
    t.same(commandsIn(heard(scene)), [], 'a new process knows no stamp')
    await gateway.link(1, agent.seal(session, agent.empty({ ready: true, stampMs: 9_000 })))
    t.match(commandsIn(heard(scene)), [{ stampMs: 9_000, ttlMs: 25_000 }])
  },
)

void t.test('a command that is not taken is sealed again in the next session of the agent', async (t) => {
  const scene = await talking()
  const { gateway, agent, session } = scene
  await give(scene)
  const [first] = commandsIn(heard(scene))
  await gateway.tick(1_000)
  const next = agent.continue(session, agent.prekey!.oneTime)
  await gateway.link(1, next.hello)
  agent.read(next, gateway.answers())
  await gateway.link(1, agent.seal(next, agent.empty({ ready: true, stampMs: 100 })))
  const [again] = commandsIn(agent.read(next, gateway.answers()))
  t.equal(again?.id, first?.id)
  // It was given a second before this process of the agent said its first stamp.
  t.match(again, { stampMs: 100, ttlMs: 29_000 })
})

void t.test('not heard from: expired when its time is over, to the millisecond', async (t) => {
  const scene = await joined()
  const { gateway } = scene
  const given = await give(scene, { ttlMs: 5_000 })
  await gateway.tick(5_000)
  t.equal(given.answer, undefined)
  await gateway.tick(1)
  t.match(given.answer, { status: 'expired', code: 'FW_COMMAND_EXPIRED', text: /not heard from within 5 s/ })
  t.equal(gateway.core.openCommands, 0)
})

void t.test(
  'sent and not taken: expired 2 s after its time, so that an answer of the last moment counts',
  async (t) => {
    const scene = await talking()
    const { gateway, agent } = scene
    const given = await give(scene, { ttlMs: 5_000 })
    const other = await give(scene, { ttlMs: 5_000 })
    t.equal(COMMAND_GRACE_MS, 2_000)
    await gateway.tick(6_900)
    await say(scene, agent.empty({ stampMs: 9_000, downThrough: 1 }), reply(1))
    t.match(given.answer, { status: 'done' })
    await gateway.tick(100)
    t.equal(other.answer, undefined)
    await gateway.tick(1)
    t.match(other.answer, { status: 'expired', code: 'FW_COMMAND_EXPIRED', text: /did not take it/ })
    // It comes all the same, and is not waited for.
    await say(scene, agent.empty({ stampMs: 10_000, downThrough: 2 }), reply(2))
    const acks = heard(scene).filter((message) => message.kind === 'ack')
    t.equal(acks.at(-1)?.replyThrough, 2)
    t.match(other.answer, { status: 'expired' })
  },
)

void t.test('taken and not answered: unknown 15 s after its time', async (t) => {
  const scene = await talking()
  const { gateway, agent } = scene
  const given = await give(scene, { ttlMs: 5_000 })
  await say(scene, agent.empty({ stampMs: 6_000, downThrough: 1 }))
  await gateway.tick(5_000 + COMMAND_WORK_MS)
  t.equal(given.answer, undefined)
  await gateway.tick(1)
  t.match(given.answer, { status: 'unknown', code: 'FW_COMMAND_UNANSWERED' })
})

void t.test(
  'a REPLY twice, to a command that nobody gave, or of another agent, answers nothing',
  async (t) => {
    const scene = await talking()
    const { gateway, agent } = scene
    const other = await settle(await join(gateway, 'pump-8', 8))
    const given = await give(scene)
    await say(other, reply(1))
    await say(scene, reply(77))
    t.equal(given.answer, undefined)
    await say(scene, agent.empty({ downThrough: 1 }), reply(1), reply(1, { status: 'failed' }))
    await say(scene, reply(1, { status: 'failed' }))
    t.same(given.answer, DONE)
  },
)

void t.test('NOTICE and COMMAND share one row of ids, and none is passed over', async (t) => {
  const scene = await talking()
  const { gateway, agent } = scene
  await give(scene)
  await gateway.core.rename('pump-7', 'pump-70')
  void gateway.core.command('pump-70', PING)
  await gateway.tick(3_000)
  const told = heard(scene).flatMap((message) => ('id' in message ? [`${message.kind} ${message.id}`] : []))
  t.same(new Set(told), new Set(['command 1', 'notice 2', 'command 3']))
  await say(scene, agent.empty({ downThrough: 2, stampMs: 9_000 }))
  await gateway.tick(3_000)
  t.same(new Set(heard(scene).flatMap((message) => ('id' in message ? [message.id] : []))), new Set([3]))
})

void t.test('what does not fit one packet waits until what is before it is taken', async (t) => {
  const scene = await talking()
  const { gateway, agent } = scene
  const args = [['value', 'x'.repeat(1_500)] as const]
  for (let i = 0; i < 5; i++) void gateway.core.command('pump-7', { ...PING, args, ttlMs: 600_000 })
  await gateway.core.rename('pump-7', 'pump-70')
  await gateway.settle()
  const seen: string[] = []
  for (let through = 0; through < 6;) {
    await gateway.tick(4_000)
    const ids = heard(scene).flatMap((message) => ('id' in message ? [message.id] : []))
    t.ok(ids.length > 0, `something above ${through}`)
    t.equal(Math.min(...ids), through + 1)
    through = Math.max(...ids)
    t.equal(new Set(ids).size, through - Math.min(...ids) + 1, 'none left out')
    seen.push(String(through))
    await say(scene, agent.empty({ downThrough: through, stampMs: gateway.now }))
  }
  t.same(seen, ['2', '4', '6'])
})

void t.test('the largest command fits beside a large ACK and the largest NOTICE', async (t) => {
  const scene = await talking()
  const { gateway, agent, session } = scene
  const relays = Array.from({ length: 8 }, (_, i) => ({
    url: `wss://${'r'.repeat(240)}-${i}:24780`,
    token: 't'.repeat(128),
    fingerprint: 'f'.repeat(64),
  }))
  await gateway.core.setRelays(relays)
  const { batch } = agent.reading(1)
  // 33 streams with holes.
  for (let i = 0; i < 33; i++) {
    const stream = new Uint8Array([0, 0, 1, 0, ...new Uint8Array(7), i])
    const sealed = Array.from({ length: 12 }, (_, j) =>
      agent.seal(session, agent.empty({ batch: { ...batch!, stream, number: 60_000 + 2 * j }, streams: [] })),
    )
    await gateway.link(1, ...sealed)
  }
  heard(scene)
  const fill = (length: number): CommandMessage => ({
    kind: 'command',
    id: 2 ** 32 - 1,
    stampMs: 0.5,
    ttlMs: 30_000,
    name: 'write',
    args: [['value', 'x'.repeat(length)]],
  })
  const room = 2_048 - (encodeMessages([fill(1_000)]).length - 1_003)
  await give(scene, { command: 'write', args: [['value', 'x'.repeat(room)]] })
  await gateway.tick(4_000)
  t.equal(commandsIn(heard(scene)).length > 0, true)
  await t.rejects(
    gateway.core.command('pump-7', { ...PING, command: 'write', args: [['value', 'x'.repeat(room + 1)]] }),
    refusal('FW_COMMAND_TOO_LARGE'),
  )
})

void t.test('the id of a command that is over is taken with a NOTICE', async (t) => {
  const scene = await talking()
  const { gateway, agent } = scene
  const given = await give(scene, { ttlMs: 1_000 })
  heard(scene)
  await gateway.tick(3_100)
  t.match(given.answer, { status: 'expired' })
  await gateway.tick(10_000)
  const notices = heard(scene).filter(({ kind }) => kind === 'notice')
  t.ok(notices.length > 0)
  t.match(notices[0], { id: 1 })
  await say(scene, agent.empty({ downThrough: 1, stampMs: 20_000 }))
  await gateway.tick(60_000)
  t.same(
    heard(scene).filter(({ kind }) => kind === 'notice'),
    [],
  )
})

void t.test('64 commands may wait at one agent and 1,000 in all, of 10,000 at once', async (t) => {
  const gateway = await CoreHarness.begin()
  const names = Array.from({ length: 17 }, (_, i) => `pump-${i}`)
  for (const [i, name] of names.entries()) {
    await join(gateway, name, 100 + i)
    await gateway.tick(1_000)
  }
  const outcomes = new Map<string, number>()
  const note = (what: string): void => void outcomes.set(what, (outcomes.get(what) ?? 0) + 1)
  t.equal(MAX_COMMANDS_AN_AGENT, 64)
  t.equal(MAX_OPEN_COMMANDS, 1_000)
  for (let i = 0; i < MAX_COMMANDS_AN_AGENT; i++)
    void gateway.core.command('pump-0', PING).then(({ status }) => note(status))
  await t.rejects(gateway.core.command('pump-0', PING), refusal('FW_COMMAND_TOO_MANY'))
  for (let i = 0; i < 10_000; i++) {
    gateway.core.command(names[i % 17]!, { ...PING, ttlMs: 1_000 }).then(
      ({ status }) => note(status),
      (error: { code: string }) => note(error.code),
    )
  }
  // Those that are refused write nothing, and leave the sockets their time.
  for (let turn = 0; turn < 20; turn++) await gateway.tick(0)
  t.equal(gateway.core.openCommands, MAX_OPEN_COMMANDS)
  t.equal(outcomes.get('FW_COMMAND_TOO_MANY'), 10_000 - 936)
  await gateway.tick(3_100)
  t.equal(gateway.core.openCommands, 64)
  t.equal(outcomes.get('expired'), 936)
  const last = gateway.core.command('pump-1', { ...PING, ttlMs: 1 })
  await gateway.settle()
  await gateway.tick(2)
  t.match(await last, { status: 'expired' }, 'there is room again')
})

void t.test('as many short commands as may wait go out in packets that an agent can read', async (t) => {
  const scene = await talking()
  const { gateway, agent } = scene
  const answers: string[] = []
  for (let i = 0; i < MAX_COMMANDS_AN_AGENT; i++)
    void gateway.core.command('pump-7', PING).then(({ status }) => answers.push(status))
  await gateway.settle()
  const taken: number[] = []
  for (let stampMs = 6_000; taken.length < MAX_COMMANDS_AN_AGENT; stampMs += 100) {
    // Reading throws where a packet has more messages than the protocol allows.
    const ids = new Set(commandsIn(heard(scene)).map(({ id }) => id))
    const fresh = [...ids].filter((id) => id > (taken.at(-1) ?? 0))
    t.ok(fresh.length > 0 && fresh.length <= COMMANDS_A_PACKET, `${fresh.length} commands`)
    if (fresh.length === 0) break
    taken.push(...fresh)
    await say(scene, agent.empty({ downThrough: taken.at(-1)!, stampMs }), ...fresh.map((id) => reply(id)))
    await gateway.tick(100)
  }
  t.same(
    taken,
    Array.from({ length: MAX_COMMANDS_AN_AGENT }, (_, i) => i + 1),
    'in order, the rest as soon as the first are taken',
  )
  t.same(new Set(answers), new Set(['done']))
  t.equal(answers.length, MAX_COMMANDS_AN_AGENT)
})

void t.test(
  'a device that is revoked in between: refused where it was not sent, unknown where it was',
  async (t) => {
    const never = await joined()
    const given = await give(never)
    await never.gateway.core.revoke('pump-7')
    await never.gateway.settle()
    t.match(given.answer, { status: 'refused', code: 'FW_COMMAND_REVOKED' })
    const scene = await talking()
    const sent = await give(scene)
    heard(scene)
    await scene.gateway.core.revoke('pump-7')
    await scene.gateway.settle()
    t.match(sent.answer, { status: 'unknown', code: 'FW_COMMAND_UNANSWERED' })
    t.equal(scene.gateway.core.openCommands, 0)
    await t.rejects(scene.gateway.core.command('pump-7', PING), refusal('FW_AGENT_UNKNOWN'))
  },
)

void t.test('a device that waits for the operator is given no command', async (t) => {
  const gateway = await CoreHarness.begin()
  const agent = await enrolled(gateway, 'pump-7', 7, { confirm: true })
  await gateway.link(1, agent.join(gateway.record!).hello)
  await t.rejects(gateway.core.command('pump-7', PING), refusal('FW_COMMAND_HELD'))
  t.equal(gateway.core.openCommands, 0)
})

void t.test('what is no command is refused before anything changes', async (t) => {
  const { gateway } = await talking()
  const { agents } = gateway.core
  const before = agents.named('pump-7')!.noticeNext
  const wrong: Partial<CommandRequest>[] = [
    { command: '' },
    { command: 'Ping' },
    { command: 'p'.repeat(65) },
    { command: 'rm -rf' },
    { ttlMs: 0 },
    { ttlMs: 600_001 },
    { ttlMs: 1.5 },
    { ttlMs: NaN },
    { args: [['a', NaN]] },
    { args: [['a', { b: 1 } as never]] },
    { args: [['a', [1] as never]] },
    { args: [['', 1]] },
    { args: [['a', undefined as never]] },
    { args: Array.from({ length: 65 }, (_, i) => [`${i}`, 1] as const) },
  ]
  for (const request of wrong) {
    await t.rejects(gateway.core.command('pump-7', { ...PING, ...request }), refusal('FW_COMMAND_INVALID'))
  }
  const args = [['a', 'x'.repeat(3_000)] as const]
  await t.rejects(gateway.core.command('pump-7', { ...PING, args }), refusal('FW_COMMAND_TOO_LARGE'))
  await t.rejects(gateway.core.command('nobody', PING), refusal('FW_AGENT_UNKNOWN'))
  t.equal(gateway.core.openCommands, 0)
  t.equal(agents.named('pump-7')!.noticeNext, before)
})

void t.test('a gateway that was restarted knows no open command, and uses no id twice', async (t) => {
  const scene = await talking()
  const { gateway, agent } = scene
  await give(scene)
  t.match(commandsIn(heard(scene)), [{ id: 1 }])
  gateway.restart()
  await gateway.tick(0)
  heard(scene)
  await say(scene, agent.empty({ downThrough: 1, stampMs: 9_000 }), reply(1))
  const acks = heard(scene).filter((message) => message.kind === 'ack')
  t.equal(acks.at(-1)?.replyThrough, 1, 'its REPLY is waited for no more')
  await give(scene)
  t.match(commandsIn(heard(scene)), [{ id: 2 }])
})

void t.test('a gateway that ends answers what is open: unknown', async (t) => {
  const scene = await talking()
  const given = await give(scene)
  await scene.gateway.core.stop()
  await scene.gateway.settle()
  t.match(given.answer, { status: 'unknown', code: 'FW_GATEWAY_STOPPED' })
  await t.rejects(scene.gateway.core.command('pump-7', PING), refusal('FW_GATEWAY_STOPPED'))
})

void t.test('an agent that knows higher ids gets what waits under ids above them', async (t) => {
  const scene = await joined()
  const { gateway, agent } = scene
  const given = await give(scene)
  await say(scene, agent.empty({ ready: true, downThrough: 40, stampMs: 7_000 }))
  await gateway.tick(100)
  const [command] = commandsIn(heard(scene))
  t.equal(command?.id, 42)
  await say(scene, agent.empty({ downThrough: 42, stampMs: 8_000 }), reply(42))
  t.same(given.answer, DONE)
})

void t.test('a disk that is full takes no command, and none is sent', async (t) => {
  const disk: { refuse?: Error } = {}
  const store = createMemoryStore({
    tables: [...CORE_TABLES, ...BRIDGE_TABLES],
    flush: () => (disk.refuse ? Promise.reject(disk.refuse) : Promise.resolve()),
  })
  await store.commit([Meta.initialWrite()])
  const gateway = new CoreHarness(testIdentity(), store)
  await gateway.tick(0)
  const scene = await settle(await join(gateway))
  await say(scene, scene.agent.empty({ stampMs: 5_000 }))
  heard(scene)
  disk.refuse = new HostError('FW_STORE_FULL', 'the disk is full')
  await t.rejects(gateway.core.command('pump-7', PING), { code: 'FW_STORE_FULL' })
  t.equal(gateway.core.openCommands, 0)
  delete disk.refuse
  await gateway.tick(5_000)
  await gateway.tick(5_000)
  t.same(commandsIn(heard(scene)), [])
})
