import { join } from 'node:path'
import { createReporter, openStore, systemRandom } from '@fieldwhisper/host'
import { decodeBatch, type Reading } from '@fieldwhisper/protocol'
import t from 'tap'
import { systemTimers } from '../../../agent/src/sources/timers.js'
import { markFile, Spool, SPOOL_TABLES } from '../../../agent/src/spool/index.js'

const reporter = createReporter({ write: () => undefined })

function reading(value: number): Reading {
  const now = performance.now()
  return { name: 'n', value, quality: 'good', monoMs: now, wallMs: Date.now(), clock: 'unknown' }
}

void t.test(
  'on a real disk what was appended is there after a restart, with its mark beside it',
  async (t) => {
    const dir = t.testdir({})
    const open = async (): Promise<{ spool: Spool; stop: () => Promise<void> }> => {
      const store = await openStore({ dir: join(dir, 'spool'), tables: SPOOL_TABLES, reporter })
      const spool = await Spool.open({
        store,
        mark: markFile(join(dir, 'spool.json'), reporter),
        clock: { monoMs: () => performance.now(), bootId: new Uint8Array(8) },
        runningMs: () => performance.now(),
        timers: systemTimers,
        random: systemRandom,
        reporter,
        limits: { maxBytes: 2 ** 30, maxAgeMs: 1e9, minFreeBytes: 0, alwaysBytes: 0, onFull: 'drop_oldest' },
        batch: { intervalMs: 1_000, maxReadings: 1_000 },
      })
      const stop = async (): Promise<void> => {
        await spool.close()
        await store.close()
      }
      return { spool, stop }
    }
    const first = await open()
    await Promise.all(Array.from({ length: 3_000 }, (_, i) => first.spool.append(reading(i))))
    await first.stop()
    const second = await open()
    const values = [...second.spool.behind()].flatMap((batch) =>
      decodeBatch(second.spool.encoded(batch)!).readings.map(({ value }) => value),
    )
    t.same(
      values,
      Array.from({ length: 3_000 }, (_, i) => i),
    )
    t.match(second.spool.counters, { accepted: 3_000, held: 3_000, dropped: 0 })
    await second.stop()
  },
)

void t.test('a mark that cannot be written is reported and stops nothing', (t) => {
  const codes: string[] = []
  const keeper = markFile(join(t.testdir({}), 'missing', 'spool.json'), {
    event: (_level, code) => void codes.push(code),
  })
  t.equal(keeper.load(), undefined)
  keeper.save({ spoolId: 'a', start: 1, lostBefore: 0, streams: [] })
  t.same(codes, ['FW_SPOOL_MARK_UNSAVED'])
  t.end()
})
