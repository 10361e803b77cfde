import {
  doorbellSecret,
  fromHex,
  hex,
  SealingDirection,
  u32,
  type StreamState,
  type UpMessage,
} from '@fieldwhisper/protocol'
import { decodeItem, OUTBOX_TABLE } from '@fieldwhisper/gateway/core'
import { createHmac } from 'node:crypto'
import t from 'tap'
import type { ScriptedAgent } from '../../support/scripted-agent.js'
import { MAX_OPEN_STREAMS, MAX_STREAM_RANGES } from '../../../gateway/src/core/constants.js'
import { CoreHarness, testIdentity } from './core-harness.js'
import { join, joined, published, reported, say, settled, type Scene } from './core-scenes.js'

/*
 * What an enrolled device can do to the gateway and to other devices when it means harm: it may hurt itself.
 */

const HIGHEST = 0xffff_ffff

function stream(start: number, rest: number): Uint8Array {
  return fromHex(start.toString(16).padStart(8, '0') + rest.toString(16).padStart(16, '0'))
}

function data(agent: ScriptedAgent, streams: readonly StreamState[]): UpMessage {
  return agent.empty({ streams })
}

/** As many messages as one packet may hold, each with 10 streams of their own. */
function manyStreams(agent: ScriptedAgent, round: number, closed: boolean): UpMessage[] {
  return Array.from({ length: 40 }, (_, message) =>
    data(
      agent,
      Array.from({ length: 10 }, (_, i) => ({
        stream: stream(1, round * 1_000 + message * 10 + i),
        floor: 0,
        end: closed ? 0 : 1,
        closed,
      })),
    ),
  )
}

async function restarts({ gateway }: Scene): Promise<void> {
  gateway.restart()
  await gateway.tick(0)
}

void t.test('numbers at the end of their range are stored so that the gateway starts again', async (t) => {
  const scene = await settled()
  const { gateway, agent } = scene
  const last = { stream: agent.stream, floor: HIGHEST, end: HIGHEST, closed: false }
  const batch = { ...agent.reading(1).batch!, number: HIGHEST }
  await say(scene, agent.empty({ streams: [last] }), agent.empty({ batch, streams: [last] }))
  await say(scene, { kind: 'gap', cause: 'full', what: { startsBefore: HIGHEST } })
  await say(scene, agent.empty({ downThrough: HIGHEST }))
  await restarts(scene)
  t.ok(gateway.core.agents.named('pump-7'))
  await say(scene, agent.reading(2, { streams: [] }))
  t.equal(gateway.codes().includes('FW_SESSION_CORRUPT'), false)
})

void t.test('a claimed site revision beyond belief is passed over, and nobody else suffers', async (t) => {
  const { gateway, agent } = await settled()
  agent.siteRevision = HIGHEST
  await gateway.link(1, agent.lost(gateway.record!).hello)
  t.equal(reported(gateway, 'FW_GATEWAY_RESTORED'), 0)
  const other = await join(gateway, 'pump-8', 8)
  t.ok(other.agent.welcome, 'a WELCOME that reads')
  t.ok(other.agent.welcome!.siteRevision < 100)
})

void t.test('a revision that may be true is taken over, and who said so is told', async (t) => {
  const { gateway, agent } = await settled()
  await gateway.core.enroll('open', { replace: false, confirm: false })
  agent.siteRevision = gateway.core.meta.counters.siteRevision + 3
  await gateway.link(1, agent.lost(gateway.record!).hello)
  t.match(gateway.events.find(({ code }) => code === 'FW_GATEWAY_RESTORED')?.fields, { agent: 'pump-7' })
  t.equal(gateway.core.meta.counters.siteRevision, agent.siteRevision)
  t.same(gateway.core.invites.open(), [])
})

void t.test('the site revision stops at 32 bits', async (t) => {
  const { gateway } = await settled()
  gateway.core.meta.counters.siteRevision = HIGHEST
  const { agent } = await join(gateway, 'pump-8', 8)
  t.equal(agent.welcome?.siteRevision, HIGHEST)
  await gateway.core.setRelays([])
  t.equal(gateway.core.meta.counters.siteRevision, HIGHEST)
})

void t.test('closed streams without end take bounded room, on disk as well', async (t) => {
  const scene = await settled()
  const { gateway, agent } = scene
  const entries = (): number => [...gateway.store.range('ledger')].length
  for (let round = 0; round < 8; round++) await say(scene, ...manyStreams(agent, round, true))
  t.ok(entries() <= 1_280, `${entries()} streams are remembered`)
  await say(scene, agent.reading(2))
  t.equal(published(gateway).length, 2, 'and its own readings go on')
  await restarts(scene)
  t.ok([...gateway.store.range('ledger')].length <= 1_280)
})

void t.test('at most 256 streams with something missing are kept, and the next is refused', async (t) => {
  const scene = await settled()
  const { gateway, agent } = scene
  await say(scene, ...manyStreams(agent, 0, false))
  t.equal([...gateway.store.range('ledger')].length, MAX_OPEN_STREAMS + 1)
  const batch = { ...agent.reading(5).batch!, stream: stream(9, 9), number: 0 }
  await say(scene, agent.empty({ batch, streams: [] }))
  t.equal(reported(gateway, 'FW_BATCH_REFUSED'), 1)
  t.equal(published(gateway).length, 1)
})

void t.test(
  'a batch that would make the 1,025th range of its stream is refused, one that fills a hole is not',
  async (t) => {
    const scene = await settled()
    const { gateway, agent } = scene
    const { batch } = agent.reading(2)
    const send = (number: number): UpMessage => agent.empty({ batch: { ...batch!, number }, streams: [] })
    for (let from = 0; from < MAX_STREAM_RANGES; from += 32) {
      await say(scene, ...Array.from({ length: 32 }, (_, i) => send(2 + 2 * (from + i))))
    }
    t.equal(published(gateway).length, MAX_STREAM_RANGES + 1)
    await say(scene, send(3_000))
    t.equal(reported(gateway, 'FW_BATCH_REFUSED'), 1)
    await say(scene, send(3))
    t.equal(published(gateway).length, 1_026)
  },
)

void t.test('losses by the hundred make one event a packet and cause, and all of them count', async (t) => {
  const scene = await settled()
  const { gateway, agent } = scene
  const streams = Array.from({ length: 33 }, (_, i) => ({
    stream: stream(1, i),
    floor: 5,
    end: 5,
    closed: false,
  }))
  const gaps = Array.from({ length: 30 }, (_, i): UpMessage => ({
    kind: 'gap',
    cause: 'age',
    what: { stream: stream(2, i), ranges: [{ from: 0, to: 10 }] },
  }))
  await say(scene, data(agent, streams), ...gaps)
  const events = [...gateway.store.range(OUTBOX_TABLE)].filter(
    ({ value }) => decodeItem(value).kind === 'event',
  )
  t.equal(events.length, 2)
  t.equal(gateway.core.agents.named('pump-7')?.lost, 33 * 5 + 30 * 10)
})

void t.test('streams that are named by the hundred do not pile up between two answers', async (t) => {
  const scene = await settled()
  const { gateway, agent, session } = scene
  // Acknowledgements are used up, so that no answer clears them.
  for (let i = 0; i < 25; i++) await say(scene, agent.empty())
  gateway.answers()
  await say(scene, ...manyStreams(agent, 0, true))
  const [live] = gateway.core.sessions.of(agent.key.publicKey)
  t.ok(live!.talk.streams.size <= 256)
  t.ok(live!.talk.unanswered.size <= 256)
  t.ok(agent.acks(session, gateway.answers()).every(({ streams }) => streams.length <= 33))
})

void t.test('an agent that restarts all the time keeps a bounded number of sessions', async (t) => {
  const scene = await settled()
  const { gateway, agent } = scene
  let { session } = scene
  for (let i = 0; i < 80; i++) {
    const next = agent.continue(session, agent.prekey!.oneTime)
    await gateway.tick(5_000)
    await gateway.link(1, next.hello)
    agent.read(next, gateway.answers())
    session = next
  }
  const sessions = gateway.core.sessions.of(agent.key.publicKey)
  t.ok(sessions.length <= 48, `${sessions.length} sessions`)
  t.equal(sessions.at(-1)?.name, hex(session.secrets.id), 'the newest is among them')
  t.equal([...gateway.store.range('sessions')].length, sessions.length)
  t.equal([...gateway.store.range('session_down')].length, sessions.length)
  await gateway.link(1, agent.seal(session, agent.reading(2)))
  t.equal(published(gateway).length, 2)
})

void t.test('the hellos of one agent leave the budget of all to the others', async (t) => {
  const gateway = await CoreHarness.begin()
  const hostile = await settleAt(gateway, 'hostile', 7)
  const honest = await settleAt(gateway, 'honest', 8)
  const [oneTime, record] = [hostile.agent.prekey!.oneTime, honest.agent.prekey!.oneTime]
  gateway.workAtOnce = false
  const flood = Array.from({ length: 300 }, () => hostile.agent.continue(hostile.session, oneTime).hello)
  await gateway.relay(...flood)
  t.ok(gateway.jobs.length <= 32, `${gateway.jobs.length} of 300 came as far as the worker`)
  const before = gateway.jobs.length
  await gateway.relay(honest.agent.continue(honest.session, record).hello)
  t.equal(gateway.jobs.length, before + 1)
})

async function settleAt(gateway: CoreHarness, name: string, seed: number): Promise<Scene> {
  const scene = await join(gateway, name, seed)
  const { agent, session } = scene
  const next = agent.continue(session, agent.prekey!.oneTime)
  await gateway.link(seed, next.hello)
  agent.read(next, gateway.answers())
  return { gateway, agent, session: next }
}

void t.test('an agent cannot end the sessions of another by naming them', async (t) => {
  const gateway = await CoreHarness.begin()
  const victim = await settleAt(gateway, 'victim', 7)
  const hostile = await settleAt(gateway, 'hostile', 8)
  const before = gateway.core.sessions.of(victim.agent.key.publicKey).length
  const { agent, session } = hostile
  await gateway.link(
    8,
    agent.seal(session, agent.empty({ ready: true, oldestSession: victim.session.secrets.id })),
  )
  t.equal(gateway.core.sessions.of(victim.agent.key.publicKey).length, before)
  await gateway.link(7, victim.agent.seal(victim.session, victim.agent.reading(9)))
  t.equal(published(gateway).length, 3)
})

void t.test('an agent cannot continue the session of another', async (t) => {
  const gateway = await CoreHarness.begin()
  const victim = await settleAt(gateway, 'victim', 7)
  const hostile = await settleAt(gateway, 'hostile', 8)
  const sessions = gateway.core.sessions.size
  // It knows everything of the victim's session but the victim's key and K.
  await gateway.link(8, hostile.agent.continue(victim.session, victim.agent.prekey!.oneTime).hello)
  t.equal(gateway.core.sessions.size, sessions)
})

void t.test('a forged acknowledgement, sealed under the wrong key, opens nowhere', async (t) => {
  const { agent, session } = await settled()
  const forger = SealingDirection.begin({ ...session.secrets.down, treeRoot: new Uint8Array(32).fill(9) })
  t.same(agent.acks(session, [forger.seal(new Uint8Array(0), agent.random).packet]), [])
})

void t.test('a hello whose box2 was altered on the way does not swallow the true one', async (t) => {
  const { gateway, agent } = await settled()
  const lost = agent.lost(gateway.record!, [agent.reading(2)])
  const altered = new Uint8Array(lost.hello)
  altered[1_600]! ^= 1
  reknock(altered, 1)
  gateway.workAtOnce = false
  await gateway.link(5, altered)
  await gateway.relay(lost.hello)
  gateway.work()
  await gateway.settle()
  t.equal(agent.acks(lost, gateway.answers()).length, 1, 'the true one is answered')
  t.equal(published(gateway).length, 2)
})

void t.test(
  'two hellos that differ in their knock alone, both with the worker, make one session',
  async (t) => {
    const { gateway, agent } = await settled()
    await join(gateway, 'gone', 8)
    await gateway.core.revoke('gone')
    const one = agent.lost(gateway.record!, [agent.reading(2)]).hello
    const two = new Uint8Array(one)
    reknock(two, 2)
    gateway.workAtOnce = false
    const sessions = gateway.core.sessions.size
    await gateway.link(5, one, two)
    t.equal(gateway.jobs.length, 2)
    gateway.work()
    await gateway.settle()
    t.equal(gateway.core.sessions.size, sessions + 1)
  },
)

void t.test('a batch packed in a newer way is kept by its agent', async (t) => {
  const scene = await settled()
  const { gateway, agent, session } = scene
  gateway.answers()
  const reading = agent.reading(2)
  // The first item of a batch is the number of its encoding.
  const bytes = new Uint8Array(reading.batch!.bytes)
  bytes[1] = 9
  await say(scene, { ...reading, batch: { ...reading.batch!, bytes } })
  t.equal(reported(gateway, 'FW_BATCH_NEWER'), 1)
  t.equal(gateway.core.agents.named('pump-7')?.lost, 0)
  t.match(agent.acks(session, gateway.answers()).at(-1)?.streams, [{ through: 1 }])
  const next = agent.continue(session, agent.prekey!.oneTime, [reading])
  await gateway.link(1, next.hello)
  t.match(agent.acks(next, gateway.answers()).at(-1)?.streams, [{ through: 2 }], 'once the gateway knows it')
})

void t.test('revoking a device that filled everything works', async (t) => {
  const scene = await joined()
  const { gateway, agent } = scene
  for (let round = 0; round < 4; round++) await say(scene, ...manyStreams(agent, round, round % 2 === 0))
  await gateway.core.revoke('pump-7')
  t.equal(gateway.core.sessions.size, 0)
  t.same([...gateway.store.range('session_up')], [])
  t.same([...gateway.store.range('session_down')], [])
  t.ok(gateway.core.agents.all()[0]!.lost > 0, 'what it announced and never delivered is counted')
  t.equal(reported(gateway, 'FW_READINGS_LOST'), 1)
})

/** Makes the knock of a doorbell right again, as any member of the site can. */
function reknock(packet: Uint8Array, epoch: number): void {
  const mac = packet.length - 16
  packet.set(u32(epoch), mac - 4)
  const key = doorbellSecret(testIdentity().master, epoch)
  const hmac = createHmac('sha256', key).update(packet.subarray(0, 1)).update(packet.subarray(2, mac))
  packet.set(hmac.digest().subarray(0, 16), mac)
}

void t.test('what did not open is said, counted by device and not for every packet', async (t) => {
  const { gateway, agent, session } = await settled()
  const forge = (): Uint8Array => {
    const packet = new Uint8Array(agent.seal(session, agent.empty()))
    packet[60]! ^= 1
    return packet
  }
  const told = (): unknown[] =>
    gateway.events.filter(({ code }) => code === 'FW_PACKETS_FAILED').map(({ fields }) => fields)
  await gateway.link(2, forge(), forge(), forge())
  t.same(told(), [])
  await gateway.tick(60_000)
  t.same(told(), [{ agent: 'pump-7', packets: 3 }])
  await gateway.link(2, forge())
  await gateway.tick(60_000)
  t.equal(told().length, 1)
  await gateway.tick(600_000)
  t.same(told().slice(1), [{ agent: 'pump-7', packets: 1 }])
})
