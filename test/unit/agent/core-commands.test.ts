import type { CommandMessage, DownMessage, ReplyMessage } from '@fieldwhisper/protocol'
import t from 'tap'
import { MAX_COMMANDS, REPLY_KEPT_MS } from '../../../agent/src/core/constants.js'
import { HOUR, joinedRig, MINUTE, type CoreRig } from './core-rig.js'
import type { GatewaySession } from './scripted-gateway.js'

function live(rig: CoreRig): GatewaySession {
  return rig.gateway.sessions.at(-1)!
}

function say(rig: CoreRig, ...messages: readonly DownMessage[]): void {
  rig.answerWith(rig.gateway.answer(live(rig), messages))
}

function command(rig: CoreRig, id: number, more: Partial<CommandMessage> = {}): CommandMessage {
  return { kind: 'command', id, stampMs: rig.now, ttlMs: 30_000, name: 'ping', args: [], ...more }
}

function replies(rig: CoreRig): ReplyMessage[] {
  const said = rig.gateway.sessions.flatMap(({ said }) => said)
  return said.filter((message) => message.kind === 'reply')
}

/** The highest id that the gateway was told is taken. */
function taken(rig: CoreRig): number {
  const data = rig.gateway.sessions.flatMap(({ said }) => said).filter(({ kind }) => kind === 'data')
  return Math.max(...data.map((message) => (message.kind === 'data' ? message.downThrough : 0)))
}

void t.test('a command is carried out once its id is on disk, and its reply is said at once', async (t) => {
  const rig = await joinedRig()
  rig.reply = ({ name, args }) => {
    t.equal(rig.site.downThrough, 4, 'on disk before')
    t.equal(name, 'write')
    return { status: 'done', code: 'FW_COMMAND_DONE', text: 'written', result: args }
  }
  say(rig, command(rig, 4, { name: 'write', args: [['output', 'valve']] }))
  t.equal(rig.commands.length, 1)
  t.same(replies(rig), [
    {
      kind: 'reply',
      id: 4,
      status: 'done',
      code: 'FW_COMMAND_DONE',
      text: 'written',
      result: [['output', 'valve']],
    },
  ])
  t.equal(taken(rig), 4)
  t.ok(rig.events.includes('FW_COMMAND_DONE'))
})

void t.test('what comes twice is carried out once, and its reply is said again', async (t) => {
  const rig = await joinedRig()
  const order = command(rig, 1)
  say(rig, order)
  say(rig, order)
  say(rig, order, { ...order, name: 'write' })
  t.equal(rig.commands.length, 1)
  t.ok(replies(rig).length >= 2)
  t.ok(replies(rig).every(({ id, status }) => id === 1 && status === 'done'))
})

void t.test('the same packet twice, and a command from an older session, do nothing', async (t) => {
  const rig = await joinedRig()
  const old = live(rig)
  const order = command(rig, 1)
  const packets = rig.gateway.answer(old, [order])
  rig.answerWith(packets)
  rig.answerWith(packets)
  t.equal(rig.commands.length, 1)
  await rig.turn(HOUR + MINUTE, 5_000)
  t.not(live(rig), old, 'a newer session')
  rig.answerWith(rig.gateway.answer(old, [order]))
  rig.answerWith(packets)
  await rig.turn(5_000)
  t.equal(rig.commands.length, 1)
})

void t.test(
  'a command is carried out up to its time to live, by the clock of the agent, and not a moment later',
  async (t) => {
    const rig = await joinedRig()
    const stampMs = rig.now
    await rig.turn(10_000)
    say(rig, command(rig, 1, { stampMs, ttlMs: rig.now - stampMs }))
    t.equal(rig.commands.length, 1)
    say(rig, command(rig, 2, { stampMs, ttlMs: rig.now - stampMs - 1 }))
    t.equal(rig.commands.length, 1)
    t.match(replies(rig).at(-1), { id: 2, status: 'expired', code: 'FW_COMMAND_EXPIRED' })
    t.ok(rig.events.includes('FW_COMMAND_EXPIRED'))
    say(rig, command(rig, 3, { stampMs: rig.now + MINUTE }))
    t.equal(rig.commands.length, 2, 'two clocks drift')
    say(rig, command(rig, 4, { stampMs: rig.now + MINUTE + 1 }))
    t.equal(rig.commands.length, 2)
    t.match(replies(rig).at(-1), { id: 4, status: 'expired' })
  },
)

void t.test('a relay that holds a command back makes it expire', async (t) => {
  const rig = await joinedRig()
  const packets = rig.gateway.answer(live(rig), [command(rig, 1, { ttlMs: 5_000 })])
  await rig.turn(5_100)
  rig.answerWith(packets)
  t.same(rig.commands, [])
  t.match(replies(rig), [{ id: 1, status: 'expired' }])
})

void t.test(
  'while the disk does not take its id a command is not carried out, and then only in time',
  async (t) => {
    const rig = await joinedRig()
    rig.refuseSave.add('site')
    say(rig, command(rig, 1, { ttlMs: 60_000 }), command(rig, 2, { ttlMs: 5_000 }))
    await rig.turn(5_000)
    t.same(rig.commands, [])
    t.equal(taken(rig), 0)
    rig.refuseSave.clear()
    await rig.turn(10_000)
    t.same(
      rig.commands.map(({ id }) => id),
      [1],
    )
    t.same(new Set(replies(rig).map(({ id, status }) => `${id} ${status}`)), new Set(['1 done', '2 expired']))
    t.equal(taken(rig), 2)
  },
)

void t.test('a write that failed does not count as one that succeeded before it', async (t) => {
  const rig = await joinedRig()
  // The first id is written, the second is not, and both are reported afterwards.
  let writes = 0
  const refuse = rig.refuseSave
  Object.assign(rig, {
    refuseSave: { has: (file: string) => file === 'site' && ++writes === 2, add: refuse, clear: refuse },
  })
  say(rig, command(rig, 1), command(rig, 2))
  t.same(
    rig.commands.map(({ id }) => id),
    [1],
  )
  await rig.turn(11_000)
  t.equal(rig.commands.length, 2, 'once it is written')
})

void t.test(
  'an agent that restarts after it took a command says that nobody knows, and does not do it again',
  async (t) => {
    const rig = await joinedRig()
    rig.reply = undefined
    const order = command(rig, 1, { ttlMs: 600_000 })
    say(rig, order)
    t.equal(rig.commands.length, 1)
    t.same(replies(rig), [])
    await rig.restart()
    await rig.turn(5_000)
    say(rig, order)
    t.equal(rig.commands.length, 1)
    t.match(replies(rig), [{ id: 1, status: 'unknown', code: 'FW_COMMAND_FORGOTTEN' }])
    t.ok(rig.events.includes('FW_COMMAND_FORGOTTEN'))
  },
)

void t.test(
  'a reply is repeated after 2 s, later and later up to a minute, until the gateway has it',
  async (t) => {
    const rig = await joinedRig()
    say(rig, command(rig, 1))
    const count = replies(rig).length
    await rig.turn(1_900)
    t.equal(replies(rig).length, count)
    await rig.turn(200)
    t.equal(replies(rig).length, count + 1)
    await rig.turn(5 * MINUTE, 500)
    const many = replies(rig).length
    t.ok(many >= count + 6 && many <= count + 12, `${many}`)
    rig.gateway.replyThrough = 1
    await rig.turn(2 * MINUTE, 500)
    const last = replies(rig).length
    t.ok(last <= many + 2)
    await rig.turn(5 * MINUTE, 500)
    t.equal(replies(rig).length, last)
    say(rig, command(rig, 1))
    await rig.turn(MINUTE)
    t.equal(replies(rig).length, last, 'nor where the command comes once more')
    t.equal(rig.commands.length, 1)
  },
)

void t.test('a reply is not said into silence, and at once when a new session is answered', async (t) => {
  const rig = await joinedRig()
  rig.down = false
  const packets = rig.gateway.answer(live(rig), [command(rig, 1)])
  rig.answerWith(packets)
  const first = replies(rig).length
  t.equal(first, 1)
  await rig.turn(30 * MINUTE, 5_000)
  t.ok(replies(rig).length <= first + 6, 'for a minute')
})

void t.test('a reply that nobody fetches is forgotten after a quarter of an hour', async (t) => {
  const rig = await joinedRig()
  say(rig, command(rig, 1))
  await rig.turn(REPLY_KEPT_MS - 30_000, 500)
  const before = replies(rig).length
  await rig.turn(MINUTE, 500)
  t.ok(replies(rig).length <= before + 1)
  const count = replies(rig).length
  await rig.turn(10 * MINUTE, 500)
  t.equal(replies(rig).length, count)
})

void t.test('64 are taken and not yet answered for; the next and what is behind it are left', async (t) => {
  const rig = await joinedRig()
  rig.reply = undefined
  t.equal(MAX_COMMANDS, 64)
  for (let id = 1; id <= MAX_COMMANDS; id += 8)
    say(rig, ...Array.from({ length: 8 }, (_, i) => command(rig, id + i, { ttlMs: 600_000 })))
  t.equal(rig.commands.length, 64)
  const doorbell = { epoch: 9, secret: new Uint8Array(32) }
  const notice = { kind: 'notice', id: 66, siteRevision: 9, doorbell, relays: [] } as const
  say(rig, notice, command(rig, 65))
  await rig.turn(1_000)
  t.equal(rig.commands.length, 64)
  t.equal(taken(rig), 64)
  t.not(rig.site.siteRevision, 9)
  rig.feed({
    type: 'replied',
    id: 1,
    reply: { status: 'done', code: 'FW_COMMAND_DONE', text: '', result: [] },
  })
  rig.gateway.replyThrough = 1
  await rig.turn(5_000)
  say(rig, notice, command(rig, 65))
  await rig.turn(1_000)
  t.equal(rig.commands.length, 65, 'in the order of their ids')
  t.equal(taken(rig), 66)
  t.equal(rig.site.siteRevision, 9)
})

void t.test('a result that fits no packet is left out, the reply is not', async (t) => {
  const rig = await joinedRig()
  const result = [['a', 'x'.repeat(3_000)] as const]
  rig.reply = () => ({ status: 'done', code: 'FW_COMMAND_DONE', text: 'much', result })
  say(rig, command(rig, 1))
  t.match(replies(rig), [{ id: 1, status: 'done', text: 'much', result: [] }])
})

void t.test('an answer to a command that nobody gave changes nothing', async (t) => {
  const rig = await joinedRig()
  const reply = { status: 'done', code: 'FW_COMMAND_DONE', text: '', result: [] } as const
  rig.feed({ type: 'replied', id: 77, reply })
  await rig.turn(5_000)
  t.same(replies(rig), [])
})
