import t from 'tap'
import { HELLO_BUDGET } from '../../../gateway/src/core/constants.js'
import { DEFAULT_CORE_LIMITS, helloBudgets, type CoreLimits } from '../../../gateway/src/core/limits.js'
import { CoreHarness } from './core-harness.js'
import { join, settle, type Scene } from './core-scenes.js'

/*
 * What an operator may set of the core, at the limit and one over.
 */

/** An agent with a session, at a gateway with these limits; every budget is full again. */
async function calm(limits: Partial<CoreLimits>): Promise<Scene> {
  const scene = await settle(await join(await CoreHarness.begin(limits)))
  await scene.gateway.tick(60_000)
  scene.gateway.answers()
  scene.gateway.workAtOnce = false
  return scene
}

void t.test('waitingBytes is what may wait unopened, and not one packet more', async (t) => {
  const { gateway } = await calm({ waitingBytes: 4 * 1024 * 1024 })
  gateway.outboxFull = true
  // With what a packet takes in memory beside its bytes: 16 KiB each.
  const packet = new Uint8Array(16_384 - 256)
  packet[0] = 0x12
  const { counts } = gateway.core.desk
  const dropped = counts.dropped
  for (let i = 0; i < 256; i++) gateway.core.packet({ via: 'relay', id: 3 }, packet)
  t.equal(gateway.core.waitingBytes, 4 * 1024 * 1024)
  t.equal(counts.dropped, dropped)
  gateway.core.packet({ via: 'relay', id: 3 }, packet)
  t.equal(gateway.core.waitingBytes, 4 * 1024 * 1024)
  t.equal(counts.dropped, dropped + 1)
})

void t.test('successorHellosPerSecond bounds those who continue, four seconds of it at once', async (t) => {
  const { gateway, agent, session } = await calm({ successorHellosPerSecond: 2 })
  const { oneTime } = agent.prekey!
  await gateway.relay(...Array.from({ length: 20 }, () => agent.continue(session, oneTime).hello))
  t.equal(gateway.jobs.length, 8)
  await gateway.tick(1_000)
  t.equal(gateway.jobs.length, 10)
  await gateway.relay(agent.lost(gateway.record!).hello)
  t.equal(gateway.jobs.length, 11, 'a doorbell has a budget of its own')
})

void t.test('doorbellHellosPerSecond bounds those who ring, two seconds of it at once', async (t) => {
  const { gateway, agent, session } = await calm({ doorbellHellosPerSecond: 3 })
  const { oneTime } = agent.prekey!
  await gateway.relay(...Array.from({ length: 20 }, () => agent.lost(gateway.record!).hello))
  t.equal(gateway.jobs.length, 6)
  await gateway.tick(1_000)
  t.equal(gateway.jobs.length, 9)
  await gateway.relay(agent.continue(session, oneTime).hello)
  t.equal(gateway.jobs.length, 10, 'a successor has a budget of its own')
})

void t.test('doorbells of older epochs have a tenth, and at least one at once', (t) => {
  t.same(helloBudgets(DEFAULT_CORE_LIMITS), {
    successor: { perSecond: 50, burst: 200 },
    doorbell: { perSecond: 20, burst: 40 },
    oldEpoch: { perSecond: 2, burst: 4 },
  })
  t.same(helloBudgets({ ...DEFAULT_CORE_LIMITS, doorbellHellosPerSecond: 1 }).oldEpoch, {
    perSecond: 0.1,
    burst: 1,
  })
  t.end()
})

void t.test(
  'one link brings HELLO_BUDGET_LINK and one agent HELLO_BUDGET_AGENT, and not one more',
  async (t) => {
    const { gateway, agent } = await calm({})
    const { burst, perSecond } = HELLO_BUDGET.link
    for (let i = 0; i < burst + 5; i++) await gateway.link(3, agent.lost(gateway.record!).hello)
    t.equal(gateway.jobs.length, burst)
    await gateway.tick(1_000)
    for (let i = 0; i < 5; i++) await gateway.link(3, agent.lost(gateway.record!).hello)
    t.equal(gateway.jobs.length, burst + perSecond)

    const other = await calm({ successorHellosPerSecond: 1_000 })
    await other.gateway.tick(600_000)
    const { oneTime } = other.agent.prekey!
    const flood = Array.from(
      { length: HELLO_BUDGET.agent.burst + 5 },
      () => other.agent.continue(other.session, oneTime).hello,
    )
    await other.gateway.relay(...flood)
    t.equal(other.gateway.jobs.length, HELLO_BUDGET.agent.burst)
    await other.gateway.tick(1_000 / HELLO_BUDGET.agent.perSecond)
    t.equal(other.gateway.jobs.length, HELLO_BUDGET.agent.burst + 1)
  },
)
