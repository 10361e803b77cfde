import fc from 'fast-check'
import t from 'tap'
import { covers, isFilter, matches } from '../../../gateway/src/bridge/mqtt-filter.js'

void t.test('a filter means the topics that MQTT 3.1.1, section 4.7, says', (t) => {
  const table: [filter: string, topic: string, means: boolean][] = [
    ['a/b', 'a/b', true],
    ['a/b', 'a/b/c', false],
    ['a/b', 'a', false],
    ['a/+', 'a/b', true],
    ['a/+', 'a/', true],
    ['a/+', 'a', false],
    ['a/+', 'a/b/c', false],
    ['+/+', '/b', true],
    ['/+', '/b', true],
    ['+', '/b', false],
    ['a/#', 'a', true],
    ['a/#', 'a/b/c', true],
    ['a/#', 'ab', false],
    ['#', 'a/b', true],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['a/#', 'a/$agents/x', true],
    ['A', 'a', false],
  ]
  for (const [filter, topic, means] of table) t.equal(matches(filter, topic), means, `${filter} ${topic}`)
  t.end()
})

void t.test('a filter covers another one only if it means all that the other means', (t) => {
  const table: [filter: string, wanted: string, covered: boolean][] = [
    ['fw/#', 'fw/#', true],
    ['fw/#', 'fw', true],
    ['fw/#', 'fw/+/x', true],
    ['fw/#', '#', false],
    ['fw/#', '+/x', false],
    ['fw/+', 'fw/#', false],
    ['fw/+', 'fw/+', true],
    ['fw/+/x', 'fw/+/+', false],
    ['fw/a', 'fw/+', false],
    ['#', '#', true],
    ['#', '$SYS/#', false],
    ['+/+', '+/#', false],
  ]
  for (const [filter, wanted, covered] of table)
    t.equal(covers(filter, wanted), covered, `${filter} ${wanted}`)
  const level = fc.constantFrom('a', 'b', '', '+', '$x')
  const filter = fc
    .tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean())
    .map(([levels, open]) => (open ? [...levels, '#'] : levels).join('/'))
  const topic = fc
    .array(fc.constantFrom('a', 'b', '', '$x'), { minLength: 1, maxLength: 4 })
    .map((levels) => levels.join('/'))
  fc.assert(
    fc.property(filter, filter, topic, (one, other, name) => {
      return !covers(one, other) || !matches(other, name) || matches(one, name)
    }),
    { numRuns: 5_000 },
  )
  t.end()
})

void t.test('what is no filter is none', (t) => {
  for (const text of ['a', '#', '+', '/', 'a//b', '+/#', '$SYS/#', 'a b', 'ü/+'])
    t.ok(isFilter(text, 100, 8), text)
  for (const text of [
    '',
    'a#',
    '#/a',
    'a/+b',
    'a/#/b',
    'a\0',
    'a\nb',
    '\ud800',
    'x'.repeat(101),
    '/'.repeat(8),
  ])
    t.notOk(isFilter(text, 100, 8), JSON.stringify(text))
  t.end()
})
