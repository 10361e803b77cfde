import { crypto, encodeCbor, parseRecord, signRecord } from '@fieldwhisper/protocol'
import t from 'tap'
import { ScriptedAgent, type AgentSession } from '../../support/scripted-agent.js'
import { MAX_OPEN_INVITES, MAX_RECORD_JUMP } from '../../../gateway/src/core/constants.js'
import { CoreHarness, testIdentity } from './core-harness.js'

/*
 * What the gateway tells its operator, and that each report comes with its effect and no other.
 */

interface Joined {
  readonly gateway: CoreHarness
  readonly agent: ScriptedAgent
  readonly session: AgentSession
}

async function joined(): Promise<Joined> {
  const gateway = await CoreHarness.begin()
  const agent = new ScriptedAgent(await gateway.core.enroll('pump-7', { replace: false, confirm: false }), 7)
  const session = agent.join(gateway.record!, [agent.reading(1)])
  await gateway.link(1, session.hello)
  agent.read(session, gateway.answers())
  await gateway.tick(200)
  gateway.answers()
  return { gateway, agent, session }
}

/** A record of the gateway's own slot that it never made. */
function foreignRecord(gateway: CoreHarness, number: number): Uint8Array {
  const record = parseRecord(gateway.record!)
  return signRecord(crypto.signingKey(testIdentity().signingSeed), { ...record, number }).bytes
}

function reported(gateway: CoreHarness, code: string): number {
  return gateway.codes().filter((one) => one === code).length
}

void t.test('an agent has joined when it says ready, once', async (t) => {
  const { gateway, agent, session } = await joined()
  t.equal(reported(gateway, 'FW_AGENT_JOINED'), 0)
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })))
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })))
  t.equal(reported(gateway, 'FW_AGENT_JOINED'), 1)
})

void t.test('a content that does not read is reported, and nothing of it counts', async (t) => {
  const { gateway, agent, session } = await joined()
  const cutOff = Uint8Array.of(1, 0, 200, 0x80)
  await gateway.link(1, session.up.seal(cutOff, agent.random).packet)
  t.equal(reported(gateway, 'FW_CONTENT_MALFORMED'), 1)
  t.equal(gateway.outbox().length, 1)
})

void t.test('a batch that does not read is acknowledged, counted as lost and not published', async (t) => {
  const { gateway, agent, session } = await joined()
  const data = agent.reading(2)
  const batch = { ...data.batch!, bytes: Uint8Array.of(0x81, 0x01) }
  await gateway.link(1, agent.seal(session, { ...data, batch }))
  t.equal(reported(gateway, 'FW_BATCH_MALFORMED'), 1)
  t.equal(gateway.outbox().length, 1)
  t.equal(gateway.core.agents.named('pump-7')?.lost, 1)
  t.equal(agent.acks(session, gateway.answers()).at(-1)?.streams[0]?.through, 2)
})

void t.test('a batch far beyond its stream is refused and not acknowledged', async (t) => {
  const { gateway, agent, session } = await joined()
  const data = agent.reading(2)
  const batch = { ...data.batch!, number: 1 + 65_536 }
  await gateway.link(1, agent.seal(session, { ...data, batch }))
  t.equal(reported(gateway, 'FW_BATCH_REFUSED'), 1)
  t.equal(gateway.outbox().length, 1)
  t.match(agent.acks(session, gateway.answers()).at(-1)?.streams, [{ through: 1, ranges: [] }])
  const last = { ...data.batch!, number: 1 + 65_535 }
  await gateway.link(1, agent.seal(session, { ...data, batch: last }))
  t.equal(gateway.outbox().length, 2, 'one below is taken')
})

void t.test('a revoked agent is told of once and nothing more of it is taken', async (t) => {
  const { gateway, agent, session } = await joined()
  await gateway.core.revoke('pump-7')
  await gateway.settle()
  t.equal(reported(gateway, 'FW_AGENT_REVOKED'), 1)
  await gateway.link(1, agent.seal(session, agent.reading(2)))
  t.equal(gateway.outbox().length, 1)
})

void t.test('commands about a name that nobody has are refused', async (t) => {
  const { gateway } = await joined()
  await t.rejects(gateway.core.revoke('pump-8'), { name: 'GatewayError', code: 'FW_AGENT_UNKNOWN' })
  await t.rejects(gateway.core.rename('pump-8', 'pump-9'), { name: 'GatewayError', code: 'FW_AGENT_UNKNOWN' })
  t.equal(gateway.core.agents.all().length, 1)
})

void t.test('64 invites may be open at a time', async (t) => {
  const gateway = await CoreHarness.begin()
  for (let i = 0; i < MAX_OPEN_INVITES; i++)
    await gateway.core.enroll(`pump-${i}`, { replace: false, confirm: false })
  await t.rejects(gateway.core.enroll('pump-64', { replace: false, confirm: false }), {
    name: 'GatewayError',
    code: 'FW_INVITES_FULL',
  })
  t.equal(gateway.core.invites.open().length, MAX_OPEN_INVITES)
})

void t.test('an agent with a certificate that the registry lost is admitted again, and said', async (t) => {
  const { agent } = await joined()
  const restored = await CoreHarness.begin()
  const session = agent.lost(restored.record!, [agent.reading(2)])
  await restored.link(1, session.hello)
  t.equal(reported(restored, 'FW_AGENT_READMITTED'), 1)
  t.match(restored.outbox(), [{ name: 'pump-7', number: 1 }])
})

void t.test('what was acknowledged before a restore is no loss; without a restore it is one', async (t) => {
  const { agent } = await joined()
  const floor = { stream: agent.stream, floor: 5, end: 5, closed: false }
  const data = agent.empty({ streams: [floor] })
  // A site that had counters and has none is a restored one.
  const restored = new CoreHarness()
  await restored.tick(0)
  t.equal(reported(restored, 'FW_GATEWAY_RESTORED'), 1)
  await restored.link(1, agent.lost(restored.record!, [data]).hello)
  t.equal(reported(restored, 'FW_ACKNOWLEDGED_BEFORE_RESTORE'), 1)
  t.equal(reported(restored, 'FW_READINGS_LOST'), 0)
  t.equal(restored.core.agents.named('pump-7')?.lost, 0)

  const forgetful = await CoreHarness.begin()
  await forgetful.link(1, agent.lost(forgetful.record!, [data]).hello)
  t.equal(reported(forgetful, 'FW_READINGS_LOST'), 1)
  t.equal(forgetful.core.agents.named('pump-7')?.lost, 5)
})

void t.test('a record of its own that it never made: once a restore, twice a second gateway', async (t) => {
  const { gateway, agent } = await joined()
  const before = parseRecord(gateway.record!).number
  void gateway.core.ownRecord({ via: 'link', id: 9 }, foreignRecord(gateway, before + 100))
  await gateway.settle()
  t.equal(reported(gateway, 'FW_GATEWAY_RESTORED'), 1)
  t.equal(parseRecord(gateway.record!).number, before + 1_101, 'it goes on well above')
  void gateway.core.ownRecord({ via: 'link', id: 9 }, foreignRecord(gateway, before + 1_300))
  await gateway.settle()
  t.equal(reported(gateway, 'FW_SECOND_GATEWAY'), 1)
  await gateway.link(1, agent.lost(gateway.record!, [agent.reading(2)]).hello)
  t.equal(gateway.outbox().length, 1, 'and takes no handshake')
})

void t.test('a record of its own more than 10,000 ahead is a second gateway at once', async (t) => {
  const { gateway } = await joined()
  const { nextPrekey } = gateway.core.meta.counters
  void gateway.core.ownRecord(
    { via: 'link', id: 9 },
    foreignRecord(gateway, nextPrekey + MAX_RECORD_JUMP + 1),
  )
  await gateway.settle()
  t.equal(reported(gateway, 'FW_SECOND_GATEWAY'), 1)
  t.equal(gateway.core.meta.counters.nextPrekey, nextPrekey, 'and it takes over nothing')
})

void t.test('a stored session that does not read is left out and the gateway starts', async (t) => {
  const { gateway } = await joined()
  const [stored] = [...gateway.store.range('sessions')]
  await gateway.store.commit([{ table: 'sessions', key: stored!.key, value: Uint8Array.of(0x01) }])
  gateway.restart()
  await gateway.tick(0)
  t.equal(reported(gateway, 'FW_SESSION_CORRUPT'), 1)
  t.equal(gateway.core.sessions.size, 0)
  t.ok(gateway.core.agents.named('pump-7'), 'its agent is still known')
})

for (const table of ['agents', 'invites', 'prekeys', 'ledger']) {
  void t.test(
    `a record of ${table} that does not read is left out and said, and the gateway starts`,
    async (t) => {
      const { gateway } = await joined()
      const [stored] = [...gateway.store.range(table)]
      await gateway.store.commit([{ table, key: stored!.key, value: Uint8Array.of(0x81, 0x01) }])
      gateway.restart()
      await gateway.tick(0)
      t.equal(reported(gateway, 'FW_STATE_RECORD_CORRUPT'), 1)
      t.match(gateway.events.find(({ code }) => code === 'FW_STATE_RECORD_CORRUPT')?.fields, { table })
    },
  )
}

void t.test('counters that do not read are as good as gone', async (t) => {
  const { gateway } = await joined()
  const [stored] = [...gateway.store.range('meta')]
  await gateway.store.commit([{ table: 'meta', key: stored!.key, value: Uint8Array.of(0x81, 0x01) }])
  gateway.restart()
  await gateway.tick(0)
  t.ok(gateway.core.meta.counters.restores > 0)
})

void t.test('what arrived of a stream is not believed where its numbers contradict each other', async (t) => {
  const { gateway } = await joined()
  for (const [through, ranges, end] of [
    [5, [[3, 9]], 30],
    [5, [[9, 9]], 30],
    [
      5,
      [
        [12, 20],
        [7, 9],
      ],
      30,
    ],
    [5, [[7, 31]], 30],
    [31, [], 30],
  ] as const) {
    const key = new Uint8Array(44).fill(7)
    await gateway.store.commit([
      { table: 'ledger', key, value: encodeCbor([1, through, ranges, end, false, 0]) },
    ])
    const before = reported(gateway, 'FW_STATE_RECORD_CORRUPT')
    gateway.restart()
    t.equal(reported(gateway, 'FW_STATE_RECORD_CORRUPT'), before + 1)
  }
})
