import { TokenBucket, TokenBuckets } from '@fieldwhisper/host'
import fc from 'fast-check'
import t from 'tap'

void t.test('a bucket gives its burst and then its rate, over any times, also such that go back', (t) => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -50, max: 500 }), { maxLength: 200 }), (steps) => {
      const bucket = new TokenBucket({ perSecond: 10, burst: 5 }, 0)
      let [now, latest, taken] = [0, 0, 0]
      for (const ms of steps) {
        now += ms
        latest = Math.max(latest, now)
        const available = bucket.available(now)
        const took = bucket.take(now)
        t.equal(took, available)
        if (took) taken++
      }
      // Going back never gives more than what the forward steps add up to.
      const forward = steps.reduce((sum, ms) => sum + Math.max(0, ms), 0)
      t.ok(taken <= 5 + (forward * 10) / 1_000 + 1e-6)
    }),
  )
  t.end()
})

void t.test('buckets keep a bounded number of keys and forget those that were quiet', (t) => {
  const buckets = new TokenBuckets({ perSecond: 1, burst: 2 }, 3)
  for (const key of ['a', 'b', 'c']) t.equal(buckets.take(key, 0), true)
  t.equal(buckets.take('d', 0), false, 'no room while all are busy')
  t.equal(buckets.available('d', 0), true)
  t.equal(buckets.idle('a', 500), false)
  t.equal(buckets.take('d', 1_000), true, 'they have been quiet for a second')
  t.equal(buckets.idle('a', 1_000), true)
  t.end()
})

void t.test('several at once, and a debt', (t) => {
  const property = fc.property(
    fc.array(fc.record({ wait: fc.nat(500), count: fc.integer({ min: 1, max: 5 }) }), { maxLength: 200 }),
    (calls) => {
      const bucket = new TokenBucket({ perSecond: 10, burst: 20 }, 0)
      let [now, taken] = [0, 0]
      for (const { wait, count } of calls) {
        now += wait
        if (bucket.take(now, count)) taken += count
        if (taken > 20 + now / 100) return false
      }
      return true
    },
  )
  t.doesNotThrow(() => fc.assert(property))
  const bucket = new TokenBucket({ perSecond: 10, burst: 20 }, 0)
  t.ok(bucket.take(0, 20))
  t.notOk(bucket.take(99))
  t.ok(bucket.take(100))
  t.notOk(bucket.take(50), 'a time that goes back gives nothing')
  t.equal(bucket.charge(100, 5), 500, 'debt is told in milliseconds')
  t.equal(bucket.charge(600, 0), 0)
  t.ok(bucket.take(1e12, 20), 'a jump only fills it')
  t.notOk(bucket.take(1e12))
  t.end()
})
