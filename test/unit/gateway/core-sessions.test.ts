import { encodeInvite, hex, packetHash } from '@fieldwhisper/protocol'
import t from 'tap'
import { MAX_CANDIDATES } from '../../../gateway/src/core/constants.js'
import { CoreHarness } from './core-harness.js'
import { ScriptedAgent, type AgentSession } from '../../support/scripted-agent.js'

interface Joined {
  readonly gateway: CoreHarness
  readonly agent: ScriptedAgent
  readonly session: AgentSession
}

/** An agent that joined over link 1 with its first reading, was answered, and has not said ready yet. */
async function joined(name = 'pump-7'): Promise<Joined> {
  const gateway = await CoreHarness.begin()
  const agent = new ScriptedAgent(await gateway.core.enroll(name, { replace: false, confirm: false }), 7)
  const session = agent.join(gateway.record!, [agent.reading(1)])
  await gateway.link(1, session.hello)
  agent.read(session, gateway.answers())
  return { gateway, agent, session }
}

/** The same, confirmed and continued once, as a real agent does at the first answer. */
async function settled(): Promise<Joined> {
  const { gateway, agent, session } = await joined()
  const next = agent.continue(session, agent.prekey!.oneTime)
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })), next.hello)
  agent.read(next, gateway.answers())
  await gateway.link(1, agent.seal(next, agent.empty({ ready: true, oldestSession: next.secrets.id })))
  agent.read(next, gateway.answers())
  return { gateway, agent, session: next }
}

void t.test('a join brings its first reading, a welcome and a prekey in one answer', async (t) => {
  const { gateway, agent } = await joined()
  t.equal(gateway.outbox().length, 1)
  t.match(gateway.outbox()[0], { name: 'pump-7', path: 'lan', number: 0 })
  t.ok(agent.welcome)
  t.ok(agent.prekey)
})

void t.test('what was committed is acknowledged, and only after the commit', async (t) => {
  const { gateway, agent, session } = await joined()
  await gateway.tick(200)
  gateway.answers()
  await gateway.link(1, agent.seal(session, agent.reading(2)), agent.seal(session, agent.reading(3)))
  const acks = agent.acks(session, gateway.answers())
  t.match(acks.at(-1)?.streams, [{ stream: agent.stream, through: 3, ranges: [] }])
  t.equal(gateway.outbox().length, 3)
})

void t.test(
  'the second copy of a packet makes no second entry and is acknowledged again at most once a second',
  async (t) => {
    const { gateway, agent, session } = await settled()
    const packet = agent.seal(session, agent.reading(2))
    await gateway.link(1, packet)
    gateway.answers()
    await gateway.relay(packet, packet, packet)
    t.equal(gateway.outbox().length, 2)
    t.equal(agent.acks(session, gateway.answers()).length, 1)
    t.ok(gateway.discarded.includes(hex(packetHash(packet))), 'the relay may forget it')
  },
)

void t.test('a reading that is sealed again in the next session is published once', async (t) => {
  const { gateway, agent, session } = await settled()
  const data = agent.reading(2)
  await gateway.link(1, agent.seal(session, data))
  const next = agent.continue(session, agent.prekey!.oneTime, [data])
  await gateway.link(1, next.hello)
  t.equal(gateway.outbox().length, 2)
  t.same(agent.acks(next, gateway.answers())[0]?.streams[0]?.through, 2)
})

void t.test('data that overtakes its hello on a link waits for it', async (t) => {
  const { gateway, agent, session } = await settled()
  gateway.workAtOnce = false
  const next = agent.continue(session, agent.prekey!.oneTime, [agent.reading(2)])
  await gateway.link(1, next.hello, agent.seal(next, agent.reading(3)))
  t.equal(gateway.outbox().length, 1)
  gateway.work()
  await gateway.settle()
  t.equal(gateway.outbox().length, 3)
})

void t.test('data that came first and was dropped is delivered by its second copy', async (t) => {
  const { gateway, agent, session } = await settled()
  const next = agent.continue(session, agent.prekey!.oneTime)
  const early = agent.seal(next, agent.reading(2))
  await gateway.link(2, early)
  t.equal(gateway.outbox().length, 1)
  await gateway.relay(next.hello)
  await gateway.relay(early)
  t.equal(gateway.outbox().length, 2)
})

void t.test(
  'a restarted gateway opens what waited, acknowledges it, and never seals twice under one leaf',
  async (t) => {
    const { gateway, agent, session } = await settled()
    const before = agent.seal(session, agent.reading(2))
    await gateway.link(1, before)
    const counters = new Set(gateway.answers().map((packet) => hex(packet.subarray(2, 22))))
    gateway.restart()
    await gateway.tick(0)
    await gateway.relay(before, agent.seal(session, agent.reading(3)))
    t.equal(gateway.outbox().length, 3)
    const answers = gateway.answers()
    t.equal(agent.acks(session, answers).at(-1)?.streams[0]?.through, 3)
    for (const packet of answers) t.notOk(counters.has(hex(packet.subarray(2, 22))), 'a counter of its own')
  },
)

void t.test('a replayed hello makes no second session and is answered in the first', async (t) => {
  const { gateway, session } = await joined()
  const sessions = gateway.core.sessions.size
  await gateway.tick(2_000)
  gateway.answers()
  await gateway.link(9, session.hello)
  await gateway.relay(session.hello)
  t.equal(gateway.core.sessions.size, sessions)
  t.equal(gateway.answers().length, 1)
})

void t.test(
  'a hello with a wrong knock, a wrong K or a flipped bit changes nothing and is not answered',
  async (t) => {
    const { gateway, agent } = await settled()
    gateway.answers()
    const sessions = gateway.core.sessions.size
    const stranger = new ScriptedAgent(
      await gateway.core.enroll('other', { replace: false, confirm: false }),
      8,
    )
    const flipped = new Uint8Array(stranger.join(gateway.record!).hello)
    flipped[flipped.length - 1]! ^= 1
    agent.welcome = { ...agent.welcome!, k: new Uint8Array(32) }
    await gateway.link(3, flipped, agent.lost(gateway.record!).hello)
    t.equal(gateway.core.sessions.size, sessions)
    t.same(gateway.answers(), [])
  },
)

void t.test(
  'seventeen hellos on one successor leave sixteen candidates, and one that is confirmed erases the successor',
  async (t) => {
    const { gateway, agent, session } = await settled()
    const oneTime = agent.prekey!.oneTime
    const tries: AgentSession[] = []
    for (let i = 0; i < MAX_CANDIDATES + 1; i++) {
      const next = agent.continue(session, oneTime, [agent.reading(i)])
      tries.push(next)
      await gateway.relay(next.hello)
    }
    t.equal(gateway.outbox().length, 18, 'the data of every candidate is bridged')
    const candidates = gateway.core.sessions
      .of(agent.key.publicKey)
      .filter(({ parent }) => parent === hex(session.secrets.id))
    t.equal(candidates.length, MAX_CANDIDATES)
    const last = tries[16]!
    await gateway.relay(agent.seal(last, agent.empty({ ready: true, oldestSession: last.secrets.id })))
    t.equal(gateway.core.sessions.of(agent.key.publicKey).length, 1, 'older sessions ended')
    await gateway.relay(agent.continue(session, oneTime).hello)
    t.equal(gateway.core.sessions.of(agent.key.publicKey).length, 1, 'nobody answers at the old successor')
  },
)

void t.test('an agent that lost its session comes back by the doorbell and keeps its ledger', async (t) => {
  const { gateway, agent } = await settled()
  const again = agent.lost(gateway.record!, [agent.reading(5)])
  await gateway.relay(again.hello)
  t.equal(gateway.outbox().length, 2)
  t.equal(agent.acks(again, gateway.answers())[0]?.streams[0]?.through, 2)
})

void t.test('an invite is used once, a taken name is refused, and each is told so, sealed', async (t) => {
  const { gateway, agent, session } = await joined()
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })))
  gateway.answers()
  const thief = new ScriptedAgent(encodeInvite(agent.invite), 99)
  const stolen = thief.join(gateway.record!)
  await gateway.link(4, stolen.hello)
  t.match(thief.read(stolen, gateway.answers()), [{ kind: 'refused', code: 'invite-used' }])
  t.ok(gateway.codes().includes('FW_HELLO_REFUSED'))
  await t.rejects(gateway.core.enroll('pump-7', { replace: false, confirm: false }), {
    code: 'FW_NAME_TAKEN',
  })
})

void t.test(
  'an expired invite is refused for a new device and honoured for the one that used it',
  async (t) => {
    const { gateway, agent } = await joined()
    const line = await gateway.core.enroll('late', { replace: false, confirm: false })
    await gateway.tick(25 * 3_600_000)
    gateway.answers()
    const late = new ScriptedAgent(line, 11)
    const join = late.join(gateway.record!)
    await gateway.link(5, join.hello)
    t.match(late.read(join, gateway.answers()), [{ kind: 'refused', code: 'invite-expired' }])
    const again = agent.join(gateway.record!, [agent.reading(2)])
    await gateway.link(6, again.hello)
    t.equal(gateway.outbox().length, 2, 'the device that is bound may repeat its join')
  },
)

void t.test('a revoked agent loses its sessions and is told so when it comes back', async (t) => {
  const { gateway, agent, session } = await settled()
  await gateway.core.revoke('pump-7')
  await gateway.settle()
  t.equal(gateway.core.sessions.of(agent.key.publicKey).length, 0)
  await gateway.link(1, agent.seal(session, agent.reading(2)))
  t.equal(gateway.outbox().length, 1)
  gateway.answers()
  const back = agent.lost(gateway.record!)
  await gateway.link(1, back.hello)
  t.match(agent.read(back, gateway.answers()), [{ kind: 'refused', code: 'revoked' }])
})

void t.test(
  'a device that waits for the operator is neither bridged nor acknowledged, and its readings come when he agrees',
  async (t) => {
    const gateway = await CoreHarness.begin()
    const agent = new ScriptedAgent(await gateway.core.enroll('new', { replace: false, confirm: true }), 12)
    const session = agent.join(gateway.record!)
    await gateway.link(1, session.hello)
    const data = agent.seal(session, agent.reading(1))
    await gateway.link(1, data)
    t.equal(gateway.outbox().length, 0)
    t.equal(agent.acks(session, gateway.answers())[0]?.hold, 'confirm')
    await gateway.core.agree('new')
    await gateway.link(1, data)
    t.equal(gateway.outbox().length, 1)
  },
)

void t.test(
  'while the outbox is full nothing is opened, and the agent hears why within a minute',
  async (t) => {
    const { gateway, agent, session } = await settled()
    gateway.answers()
    gateway.outboxFull = true
    await gateway.link(1, agent.seal(session, agent.reading(2)))
    await gateway.tick(50)
    t.equal(gateway.outbox().length, 1)
    t.match(agent.acks(session, gateway.answers()), [{ hold: 'outbox-full', streams: [] }])
    gateway.outboxFull = false
    await gateway.tick(50)
    t.equal(gateway.outbox().length, 2)
  },
)

void t.test('a gap settles the numbers it covers and is told under the name of the agent', async (t) => {
  const { gateway, agent, session } = await settled()
  agent.nextNumber = 10
  await gateway.link(
    1,
    agent.seal(
      session,
      {
        kind: 'gap',
        cause: 'full',
        readings: 9,
        what: { stream: agent.stream, ranges: [{ from: 1, to: 10 }] },
      },
      agent.reading(10),
    ),
  )
  t.equal(agent.acks(session, gateway.answers()).at(-1)?.streams[0]?.through, 11)
  t.equal(gateway.core.agents.named('pump-7')?.lost, 9)
  t.ok(gateway.codes().includes('FW_READINGS_LOST'))
})

void t.test(
  'a gateway shown a higher record of its own knows that it was restored and goes on above it',
  async (t) => {
    const { gateway } = await joined()
    const backup = await CoreHarness.begin()
    await backup.core.enroll('open', { replace: false, confirm: false })
    void backup.core.ownRecord({ via: 'link', id: 9 }, gateway.record!)
    await backup.settle()
    t.same(
      backup.codes().filter((code) => code === 'FW_GATEWAY_RESTORED'),
      [],
    )
    await gateway.tick(25 * 3_600_000)
    await gateway.tick(25 * 3_600_000)
    void backup.core.ownRecord({ via: 'link', id: 9 }, gateway.record!)
    await backup.settle()
    t.ok(backup.codes().includes('FW_GATEWAY_RESTORED'))
    t.same(backup.core.invites.open(), [])
  },
)
