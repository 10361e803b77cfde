import t from 'tap'
import { DEFAULT_COURIER_LIMITS } from '../../mesh/src/courier/limits.js'
import { runAbsence } from './month.js'

const { windowPackets, windowBytes } = DEFAULT_COURIER_LIMITS

t.setTimeout(600_000)

/** Sealed afresh or on its way already, a reading that was just taken waits for no backlog. */
const LIVE_MS = 5_000

void t.test('thirty days without a gateway: all readings arrive once, the newest first', async (t) => {
  const month = await runAbsence(30, 0)
  t.comment(JSON.stringify(month))
  t.ok(month.backlog > 258_000, `${month.backlog} readings waited`)
  t.ok(month.firstLiveMs < 120_000, 'the agent finds its gateway by itself, within two minutes')
  t.ok(month.backlogBeforeLive < month.backlog / 20, 'a new reading does not wait for the backlog')
  t.ok(month.slowestLiveMs < LIVE_MS, 'nor does any other while the backlog drains')
  t.ok(month.drainedMs < 15 * 60_000, 'the backlog drains within a quarter of an hour')
  t.ok(month.mostOutstanding <= windowPackets && month.mostOutstandingBytes <= windowBytes)
})

void t.test(
  'three days with nothing but a relay in between: the same, and its mailboxes stay in bounds',
  async (t) => {
    const days = await runAbsence(3, 1)
    t.comment(JSON.stringify(days))
    t.ok(days.backlog > 25_000, `${days.backlog} readings waited`)
    t.ok(days.mostAtRelayBytes > 0 && days.mostAtRelayBytes < 32 * 2 ** 20)
    t.ok(days.slowestLiveMs < LIVE_MS, 'a reading taken while the backlog drains does not wait for it')
    t.ok(days.mostOutstanding <= windowPackets && days.mostOutstandingBytes <= windowBytes)
  },
)
