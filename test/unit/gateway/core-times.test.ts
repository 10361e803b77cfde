import { hex } from '@fieldwhisper/protocol'
import t from 'tap'
import {
  CLOSED_STREAM_LIFE_MS,
  HOUSEKEEPING_MS,
  INVITE_LIFE_MS,
  ONE_TIME_PREKEY_LIFE_MS,
  REFUSAL_INTERVAL_MS,
  SIGNED_PREKEY_LIFE_MS,
  SIGNED_PREKEY_ROTATION_MS,
  SUPERSEDED_SESSION_LIFE_MS,
} from '../../../gateway/src/core/constants.js'
import { CoreHarness } from './core-harness.js'
import { enrolled, joined, published, say, settled } from './core-scenes.js'

/*
 * How long a gateway keeps what it keeps: to the last moment, and no longer. It looks around once a minute.
 */

/** Passes time until the gateway has looked at `ms`, not before and not after. */
async function lookAt(gateway: CoreHarness, ms: number): Promise<void> {
  await gateway.tick(ms - HOUSEKEEPING_MS)
  await gateway.tick(HOUSEKEEPING_MS)
}

void t.test('an invite is open for INVITE_LIFE_MS', async (t) => {
  const gateway = await CoreHarness.begin()
  await gateway.core.enroll('pump-7', { replace: false, confirm: false })
  await lookAt(gateway, INVITE_LIFE_MS)
  t.equal(gateway.core.invites.open().length, 1)
  await gateway.tick(HOUSEKEEPING_MS)
  t.equal(gateway.core.invites.open().length, 0)
})

void t.test(
  'a signed prekey is new every SIGNED_PREKEY_ROTATION_MS and lives SIGNED_PREKEY_LIFE_MS',
  async (t) => {
    const gateway = await CoreHarness.begin()
    const first = gateway.core.prekeys.newest()!
    await lookAt(gateway, SIGNED_PREKEY_ROTATION_MS - 1)
    t.equal(gateway.core.prekeys.newest(), first)
    await gateway.tick(HOUSEKEEPING_MS)
    t.not(gateway.core.prekeys.newest(), first)
    const rest = SIGNED_PREKEY_LIFE_MS - (SIGNED_PREKEY_ROTATION_MS - 1 + HOUSEKEEPING_MS)
    const lives = (): boolean =>
      gateway.core.prekeys.doorbells().some(({ number }) => number === first.number)
    await lookAt(gateway, rest)
    t.ok(lives())
    await gateway.tick(HOUSEKEEPING_MS)
    t.notOk(lives())
  },
)

void t.test('a one-time prekey waits ONE_TIME_PREKEY_LIFE_MS for its successor', async (t) => {
  const { gateway } = await settled()
  const waiting = (): number =>
    [...gateway.core.sessions.all()].filter(({ succession }) => succession !== undefined).length
  await lookAt(gateway, ONE_TIME_PREKEY_LIFE_MS)
  t.equal(waiting(), 1)
  await gateway.tick(HOUSEKEEPING_MS)
  t.equal(waiting(), 0)
})

void t.test('a session that was replaced receives for SUPERSEDED_SESSION_LIFE_MS', async (t) => {
  const { gateway, agent, session } = await settled()
  const next = agent.continue(session, agent.prekey!.oneTime)
  await gateway.link(1, next.hello)
  agent.read(next, gateway.answers())
  await gateway.link(1, agent.seal(next, agent.empty({ ready: true })))
  await lookAt(gateway, SUPERSEDED_SESSION_LIFE_MS)
  await gateway.link(1, agent.seal(session, agent.reading(2)))
  t.equal(published(gateway).length, 2)
  await gateway.tick(HOUSEKEEPING_MS)
  await gateway.link(1, agent.seal(session, agent.reading(3)))
  t.equal(published(gateway).length, 2)
})

void t.test('a stream that is closed and complete is known for CLOSED_STREAM_LIFE_MS', async (t) => {
  const scene = await settled()
  const { gateway, agent } = scene
  const { stream } = agent
  const streams = [{ stream, floor: 1, end: agent.nextNumber, closed: true }]
  await say(scene, { ...agent.empty(), streams })
  const known = (): boolean =>
    [...gateway.store.range('ledger')].some(({ key }) => hex(key).endsWith(hex(stream)))
  await lookAt(gateway, CLOSED_STREAM_LIFE_MS - 1)
  t.ok(known())
  await gateway.tick(HOUSEKEEPING_MS)
  t.notOk(known())
})

void t.test('a refused device is answered once in REFUSAL_INTERVAL_MS', async (t) => {
  const { gateway, agent, session } = await joined()
  await gateway.link(1, agent.seal(session, agent.empty({ ready: true })))
  gateway.answers()
  const thief = await enrolled(gateway, 'other', 40)
  Object.assign(thief, { invite: agent.invite })
  const answers = async (): Promise<number> => {
    await gateway.link(4, thief.join(gateway.record!).hello)
    return gateway.answers().length
  }
  t.equal(await answers(), 1)
  await gateway.tick(REFUSAL_INTERVAL_MS - 1)
  t.equal(await answers(), 0)
  await gateway.tick(1)
  t.equal(await answers(), 1)
})
