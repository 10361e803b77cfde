import fc from 'fast-check'
import t from 'tap'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import type { Store } from '@fieldwhisper/host'
import { GatewayError } from '../../../gateway/src/errors.js'
import {
  BRIDGE_TABLES,
  decodeItem,
  outboxEventWrite,
  outboxWrite,
  sequenceKey,
  sequenceOf,
  type OutboxEntry,
} from '../../../gateway/src/bridge/outbox-entry.js'
import { lastOutboxSequence } from '../../../gateway/src/bridge/outbox-position.js'
import {
  AGENT,
  FakeOutput,
  WALL_MS,
  batchOf,
  bridgeStore,
  entry,
  eventually,
  fill,
  numbered,
  reading,
  rig,
  stream,
} from './bridge-support.js'

const ids = (output: FakeOutput): string[] => output.payloads().map(({ id }) => id)
const values = (output: FakeOutput): number[] => output.payloads().map(({ value }) => value)
const count = (n: number): number[] => Array.from({ length: n }, (_, index) => index)

void t.test('an entry reads back as it was written', (t) => {
  const one = entry({ clockOffsetMs: 1.5, path: 'relay', historical: true, number: 2 ** 40 })
  const { table, key, value } = outboxWrite(2 ** 50, one)
  t.equal(table, 'outbox')
  t.equal(sequenceOf(key), 2 ** 50)
  t.same(decodeItem(value!), {
    kind: 'readings',
    entry: { ...one, batch: Buffer.from(one.batch), stream: Buffer.from(one.stream) },
  })
  t.same(decodeItem(outboxWrite(1, entry()).value!), decodeItem(outboxWrite(9, entry()).value!))
  const event = {
    level: 'warn',
    code: 'FW_GAP',
    message: 'lost',
    wallMs: 5,
    agent: 'a',
    fields: { n: 3 },
  } as const
  t.same(decodeItem(outboxEventWrite(1, event).value!), { kind: 'event', event })
  t.throws(() => sequenceKey(-1), RangeError)
  t.throws(() => sequenceKey(1.5), RangeError)
  t.end()
})

void t.test('an entry that is not one is refused with a code, whatever its bytes', (t) => {
  const good = outboxWrite(1, entry()).value!
  const invalid = { name: 'GatewayError', code: 'FW_OUTBOX_ENTRY_INVALID' }
  t.throws(() => decodeItem(new Uint8Array(0)), invalid)
  for (const change of [
    { agent: '' },
    { agent: 'x'.repeat(129) },
    { name: '' },
    { path: 'wan' as 'lan' },
    { stream: new Uint8Array(11) },
    { number: -1 },
    { number: 1.5 },
    { historical: 1 as unknown as boolean },
    { receivedWallMs: NaN },
    { clockOffsetMs: 'x' as unknown as number },
    { batch: new Uint8Array(12_289) },
  ]) {
    t.throws(
      () => decodeItem(outboxWrite(1, entry(change)).value!),
      invalid,
      JSON.stringify(change).slice(0, 40),
    )
  }
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Uint8Array.from(good)
      bytes[at]! ^= flip
      try {
        decodeItem(bytes)
      } catch (error) {
        return (error as { code: string }).code === invalid.code
      }
      return true
    }),
  )
  t.end()
})

void t.test('what is committed is published in order and recorded as sent', async (t) => {
  const store = bridgeStore()
  const { outbox, output } = await rig(store)
  const writes = await fill(store, 1, numbered(100))
  outbox.committed(writes)
  await eventually('100 messages', () => outbox.status().published === 100)
  t.same(values(output), count(100))
  t.match(outbox.status(), { unsentEntries: 0, unsentBytes: 0, keptEntries: 100, repeated: 0, rejected: 0 })
  t.equal(output.sent[0]!.topic, 'fieldwhisper/hall/pump-7/temp')
  await outbox.stop()

  const again = await rig(store.afterPowerCut())
  again.outbox.committed([])
  t.same(again.output.sent, [], 'a restart publishes nothing twice')
  await again.outbox.stop()
})

void t.test('a batch of many readings is one item: sent when its last reading is', async (t) => {
  const store = bridgeStore()
  const readings = count(50).map((value) => reading({ value }))
  await fill(store, 1, [entry({ batch: batchOf(readings) })])
  const output = new FakeOutput()
  output.auto = false
  const { outbox } = await rig(store, { output })
  output.acknowledge(49)
  await eventually('49 acknowledgements', () => output.waiting === 1)
  t.equal(outbox.status().published, 0)
  output.acknowledge(1)
  await eventually('the item', () => outbox.status().published === 50)
  t.same(
    ids(output),
    count(50).map((index) => `000000015a5a5a5a5a5a5a5a-0-${index}`),
  )
  await outbox.stop()
})

void t.test(
  'not more messages wait for the broker than the window holds, whatever waits on disk',
  async (t) => {
    const store = bridgeStore()
    await fill(store, 1, numbered(3_000))
    const output = new FakeOutput()
    output.auto = false
    const { outbox } = await rig(store, { output })
    await eventually('the window to fill', () => output.waiting === 512)
    output.acknowledge(100)
    await eventually('the window to fill again', () => output.waiting === 512)
    t.equal(output.sent.length, 612)
    output.down()
    await outbox.stop()

    const large = bridgeStore()
    const text = 'x'.repeat(7_000)
    await fill(
      large,
      1,
      count(1_000).map((number) => entry({ number, batch: batchOf([reading({ value: text })]) })),
    )
    const slow = new FakeOutput()
    slow.auto = false
    const second = await rig(large, { output: slow })
    const bytes = slow.sent.reduce((sum, { payload }) => sum + payload.length, 0)
    t.ok(slow.waiting < 512 && bytes < 4.1 * 2 ** 20, 'large values are bounded by bytes')
    slow.down()
    await second.outbox.stop()
  },
)

void t.test('after a lost connection it goes on at the oldest message without acknowledgement', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(10))
  const output = new FakeOutput()
  output.auto = false
  const { outbox } = await rig(store, { output })
  output.acknowledge(3)
  output.acknowledgeLast()
  await eventually('three of them', () => outbox.status().published === 3)
  output.down()
  t.equal(outbox.status().published, 3, 'an acknowledgement that overtook others waits for them')
  output.auto = true
  output.up()
  await eventually('the rest', () => outbox.status().published === 10)
  t.same(values(output), [...count(10), 3, 4, 5, 6, 7, 8, 9])
  t.equal(outbox.status().repeated, 6)
  t.equal(new Set(ids(output)).size, 10, 'repeats carry the same id')
  await outbox.stop()
})

void t.test('a broker that refuses and stays connected is asked again', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(3))
  const output = new FakeOutput()
  output.auto = false
  const { outbox } = await rig(store, { output })
  output.refuse()
  output.auto = true
  await eventually('the second try', () => outbox.status().published === 3)
  t.same(values(output), [0, 1, 2, 0, 1, 2])
  await outbox.stop()
})

void t.test('whatever the broker does, nothing is lost and the order of a name holds', async (t) => {
  const step = fc.oneof(
    fc.record({ do: fc.constant('ack' as const), n: fc.integer({ min: 1, max: 9 }) }),
    fc.record({
      n: fc.constant(0),
      do: fc.constantFrom('last' as const, 'down' as const, 'up' as const, 'restart' as const),
    }),
    fc.record({ do: fc.constant('commit' as const), n: fc.integer({ min: 1, max: 5 }) }),
  )
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      let store = bridgeStore()
      let at = await rig(store, { windowMessages: 7 })
      at.output.auto = false
      const seen: number[] = []
      let committed = 0
      const restart = async (): Promise<void> => {
        seen.push(...values(at.output))
        at.output.down()
        await at.outbox.stop()
        store = store.afterPowerCut()
        const output = new FakeOutput()
        output.auto = false
        at = await rig(store, { windowMessages: 7, output })
      }
      for (const one of steps) {
        if (one.do === 'ack') at.output.acknowledge(one.n)
        else if (one.do === 'last') at.output.acknowledgeLast()
        else if (one.do === 'down') at.output.down()
        else if (one.do === 'up') at.output.up()
        else if (one.do === 'restart') await restart()
        else {
          const first = lastOutboxSequence(store) + 1
          at.outbox.committed(await fill(store, first, numbered(one.n, {}, committed)))
          committed += one.n
        }
        await new Promise((resolve) => setImmediate(resolve))
      }
      await restart()
      at.output.auto = true
      at.output.acknowledge(100)
      await eventually('everything', () => at.outbox.status().unsentEntries === 0)
      seen.push(...values(at.output))
      await at.outbox.stop()
      const first = [...new Set(seen)]
      t.same(first, count(committed))
    }),
    { numRuns: 40 },
  )
})

void t.test('a broker that stops acknowledging loses its connection', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(2))
  const output = new FakeOutput()
  output.auto = false
  const { outbox, reporter } = await rig(store, { output, deadlineMs: 1_000 })
  await eventually('the reconnect', () => output.reconnects === 1)
  t.match(reporter.events, [{ code: 'FW_MQTT_PUBLISH_TIMEOUT', fields: { waiting: 2 } }])
  output.auto = true
  await eventually('the repeat', () => outbox.status().published === 2)
  t.same(values(output), [0, 1, 0, 1])
  await outbox.stop()
})

void t.test('an item that cannot be opened is set aside and holds up nothing', async (t) => {
  const store = bridgeStore()
  const poison = Buffer.from('not an entry')
  await store.commit([
    outboxWrite(1, entry({ number: 1 })),
    { table: 'outbox', key: sequenceKey(2), value: poison },
    outboxWrite(3, entry({ batch: Buffer.from('not a batch') })),
    outboxWrite(4, entry({ batch: batchOf([]) })),
    outboxWrite(5, entry({ number: 5 })),
  ])
  const { outbox, output, reporter } = await rig(store)
  await eventually('the good ones', () => outbox.status().published === 2)
  t.same(
    output.payloads().map(({ id }) => id.split('-')[1]),
    ['1', '5'],
  )
  t.match(reporter.events, [
    {
      code: 'FW_OUTBOX_REJECTED',
      level: 'error',
      fields: { sequence: 2, reason: 'FW_OUTBOX_ENTRY_INVALID' },
    },
    { code: 'FW_OUTBOX_REJECTED', fields: { sequence: 3, reason: 'FW_MALFORMED' } },
  ])
  t.equal(reporter.events.length, 2)
  await outbox.stop()
  const kept = [...store.range('outbox_rejected')]
  t.same(
    kept.map(({ key }) => sequenceOf(key)),
    [2, 3],
  )
  t.ok(Buffer.from(kept[0]!.value).includes(poison), 'its bytes are kept')
  t.equal(outbox.status().rejected, 2)
})

void t.test('what the broker refuses for good is set aside with its code and holds up nothing', async (t) => {
  const store = bridgeStore()
  const batch = batchOf([reading({ value: 1 }), reading({ value: 2 }), reading({ value: 3 })])
  await store.commit([
    outboxWrite(1, entry({ number: 1 })),
    outboxWrite(2, entry({ number: 2, batch })),
    outboxWrite(3, entry({ number: 3 })),
  ])
  const output = new FakeOutput()
  output.auto = false
  const { outbox, reporter } = await rig(store, { output })
  t.equal(output.waiting, 5)
  const refusal = new GatewayError('FW_MQTT_TOPIC_FORBIDDEN', 'forbidden')
  output.acknowledge(2)
  output.refuse(refusal)
  output.refuse(refusal)
  output.acknowledge(1)
  await eventually('the last one', () => outbox.status().published === 3)
  t.match(outbox.status(), { refused: 2, rejected: 1, unsentEntries: 0, repeated: 0 })
  t.match(reporter.events, [
    { code: 'FW_OUTBOX_REJECTED', fields: { sequence: 2, reason: 'FW_MQTT_TOPIC_FORBIDDEN' } },
  ])
  t.equal(reporter.events.length, 1)
  t.equal(output.sent.length, 5, 'nothing is sent again')
  await outbox.stop()
  const [kept, ...more] = [...store.range('outbox_rejected')]
  t.same([sequenceOf(kept!.key), more], [2, []])
  t.ok(Buffer.from(kept!.value).includes('FW_MQTT_TOPIC_FORBIDDEN'))
  t.ok(Buffer.from(kept!.value).includes(Buffer.from(batch)), 'its bytes are kept')
  const after = await rig(store.afterPowerCut())
  await after.outbox.stop()
  t.same(after.output.sent, [], 'after a restart nothing is left to be sent')
})

void t.test(
  'a refusal counts only once all before it have their answer, also over a lost connection',
  async (t) => {
    const store = bridgeStore()
    await fill(store, 1, numbered(3))
    const output = new FakeOutput()
    output.auto = false
    const { outbox } = await rig(store, { output })
    output.refuseLast(new GatewayError('FW_MQTT_PACKET_TOO_LARGE', 'too large'))
    await eventually('the report', () => outbox.status().rejected === 1)
    t.match(outbox.status(), { refused: 0, published: 0, unsentEntries: 3 })
    output.down()
    output.up()
    await eventually('the repeat', () => output.waiting === 3)
    output.acknowledge(2)
    output.refuse(new GatewayError('FW_MQTT_PACKET_TOO_LARGE', 'too large'))
    await eventually('the end', () => outbox.status().unsentEntries === 0)
    t.match(outbox.status(), { refused: 1, rejected: 1, published: 2 })
    await outbox.stop()
  },
)

void t.test('of what was set aside the newest 1,000 are kept', async (t) => {
  const store = bridgeStore()
  const bad = (sequence: number) => ({
    table: 'outbox',
    key: sequenceKey(sequence),
    value: Buffer.from('bad'),
  })
  await store.commit(count(1_203).map((index) => bad(index + 1)))
  const { outbox } = await rig(store)
  await eventually('all of them', () => outbox.status().rejected === 1_203)
  await outbox.stop()
  const kept = [...store.range('outbox_rejected')].map(({ key }) => sequenceOf(key))
  t.same([kept.length, kept[0], kept.at(-1)], [1_000, 204, 1_203])
  const after = await rig(store.afterPowerCut())
  await after.outbox.stop()
  t.equal(after.outbox.status().rejected, 0, 'they are not read again')
})

void t.test('an entry at which the connection always breaks is named', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(2))
  const output = new FakeOutput()
  output.auto = false
  const { outbox, reporter } = await rig(store, { output })
  for (let round = 0; round < 6; round += 1) {
    output.down()
    output.up()
  }
  t.same(reporter.codes(), ['FW_OUTBOX_STUCK'])
  t.match(reporter.events[0], { fields: { sequence: 1, attempts: 5 } })
  output.down()
  await outbox.stop()
})

void t.test('the core is told when there is no room and when there is again', async (t) => {
  const store = bridgeStore()
  const output = new FakeOutput()
  output.auto = false
  const one = outboxWrite(1, numbered(1)[0]!)
  const size = one.key.length + one.value!.length
  const { outbox } = await rig(store, { output, maxBytes: 10 * size })
  let room = 0
  outbox.space.onRoom(() => (room += 1))
  outbox.committed(await fill(store, 1, numbered(9)))
  t.equal(outbox.space.full, false)
  outbox.committed(await fill(store, 10, numbered(1, {}, 9)))
  t.equal(outbox.space.full, true, 'full at the limit')
  t.equal(outbox.space.bytes, 10 * size)
  output.acknowledge(1)
  await eventually('one of them', () => outbox.status().unsentEntries === 9)
  t.equal(outbox.space.full, true, 'not at once, or it would flap')
  output.acknowledge(1)
  await eventually('room', () => room === 1)
  t.equal(outbox.space.full, false)
  output.acknowledge(8)
  await eventually('all', () => outbox.status().unsentEntries === 0)
  outbox.committed(await fill(store, 11, numbered(9, {}, 10)))
  output.acknowledge(9)
  await eventually('kept entries to go', () => outbox.space.bytes <= 10 * size)
  t.equal(outbox.space.full, false, 'what was sent never stops the core: it is deleted first')
  await outbox.stop()
  const kept = [...store.range('outbox')].map(({ key }) => sequenceOf(key))
  t.equal(kept.at(-1), 19)
  t.equal(kept.length, 10, 'the newest ones are kept')
})

void t.test('a start counts what is there', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(1_500))
  const output = new FakeOutput()
  output.auto = false
  const first = await rig(store, { output })
  output.acknowledge(100)
  await eventually('the count', () => first.outbox.space.unsent.entries === 1_400)
  t.equal(first.outbox.space.sent.entries, 100)
  output.down()
  await first.outbox.stop()
  const second = await rig(store.afterPowerCut(), { maxBytes: 1_000 })
  await eventually('the rest to be published', () => second.outbox.status().published === 1_400)
  await second.outbox.stop()
})

void t.test('an entry published before the core told of it is counted once', async (t) => {
  const store = bridgeStore()
  const { outbox } = await rig(store)
  const early = await fill(store, 1, numbered(2))
  outbox.committed([])
  await eventually('both', () => outbox.status().published === 2)
  outbox.committed(early)
  t.match(outbox.status(), { unsentEntries: 0, unsentBytes: 0, keptEntries: 2 })
  await outbox.stop()
})

void t.test('what was sent is deleted after its time of running, and not by a clock', async (t) => {
  const store = bridgeStore()
  let runMs = 0
  const options = { keepSentMs: 3_600_000, runningMs: () => runMs }
  // One entry at a time: a time is noted for what is sent at a mark, and a mark may come between two entries.
  let at = await rig(store, options)
  at.outbox.committed(await fill(store, 1, numbered(1)))
  await eventually('the first', () => at.outbox.status().published === 1)
  await at.outbox.stop()
  runMs = 1_800_000
  at = await rig(store, options)
  at.outbox.committed(await fill(store, 2, numbered(1, {}, 1)))
  await eventually('the second', () => at.outbox.status().published === 1)
  await at.outbox.stop()
  t.equal([...store.range('outbox')].length, 2)
  runMs = 3_600_000
  at = await rig(store, options)
  await eventually('the count', () => at.outbox.space.sent.entries === 2)
  at.outbox.committed(await fill(store, 3, numbered(1, {}, 2)))
  await eventually('the first to go', () => [...store.range('outbox')].length === 2)
  await at.outbox.stop()
  t.same(
    [...store.range('outbox')].map(({ key }) => sequenceOf(key)),
    [2, 3],
  )
  t.equal(lastOutboxSequence(store), 3)
})

void t.test('without keeping, sent entries go with the mark, and numbers go on', async (t) => {
  const store = bridgeStore()
  const { outbox } = await rig(store, { keepSentMs: 0 })
  t.equal(lastOutboxSequence(store), 0)
  outbox.committed(await fill(store, 1, numbered(40)))
  await eventually('all to go', () => [...store.range('outbox')].length === 0)
  await outbox.stop()
  t.equal(outbox.space.bytes, 0)
  t.equal(lastOutboxSequence(store), 40, 'a number is never used twice')
})

void t.test('a disk that takes no record does not stop the publishing', async (t) => {
  let full = true
  const store = bridgeStore({
    flush: (writes) => {
      const mine = writes.some(({ table }) => table === 'outbox_state')
      return full && mine ? Promise.reject(new Error('disk full')) : Promise.resolve()
    },
  })
  const { outbox, reporter } = await rig(store)
  outbox.committed(await fill(store, 1, numbered(30)))
  await eventually('the report', () => reporter.codes().includes('FW_OUTBOX_MARK_FAILED'))
  t.equal(outbox.status().published, 30)
  const crashed = await rig(store.afterPowerCut({ flush: () => Promise.resolve() }))
  await eventually('the repeats', () => crashed.outbox.status().published === 30)
  await crashed.outbox.stop()
  full = false
  await outbox.stop()
  const after = await rig(store.afterPowerCut())
  await after.outbox.stop()
  t.same(after.output.sent, [], 'once there is room it is recorded')
})

void t.test('a store that cannot be read is asked again and said so', async (t) => {
  const inner = createMemoryStore({ tables: BRIDGE_TABLES })
  let broken = false
  const store: Store = {
    ...inner,
    range(table, options) {
      if (broken && table === 'outbox') throw new Error('input/output error')
      return inner.range(table, options)
    },
  }
  const { outbox, reporter, output } = await rig(store)
  const writes = await fill(store, 1, numbered(1))
  broken = true
  outbox.committed(writes)
  t.match(reporter.events, [{ code: 'FW_OUTBOX_UNREADABLE', level: 'error' }])
  broken = false
  await eventually('the reading', () => output.sent.length === 1)
  await outbox.stop()
})

void t.test('an event goes the way of the readings and names itself', async (t) => {
  const store = bridgeStore()
  const { outbox, output } = await rig(store)
  const writes = [
    outboxWrite(1, entry()),
    outboxEventWrite(2, {
      level: 'warn',
      code: 'FW_GAP',
      message: '3 readings were dropped.',
      wallMs: WALL_MS,
      agent: 'pump-7',
      fields: { readings: 3 },
    }),
  ]
  await store.commit(writes)
  outbox.committed(writes)
  await eventually('both', () => output.sent.length === 2)
  t.same(output.payloads()[1], {
    level: 'warn',
    code: 'FW_GAP',
    message: '3 readings were dropped.',
    time: '2026-03-04T05:06:07.890Z',
    id: `event-${WALL_MS}-2`,
    agent: 'pump-7',
    fields: { readings: 3 },
  })
  t.match(output.sent[1], { topic: 'fieldwhisper/hall/$events', retain: false })
  await outbox.stop()
})

void t.test('the current value is retained: live ones only, and never an older one', async (t) => {
  const store = bridgeStore()
  const { outbox, output } = await rig(store)
  const one = (change: Partial<OutboxEntry>, value: number, wallMs = WALL_MS + change.number!) =>
    entry({ ...change, batch: batchOf([reading({ value, wallMs })]) })
  const entries = [
    one({ number: 5 }, 5),
    one({ number: 4 }, 4),
    one({ number: 6, historical: true }, 6),
    one({ number: 5 }, 5),
    one({ stream: stream(3), number: 0 }, 100, WALL_MS - 1_000),
    one({ number: 9 }, 9, WALL_MS - 2_000),
    one({ stream: stream(2), number: 0 }, 200, WALL_MS + 60_000),
    entry({ stream: stream(4), number: 1, batch: batchOf([reading({ value: 1 }), reading({ value: 2 })]) }),
  ]
  outbox.committed(await fill(store, 1, entries))
  await eventually('all', () => output.sent.length === 9)
  t.same(
    output.sent.map(({ retain }, index) => [values(output)[index], retain]),
    [
      [5, true],
      [4, false],
      [6, false],
      [5, true],
      [100, true],
      [9, false],
      [200, true],
      [1, false],
      [2, true],
    ],
  )
  await outbox.stop()
  const restored: unknown[] = []
  const { outbox: next } = await rig(store.afterPowerCut())
  next.retained.load(store, ({ topic, payload }) =>
    restored.push([topic, JSON.parse(Buffer.from(payload).toString()).value]),
  )
  t.same(restored, [['fieldwhisper/hall/pump-7/temp', 2]])
  await next.stop()
})

void t.test('a renamed agent leaves no value under its old name', async (t) => {
  const store = bridgeStore()
  const first = await rig(store)
  first.outbox.committed(await fill(store, 1, numbered(1)))
  await eventually('the value', () => first.outbox.status().published === 1)
  await first.outbox.stop()
  const { outbox, output } = await rig(store)
  outbox.committed(await fill(store, 2, numbered(2, { name: 'pump-8' }, 1)))
  await eventually('the new values', () => output.sent.length === 3)
  t.same(
    output.sent.map(({ topic, payload, retain }) => [topic, payload.length > 0, retain]),
    [
      ['fieldwhisper/hall/pump-7/temp', false, true],
      ['fieldwhisper/hall/pump-8/temp', true, true],
      ['fieldwhisper/hall/pump-8/temp', true, true],
    ],
  )
  await outbox.stop()
})

void t.test("a device that took another one's name has its topic alone", async (t) => {
  const store = bridgeStore()
  const old = 'ff'.repeat(32)
  const { outbox, output } = await rig(store)
  const both = [...numbered(1, { agent: old }), ...numbered(1, { number: 0 })]
  outbox.committed(await fill(store, 1, both))
  await eventually('both', () => outbox.status().published === 2)
  t.ok(output.sent.every(({ retain, payload }) => retain && payload.length > 0))
  outbox.forgetAgent(old)
  t.equal(output.sent.length, 2, 'nothing is removed that is not its own')
  await outbox.stop()
  t.same(
    [...store.range('retained')].map(({ key }) => Buffer.from(key).toString()),
    [`${AGENT}/temp`],
  )
})

void t.test('the values of a revoked agent are removed, also over a lost connection', async (t) => {
  const store = bridgeStore()
  const { outbox, output } = await rig(store)
  const names = ['a', 'b'].map((name) => reading({ name }))
  outbox.committed(await fill(store, 1, [entry({ batch: batchOf(names) })]))
  await eventually('both', () => outbox.status().published === 2)
  output.auto = false
  outbox.forgetAgent(AGENT)
  outbox.forgetAgent('unknown')
  output.down()
  output.auto = true
  output.up()
  t.same(
    output.sent.slice(2).map(({ topic, payload, retain }) => [topic.at(-1), payload.length, retain]),
    [
      ['a', 0, true],
      ['b', 0, true],
      ['a', 0, true],
      ['b', 0, true],
    ],
  )
  await outbox.stop()
  t.same([...store.range('retained')], [])
})

void t.test('at most 1,000 names of an agent are retained; the rest is published all the same', async (t) => {
  const store = bridgeStore()
  const { outbox, output, reporter } = await rig(store)
  const entries = count(1_001).map((index) =>
    entry({ number: index, batch: batchOf([reading({ name: `n${index}` })]) }),
  )
  outbox.committed(await fill(store, 1, entries))
  await eventually('all', () => outbox.status().published === 1_001)
  t.same([output.sent[999]!.retain, output.sent[1_000]!.retain], [true, false])
  t.match(reporter.events, [{ code: 'FW_RETAINED_LIMIT', fields: { agent: AGENT, held: 1_000 } }])
  await outbox.stop()
  t.equal([...store.range('retained')].length, 1_000)
})

void t.test('stopping waits for the acknowledgements that are due, and not for ever', async (t) => {
  const store = bridgeStore()
  await fill(store, 1, numbered(3))
  const output = new FakeOutput()
  output.auto = false
  const { outbox } = await rig(store, { output })
  const stopped = outbox.stop()
  output.acknowledge(3)
  await stopped
  t.equal(outbox.status().published, 3)
  const after = await rig(store.afterPowerCut())
  t.same(after.output.sent, [])
  after.output.auto = false
  after.outbox.committed(await fill(store, 4, numbered(1)))
  await after.outbox.stop()
})
