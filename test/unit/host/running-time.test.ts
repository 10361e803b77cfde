import t from 'tap'
import {
  decodeRunningTime,
  encodeRunningTime,
  openRunningTime,
  resumeRunningTime,
  runningMs,
  settleTimeOff,
} from '@fieldwhisper/host'
import type { ClockQuality, ClockReading, RunningTimeRecord } from '@fieldwhisper/host'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import { bytes, key, listen } from './support.js'

const BOOT_A = bytes(1, 1, 1, 1, 1, 1, 1, 1)
const BOOT_B = bytes(2, 2, 2, 2, 2, 2, 2, 2)
const HOUR = 3_600_000

const reading = (monoMs: number, wallMs: number, quality: ClockQuality, bootId = BOOT_A): ClockReading => ({
  monoMs,
  wallMs,
  quality,
  bootId,
})
const record = (runningMs: number, at: ClockReading): RunningTimeRecord => ({ runningMs, ...at })

void t.test('without a record it starts at nothing and runs with the monotonic clock', (t) => {
  const state = resumeRunningTime(undefined, reading(5_000, 0, 'unset'))
  t.equal(runningMs(state, 5_000), 0)
  t.equal(runningMs(state, 7_500), 2_500)
  t.equal(runningMs(state, 4_000), 0)
  t.end()
})

const table: [string, ClockQuality, ClockQuality, Uint8Array, number][] = [
  ['both synchronised: time off counts', 'synchronised', 'synchronised', BOOT_B, HOUR + 2 * HOUR],
  ['before unknown: time off does not count', 'unknown', 'synchronised', BOOT_B, HOUR],
  ['after unknown: time off does not count', 'synchronised', 'unknown', BOOT_B, HOUR],
  ['both unset: time off does not count', 'unset', 'unset', BOOT_B, HOUR],
]
for (const [what, before, after, boot, expected] of table) {
  void t.test(`after a reboot, ${what}`, (t) => {
    const kept = record(HOUR, reading(10 * HOUR, 100 * HOUR, before))
    const state = resumeRunningTime(kept, reading(60_000, 102 * HOUR, after, boot))
    t.equal(runningMs(state, 60_000), expected)
    t.end()
  })
}

void t.test('in one boot the monotonic clock counts the time off, whatever the wall clock does', (t) => {
  const kept = record(HOUR, reading(10 * HOUR, 100 * HOUR, 'unset'))
  const state = resumeRunningTime(kept, reading(11 * HOUR, 0, 'unknown'))
  t.equal(runningMs(state, 11 * HOUR), 2 * HOUR)
  t.end()
})

void t.test(
  'a clock that is synchronised only minutes after the start still counts the time off, once',
  (t) => {
    const kept = record(HOUR, reading(10 * HOUR, 100 * HOUR, 'synchronised'))
    const started = resumeRunningTime(kept, reading(0, 0, 'unset', BOOT_B))
    t.equal(runningMs(started, 60_000), HOUR + 60_000)
    const settled = settleTimeOff(started, reading(60_000, 102 * HOUR + 60_000, 'synchronised', BOOT_B))
    t.equal(runningMs(settled, 60_000), 3 * HOUR + 60_000)
    t.equal(settleTimeOff(settled, reading(0, 900 * HOUR, 'synchronised', BOOT_B)), settled)
    t.end()
  },
)

void t.test('a wall clock set back counts as no time off', (t) => {
  const kept = record(HOUR, reading(10 * HOUR, 100 * HOUR, 'synchronised'))
  const state = resumeRunningTime(kept, reading(0, 50 * HOUR, 'synchronised', BOOT_B))
  t.equal(runningMs(state, 0), HOUR)
  t.end()
})

void t.test('a record comes back as it was written; anything else is no record', (t) => {
  const kept = record(1.5, reading(2.25, -3, 'synchronised'))
  const encoded = encodeRunningTime(kept)
  t.strictSame(decodeRunningTime(encoded), { ...kept, bootId: BOOT_A })
  t.equal(decodeRunningTime(bytes()), undefined)
  t.equal(decodeRunningTime(encoded.slice(1)), undefined)
  for (const [at, value] of [
    [0, 2],
    [25, 3],
    [1, 0xff],
  ] as const) {
    const bad = encoded.slice()
    bad[at] = value
    t.equal(decodeRunningTime(bad), undefined)
  }
  t.end()
})

void t.test('the counter survives a restart of its process', async (t) => {
  const store = createMemoryStore({ tables: ['marks'] })
  let mono = 1_000
  const clock = { monoMs: () => mono, wallMs: () => 0, quality: () => 'unset' as const, bootId: BOOT_A }
  const options = { store, table: 'marks', key: key(1), clock, reporter: listen() }
  const first = await openRunningTime(options)
  mono += HOUR
  t.equal(first.nowMs(), HOUR)
  await first.stop()
  mono += 500
  const second = await openRunningTime(options)
  t.equal(second.nowMs(), HOUR + 500)
  await second.stop()
})

void t.test('a counter that cannot be stored says so and runs on', async (t) => {
  const store = createMemoryStore({ tables: ['marks'], maxBytes: 1 })
  const reporter = listen()
  const clock = { monoMs: () => 1, wallMs: () => 0, quality: () => 'unset' as const, bootId: BOOT_A }
  const counter = await openRunningTime({ store, table: 'marks', key: key(1), clock, reporter })
  t.match(reporter.told, [
    { level: 'warn', code: 'FW_RUNNING_TIME_UNSAVED', fields: { reason: 'FW_STORE_FULL' } },
  ])
  t.equal(counter.nowMs(), 0)
  await counter.stop()
})
