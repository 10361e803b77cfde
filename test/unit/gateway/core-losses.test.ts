import {
  hex,
  parseRecord,
  signRecord,
  crypto,
  type NoticeMessage,
  type UpMessage,
} from '@fieldwhisper/protocol'
import t from 'tap'
import type { AgentSession, ScriptedAgent } from '../../support/scripted-agent.js'
import { CoreHarness, testIdentity } from './core-harness.js'
import { disk, join, joined, reported, say, settled } from './core-scenes.js'

/*
 * What was lost: readings that an agent declares gone, and what a gateway forgot that was restored or lost its disk.
 */

const DAY_MS = 86_400_000

function notices(agent: ScriptedAgent, session: AgentSession, gateway: CoreHarness): NoticeMessage[] {
  return agent.read(session, gateway.answers()).filter((message) => message.kind === 'notice')
}

void t.test('an agent that has taken more NOTICEs than were given gets the next above them', async (t) => {
  const { gateway, agent, session } = await settled()
  await gateway.core.setRelays([])
  await gateway.link(1, agent.seal(session, agent.empty({ downThrough: 7 })))
  await gateway.tick(100)
  t.match(notices(agent, session, gateway), [{ id: 8 }])
  await gateway.link(1, agent.seal(session, agent.empty({ downThrough: 8 })))
  await gateway.tick(10_000)
  t.same(notices(agent, session, gateway), [])
  await gateway.core.setRelays([])
  await gateway.tick(100)
  t.match(notices(agent, session, gateway), [{ id: 9 }])
})

void t.test('a name of 64 bytes can be given a second time', async (t) => {
  const name = `${'ä'.repeat(31)}xy`
  const { agent } = await joined(name)
  const restored = await CoreHarness.begin()
  await join(restored, name, 8)
  await restored.link(2, agent.lost(restored.record!, [agent.reading(2)]).hello)
  t.equal(reported(restored, 'FW_AGENT_READMITTED'), 1)
  t.same(
    restored.core.agents
      .all()
      .map((one) => one.name)
      .sort(),
    [`${'ä'.repeat(31)}-2`, name].sort(),
  )
  restored.restart()
  await restored.tick(0)
  t.equal(restored.core.agents.all().length, 2)
})

void t.test(
  'a gap over more numbers than a stream may be ahead is settled, acknowledged and counted once',
  async (t) => {
    const scene = await settled()
    const { gateway, agent, session } = scene
    const gap: UpMessage = {
      kind: 'gap',
      cause: 'full',
      readings: 5_000,
      what: { stream: agent.stream, ranges: [{ from: 1, to: 200_001 }] },
    }
    await say(scene, gap)
    await say(scene, gap)
    t.equal(agent.acks(session, gateway.answers()).at(-1)?.streams[0]?.through, 200_001)
    t.equal(gateway.core.agents.named('pump-7')?.lost, 5_000)
    t.equal(reported(gateway, 'FW_READINGS_LOST'), 1)
  },
)

void t.test('of a gap whose batches arrived in part only the rest is lost', async (t) => {
  const scene = await settled()
  const { gateway, agent } = scene
  agent.nextNumber = 3
  await say(scene, agent.reading(3))
  const what = { stream: agent.stream, ranges: [{ from: 1, to: 5 }] }
  await say(scene, { kind: 'gap', cause: 'age', readings: 8, what })
  t.equal(gateway.core.agents.named('pump-7')?.lost, 6)
})

void t.test('a spool that was lost with an unknown number of readings is told once', async (t) => {
  const scene = await settled()
  const { gateway, agent, session } = scene
  gateway.answers()
  const gap: UpMessage = { kind: 'gap', cause: 'lost', what: { startsBefore: 2 } }
  await say(scene, gap)
  t.equal(reported(gateway, 'FW_READINGS_LOST'), 1)
  t.equal(agent.acks(session, gateway.answers()).at(-1)?.startsBefore, 2)
  gateway.restart()
  await gateway.tick(0)
  await say(scene, gap)
  t.equal(reported(gateway, 'FW_READINGS_LOST'), 1)
  await say(scene, { kind: 'gap', cause: 'lost', what: { startsBefore: 3 } })
  t.equal(reported(gateway, 'FW_READINGS_LOST'), 2, 'the next one is another loss')
})

void t.test(
  'a restored gateway is not put off by a second source with a somewhat newer record',
  async (t) => {
    const { gateway } = await settled()
    const signer = crypto.signingKey(testIdentity().signingSeed)
    const record = parseRecord(gateway.record!)
    const shown = (number: number): Uint8Array => signRecord(signer, { ...record, number }).bytes
    await gateway.core.ownRecord({ via: 'relay', id: 0 }, shown(40))
    await gateway.core.ownRecord({ via: 'relay', id: 1 }, shown(43))
    t.equal(reported(gateway, 'FW_GATEWAY_RESTORED'), 1)
    t.equal(gateway.core.blocked, false)
    t.ok(parseRecord(gateway.record!).number > 43)
  },
)

void t.test('a record with the number of the newest and other keys means a restore too', async (t) => {
  const { gateway } = await settled()
  const own = gateway.record!
  const record = parseRecord(own)
  await gateway.core.ownRecord({ via: 'relay', id: 0 }, own)
  t.equal(reported(gateway, 'FW_GATEWAY_RESTORED'), 0, 'its own one means nothing')
  const signer = crypto.signingKey(testIdentity().signingSeed)
  const address = new Uint8Array(16).fill(7)
  await gateway.core.ownRecord({ via: 'relay', id: 0 }, signRecord(signer, { ...record, address }).bytes)
  t.equal(reported(gateway, 'FW_GATEWAY_RESTORED'), 1)
  t.ok(parseRecord(gateway.record!).number > record.number, 'agents that know the other one take this one')
})

void t.test('sessions do not use up the numbers of signed prekeys', async (t) => {
  const { gateway } = await settled()
  for (let i = 0; i < 5; i++) await join(gateway, `pump-${i}`, 20 + i)
  t.equal(gateway.core.meta.counters.nextPrekey, parseRecord(gateway.record!).number + 1)
})

void t.test('counters that are lost go on behind what other records show', async (t) => {
  const { gateway, agent, session } = await settled()
  await gateway.store.commit([{ table: 'meta', key: Buffer.from('counters'), value: null }])
  const before = parseRecord(gateway.record!).number
  gateway.restart()
  await gateway.tick(DAY_MS + 1)
  t.equal(reported(gateway, 'FW_GATEWAY_RESTORED'), 1)
  t.ok(parseRecord(gateway.record!).number > before)
  const next = agent.continue(session, agent.prekey!.oneTime)
  await gateway.link(1, next.hello)
  await gateway.link(1, agent.seal(next, agent.empty({ ready: true, oldestSession: next.secrets.id })))
  t.same(
    gateway.core.sessions.of(agent.key.publicKey).map(({ name }) => name),
    [hex(next.secrets.id)],
  )
})

void t.test(
  'where counters and prekeys are lost, the next record is newer than all that agents may have seen',
  async (t) => {
    const { gateway } = await settled()
    const before = parseRecord(gateway.record!).number
    const gone = [...gateway.store.range('prekeys')].map(({ key }) => ({
      table: 'prekeys',
      key,
      value: null,
    }))
    await gateway.store.commit([...gone, { table: 'meta', key: Buffer.from('counters'), value: null }])
    gateway.restart()
    await gateway.tick(0)
    t.ok(parseRecord(gateway.record!).number > before)
  },
)

void t.test('where the newest prekey is lost, a newer one is made at once, not in a day', async (t) => {
  const { gateway } = await settled()
  const signer = crypto.signingKey(testIdentity().signingSeed)
  const record = parseRecord(gateway.record!)
  await gateway.core.ownRecord({ via: 'relay', id: 0 }, signRecord(signer, { ...record, number: 40 }).bytes)
  const lost = parseRecord(gateway.record!).number
  t.equal(gateway.core.prekeys.doorbells().length, 2, 'an older one is there')
  const key = Uint8Array.from([0, ...Buffer.from(lost.toString(16).padStart(8, '0'), 'hex')])
  await gateway.store.commit([{ table: 'prekeys', key, value: null }])
  gateway.restart()
  await gateway.tick(60_000)
  t.equal(parseRecord(gateway.record!).number, lost + 1)
})

void t.test('state of a later release is refused and left as it is', async (t) => {
  const { gateway } = await settled()
  for (const table of ['meta', 'agents', 'sessions', 'prekeys', 'ledger']) {
    const [stored] = [...gateway.store.range(table)]
    const newer = new Uint8Array(stored!.value)
    newer[1] = 2
    await gateway.store.commit([{ table, key: stored!.key, value: newer }])
    const before = disk(gateway)
    t.throws(() => gateway.restart(), { name: 'GatewayError', code: 'FW_STATE_NEWER' }, table)
    t.same(disk(gateway), before)
    await gateway.store.commit([{ table, key: stored!.key, value: stored!.value }])
  }
  gateway.restart()
})
