import { hex, type NoticeMessage } from '@fieldwhisper/protocol'
import t from 'tap'
import { type ScriptedAgent, type AgentSession } from '../../support/scripted-agent.js'
import { CoreHarness } from './core-harness.js'
import { enrolled, join, joined, published, reported, say, settled } from './core-scenes.js'

/*
 * The life of agents and sessions, exchange by exchange: what is answered, where, and what is on disk afterwards.
 */

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

function notices(agent: ScriptedAgent, session: AgentSession, gateway: CoreHarness): NoticeMessage[] {
  return agent.read(session, gateway.answers()).filter((message) => message.kind === 'notice')
}

void t.test(
  'WELCOME and PREKEY are repeated after 2, 4, 8 s and so on until the agent is ready, also after a restart',
  async (t) => {
    const { gateway, agent, session } = await joined()
    const times = async (steps: number): Promise<number> => {
      let welcomes = 0
      for (let i = 0; i < steps; i++) {
        await gateway.tick(1_000)
        welcomes += agent.read(session, gateway.answers()).filter(({ kind }) => kind === 'welcome').length
      }
      return welcomes
    }
    t.equal(await times(15), 3, 'after 2, 6 and 14 s')
    gateway.now += 3 * HOUR_MS
    gateway.restart()
    t.ok((await times(15)) >= 3, 'a machine that was up for hours is no reason for silence')
    await gateway.tick(2 * HOUR_MS)
    await gateway.tick(1_000)
    gateway.answers()
    t.equal(await times(120), 0, 'an agent that says nothing for an hour is told once an hour')
    await gateway.link(1, agent.seal(session, agent.empty()))
    t.ok((await times(61)) >= 1, 'and within a minute once it is heard')
    await gateway.link(1, agent.seal(session, agent.empty({ ready: true })))
    gateway.answers()
    t.equal(await times(120), 0)
  },
)

void t.test(
  'an answer to a second copy goes to the link that asks, after a restart and without any relay',
  async (t) => {
    const scene = await settled()
    const { gateway, agent, session } = scene
    const packet = agent.seal(session, agent.reading(2))
    await gateway.link(1, packet)
    gateway.restart()
    await gateway.tick(0)
    gateway.sent.length = 0
    await gateway.link(7, packet)
    t.same(
      gateway.sent.map(({ link }) => link),
      [7],
    )
    t.equal(
      agent
        .acks(
          session,
          gateway.sent.map((sent) => sent.packet),
        )
        .at(-1)?.streams[0]?.through,
      2,
    )
  },
)

void t.test('a stranger who sends copies hears with the agent, and does not take its place', async (t) => {
  const scene = await settled()
  const { gateway, agent, session } = scene
  const packet = agent.seal(session, agent.reading(2))
  await gateway.link(1, packet)
  await gateway.tick(2_000)
  gateway.sent.length = 0
  await gateway.link(66, packet)
  t.same(gateway.sent.map(({ link }) => link).sort(), [1, 66])
  gateway.sent.length = 0
  await say(scene, agent.reading(3))
  t.same(
    gateway.sent.map(({ link }) => link),
    [1],
  )
})

void t.test(
  'a device that waits for the operator gets no K, and its first reading is there when he agrees',
  async (t) => {
    const gateway = await CoreHarness.begin()
    const agent = await enrolled(gateway, 'new', 12, { confirm: true })
    const session = agent.join(gateway.record!, [agent.reading(1)])
    await gateway.relay(session.hello)
    const later = agent.seal(session, agent.reading(2))
    await gateway.relay(later)
    const answers = gateway.answers()
    t.same(answers.length > 0 && agent.read(session, answers).map(({ kind }) => kind), ['ack'])
    t.same(published(gateway), [])
    gateway.restart()
    await gateway.tick(60_000)
    await gateway.core.agree('new')
    await gateway.tick(50)
    t.equal(published(gateway).length, 1, 'what rode along in the hello')
    await gateway.relay(session.hello)
    await gateway.tick(60_000)
    t.equal(published(gateway).length, 1, 'and it is taken once')
    t.ok(agent.read(session, gateway.answers()).some(({ kind }) => kind === 'welcome'))
  },
)

void t.test(
  'packets that a relay brought for a waiting device are asked for again when the operator agrees',
  async (t) => {
    const gateway = await CoreHarness.begin()
    const agent = await enrolled(gateway, 'new', 12, { confirm: true })
    const session = agent.join(gateway.record!)
    await gateway.relay(session.hello)
    const packet = agent.seal(session, agent.reading(1))
    gateway.discarded.length = 0
    await gateway.relay(packet)
    await gateway.tick(50)
    t.same(gateway.discarded, [], 'the relay keeps it')
    t.same(gateway.renewed, [])
    await gateway.core.agree('new')
    await gateway.tick(50)
    t.same(gateway.renewed, [0])
    await gateway.relay(packet)
    t.equal(published(gateway).length, 1)
  },
)

void t.test(
  'with a full outbox a new session is answered, and its first reading waits on disk',
  async (t) => {
    const { gateway, agent, session } = await settled()
    gateway.outboxFull = true
    const next = agent.continue(session, agent.prekey!.oneTime, [agent.reading(2)])
    await gateway.link(1, next.hello)
    const answers = agent.read(next, gateway.answers())
    t.match(
      answers.find(({ kind }) => kind === 'ack'),
      { hold: 'outbox-full', streams: [] },
    )
    t.ok(answers.some(({ kind }) => kind === 'prekey'))
    t.equal(published(gateway).length, 1)
    gateway.restart()
    await gateway.tick(50)
    t.equal(published(gateway).length, 1)
    gateway.outboxFull = false
    await gateway.tick(50)
    t.equal(published(gateway).length, 2)
  },
)

void t.test('a full outbox is said every minute for hours, also after a restart', async (t) => {
  const { gateway, agent, session } = await settled()
  gateway.outboxFull = true
  gateway.answers()
  let said = 0
  for (let minute = 0; minute < 150; minute++) {
    if (minute === 75) gateway.restart()
    await gateway.tick(60_000)
    await gateway.tick(1_000)
    said += agent.acks(session, gateway.answers()).filter(({ hold }) => hold === 'outbox-full').length
  }
  t.ok(said >= 145, `said ${said} times in 150 minutes`)
})

void t.test('several changes while an agent was away are one NOTICE, and many relays fit it', async (t) => {
  const { gateway, agent, session } = await settled()
  const relays = Array.from({ length: 8 }, (_, i) => ({
    url: `wss://${'r'.repeat(240)}-${i}:24780`,
    token: 't'.repeat(128),
    fingerprint: 'f'.repeat(64),
  }))
  for (let i = 0; i < 12; i++) await gateway.core.setRelays(relays)
  await gateway.tick(50)
  const told = notices(agent, session, gateway)
  t.match(told, [{ id: 12 }])
  t.same(told[0]!.relays, relays)
  await gateway.link(1, agent.seal(session, agent.empty({ downThrough: 12 })))
  gateway.answers()
  await gateway.tick(10_000)
  t.same(notices(agent, session, gateway), [])
  const other = await join(gateway, 'pump-8', 8)
  t.same(other.agent.welcome?.relays, relays)
})

void t.test('what changes between WELCOME and ready is told by NOTICE', async (t) => {
  const { gateway, agent, session } = await joined()
  await gateway.core.rename('pump-7', 'pump-70')
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })))
  await gateway.tick(100)
  t.match(notices(agent, session, gateway), [{ id: 1 }])
})

void t.test(
  'a hundred streams of dead processes are all acknowledged, in as many answers as it takes',
  async (t) => {
    const { gateway, agent, session } = await settled()
    gateway.answers()
    const { batch } = agent.reading(2)
    const streams = Array.from(
      { length: 100 },
      (_, i) => new Uint8Array([0, 0, 0, 2, ...new Uint8Array(7), i]),
    )
    const packets = streams.map((stream) =>
      agent.seal(session, agent.empty({ batch: { ...batch!, stream, number: 0 }, streams: [] })),
    )
    await gateway.link(1, ...packets)
    const acked = new Set<string>()
    for (let i = 0; i < 20; i++) {
      for (const ack of agent.acks(session, gateway.answers())) {
        for (const { stream, through } of ack.streams) if (through === 1) acked.add(hex(stream))
      }
      await gateway.tick(50)
    }
    t.equal(streams.filter((stream) => acked.has(hex(stream))).length, 100)
    await gateway.tick(2_000)
    t.same(gateway.answers(), [], 'and then no more')
  },
)

void t.test('a session that ends in the turn in which it spoke leaves nothing on disk', async (t) => {
  const { gateway, agent, session } = await settled()
  const next = agent.continue(session, agent.prekey!.oneTime)
  await gateway.link(1, next.hello)
  const old = gateway.core.sessions.named(hex(session.secrets.id))!
  while (old.down.next < old.reserved) {
    await gateway.tick(200)
    await gateway.link(1, agent.seal(session, agent.empty()))
  }
  await gateway.link(
    1,
    agent.seal(session, agent.reading(2)),
    agent.seal(next, agent.empty({ ready: true, oldestSession: next.secrets.id })),
  )
  for (const table of ['sessions', 'session_up', 'session_down']) {
    t.same(
      [...gateway.store.range(table)].map(({ key }) => hex(key)),
      [hex(next.secrets.id)],
      table,
    )
  }
})

void t.test(
  'confirmation erases r, successor and one-time prekey of the session before in one commit',
  async (t) => {
    const { gateway, agent, session } = await settled()
    const { oneTime } = agent.prekey!
    const next = agent.continue(session, oneTime)
    await gateway.link(1, next.hello)
    agent.read(next, gateway.answers())
    const keys = (): number => [...gateway.store.range('prekeys')].filter(({ key }) => key[0] === 1).length
    t.equal(keys(), 2)
    const commits: string[][] = []
    const { store } = gateway
    const commit = store.commit.bind(store)
    store.commit = (writes) => {
      commits.push(writes.map(({ table, value }) => `${value ? 'put' : 'erase'} ${table}`))
      return commit(writes)
    }
    await gateway.link(1, agent.seal(next, agent.empty({ ready: true })))
    const confirming = commits.find((one) => one.includes('erase prekeys'))
    t.ok(confirming?.includes('put sessions'))
    t.equal(keys(), 1)
    gateway.restart()
    await gateway.tick(0)
    const sessions = gateway.core.sessions.size
    await gateway.relay(agent.continue(session, oneTime).hello)
    t.equal(gateway.core.sessions.size, sessions)
  },
)

void t.test(
  'older sessions go on receiving for eight days, prekeys live theirs, and then all of it is gone',
  async (t) => {
    const { gateway, agent, session } = await settled()
    const next = agent.continue(session, agent.prekey!.oneTime)
    await gateway.link(1, next.hello)
    agent.read(next, gateway.answers())
    await gateway.link(1, agent.seal(next, agent.empty({ ready: true })))
    await gateway.tick(7 * DAY_MS)
    await gateway.link(1, agent.seal(session, agent.reading(2)))
    t.equal(published(gateway).length, 2)
    await gateway.tick(DAY_MS + 60_000)
    await gateway.tick(60_000)
    await gateway.link(1, agent.seal(session, agent.reading(3)))
    t.equal(published(gateway).length, 2)
    t.equal(gateway.core.sessions.size, 1)
    await gateway.tick(90 * DAY_MS)
    await gateway.tick(60_000)
    t.same(
      [...gateway.store.range('prekeys')].filter(({ key }) => key[0] === 1),
      [],
      'no one-time prekey is older than 90 days',
    )
    t.equal(gateway.core.prekeys.doorbells().length, 1)
    t.equal(gateway.core.sessions.size, 1, 'the session itself goes on')
  },
)

void t.test(
  'one-time prekeys of sessions that did not read are erased when their time is over',
  async (t) => {
    const { gateway } = await settled()
    const [stored] = [...gateway.store.range('sessions')]
    await gateway.store.commit([{ table: 'sessions', key: stored!.key, value: null }])
    gateway.restart()
    await gateway.tick(91 * DAY_MS)
    await gateway.tick(60_000)
    t.same(
      [...gateway.store.range('prekeys')].filter(({ key }) => key[0] === 1),
      [],
    )
  },
)

void t.test(
  'a signed prekey that was used a lot is replaced at once, and at its limit no hello goes unremembered',
  async (t) => {
    const { gateway, agent } = await settled()
    const first = gateway.core.prekeys.newest()!
    for (let i = 0; first.hellos.size < 8_192; i++) first.hellos.set(`filled ${i}`, '')
    await gateway.tick(60_000)
    t.not(gateway.core.prekeys.newest(), first)
    for (let i = 0; first.hellos.size < 16_384; i++) first.hellos.set(`more ${i}`, '')
    const sessions = gateway.core.sessions.size
    await gateway.link(1, agent.lost(first.record).hello)
    t.equal(gateway.core.sessions.size, sessions)
    await gateway.link(1, agent.lost(gateway.record!).hello)
    t.equal(gateway.core.sessions.size, sessions + 1)
  },
)

void t.test(
  'a device that is replaced is revoked when the new one joins, and its missing readings are told',
  async (t) => {
    const scene = await settled()
    const { gateway, agent } = scene
    agent.nextNumber = 5
    await say(scene, agent.empty())
    const second = await enrolled(gateway, 'pump-7', 30, { replace: true })
    t.equal(gateway.core.sessions.of(agent.key.publicKey).length, 1, 'not before')
    const session = second.join(gateway.record!, [second.reading(1)])
    await gateway.link(3, session.hello)
    t.equal(gateway.core.sessions.of(agent.key.publicKey).length, 0)
    t.equal(reported(gateway, 'FW_AGENT_REVOKED'), 1)
    t.equal(reported(gateway, 'FW_READINGS_LOST'), 1)
    t.same(gateway.core.agents.named('pump-7')?.key, second.key.publicKey)
  },
)

void t.test('a refused device hears once a minute, one hello again the same bytes', async (t) => {
  const { gateway, agent, session } = await joined()
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })))
  gateway.answers()
  const { invite } = agent
  const thief = await enrolled(gateway, 'other', 40)
  Object.assign(thief, { invite })
  const stolen = thief.join(gateway.record!)
  await gateway.link(4, stolen.hello)
  const first = gateway.answers()
  t.match(thief.read(stolen, first), [{ kind: 'refused', code: 'invite-used' }])
  await gateway.tick(2_000)
  await gateway.link(4, thief.join(gateway.record!).hello)
  t.same(gateway.answers(), [], 'another hello of the same key')
  await gateway.link(4, stolen.hello)
  t.same(gateway.answers(), first)
  await gateway.tick(61_000)
  await gateway.link(4, thief.join(gateway.record!).hello)
  t.equal(gateway.answers().length, 1)
})
