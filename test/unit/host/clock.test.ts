import t from 'tap'
import { randomText, systemClock, systemRandom } from '@fieldwhisper/host'
import { listen, until } from './support.js'

const NOW = Date.UTC(2026, 10, 23)

void t.test('the monotonic clock runs on and the boot id is the same for all clocks of one boot', (t) => {
  const clock = systemClock(undefined, { askMachine: async () => false })
  const first = clock.monoMs()
  t.ok(clock.monoMs() >= first)
  t.equal(clock.bootId.length, 8)
  t.same(systemClock().bootId, clock.bootId)
  t.end()
})

void t.test('quality is unknown until the machine answered, then what it said', async (t) => {
  const reporter = listen()
  let asked = 0
  const clock = systemClock(reporter, {
    wallMs: () => NOW,
    askMachine: async () => {
      asked++
      return true
    },
  })
  t.equal(clock.quality(), 'unknown')
  await until(() => clock.quality() === 'synchronised')
  for (let i = 0; i < 100; i++) clock.quality()
  t.equal(asked, 1, 'asked once within a minute')
  t.match(reporter.told, [{ level: 'info', code: 'FW_CLOCK_QUALITY', fields: { quality: 'synchronised' } }])
})

void t.test('a machine that cannot say leaves the quality unknown', async (t) => {
  const reporter = listen()
  const clock = systemClock(reporter, {
    wallMs: () => NOW,
    askMachine: () => Promise.reject(new Error('no such program')),
  })
  await until(() => reporter.told.length === 1)
  t.equal(clock.quality(), 'unknown')
})

void t.test('a wall clock before 2024 is unset, whoever vouches for it', (t) => {
  const at = (wall: number) => systemClock(undefined, { trusted: true, wallMs: () => wall }).quality()
  t.equal(at(Date.UTC(2024, 0, 1) - 1), 'unset')
  t.equal(at(Date.UTC(2024, 0, 1)), 'synchronised')
  t.end()
})

void t.test('random bytes have the asked length and differ', (t) => {
  t.equal(systemRandom(0).length, 0)
  t.equal(systemRandom(32).length, 32)
  t.notSame(systemRandom(32), systemRandom(32))
  t.end()
})

void t.test('a random text never begins like an option', (t) => {
  const drawn = [Uint8Array.of(0xf8, 1, 2), Uint8Array.of(0xfb, 1, 2), Uint8Array.of(1, 2, 3)]
  t.equal(
    randomText(3, () => drawn.shift()!),
    'AQID',
  )
  t.equal(randomText(24).length, 32)
  t.throws(() => randomText(3, () => Uint8Array.of(0xf8, 1, 2)), { message: /randomness/ })
  t.end()
})
