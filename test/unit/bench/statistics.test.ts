import t from 'tap'
import { median, medianRatio, percentile } from '../../bench/statistics.js'

void t.test('the median is the middle, whatever the order', (t) => {
  t.equal(median([10, 9, 100]), 10)
  t.equal(median([4, 1, 3, 2]), 2.5)
  t.equal(median([7]), 7)
  t.ok(Number.isNaN(median([])))
  t.end()
})

void t.test('a percentile is a value that was measured: the nearest rank', (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index)
  t.equal(percentile(hundred, 0.5), 50)
  t.equal(percentile(hundred, 0.99), 99)
  t.equal(percentile(hundred, 1), 100)
  t.equal(percentile([3, 1], 0.5), 1)
  t.equal(percentile([3], 0.001), 3)
  t.ok(Number.isNaN(percentile([], 0.5)))
  t.end()
})

void t.test('ratios are taken within a round: a slow machine in one round changes nothing', (t) => {
  t.equal(
    medianRatio([
      [100, 50],
      [10, 5],
      [80, 20],
    ]),
    2,
  )
  t.ok(Number.isNaN(medianRatio([])))
  t.end()
})

void t.test('values are left in their order', (t) => {
  const values = [3, 1, 2]
  median(values)
  percentile(values, 0.5)
  t.same(values, [3, 1, 2])
  t.end()
})
