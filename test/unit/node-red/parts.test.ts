import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { readingPayload, encodePayload } from '../../../gateway/src/bridge/payload.js'
import * as gateway from '../../../gateway/src/bridge/topics.js'
import { DEFAULT_TEMPLATE } from '../../../node-red-nodes/dist/constants.js'
import { PaletteError } from '../../../node-red-nodes/dist/errors.js'
import { parsePattern } from '../../../node-red-nodes/dist/pattern.js'
import { decodeReading } from '../../../node-red-nodes/dist/readings.js'
import { Repeats } from '../../../node-red-nodes/dist/repeats.js'
import { Requests } from '../../../node-red-nodes/dist/requests.js'
import { Subscriptions } from '../../../node-red-nodes/dist/subscriptions.js'
import {
  cover,
  createTopics,
  escapeLevel,
  matches,
  unescapeLevel,
} from '../../../node-red-nodes/dist/topics.js'
import { troubleOf } from '../../../node-red-nodes/dist/trouble.js'
import { within } from '../../support/until.js'
import { reading, stream, WALL_MS } from '../gateway/bridge-support.js'

const name = fc.string({ unit: 'grapheme', maxLength: 30 })

void t.test('names are escaped as the gateway escapes them', (t) => {
  fc.assert(
    fc.property(name, (text) => {
      if (Buffer.byteLength(text) > 128) return
      assert.equal(escapeLevel(text), gateway.escapeLevel(text))
      assert.equal(unescapeLevel(escapeLevel(text)), text)
    }),
    { numRuns: 300 },
  )
  t.throws(() => escapeLevel('x'.repeat(129)), { code: 'FW_NODERED_INPUT_INVALID', key: 'error.name' })
  t.throws(() => escapeLevel('\ud800'), { code: 'FW_NODERED_INPUT_INVALID' })
  t.equal(escapeLevel('x'.repeat(128)).length, 128)
  t.equal(unescapeLevel('%zz'), undefined)
  t.end()
})

void t.test('topics are those of the gateway, and say what they are about', (t) => {
  fc.assert(
    fc.property(name, name, name, (site, agent, reading) => {
      if ([site, agent, reading].some((text) => Buffer.byteLength(text) > 128)) return
      const theirs = gateway.createTopics(site)
      const ours = createTopics(DEFAULT_TEMPLATE)
      const topic: string = theirs.reading(agent, reading)
      assert.equal(ours.readings({ site, agent, name: reading }), topic)
      assert.deepEqual(ours.place(topic), { site, agent, name: reading, labels: {} })
      assert.equal(ours.gateway(site), theirs.gateway)
      assert.equal(ours.events(site), theirs.events)
      assert.equal(ours.status(site, agent), theirs.agent(agent))
      assert.deepEqual(ours.own(theirs.agent(agent)), { site, agent })
      assert.deepEqual(ours.own(theirs.gateway), { site })
      assert.equal(ours.place(theirs.agent(agent)), undefined)
      assert.equal(ours.place(theirs.gateway), undefined)
    }),
    { numRuns: 100 },
  )
  t.end()
})

void t.test('a template may have labels, and topics of the gateway itself are no readings of it', (t) => {
  const topics = createTopics('uns/{site}/{area}/{agent}/{name}')
  t.equal(topics.readings({ agent: 'pump-7' }), 'uns/+/+/pump-7/+')
  t.same(topics.place('uns/hall/press%2Fshop/pump-7/temp'), {
    site: 'hall',
    agent: 'pump-7',
    name: 'temp',
    labels: { area: 'press/shop' },
  })
  for (const topic of [
    'uns/hall/$agents/pump-7/status',
    'uns/hall/x/y',
    'other/hall/a/b/c',
    'uns/a/b/%zz/c',
  ]) {
    t.equal(topics.place(topic), undefined, topic)
  }
  t.equal(createTopics('plant/{agent}/{name}').place('plant/hall/$gateway'), undefined)
  const wrong = [
    '',
    '{site}/{agent}/{name}',
    'a/{agent}',
    'a/{agent}/{agent}/{name}',
    'a//{agent}/{name}',
    'a/+/{agent}/{name}',
    'a/{Area}/{agent}/{name}',
    'a/x{agent}/{name}',
    `a/${'x'.repeat(129)}/{agent}/{name}`,
    `${'a/'.repeat(15)}{agent}/{name}`,
    `a/{agent}/{name}/${'x/'.repeat(300)}`,
  ]
  for (const template of wrong) {
    t.throws(
      () => createTopics(template),
      { code: 'FW_NODERED_SETTINGS_INVALID', key: 'problem.template' },
      template,
    )
  }
  t.end()
})

const level = fc.constantFrom('a', 'b', '+')
const filter = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
const plain = fc
  .array(fc.constantFrom('a', 'b'), { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))

void t.test('a cover matches what its filters match, and nothing twice', (t) => {
  fc.assert(
    fc.property(fc.array(filter, { maxLength: 8 }), plain, (filters, topic) => {
      const chosen = cover(filters)
      const fits = chosen.filter((one) => matches(one, topic)).length
      assert.ok(fits <= 1, 'no two overlap')
      if (filters.some((one) => matches(one, topic))) assert.equal(fits, 1, 'none is missing')
    }),
    { numRuns: 500 },
  )
  t.same(cover(['a/x', 'b/x']), ['a/x', 'b/x'])
  t.same(cover(['a/+', '+/b']), ['+/+'])
  t.same(cover(['a/+', 'a/x']), ['a/+'])
  t.notOk(matches('a/+', 'a'))
  t.notOk(matches('a/+', 'a/b/c'))
  t.end()
})

void t.test('a pattern is any name, one name, or text with stars', (t) => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', 'b', '*'), { maxLength: 6 }), (parts) => {
      const pattern = parts.join('')
      const expected = new RegExp(`^${parts.map((part) => (part === '*' ? '.*' : part)).join('')}$`)
      for (const text of ['', 'a', 'b', 'ab', 'ba', 'aab', 'abab', 'bbaab']) {
        assert.equal(
          parsePattern(pattern).fits(text),
          pattern === '' || expected.test(text),
          `${pattern} ${text}`,
        )
      }
    }),
  )
  t.equal(parsePattern('temp').only, 'temp')
  t.equal(parsePattern('temp*').only, undefined)
  t.ok(parsePattern('a.b').fits('a.b'))
  t.notOk(parsePattern('a.b').fits('axb'))
  t.throws(() => parsePattern('x'.repeat(129)), {
    code: 'FW_NODERED_SETTINGS_INVALID',
    key: 'problem.pattern',
  })
  t.end()
})

void t.test('a reading is what the gateway encoded', (t) => {
  const values = fc.oneof(fc.double(), fc.string(), fc.boolean(), fc.uint8Array({ maxLength: 64 }))
  fc.assert(
    fc.property(values, fc.boolean(), (value, historical) => {
      const batch = {
        stream: stream(3),
        number: 4,
        path: 'relay',
        historical,
        receivedWallMs: WALL_MS,
      } as const
      const read = decodeReading(encodePayload(readingPayload(batch, 2, reading({ value, unit: 'Cel' }))))
      const unsound = typeof value === 'number' && !Number.isFinite(value)
      const expected = unsound ? null : value instanceof Uint8Array ? Buffer.from(value) : value
      assert.deepEqual(read.value, expected)
      assert.deepEqual(
        { ...read, value: undefined },
        {
          value: undefined,
          unit: 'Cel',
          time: '2026-03-04T05:06:07.890Z',
          quality: unsound ? 'bad' : 'good',
          clock: 'synchronised',
          path: 'relay',
          historical,
          id: '000000035a5a5a5a5a5a5a5a-4-2',
        },
      )
    }),
  )
  t.end()
})

void t.test('SenML and bare values are read as such, and anything else is text', (t) => {
  const read = (text: string) => decodeReading(Buffer.from(text))
  t.same(read('[{"bn":"urn:x:","n":"temp","u":"Cel","v":21.5,"t":1772600767.89}]'), {
    value: 21.5,
    unit: 'Cel',
    time: '2026-03-04T05:06:07.890Z',
  })
  t.same(read('[{"n":"a","vs":"open"}]'), { value: 'open' })
  t.same(read('[{"n":"a","vb":false}]'), { value: false })
  t.same(read('[{"n":"a","vd":"_-8"}]'), { value: Buffer.from([0xff, 0xef]) })
  t.same(read('[{"n":"a","v":1,"t":-5}]'), { value: 1 }, 'a relative time is not guessed')
  for (const [text, value] of [
    ['21.5', 21.5],
    ['-0.5e3', -500],
    ['true', true],
    ['false', false],
    ['007', '007'],
    ['0x10', '0x10'],
    [' 1', ' 1'],
    ['open', 'open'],
    ['{"a":1}', '{"a":1}'],
    ['{"value":{}}', '{"value":{}}'],
    ['[]', '[]'],
    ['[{"v":1},{"v":2}]', '[{"v":1},{"v":2}]'],
    ['{broken', '{broken'],
  ] as const) {
    t.same(read(text), { value }, text)
  }
  fc.assert(fc.property(fc.uint8Array(), (bytes) => 'value' in decodeReading(bytes)))
  fc.assert(fc.property(fc.json(), (text) => 'value' in decodeReading(Buffer.from(text))))
  t.end()
})

void t.test('repeats are known by id, or where there is none by what the broker retained', (t) => {
  const repeats = new Repeats()
  const seen = (text: string, retained: boolean, id?: string): boolean =>
    repeats.seen('a/b', Buffer.from(text), retained, id)
  t.notOk(seen('1', true, 'i1'))
  t.ok(seen('1', false, 'i1'))
  t.notOk(seen('1', false, 'i2'))
  t.notOk(seen('x', false))
  t.notOk(seen('x', false), 'the same value twice is two readings')
  t.ok(seen('x', true), 'but not where the broker repeats what it has retained')
  t.notOk(seen('y', true))
  for (let index = 0; index < 8_192; index += 1) seen('', false, `n${index}`)
  t.notOk(seen('1', false, 'i1'), 'memory is bounded: what is long ago is forgotten')
  t.ok(seen('1', false, 'n8191'))
  t.end()
})

void t.test('errors of the client library become words for the person at the editor', (t) => {
  const key = (error: unknown, connected = false) => troubleOf(error, 'pi:1883', connected).key
  const code = (value: string | number) => Object.assign(new Error('x'), { code: value })
  t.equal(key(code(4)), 'link.password')
  t.equal(key(code(5)), 'link.password')
  t.equal(key(code(3)), 'link.full')
  t.same(troubleOf(code(2), 'pi:1883', false), {
    key: 'link.refused',
    details: { address: 'pi:1883', code: 2 },
  })
  t.equal(key(code('ECONNREFUSED')), 'link.nobody')
  t.equal(key(code('ENOTFOUND')), 'link.name')
  t.equal(key(code('SELF_SIGNED_CERT_IN_CHAIN')), 'link.certificate-unknown')
  t.equal(key(code('CERT_HAS_EXPIRED')), 'link.certificate-expired')
  t.equal(key(code('ERR_TLS_CERT_ALTNAME_INVALID')), 'link.certificate-name')
  t.equal(key(code('ERR_SSL_WRONG_VERSION_NUMBER')), 'link.tls')
  t.equal(key(code('ERR_OSSL_PEM_NO_START_LINE')), 'link.tls')
  t.equal(key(code('EPROTO')), 'link.tls')
  t.equal(key(new Error('connack timeout')), 'link.silent')
  t.equal(key(undefined), 'link.closed')
  t.equal(key(code('ECONNRESET')), 'link.closed')
  t.equal(key(code('ECONNRESET'), true), 'link.lost')
  t.end()
})

function broker() {
  const asked: string[] = []
  return {
    asked,
    subscribe: (filters: readonly string[]) => void asked.push(...filters.map((filter) => `+ ${filter}`)),
    unsubscribe: (filters: readonly string[]) => void asked.push(...filters.map((filter) => `- ${filter}`)),
  }
}
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

void t.test(
  'subscriptions ask for as little as covers all nodes, and again for a node that comes later',
  async (t) => {
    const link = broker()
    const subscriptions = new Subscriptions(link)
    const seen: string[] = []
    const end = subscriptions.add('fw/+/a/x', (topic) => seen.push(`one ${topic}`))
    subscriptions.add('fw/+/a/y', (topic) => seen.push(`two ${topic}`))
    t.same(link.asked, [], 'nothing before there is a connection')
    subscriptions.up()
    t.same(link.asked.splice(0), ['+ fw/+/a/x', '+ fw/+/a/y'])
    const endAll = subscriptions.add('fw/+/+/+', () => {
      throw new Error('a broken node')
    })
    await turn()
    t.same(link.asked.splice(0), ['+ fw/+/+/+', '- fw/+/a/x', '- fw/+/a/y'])
    subscriptions.message('fw/s/a/y', Buffer.from('1'), false)
    t.same(seen, ['two fw/s/a/y'], 'a node that throws harms no other')
    subscriptions.add('fw/+/b/x', () => undefined)
    await turn()
    t.same(link.asked.splice(0), ['+ fw/+/+/+'], 'the broker owes the new one its retained values')
    endAll()
    end()
    await turn()
    t.same(link.asked.splice(0), ['+ fw/+/a/y', '+ fw/+/b/x', '- fw/+/+/+'])
    subscriptions.down()
    subscriptions.add('fw/+/c/x', () => undefined)
    await turn()
    t.same(link.asked.splice(0), [])
    subscriptions.up()
    t.same(link.asked, ['+ fw/+/a/y', '+ fw/+/b/x', '+ fw/+/c/x'], 'a new connection is asked for all')
    subscriptions.refused(['fw/+/a/y'])
    t.notOk(subscriptions.allowed('fw/+/a/y'))
    t.ok(subscriptions.allowed('fw/+/b/x'))
  },
)

function requests(graceMs: number, publish: (payload: string) => Promise<void> = async () => undefined) {
  const sent: { command: string; args?: unknown; ttl: string; correlation: string }[] = []
  const all = new Requests((_topic, payload) => {
    sent.push(JSON.parse(payload))
    return publish(payload)
  }, graceMs)
  const abort = new AbortController()
  const ask = (ttlMs = 60_000) =>
    all.ask({ topic: 't', command: 'ping', args: { a: 1 }, ttlMs, signal: abort.signal })
  const reply = (json: object, retained = false): void =>
    all.message(Buffer.from(JSON.stringify(json)), retained)
  return { all, sent, ask, abort, reply }
}

void t.test('a command ends once, with its own reply', async (t) => {
  const { all, sent, ask, reply } = requests(1_000)
  const [one, two] = [ask(1_500), ask()]
  t.match(sent, [{ command: 'ping', args: { a: 1 }, ttl: '1500ms' }, { ttl: '60000ms' }])
  const [first, second] = sent.map(({ correlation }) => correlation)
  t.not(first, second)
  all.message(Buffer.from('no json'), false)
  reply({ correlation: 7 })
  reply({ correlation: 'of somebody else', status: 'done' })
  reply({ correlation: second, status: 'failed' }, true)
  reply({ correlation: second, status: 'done', result: 2, more: 1 })
  reply({ correlation: second, status: 'failed' })
  t.same(await two, { status: 'done', result: 2 })
  reply({ correlation: first, command: 'ping', status: 'refused', code: 'FW_X', message: 'no', time: 'now' })
  t.same(await one, { command: 'ping', status: 'refused', code: 'FW_X', message: 'no', time: 'now' })
  t.equal(all.open, 0)
})

void t.test('a command ends once without a reply too', async (t) => {
  const { all, ask, abort } = requests(1)
  await t.rejects(within(ask(10), { withinMs: 5_000, what: 'the end' }), { code: 'FW_NODERED_NO_REPLY' })
  const open = ask()
  all.down()
  await t.rejects(open, { code: 'FW_NODERED_CONNECTION_LOST' })
  const closed = ask()
  abort.abort()
  await t.rejects(closed, { code: 'FW_NODERED_CLOSED' })
  await t.rejects(ask(), { code: 'FW_NODERED_CLOSED' }, 'nothing is sent for a closed node')
  const refused = requests(1, () =>
    Promise.reject(new PaletteError('FW_NODERED_NOT_CONNECTED', 'error.not-connected')),
  )
  await t.rejects(refused.ask(), { code: 'FW_NODERED_NOT_CONNECTED' })
  const broken = requests(1, () => Promise.reject(new Error('gone')))
  await t.rejects(broken.ask(), { code: 'FW_NODERED_CONNECTION_LOST' })
  t.same([all.open, refused.all.open, broken.all.open], [0, 0, 0])
})

void t.test('at most 200 commands wait', async (t) => {
  const { all, sent, ask } = requests(1_000)
  const open = Array.from({ length: 200 }, () => ask())
  await t.rejects(ask(), { code: 'FW_NODERED_TOO_MANY_OPEN', details: { limit: 200 } })
  t.equal(sent.length, 200)
  all.down()
  const ends = await Promise.allSettled(open)
  t.ok(ends.every(({ status }) => status === 'rejected'))
})
