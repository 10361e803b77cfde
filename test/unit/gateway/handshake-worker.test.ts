import { crypto, openHello } from '@fieldwhisper/protocol'
import type { HelloJob, HelloResult } from '@fieldwhisper/gateway/core'
import t, { type Test } from 'tap'
import { HandshakeWorker, restMs } from '../../../gateway/dist/handshake/worker-pool.js'
import { until } from '../../support/until.js'
import { reported, settled } from './core-scenes.js'

/*
 * The thread for public-key work: the same answers as without it, for any bytes, and within its share of a core.
 */

const SOON = { withinMs: 20_000 }
/** Percent: half a millisecond of work makes half a second of rest. */
const SMALLEST_SHARE = 0.1
const REST_MS = 250

function worker(t: Test): {
  readonly worker: HandshakeWorker
  readonly results: HelloResult[]
  readonly errors: unknown[]
} {
  const results: HelloResult[] = []
  const errors: unknown[] = []
  const made = new HandshakeWorker(
    25,
    (result) => void results.push(result),
    (error) => void errors.push(error),
  )
  t.teardown(() => made.stop())
  return { worker: made, results, errors }
}

/** A job as the door makes it. */
async function jobs(count: number): Promise<readonly HelloJob[]> {
  const { gateway, agent } = await settled()
  gateway.workAtOnce = false
  for (let i = 0; i < count; i++) await gateway.link(20 + i, agent.lost(gateway.record!).hello)
  return gateway.jobs
}

void t.test(
  'a hello is opened with its one-time keys, a wrong one without, and the thread goes on',
  async (t) => {
    const { worker: thread, results, errors } = worker(t)
    const [job] = await jobs(1)
    const flipped = new Uint8Array(job!.packet)
    flipped[1_300]! ^= 1
    thread.open({ ...job!, id: 1, packet: flipped })
    thread.open({ ...job!, id: 2, packet: new Uint8Array(0) })
    thread.open({ ...job!, id: 3 })
    await until(() => results.length === 3, { ...SOON, what: 'three results' })
    t.same(
      results.map(({ id, opened }) => [id, opened !== undefined]),
      [
        [1, false],
        [2, false],
        [3, true],
      ],
    )
    const opened = openHello(job!.packet, job!.secrets)!
    t.same(results[2]?.opened?.agentKey, opened.agentKey)
    t.same(results[2]?.agreementKey, crypto.agreementKey(job!.oneTime.prekeySecret).publicKey)
    t.same(results[2]?.kemKey, crypto.kem.publicKey(job!.oneTime.kemSeed))
    t.same(errors, [])
  },
)

void t.test('secrets that do not read fail that hello alone, with the reason', async (t) => {
  const { worker: thread, results, errors } = worker(t)
  const [job] = await jobs(1)
  thread.open({ ...job!, id: 1, secrets: { ...job!.secrets, record: new Uint8Array(10) } })
  thread.open({ ...job!, id: 2 })
  await until(() => results.length === 2, { ...SOON, what: 'two results' })
  t.match(results[0], { id: 1, failure: /record/ })
  t.equal(results[0]?.opened, undefined)
  t.ok(results[1]?.opened)
  t.same(errors, [])
})

void t.test('a hello that is opened for the result of another one waits for the rest too', async (t) => {
  const [job] = await jobs(1)
  const doneAt: number[] = []
  const thread: HandshakeWorker = new HandshakeWorker(
    SMALLEST_SHARE,
    () => {
      if (doneAt.push(performance.now()) === 1) thread.open(job!)
    },
    (error) => t.fail(String(error)),
  )
  t.teardown(() => thread.stop())
  thread.open(job!)
  await until(() => doneAt.length === 2, { ...SOON, what: 'two results' })
  t.ok(doneAt[1]! - doneAt[0]! > REST_MS, `${doneAt[1]! - doneAt[0]!} ms after the first one`)
})

void t.test('a failure of the worker is reported and the hello dropped', async (t) => {
  const { gateway, agent } = await settled()
  gateway.workAtOnce = false
  await gateway.link(20, agent.lost(gateway.record!).hello)
  const none = new Uint8Array(0)
  const sessions = gateway.core.sessions.size
  gateway.core.helloOpened({
    id: gateway.jobs[0]!.id,
    failure: 'out of order',
    agreementKey: none,
    kemKey: none,
  })
  gateway.core.helloOpened({ id: 999, agreementKey: none, kemKey: none })
  await gateway.settle()
  t.equal(reported(gateway, 'FW_HELLO_FAILED'), 1)
  t.equal(gateway.core.sessions.size, sessions)
})

void t.test('workerShare is kept by resting, from all of a core to a twentieth', (t) => {
  t.same(
    [100, 50, 25, 10, 5].map((workerShare) => restMs(10, workerShare)),
    [0, 10, 30, 90, 190],
  )
  t.equal(restMs(60_000, 25), 2_000, 'a machine that was suspended goes on soon')
  t.end()
})

void t.test('after each hello the thread rests three times as long as that took', async (t) => {
  const { worker: thread, results } = worker(t)
  const made = await jobs(6)
  thread.open(made[0]!)
  await until(() => results.length === 1, { ...SOON, what: 'a warm thread' })
  const began = performance.now()
  for (const job of made.slice(1)) thread.open(job)
  await until(() => results.length === 6, { ...SOON, what: 'the rest', everyMs: 1 })
  const alone = performance.now()
  for (const { packet, secrets } of made.slice(1)) openHello(packet, secrets)
  const work = performance.now() - alone
  t.ok(alone - began > work, `${Math.round(alone - began)} ms for ${Math.round(work)} ms of work`)
})

void t.test('nothing comes after it was stopped', async (t) => {
  const { worker: thread, results } = worker(t)
  const made = await jobs(3)
  for (const job of made) thread.open(job)
  await thread.stop()
  const before = results.length
  thread.open(made[0]!)
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(results.length, before)
})
