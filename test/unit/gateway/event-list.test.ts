import { createMemoryStore, type MemoryStore } from '@fieldwhisper/host/testing'
import type { ReportedEvent } from '@fieldwhisper/host'
import t from 'tap'
import {
  EVENTS_FLUSH_MS,
  EVENTS_TABLE,
  EventList,
  MAX_EVENT_AGE_MS,
  MAX_EVENTS,
  MAX_WAITING_EVENTS,
} from '../../../gateway/src/event-list.js'
import { pause, VirtualTimers } from '../agent/spool-rig.js'

const AT = Date.UTC(2026, 10, 23, 3)

class Rig {
  readonly timers = new VirtualTimers()
  readonly published: string[] = []
  runningMs = 0
  commits = 0
  full = false
  store: MemoryStore = createMemoryStore({ tables: [EVENTS_TABLE] })
  list = this.open()

  open(): EventList {
    const { store } = this
    return new EventList({
      store: {
        get: (table, key) => store.get(table, key),
        range: (table, options) => store.range(table, options),
        bytesUsed: () => 0,
        close: () => Promise.resolve(),
        commit: (writes) => {
          this.commits++
          return this.full ? Promise.reject(new Error('full')) : store.commit(writes)
        },
      },
      clock: { monoMs: () => this.timers.now },
      runningMs: () => this.runningMs,
      after: this.timers.after,
      kept: ({ code }) => void this.published.push(code),
    })
  }

  powerCut(): void {
    this.timers.clear()
    this.store = this.store.afterPowerCut()
    this.list = this.open()
  }

  happen(count = 1, more: Partial<ReportedEvent> = {}): void {
    for (let i = 0; i < count; i++) {
      const event = { level: 'warn', code: 'FW_X', message: 'text', fields: { n: i }, ...more } as const
      this.list.take({ wallMs: AT + this.timers.now, ...event })
    }
  }

  numbers(): unknown[] {
    return this.list.list({ count: MAX_EVENTS }).map(({ fields }) => fields['n'])
  }
}

void t.test('events are there after a power cut, in order, and later ones go on behind them', async (t) => {
  const rig = new Rig()
  rig.happen(3)
  await rig.timers.turn(0)
  rig.powerCut()
  rig.happen(2)
  t.same(rig.numbers(), [0, 1, 2, 0, 1])
  await rig.timers.turn(0)
  rig.powerCut()
  t.same(rig.numbers(), [0, 1, 2, 0, 1])
  t.match(rig.list.list({ count: 1 }), [{ level: 'warn', code: 'FW_X', message: 'text', fields: { n: 1 } }])
})

void t.test('an hour of one event a second costs four writes a minute, and none is missing', async (t) => {
  const rig = new Rig()
  for (let second = 0; second < 3_600; second++) {
    rig.happen()
    await rig.timers.turn(1_000)
  }
  t.ok(rig.commits <= 3_600_000 / EVENTS_FLUSH_MS + 1, `${rig.commits} commits`)
  t.ok(rig.commits > 200)
  await rig.list.stop()
  rig.powerCut()
  t.equal(rig.numbers().length, 3_600)
})

void t.test('information is kept only where it says who came and went', async (t) => {
  const rig = new Rig()
  rig.happen(1, { level: 'info', code: 'FW_RELAY_CONNECTED' })
  rig.happen(1, { level: 'debug', code: 'FW_AGENT_JOINED' })
  rig.happen(1, { level: 'info', code: 'FW_AGENT_REVOKED' })
  rig.happen(1, { level: 'error', code: 'FW_DISK_FULL' })
  t.same(rig.published, ['FW_AGENT_JOINED', 'FW_AGENT_REVOKED', 'FW_DISK_FULL'])
  const codes = (level: 'info' | 'warn' | 'error'): string[] =>
    rig.list.list({ count: 10, level }).map(({ code }) => code)
  t.same(codes('info'), ['FW_AGENT_REVOKED', 'FW_DISK_FULL'])
  t.same(codes('error'), ['FW_DISK_FULL'])
  await rig.list.stop()
  t.same(codes('error'), ['FW_DISK_FULL'], 'the same from the disk')
})

void t.test('the newest and the recent ones can be asked for', async (t) => {
  const rig = new Rig()
  rig.happen(5)
  await rig.timers.turn(60_000)
  rig.happen(5)
  t.same(
    rig.list.list({ count: 7 }).map(({ fields }) => fields['n']),
    [3, 4, 0, 1, 2, 3, 4],
  )
  t.equal(rig.list.list({ count: 100, sinceMs: AT + 30_000 }).length, 5)
})

void t.test('ten thousand are kept and no more, the oldest go', { timeout: 60_000 }, async (t) => {
  const rig = new Rig()
  for (let i = 0; i < MAX_EVENTS / 100 + 4; i++) {
    rig.happen(100, { fields: { n: i } })
    await rig.timers.turn(EVENTS_FLUSH_MS)
  }
  await rig.timers.turn(EVENTS_FLUSH_MS)
  rig.happen(1, { fields: { n: 'last' } })
  await rig.timers.turn(EVENTS_FLUSH_MS)
  const kept = [...rig.store.range(EVENTS_TABLE)].length
  t.equal(kept, MAX_EVENTS)
  t.equal(rig.numbers().at(-1), 'last')
  t.equal(rig.numbers()[0], 4)
})

void t.test('what is older than 90 days of running time goes with the next event', async (t) => {
  const rig = new Rig()
  rig.happen(1, { fields: { n: 'old' } })
  await rig.timers.turn(EVENTS_FLUSH_MS)
  rig.runningMs = MAX_EVENT_AGE_MS
  rig.happen(1, { fields: { n: 'new' } })
  await rig.timers.turn(EVENTS_FLUSH_MS)
  t.same(rig.numbers(), ['old', 'new'], 'exactly 90 days')
  rig.runningMs++
  rig.happen(1, { fields: { n: 'newer' } })
  await rig.timers.turn(EVENTS_FLUSH_MS)
  t.same(rig.numbers(), ['new', 'newer'])
})

void t.test('a full disk loses only what is more than a thousand, and is asked again', async (t) => {
  const rig = new Rig()
  rig.full = true
  rig.happen(MAX_WAITING_EVENTS + 1)
  await rig.timers.turn(3 * EVENTS_FLUSH_MS)
  t.equal(rig.commits, 4)
  t.equal(rig.numbers().length, MAX_WAITING_EVENTS)
  t.equal(rig.numbers()[0], 1)
  rig.full = false
  await rig.timers.turn(EVENTS_FLUSH_MS)
  rig.powerCut()
  t.equal(rig.numbers().length, MAX_WAITING_EVENTS)
})

void t.test('an event that does not read is left out, and the list goes on', async (t) => {
  const rig = new Rig()
  rig.happen(2)
  await rig.timers.turn(0)
  const [first] = rig.store.range(EVENTS_TABLE)
  await rig.store.commit([{ table: EVENTS_TABLE, key: first!.key, value: Uint8Array.of(0xff) }])
  rig.powerCut()
  rig.happen()
  await pause()
  t.same(rig.numbers(), [1, 0])
})
