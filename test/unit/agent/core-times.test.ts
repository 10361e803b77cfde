import t from 'tap'
import {
  FAILURE_BUDGET,
  HEARTBEAT_MS,
  LOST_AFTER_MS,
  LOST_AFTER_NEWER_RECORD_MS,
  LOST_AGAIN_JITTER,
  LOST_AGAIN_MS,
  PROBE_AFTER_MS,
  REKEY_AFTER_MS,
  RESEAL_AFTER_MS,
} from '../../../agent/src/core/constants.js'
import { Silence } from '../../../agent/src/core/silence.js'
import { joinedRig } from './core-rig.js'

/*
 * When an agent begins another session, and when it does not yet.
 */

/** Silent since 0, with something outstanding. */
function silence(share: (low: number, high: number) => number = (low) => low): Silence {
  const clock = new Silence({ step: 'none', silentMs: 0, nextMs: 0 }, share)
  clock.outstanding(true, 0)
  return clock
}

void t.test('a silent gateway is probed after PROBE_AFTER_MS and rung for after LOST_AFTER_MS', (t) => {
  const clock = silence()
  t.equal(clock.due(PROBE_AFTER_MS - 1, false), undefined)
  t.equal(clock.due(PROBE_AFTER_MS, false), 'probe')
  t.equal(clock.due(LOST_AFTER_MS - 1, false), undefined)
  t.equal(clock.due(LOST_AFTER_MS, false), 'lost')
  t.end()
})

void t.test('then every LOST_AGAIN_MS, give or take LOST_AGAIN_JITTER', (t) => {
  const ends = [(low: number) => low, (_low: number, high: number) => high]
  const spans = [1 - LOST_AGAIN_JITTER, 1 + LOST_AGAIN_JITTER].map((share) => LOST_AGAIN_MS * share)
  for (const [i, share] of ends.entries()) {
    const clock = silence(share)
    clock.due(PROBE_AFTER_MS, false)
    clock.due(LOST_AFTER_MS, false)
    const next = LOST_AFTER_MS + spans[i]!
    t.equal(clock.due(next - 1, false), undefined)
    t.equal(clock.due(next, false), 'lost')
  }
  t.end()
})

void t.test('a newer record makes that LOST_AFTER_NEWER_RECORD_MS', (t) => {
  const clock = silence()
  t.equal(clock.due(LOST_AFTER_NEWER_RECORD_MS - 1, true), undefined)
  t.equal(clock.due(LOST_AFTER_NEWER_RECORD_MS, true), 'lost')
  t.equal(clock.due(2 * LOST_AFTER_NEWER_RECORD_MS - 1, true), undefined, 'and again no sooner')
  t.equal(clock.due(2 * LOST_AFTER_NEWER_RECORD_MS, true), 'lost')
  t.end()
})

void t.test('an agent with nothing to say says so after HEARTBEAT_MS, once', async (t) => {
  const rig = await joinedRig()
  await rig.read(1)
  const sent = rig.sent.length
  await rig.turn(HEARTBEAT_MS - 3_000)
  t.equal(rig.sent.length, sent)
  await rig.turn(4_000)
  t.equal(rig.sent.length, sent + 1)
  await rig.turn(2 * HEARTBEAT_MS + 4_000, 1_000)
  t.equal(rig.sent.length, sent + 3)
  await rig.read(1)
  await rig.turn(HEARTBEAT_MS - 3_000)
  t.equal(rig.sent.length, sent + 4, 'a reading is a sign of life too')
})

void t.test('a session is replaced after REKEY_AFTER_MS', async (t) => {
  const rig = await joinedRig()
  const began = rig.sent.findLast(({ kind }) => kind === 'hello')!
  const hellos = (): number => rig.gateway.hellos.length
  const before = hellos()
  // It was begun when its hello left, some seconds before now.
  await rig.turn(REKEY_AFTER_MS - 10_000, 1_000)
  t.equal(hellos(), before)
  await rig.turn(10_000, 1_000)
  t.equal(hellos(), before + 1)
  t.not(
    rig.sent.findLast(({ kind }) => kind === 'hello'),
    began,
  )
})

void t.test(
  'RESEAL_AFTER_MS: what the old session has outstanding waits so long for its answer',
  async (t) => {
    const rig = await joinedRig()
    await rig.turn(REKEY_AFTER_MS - 20_000, 1_000)
    rig.up = false
    await rig.read(1)
    rig.gateway.sessions.at(-1)!.ended = true
    await rig.turn(30_000, 1_000)
    rig.up = true
    for (let ms = 0; rig.gateway.hellos.length < 3 && ms < 10_000; ms += 100) await rig.turn(100)
    await rig.turn(RESEAL_AFTER_MS - 1_000)
    t.same(rig.gateway.values(), [])
    await rig.turn(3_000)
    t.same(rig.gateway.values(), [0])
  },
)

void t.test('FAILURE_BUDGET: so many failed packets of one path are opened at once', async (t) => {
  const rig = await joinedRig()
  const [answer] = rig.gateway.answer(rig.gateway.sessions.at(-1)!)
  const forged = new Uint8Array(answer!)
  forged[60]! ^= 1
  const { failedPackets: before } = rig.core.status(rig.now)
  for (let i = 0; i <= FAILURE_BUDGET.burst; i++) rig.answerWith([forged])
  t.equal(rig.core.status(rig.now).failedPackets, before + FAILURE_BUDGET.burst, 'not the one over')
  await rig.turn(1_000)
  for (let i = 0; i <= FAILURE_BUDGET.perSecond; i++) rig.answerWith([forged])
  t.equal(rig.core.status(rig.now).failedPackets, before + FAILURE_BUDGET.burst + FAILURE_BUDGET.perSecond)
})
