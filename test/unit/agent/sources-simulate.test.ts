import t from 'tap'
import { MAX_SAMPLES_PENDING } from '../../../agent/src/sources/constants.js'
import { SimulateSource, type SimulateOptions } from '../../../agent/src/sources/simulate.js'
import { seededUniform, WAVEFORMS, waveformValue, type Series } from '../../../agent/src/sources/waveform.js'
import { Basket, HandClock } from './fixtures/sources.js'

const counter: Series = { name: 'counter', waveform: 'counter', min: 0, max: 0, periodMs: 1_000 }
const sine: Series = { name: 'flow', unit: 'l/s', waveform: 'sine', min: 10, max: 20, periodMs: 4_000 }

function simulate(options: Partial<SimulateOptions> = {}) {
  const clock = new HandClock()
  const basket = new Basket()
  const source = new SimulateSource(
    { name: 'demo', prefix: '', series: [counter], rateHz: 10, seed: 1, ...options },
    clock,
  )
  return { source, clock, basket }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, number) => number)

void t.test(
  'a counter numbers its readings without a hole, at its rate, each with the time it was due',
  async (t) => {
    const { source, clock, basket } = simulate({ rateHz: 2_000 })
    source.start(basket)
    await clock.pass(1_000)
    t.same(basket.values('counter'), upTo(2_001))
    t.ok(basket.samples.every(({ at, value }) => at === 1_000 + Math.floor(Number(value) / 2)))
    t.match(source.status(), { state: 'running', quality: 'good', accepted: 2_001, discarded: 0 })
    await source.stop()
    t.equal(clock.waiting, 0)
  },
)

void t.test('a rate below one a second works as well', async (t) => {
  const { source, clock, basket } = simulate({ rateHz: 0.1 })
  source.start(basket)
  await clock.pass(29_999)
  t.same(basket.values('counter'), upTo(3))
  await clock.pass(1)
  t.same(basket.values('counter'), upTo(4))
  await source.stop()
})

void t.test('with a count it makes exactly so many and falls silent', async (t) => {
  const { source, clock, basket } = simulate({
    rateHz: 1_000,
    count: 25,
    series: [counter, sine],
    prefix: 'a_',
  })
  source.start(basket)
  await clock.pass(10_000)
  t.same(basket.values('a_counter'), upTo(25))
  t.equal(basket.values('a_flow').length, 25)
  t.equal(basket.samples.find(({ name }) => name === 'a_flow')?.unit, 'l/s')
  t.equal(clock.waiting, 0)
  await source.stop()
})

void t.test('it waits for a disk that is behind, and leaves no number out', async (t) => {
  const { source, clock, basket } = simulate({ rateHz: 10_000, series: [counter, sine] })
  const release: (() => void)[] = []
  basket.answer = () => new Promise((resolve) => release.push(resolve))
  source.start(basket)
  await clock.pass(60_000)
  t.equal(basket.samples.length, MAX_SAMPLES_PENDING)
  for (const done of release) done()
  basket.answer = () => undefined
  await clock.pass(100)
  const values = basket.values('counter')
  t.same(values, upTo(values.length))
  t.ok(values.length >= MAX_SAMPLES_PENDING / 2 + 10_000, 'one second is made up for')
  t.ok(values.length < MAX_SAMPLES_PENDING / 2 + 12_500, 'and not more')
  t.match(source.status(), { discarded: 0, refused: 0 })
  await source.stop()
})

void t.test('a process that was stopped goes on with the next number, at the time it is now', async (t) => {
  const { source, clock, basket } = simulate({ rateHz: 10 })
  source.start(basket)
  await clock.pass(1_000)
  clock.jump(3_600_000)
  await clock.pass(1_000)
  const values = basket.values('counter')
  t.same(values, upTo(values.length))
  t.ok(values.length <= 11 + 21, `${values.length}`)
  const times = basket.samples.map(({ at }) => Number(at))
  t.same(
    times,
    [...times].sort((a, b) => a - b),
  )
  t.equal(times.at(-1), clock.clock.monoMs())
  await source.stop()
})

void t.test('the same options make the same readings, another seed makes other noise', async (t) => {
  const noise: Series = { name: 'noise', waveform: 'noise', min: -1, max: 1, periodMs: 1_000 }
  const run = async (seed: number): Promise<unknown[]> => {
    const { source, clock, basket } = simulate({ series: [noise, sine], seed })
    source.start(basket)
    await clock.pass(5_000)
    await source.stop()
    return basket.samples.map(({ name, value }) => [name, value])
  }
  t.same(await run(7), await run(7))
  t.not(JSON.stringify(await run(7)), JSON.stringify(await run(8)))
})

void t.test('started again it begins again', async (t) => {
  const { source, clock, basket } = simulate({ count: 2 })
  source.start(basket)
  await clock.pass(1_000)
  await source.stop()
  source.start(basket)
  await clock.pass(1_000)
  t.same(basket.values('counter'), [0, 1, 0, 1])
  await source.stop()
})

void t.test('every waveform stays within its bounds and has its shape', (t) => {
  const uniform = seededUniform(3)
  for (const waveform of WAVEFORMS) {
    if (waveform === 'counter') continue
    const series: Series = { name: 'x', waveform, min: -5, max: 15, periodMs: 1_000 }
    for (let ms = 0; ms < 5_000; ms += 7) {
      const value = waveformValue(series, 0, ms, uniform)
      if (value < -5 || value > 15) t.fail(`${waveform} ${ms} ms: ${value}`)
    }
  }
  const at = (waveform: Series['waveform'], ms: number): number =>
    waveformValue({ name: 'x', waveform, min: 0, max: 10, periodMs: 1_000 }, 42, ms, uniform)
  t.same(
    [0, 250, 500, 750].map((ms) => at('sine', ms)),
    [5, 10, 5, 0],
  )
  t.same(
    [0, 250, 500, 750].map((ms) => at('triangle', ms)),
    [0, 5, 10, 5],
  )
  t.same(
    [0, 250, 500, 750].map((ms) => at('sawtooth', ms)),
    [0, 2.5, 5, 7.5],
  )
  t.same(
    [0, 250, 500, 750].map((ms) => at('square', ms)),
    [0, 0, 10, 10],
  )
  t.equal(at('constant', 1), 0)
  t.equal(at('counter', 1), 42)
  t.end()
})

void t.test('noise is spread evenly', (t) => {
  const uniform = seededUniform(1)
  const buckets = Array.from({ length: 10 }, () => 0)
  for (let i = 0; i < 10_000; i++) {
    const bucket = Math.floor(uniform() * 10)
    buckets[bucket] = (buckets[bucket] ?? 0) + 1
  }
  t.ok(
    buckets.every((count) => count > 850 && count < 1_150),
    buckets.join(' '),
  )
  t.end()
})
