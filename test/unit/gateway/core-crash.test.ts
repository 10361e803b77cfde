import { HostError } from '@fieldwhisper/host'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import { BRIDGE_TABLES, CORE_TABLES, Meta } from '@fieldwhisper/gateway/core'
import t from 'tap'
import { CoreHarness, testIdentity } from './core-harness.js'
import { enrolled, join, published, say, settle, settled } from './core-scenes.js'
import { Sweep } from './power-cuts.js'

/*
 * Full, failing and late disks, and the power cut after every single commit of a site's first minutes.
 */

/** A disk that a test can fill, break or hold up. */
async function onDisk(): Promise<{
  gateway: CoreHarness
  disk: { refuse?: Error; hold?: Promise<void>; sizes: number[] }
}> {
  const faulty: { refuse?: Error; hold?: Promise<void>; sizes: number[] } = { sizes: [] }
  const store = createMemoryStore({
    tables: [...CORE_TABLES, ...BRIDGE_TABLES],
    flush: async (writes) => {
      await faulty.hold
      if (faulty.refuse) throw faulty.refuse
      faulty.sizes.push(writes.length)
    },
  })
  await store.commit([Meta.initialWrite()])
  const gateway = new CoreHarness(testIdentity(), store)
  await gateway.tick(0)
  return { gateway, disk: faulty }
}

const full = new HostError('FW_STORE_FULL', 'the disk is full')
const failed = new HostError('FW_STORE_FAILED', 'the disk failed')

void t.test(
  'a full disk: nothing is acknowledged or forgotten at a relay, the agent is told, and all of it comes later',
  async (t) => {
    const { gateway, disk: faulty } = await onDisk()
    const scene = await settle(await join(gateway))
    const { agent, session } = scene
    await say(scene, agent.reading(2))
    await gateway.tick(200)
    gateway.answers()
    gateway.discarded.length = 0
    faulty.refuse = full
    await gateway.relay(agent.seal(session, agent.reading(3)))
    await gateway.relay(agent.seal(session, agent.reading(4)))
    t.equal(gateway.core.hold, 'disk')
    for (let second = 0; second < 70; second++) await gateway.tick(1_000)
    const acks = agent.acks(session, gateway.answers())
    t.ok(acks.length >= 1 && acks.length <= 3, `${acks.length} answers in 70 s`)
    t.ok(acks.every(({ hold, streams }) => hold === 'disk' && streams.length === 0))
    t.same(gateway.discarded, [])
    t.equal(published(gateway).length, 2)
    delete faulty.refuse
    await gateway.tick(1_000)
    await gateway.tick(200)
    t.equal(gateway.core.hold, undefined)
    t.equal(published(gateway).length, 4)
    t.equal(gateway.discarded.length, 2)
    t.equal(agent.acks(session, gateway.answers()).at(-1)?.streams[0]?.through, 4)
  },
)

void t.test(
  'a full disk with ballast: the turn is committed, devices can join and are answered, readings wait',
  async (t) => {
    const { gateway, disk: faulty } = await onDisk()
    const scene = await settle(await join(gateway))
    const { agent, session } = scene
    gateway.answers()
    gateway.ballast = 'whole'
    // The disk takes writes again as soon as the ballast is gone.
    Object.defineProperty(faulty, 'refuse', { get: () => (gateway.ballast === 'whole' ? full : undefined) })
    await gateway.relay(agent.seal(session, agent.reading(2)))
    t.equal(gateway.ballast, 'spent')
    t.equal(published(gateway).length, 2, 'what was opened is on disk')
    t.equal(gateway.core.hold, 'disk')
    await gateway.relay(agent.seal(session, agent.reading(3)))
    t.equal(published(gateway).length, 2)
    await gateway.core.rename('pump-7', 'pump-9')
    await join(gateway, 'pump-8', 8)
    t.ok(gateway.core.agents.named('pump-8'))
    gateway.ballast = 'none'
    await gateway.tick(1_000)
    t.equal(gateway.core.hold, undefined)
    t.equal(published(gateway).length, 4, 'one that waited, and the first of the new device')
  },
)

void t.test(
  'a command on a full disk is refused with the reason, and carried out when there is room',
  async (t) => {
    const { gateway, disk: faulty } = await onDisk()
    await join(gateway)
    faulty.refuse = full
    await t.rejects(gateway.core.revoke('pump-7'), { name: 'HostError', code: 'FW_STORE_FULL' })
    await t.rejects(gateway.core.enroll('pump-8', { replace: false, confirm: false }), {
      code: 'FW_STORE_FULL',
    })
    delete faulty.refuse
    await gateway.tick(1_000)
    t.equal(gateway.core.agents.named('pump-7'), undefined)
  },
)

void t.test('relays are announced at a start with a full disk, once it has room', async (t) => {
  const { gateway, disk: faulty } = await onDisk()
  const { agent, session } = await settle(await join(gateway))
  gateway.answers()
  faulty.refuse = full
  await gateway.core.announceRelays([{ url: 'ws://relay.test:24781' }])
  delete faulty.refuse
  await gateway.tick(1_000)
  await gateway.tick(50)
  t.ok(agent.read(session, gateway.answers()).some(({ kind }) => kind === 'notice'))
})

void t.test(
  'a disk that fails ends the core once: commands are refused, and stopping does not wait for ever',
  async (t) => {
    const { gateway, disk: faulty } = await onDisk()
    const scene = await settle(await join(gateway))
    const fatal: unknown[] = []
    gateway.onFatal = (error) => fatal.push(error)
    gateway.answers()
    faulty.refuse = failed
    const refused = t.rejects(gateway.core.enroll('pump-8', { replace: false, confirm: false }), {
      code: 'FW_STORE_FAILED',
    })
    const { agent, session } = scene
    await gateway.link(1, agent.seal(session, agent.reading(2)))
    await refused
    t.same(fatal, [failed])
    await t.rejects(gateway.core.revoke('pump-7'), { code: 'FW_STORE_FAILED' })
    delete faulty.refuse
    await gateway.link(1, agent.seal(session, agent.reading(3)))
    await gateway.tick(60_000)
    t.same(gateway.answers(), [], 'nothing is said any more')
    t.equal(published(gateway).length, 1)
    await gateway.core.stop()
  },
)

void t.test(
  'stopping waits for the commit under way, says what it committed, and opens nothing more',
  async (t) => {
    const { gateway, disk: faulty } = await onDisk()
    const { agent, session } = await settle(await join(gateway))
    await gateway.tick(200)
    gateway.answers()
    let release = (): void => undefined
    faulty.hold = new Promise((resolve) => (release = resolve))
    const [first, second] = [agent.seal(session, agent.reading(2)), agent.seal(session, agent.reading(3))]
    gateway.core.packet({ via: 'link', id: 1 }, first)
    await new Promise((resolve) => setImmediate(resolve))
    gateway.core.packet({ via: 'link', id: 1 }, second)
    const stopped = gateway.core.stop()
    const late = t.rejects(gateway.core.enroll('pump-8', { replace: false, confirm: false }), {
      code: 'FW_GATEWAY_STOPPED',
    })
    release()
    await stopped
    await late
    t.equal(published(gateway).length, 2)
    t.equal(agent.acks(session, gateway.answers()).at(-1)?.streams[0]?.through, 2)
  },
)

void t.test(
  'a commit that was ten seconds late is followed by one half as big, and a quick one by one twice as big',
  async (t) => {
    const { gateway, disk: faulty } = await onDisk()
    const { agent, session } = await settle(await join(gateway))
    const batches = (): Uint8Array[] =>
      Array.from({ length: 1_600 }, () => agent.seal(session, agent.reading(1)))
    const store = gateway.store
    const commit = store.commit.bind(store)
    let lateMs = 11_000
    const entries: number[] = []
    store.commit = async (writes) => {
      entries.push(writes.filter(({ table }) => table === 'outbox').length)
      gateway.now += lateMs
      await commit(writes)
    }
    await gateway.link(1, ...[...batches(), ...batches()])
    for (let i = 0; i < 10; i++) await gateway.tick(50)
    t.same(entries.slice(0, 4), [1_000, 500, 250, 125])
    lateMs = 0
    entries.length = 0
    await gateway.link(1, ...batches())
    for (let i = 0; i < 20; i++) await gateway.tick(50)
    t.ok(Math.max(...entries) > 200)
    t.equal(published(gateway).length, 1 + 3 * 1_600)
    t.ok(faulty.sizes.length > 0)
  },
)

void t.test('one turn never holds more writes than the store takes, whatever ends at once', async (t) => {
  const { gateway, disk: faulty } = await onDisk()
  await settle(await join(gateway))
  for (const doorbell of gateway.core.prekeys.doorbells()) {
    for (let i = 0; i < 16_000; i++) doorbell.hellos.set(i.toString(16).padStart(64, '0'), '00'.repeat(8))
  }
  await gateway.tick(2 * 86_400_000)
  for (const doorbell of gateway.core.prekeys.doorbells()) {
    for (let i = 0; i < 16_000; i++) doorbell.hellos.set(i.toString(16).padStart(64, '0'), '00'.repeat(8))
  }
  for (let i = 0; i < 30; i++) await enrolled(gateway, `pump-${100 + i}`, 100 + i)
  await gateway.tick(20 * 86_400_000)
  for (let minute = 0; minute < 5; minute++) await gateway.tick(60_000)
  t.ok(Math.max(...faulty.sizes) <= 20_000 + 1_000, `${Math.max(...faulty.sizes)} writes`)
  t.equal(gateway.core.prekeys.doorbells().length, 1)
})

void t.test('a gateway that restarts seals nothing twice under one leaf, however often', async (t) => {
  const { gateway, agent, session } = await settled()
  const seen = new Map<string, string>()
  for (let round = 0; round < 12; round++) {
    for (let i = 0; i < 5; i++) {
      await gateway.tick(200)
      await gateway.link(1, agent.seal(session, agent.empty()))
    }
    for (const packet of gateway.answers()) {
      const name = Buffer.from(packet.subarray(2, 22)).toString('hex')
      const bytes = Buffer.from(packet).toString('hex')
      t.equal(seen.get(name) ?? bytes, bytes)
      seen.set(name, bytes)
    }
    gateway.restart(50 + round)
    await gateway.tick(0)
  }
  t.ok(seen.size > 20)
})

void t.test(
  'the power is cut at every commit of a site in use: what was acknowledged is there, nothing is there twice',
  async (t) => {
    const whole = await Sweep.run({ cutAt: Infinity, moment: 'after' })
    t.same(whole.problems, [])
    t.ok(whole.commits > 10, `${whole.commits} commits`)
    for (let cutAt = 1; cutAt <= whole.commits; cutAt++) {
      for (const moment of ['before', 'after'] as const) {
        const { problems } = await Sweep.run({ cutAt, moment })
        t.same(problems, [], `${moment} commit ${cutAt}`)
      }
    }
  },
)
