import fc from 'fast-check'
import t from 'tap'
import {
  createTopics,
  escapeLevel,
  message,
  parseTemplate,
  unescapeLevel,
} from '../../../gateway/src/bridge/topics.js'

void t.test('names become single topic levels that can be read back', (t) => {
  const table: [string, string][] = [
    ['temp', 'temp'],
    ['Wärme in Halle 3', 'Wärme in Halle 3'],
    ['a/b', 'a%2Fb'],
    ['+', '%2B'],
    ['#', '%23'],
    ['humidity %', 'humidity %25'],
    ['%2F', '%252F'],
    ['$SYS', '%24SYS'],
    ['a$b', 'a$b'],
    ['', '%'],
    ['\0', '%00'],
    ['\u0085\u007f', '%C2%85%7F'],
    ['\uffff', '%EF%BF%BF'],
    ['..', '..'],
  ]
  for (const [name, level] of table) {
    t.equal(escapeLevel(name), level)
    t.equal(unescapeLevel(level), name)
  }
  t.end()
})

void t.test('no name leaves its level, takes a name of the gateway, or is mistaken for another', (t) => {
  const names = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((name) => name.isWellFormed())
  fc.assert(
    fc.property(names, names, (one, other) => {
      const level = escapeLevel(one)
      t.notMatch(level, /^\$|[/+#\p{Cc}\p{Noncharacter_Code_Point}]/u)
      if (level === '' || unescapeLevel(level) !== one) return false
      return (level === escapeLevel(other)) === (one === other)
    }),
  )
  t.end()
})

void t.test('a name over 128 bytes has no topic', (t) => {
  t.equal(escapeLevel('ä'.repeat(64)).length, 64)
  t.throws(() => escapeLevel('ä'.repeat(64) + 'x'), { name: 'GatewayError', code: 'FW_TOPIC_NAME_INVALID' })
  t.throws(() => createTopics('x'.repeat(129)), { code: 'FW_TOPIC_NAME_INVALID' })
  t.throws(() => createTopics('x').reading('y', 'z'.repeat(129)), { code: 'FW_TOPIC_NAME_INVALID' })
  t.end()
})

void t.test('the template is filled with escaped names', (t) => {
  const topics = createTopics('Hall 1/A')
  t.equal(topics.reading('pump/7', '$x'), 'fieldwhisper/Hall 1%2FA/pump%2F7/%24x')
  t.equal(topics.readings, 'fieldwhisper/Hall 1%2FA/+/+')
  t.equal(topics.root, 'fieldwhisper')
  t.equal(topics.gateway, 'fieldwhisper/Hall 1%2FA/$gateway')
  t.equal(topics.events, 'fieldwhisper/Hall 1%2FA/$events')
  t.equal(topics.agent('a/b'), 'fieldwhisper/Hall 1%2FA/$agents/a%2Fb/status')
  const own = createTopics('s', 'uns/plant/{agent}/raw/{name}')
  t.equal(
    own.reading('a', '{site}'),
    'uns/plant/a/raw/{site}',
    'a name that looks like a placeholder is a name',
  )
  t.equal(own.gateway, 'uns/s/$gateway')
  t.end()
})

void t.test('labels fill their levels, escaped; an agent without one is unassigned', (t) => {
  const labels = { 'pump-7': { area: 'press shop/1', line: '2', site: 'no', name: 'no' } }
  const topics = createTopics('works', 'uns/{site}/{area}/{line}/{agent}/{name}', labels)
  t.equal(topics.reading('pump-7', 'temp'), 'uns/works/press shop%2F1/2/pump-7/temp')
  t.equal(topics.reading('pump-8', 'temp'), 'uns/works/unassigned/unassigned/pump-8/temp')
  t.equal(topics.readings, 'uns/works/+/+/+/+')
  t.equal(topics.reading('constructor', 'temp'), 'uns/works/unassigned/unassigned/constructor/temp')
  t.end()
})

void t.test('a template that could mix up readings is refused', (t) => {
  const refused: [string, RegExp][] = [
    ['fieldwhisper/{site}/{agent}', /lacks a level \{name\}/],
    ['fieldwhisper/{site}/{name}', /lacks a level \{agent\}/],
    ['fieldwhisper/{agent}-{name}', /neither plain text nor/],
    ['fieldwhisper/{agent}/{agent}/{name}', /more than once/],
    ['fieldwhisper/{agent}/{name}/{Unit}', /neither plain text nor/],
    ['fieldwhisper/{area}/{area}/{agent}/{name}', /\{area\} more than once/],
    ['fieldwhisper/x{area}/{agent}/{name}', /neither plain text nor/],
    ['{site}/{agent}/{name}', /fixed first level/],
    ['/{agent}/{name}', /empty level/],
    ['a//{agent}/{name}', /empty level/],
    ['a/+/{agent}/{name}', /reserves/],
    ['a/{agent}/{name}/#', /reserves/],
    ['$SYS/{agent}/{name}', /reserves/],
    ['a\0/{agent}/{name}', /reserves/],
    [`${'x/'.repeat(15)}{agent}/{name}`, /more than 16 levels/],
    [`${'x'.repeat(500)}/{agent}/{name}`, /longer than 512 bytes/],
  ]
  for (const [template, reason] of refused) {
    t.throws(() => parseTemplate(template), { code: 'FW_TOPIC_TEMPLATE_INVALID', message: reason }, template)
  }
  t.same(parseTemplate(`${'x/'.repeat(14)}{agent}/{name}`).length, 16, 'at the limit')
  t.end()
})

void t.test('a message is the JSON of its payload', (t) => {
  const { topic, payload, retain } = message(createTopics('s').gateway, { state: 'offline' }, true)
  t.equal(topic, 'fieldwhisper/s/$gateway')
  t.equal(Buffer.from(payload).toString(), '{"state":"offline"}')
  t.equal(retain, true)
  t.end()
})
