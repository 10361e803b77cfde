import t from 'tap'
import type { AgentSession, ScriptedAgent } from '../../support/scripted-agent.js'
import type { CoreHarness } from './core-harness.js'
import { reported, settle, settled, type Scene } from './core-scenes.js'

const MINUTE_MS = 60_000

/** A device and its copy: both have continued the same session, and said so. */
interface Twins {
  readonly gateway: CoreHarness
  readonly first: Scene
  readonly copy: Scene
}

async function ready({ gateway, agent, session }: Scene): Promise<void> {
  await gateway.tick(1_000)
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true, oldestSession: session.secrets.id })))
}

async function goOn(gateway: CoreHarness, agent: ScriptedAgent, session: AgentSession): Promise<Scene> {
  await gateway.link(1, session.hello)
  agent.read(session, gateway.answers())
  return { gateway, agent, session }
}

async function twins(): Promise<Twins> {
  const { gateway, agent, session } = await settled()
  const other = agent.copy(8)
  const { oneTime } = agent.prekey!
  const first = await goOn(gateway, agent, agent.continue(session, oneTime, [agent.reading(1)]))
  const copy = await goOn(gateway, other, other.continue(session, oneTime, [other.reading(2)]))
  await ready(first)
  await ready(copy)
  return { gateway, first, copy }
}

async function suspected(): Promise<Twins> {
  const found = await twins()
  await ready(found.first)
  return found
}

/** One reading more, a minute later, since a hold is said once a minute; what the gateway answered. */
async function send(scene: Scene, value: number): Promise<{ taken: boolean; hold: string | undefined }> {
  const { gateway, agent, session } = scene
  await gateway.tick(MINUTE_MS)
  const before = gateway.outbox().length
  gateway.answers()
  await gateway.link(1, agent.seal(session, agent.reading(value, { ready: true })))
  await gateway.tick(1_000)
  const hold = agent.acks(session, gateway.answers()).at(-1)?.hold
  return { taken: gateway.outbox().length > before, hold }
}

void t.test(
  'two devices with one identity: the one that came later is held back, once both live',
  async (t) => {
    const { gateway, first, copy } = await twins()
    t.equal(gateway.outbox().length, 3, 'what both brought is published: nobody knows yet')
    t.equal(reported(gateway, 'FW_AGENT_RESTORED'), 1, 'two streams of one start')
    t.equal(reported(gateway, 'FW_CLONE_SUSPECTED'), 0, 'the first may have ended before the second began')
    await ready(first)
    t.equal(reported(gateway, 'FW_CLONE_SUSPECTED'), 1)
    t.same(await send(first, 3), { taken: true, hold: undefined })
    t.same(await send(copy, 4), { taken: false, hold: 'clone' })
    gateway.restart()
    t.same(await send(copy, 5), { taken: false, hold: 'clone' }, 'also after a restart of the gateway')
    t.same(await send(first, 6), { taken: true, hold: undefined })
    t.equal(reported(gateway, 'FW_CLONE_SUSPECTED'), 1)
  },
)

void t.test('what a held device goes on with is held as well', async (t) => {
  const { gateway, copy } = await suspected()
  const { agent, session } = copy
  const before = gateway.outbox().length
  const next = agent.continue(session, agent.prekey!.oneTime, [agent.reading(7)])
  const scene = await goOn(gateway, agent, next)
  t.same(await send(scene, 8), { taken: false, hold: 'clone' })
  t.equal(gateway.outbox().length, before)
  await gateway.core.decideClone('pump-7', 'replace')
  await gateway.tick(1_000)
  t.equal(
    gateway.outbox().length,
    before + 1,
    'what the hello brought was kept: no copy of it would come again',
  )
})

void t.test('keep: the later device is shut out, comes back, and is held again', async (t) => {
  const { gateway, first, copy } = await suspected()
  await gateway.core.decideClone('pump-7', 'keep')
  t.same(await send(first, 3), { taken: true, hold: undefined })
  t.same(await send(copy, 4), { taken: false, hold: undefined }, 'its session is gone')
  t.equal(reported(gateway, 'FW_CLONE_SETTLED'), 1)
  await t.rejects(gateway.core.decideClone('pump-7', 'keep'), { code: 'FW_CLONE_NONE' })

  const { agent } = copy
  const back = await goOn(gateway, agent, agent.lost(gateway.record!, [], copy.session))
  await ready(back)
  await ready(first)
  t.equal(reported(gateway, 'FW_CLONE_SUSPECTED'), 2)
  t.same(await send(back, 5), { taken: false, hold: 'clone' })
})

void t.test(
  'replace: the first device is shut out, and what was held is taken when it is offered again',
  async (t) => {
    const { gateway, first, copy } = await suspected()
    const packet = copy.agent.seal(copy.session, copy.agent.reading(4))
    await gateway.relay(packet)
    t.equal(gateway.discarded.length, 0, 'it stays at the relay')
    const before = gateway.outbox().length
    await gateway.core.decideClone('pump-7', 'replace')
    await gateway.tick(2 * MINUTE_MS)
    t.same(gateway.renewed, [0], 'which is asked for it again')
    await gateway.relay(packet)
    t.equal(gateway.outbox().length, before + 1)
    t.same(await send(copy, 5), { taken: true, hold: undefined })
    t.same(await send(first, 3), { taken: false, hold: undefined }, 'its session is gone')
  },
)

void t.test('ten minutes of silence decide: what was held is the device', async (t) => {
  const { gateway, first, copy } = await suspected()
  for (let minute = 0; minute < 12; minute++) await gateway.tick(MINUTE_MS / 2)
  await send(first, 3)
  for (let minute = 0; minute < 7; minute++) await gateway.tick(MINUTE_MS)
  t.same(await send(copy, 4), { taken: false, hold: 'clone' }, 'eight minutes are not enough')
  await gateway.tick(2 * MINUTE_MS)
  t.same(await send(copy, 5), { taken: true, hold: undefined })
  t.equal(reported(gateway, 'FW_CLONE_SETTLED'), 1)
})

void t.test('a gateway that has no sessions any more holds nobody back', async (t) => {
  const { gateway, copy } = await suspected()
  const table = 'sessions'
  const keys = [...gateway.store.range(table)].map(({ key }) => new Uint8Array(key))
  await gateway.store.commit(keys.map((key) => ({ table, key, value: null })))
  gateway.restart()
  await gateway.tick(0)
  const { agent, session } = copy
  const back = await goOn(gateway, agent, agent.lost(gateway.record!, [], session))
  await ready(back)
  t.same(await send(back, 3), { taken: true, hold: undefined })
})

void t.test('a copy ends nothing of the first device, not even what it has just begun', async (t) => {
  const { gateway, agent, session } = await settled()
  const other = agent.copy(8)
  const { oneTime } = agent.prekey!
  const first = await goOn(gateway, agent, agent.continue(session, oneTime))
  await ready(first)
  const begun = await goOn(gateway, agent, agent.continue(first.session, agent.prekey!.oneTime))
  // The copy is of the time before; nothing answers at that successor any more.
  const copy = await goOn(gateway, other, other.lost(gateway.record!, [], session))
  await ready(copy)
  gateway.answers()
  agent.prekey = undefined
  await gateway.link(1, agent.seal(begun.session, agent.reading(1)))
  await gateway.tick(MINUTE_MS)
  agent.read(begun.session, gateway.answers())
  t.ok(agent.prekey, 'it can go on from there')
  await ready(begun)
  await ready(copy)
  t.equal(reported(gateway, 'FW_CLONE_SUSPECTED'), 1)
  t.same(await send(begun, 2), { taken: true, hold: undefined })
  t.same(await send(copy, 3), { taken: false, hold: 'clone' })
})

void t.test('a device that restarts, or has lost its session, is no copy', async (t) => {
  const { gateway, agent, session } = await settled()
  const { oneTime } = agent.prekey!
  await goOn(gateway, agent, agent.continue(session, oneTime, [agent.reading(1)]))
  const second = await goOn(gateway, agent, agent.continue(session, oneTime, [agent.reading(2)]))
  await ready(second)
  const late = agent.seal(second.session, agent.empty({ ready: true }))
  const third = await settle(await goOn(gateway, agent, agent.lost(gateway.record!, [], second.session)))
  await gateway.tick(1_000)
  await gateway.link(1, late)
  await ready(third)
  t.equal(reported(gateway, 'FW_CLONE_SUSPECTED'), 0)
  t.equal(reported(gateway, 'FW_AGENT_RESTORED'), 0)
})
