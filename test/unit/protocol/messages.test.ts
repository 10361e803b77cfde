import {
  decodeDown,
  decodeUp,
  encodeCbor,
  encodeMessages,
  MAX_COMMAND_BYTES,
  MAX_BATCH_BYTES,
  RECORD_BYTES,
  type CborValue,
  type DownMessage,
  type Message,
  type UpMessage,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { bytes, refusal } from './support.js'

const u32 = fc.nat(0xffff_ffff)
const MAX_TIME = 253_402_300_799_000
const time = fc
  .oneof(fc.nat(MAX_TIME), fc.double({ min: 0, max: 1e12, noNaN: true }))
  .map((value) => value + 0)
const wall = fc.integer({ min: -62_135_596_800_000, max: MAX_TIME })
const ranges = fc.uniqueArray(fc.nat(100_000), { maxLength: 80 }).map((numbers) => {
  const sorted = numbers.sort((a, b) => a - b)
  return Array.from({ length: Math.floor(sorted.length / 2) }, (_, i) => ({
    from: sorted[2 * i]!,
    to: sorted[2 * i + 1]!,
  })).slice(0, 64)
})
const optional = <K extends string, T>(key: K, value: fc.Arbitrary<T>) =>
  fc
    .option(value, { nil: undefined })
    .map((got) => (got === undefined ? {} : { [key]: got })) as fc.Arbitrary<Partial<Record<K, T>>>
const merged = <A extends object>(base: fc.Arbitrary<A>, ...more: fc.Arbitrary<object>[]) =>
  fc.tuple(base, ...more).map((parts) => Object.assign({}, ...parts) as A)

const data = merged(
  fc.record({
    kind: fc.constant('data' as const),
    streams: fc.array(
      fc
        .record({ stream: bytes(12), floor: u32, end: u32, closed: fc.boolean() })
        .map((state) => ({ ...state, floor: Math.min(state.floor, state.end) })),
      { maxLength: 33 },
    ),
    ready: fc.boolean(),
    downThrough: u32,
    stampMs: time,
  }),
  optional(
    'batch',
    fc.record({
      stream: bytes(12),
      number: u32,
      historical: fc.boolean(),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 400 }),
    }),
  ),
  optional('oldestSession', bytes(8)),
  optional('clock', fc.record({ bootId: bytes(8), offsetMs: wall, errorMs: time })),
) as fc.Arbitrary<UpMessage>

const gap = merged(
  fc.record({
    kind: fc.constant('gap' as const),
    cause: fc.constantFrom('full' as const, 'age' as const, 'lost' as const, 'corrupt' as const),
    what: fc.oneof(fc.record({ stream: bytes(12), ranges }), fc.record({ startsBefore: u32 })),
  }),
  optional('readings', u32),
) as fc.Arbitrary<UpMessage>

const fields = fc
  .uniqueArray(
    fc.tuple(
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }),
      fc.oneof(
        u32,
        fc.integer(),
        fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
        fc.string({ unit: 'grapheme', maxLength: 12 }),
        fc.boolean(),
        fc.constant(null),
      ),
    ),
    { maxLength: 12, selector: ([name]) => name },
  )
  .map((all) => all.map(([name, value]): [string, typeof value] => [name, value]))

const reply: fc.Arbitrary<UpMessage> = fc.record({
  kind: fc.constant('reply' as const),
  id: u32,
  status: fc.constantFrom('done', 'refused', 'failed', 'expired', 'unknown'),
  code: fc.constantFrom('', 'FW_COMMAND_DONE'),
  text: fc.string({ unit: 'grapheme', maxLength: 12 }),
  result: fields,
})

const relays = fc.array(
  merged(
    fc.record({ url: fc.constantFrom('ws://10.0.0.2:24780', 'wss://relay.example') }),
    optional('token', fc.constant('token')),
    optional('fingerprint', fc.constant('0f'.repeat(32))),
  ),
  { maxLength: 8 },
)
const doorbell = fc.record({ epoch: u32, secret: bytes(32) })
const certificate = fc.uint8Array({ minLength: 1, maxLength: 167 })

const ack = merged(
  fc.record({
    kind: fc.constant('ack' as const),
    streams: fc.array(
      fc
        .record({ stream: bytes(12), ranges: ranges.map((all) => all.slice(0, 6)) })
        .map(({ stream, ranges }) => ({
          stream,
          through: Math.max(0, (ranges[0]?.from ?? 8) - 1),
          ranges: ranges.filter(({ from }) => from > 0),
        })),
      { maxLength: 66 },
    ),
    startsBefore: u32,
    givenUpBelow: u32,
  }),
  optional('echo', fc.record({ stampMs: time, delayMs: time })),
  optional('wallMs', wall),
  optional(
    'hold',
    fc.constantFrom('outbox-full' as const, 'disk' as const, 'confirm' as const, 'clone' as const),
  ),
  optional('replyThrough', u32),
) as fc.Arbitrary<DownMessage>

const down: fc.Arbitrary<DownMessage> = fc.oneof(
  ack,
  fc.record({
    kind: fc.constant('welcome' as const),
    k: bytes(32),
    certificate,
    doorbell,
    relays,
    directorySlot: bytes(16),
    siteRevision: u32,
  }),
  fc.record({
    kind: fc.constant('prekey' as const),
    oneTime: bytes(RECORD_BYTES),
    newest: bytes(RECORD_BYTES),
  }),
  fc.record({
    kind: fc.constant('refused' as const),
    code: fc.constantFrom(
      'invite-expired' as const,
      'invite-used' as const,
      'revoked' as const,
      'name-taken' as const,
    ),
  }),
  merged(
    fc.record({ kind: fc.constant('notice' as const), id: u32, siteRevision: u32, doorbell, relays }),
    optional('certificate', certificate),
  ) as fc.Arbitrary<DownMessage>,
  fc.record({
    kind: fc.constant('command' as const),
    id: u32,
    stampMs: time,
    ttlMs: fc.nat(600_000),
    name: fc.constantFrom('ping', 'n'.repeat(64)),
    args: fields,
  }),
)

const up = fc.oneof(data, gap, reply)
const fits = (messages: readonly Message[]) => {
  try {
    return encodeMessages(messages).length <= 16_384
  } catch {
    return false
  }
}

void t.test('every message an agent can say comes back as it was said', (t) => {
  fc.assert(
    fc.property(fc.array(up, { maxLength: 4 }).filter(fits), (messages) => {
      if (JSON.stringify(decodeUp(encodeMessages(messages))) !== JSON.stringify(normal(messages))) {
        throw new Error('another message')
      }
    }),
  )
  t.end()
})

void t.test('every message a gateway can say comes back as it was said', (t) => {
  fc.assert(
    fc.property(fc.array(down, { maxLength: 4 }).filter(fits), (messages) => {
      if (JSON.stringify(decodeDown(encodeMessages(messages))) !== JSON.stringify(normal(messages))) {
        throw new Error('another message')
      }
    }),
  )
  t.end()
})

void t.test('a content cut off at any byte gives whole messages or none', (t) => {
  fc.assert(
    fc.property(fc.array(fc.oneof(up, down), { minLength: 1, maxLength: 2 }).filter(fits), (messages) => {
      const content = encodeMessages(messages)
      const first = encodeMessages(messages.slice(0, 1)).length
      for (let length = 0; length < content.length; length += 1 + Math.floor(content.length / 300)) {
        for (const decode of [decodeUp, decodeDown]) {
          const got = attempt(() => decode(content.subarray(0, length)))
          if (length !== 0 && length !== first && got !== 'FW_MALFORMED')
            throw new Error(`${length}: ${String(got)}`)
        }
      }
    }),
    { numRuns: 40 },
  )
  t.end()
})

void t.test('any altered byte is read or refused, and nothing else happens', (t) => {
  fc.assert(
    fc.property(fc.oneof(up, down), fc.nat(), fc.nat(255), (message, at, byte) => {
      fc.pre(fits([message]))
      const content = new Uint8Array(encodeMessages([message]))
      content[at % content.length] = byte
      attempt(() => decodeUp(content))
      attempt(() => decodeDown(content))
    }),
    { numRuns: 2_000 },
  )
  t.end()
})

void t.test('kinds that are unknown or of the other side are skipped', (t) => {
  const refused = encodeMessages([{ kind: 'refused', code: 'revoked' }])
  const gap = encodeMessages([{ kind: 'gap', cause: 'lost', what: { startsBefore: 1 } }])
  const stray = (...kinds: number[]) => kinds.map((kind) => Uint8Array.of(kind, 0, 2, 0xff, 0xff))
  const both = [refused, gap, ...stray(0, 4, 15, 22, 255)]
  t.same(decodeUp(Buffer.concat([...stray(21), ...both])), [
    { kind: 'gap', cause: 'lost', what: { startsBefore: 1 } },
  ])
  t.same(decodeDown(Buffer.concat([...stray(3), ...both])), [{ kind: 'refused', code: 'revoked' }])
  t.same(decodeUp(new Uint8Array(0)), [])
  t.end()
})

void t.test('64 messages are read and 65 are not, be they empty and unknown', (t) => {
  const many = (count: number) => Buffer.concat(Array.from({ length: count }, () => Uint8Array.of(99, 0, 0)))
  t.same(decodeUp(many(64)), [])
  t.throws(() => decodeUp(many(65)), refusal('FW_MALFORMED'))
  t.throws(() => decodeDown(many(65)), refusal('FW_MALFORMED'))
  t.end()
})

void t.test('one malformed body spoils the whole content', (t) => {
  const good = encodeMessages([{ kind: 'gap', cause: 'lost', what: { startsBefore: 1 } }])
  const bad = Uint8Array.of(1, 0, 1, 0xf6)
  t.throws(() => decodeUp(Buffer.concat([good, bad])), refusal('FW_MALFORMED'))
  t.throws(() => decodeUp(Buffer.concat([bad, good])), refusal('FW_MALFORMED'))
  t.end()
})

const KIND = {
  data: 1,
  gap: 2,
  reply: 3,
  ack: 16,
  welcome: 17,
  prekey: 18,
  refused: 19,
  notice: 20,
  command: 21,
}
const raw = (kind: keyof typeof KIND, body: CborValue) => {
  const encoded = encodeCbor(body)
  return Buffer.concat([Uint8Array.of(KIND[kind], encoded.length >> 8, encoded.length), encoded])
}
const read = (kind: keyof typeof KIND, body: CborValue) =>
  KIND[kind] < 16 ? decodeUp(raw(kind, body)) : decodeDown(raw(kind, body))

const bin = (length: number) => new Uint8Array(length)
const state = [bin(12), 1, 2, false]
const pair = (i: number) => [2 * i + 1, 2 * i + 2]
const pairs = (count: number) => Array.from({ length: count }, (_, i) => pair(i))
const relay = ['ws://x', '', '']
const bell = [1, bin(32)]

const BAD_FIELDS: CborValue[] = [
  null,
  Array.from({ length: 65 }, (_, i) => [`${i}`, null]),
  [['a']],
  [['a', 1, 2]],
  [['', 1]],
  [['a'.repeat(129), 1]],
  [['a', NaN]],
  [['a', Infinity]],
  [['a', bin(1)]],
  [['a', []]],
  [
    ['a', 1],
    ['a', 1],
  ],
]

/** A good body and, for each place in it, values just beyond what is allowed. */
const BODIES: Record<keyof typeof KIND, { good: CborValue[]; bad: Record<number, CborValue[]> }> = {
  data: {
    good: [null, [], false, null, 0, 0, null],
    bad: {
      0: [
        0,
        [bin(11), 0, false, bin(1)],
        [bin(12), -1, false, bin(1)],
        [bin(12), 0, 0, bin(1)],
        [bin(12), 0, false, bin(0)],
        [bin(12), 0, false, bin(MAX_BATCH_BYTES + 1)],
        [bin(12), 0, false],
      ],
      1: [
        null,
        Array.from({ length: 34 }, () => state),
        [[bin(13), 1, 2, false]],
        [[bin(12), 3, 2, false]],
        [[bin(12), 1, 2 ** 32, false]],
        [[bin(12), 1, 2, null]],
      ],
      2: [0, null],
      3: [bin(7), bin(9), 0],
      4: [-1, 2 ** 32, null],
      5: [-1, MAX_TIME + 1, NaN, Infinity, null, '0'],
      6: [
        [bin(7), 0, 0],
        [bin(8), NaN, 0],
        [bin(8), MAX_TIME + 1, 0],
        [bin(8), 0, -1],
        [bin(8), 0],
      ],
    },
  },
  gap: {
    good: [0, null, bin(12), []],
    bad: {
      0: [4, -1, null],
      1: [-1, 2 ** 32, false],
      2: [bin(11), bin(13), 1],
      3: [pairs(65), [[1, 1]], [[2, 1]], [pair(0), [2, 3]], [pair(1), pair(0)], [[1]], null],
    },
  },
  ack: {
    good: [[], 0, 0, null, null, null],
    bad: {
      0: [
        Array.from({ length: 67 }, () => [bin(12), 0, []]),
        [[bin(12), 0, pairs(65)]],
        [[bin(12), 1, [[1, 2]]]],
        [[bin(12), 2, [[1, 5]]]],
        [[bin(12), -1, []]],
        [[bin(12), 0]],
      ],
      1: [-1, null],
      2: [-1, 2 ** 32],
      3: [[0], [-1, 0], [0, -1], [0, MAX_TIME + 1], [NaN, 0]],
      4: [MAX_TIME + 1, -62_135_596_800_001, NaN, '0'],
      5: [4, -1, false],
    },
  },
  welcome: {
    good: [bin(32), bin(104), bell, [], bin(16), 0],
    bad: {
      0: [bin(31), bin(33)],
      1: [bin(0), bin(168)],
      2: [null, [1, bin(31)], [-1, bin(32)], [1]],
      3: [Array.from({ length: 9 }, () => relay), [['', '', '']], [['x'.repeat(257), '', '']], [['x', '']]],
      4: [bin(15), bin(17)],
      5: [-1, 2 ** 32],
    },
  },
  prekey: {
    good: [bin(RECORD_BYTES), bin(RECORD_BYTES)],
    bad: { 0: [bin(RECORD_BYTES - 1), null], 1: [bin(RECORD_BYTES + 1), null] },
  },
  refused: { good: [0], bad: { 0: [4, -1, 'revoked'] } },
  notice: {
    good: [1, 0, bell, [], null],
    bad: {
      0: [-1, 2 ** 32],
      1: [-1],
      2: [[1, bin(33)]],
      3: [[relay, null]],
      4: [bin(0), bin(168), 0],
    },
  },
  reply: {
    good: [1, 0, '', '', []],
    bad: {
      0: [-1, 2 ** 32],
      1: [5, -1, 'done'],
      2: ['c'.repeat(65), null],
      3: ['ü'.repeat(129), null],
      4: BAD_FIELDS,
    },
  },
  command: {
    good: [1, 0, 1, 'ping', []],
    bad: {
      0: [-1, 2 ** 32],
      1: [-1, MAX_TIME + 1, NaN, null],
      2: [-1, 600_001, 0.5],
      3: ['', 'n'.repeat(65), null],
      4: BAD_FIELDS,
    },
  },
}

for (const [kind, { good, bad }] of Object.entries(BODIES) as [
  keyof typeof KIND,
  (typeof BODIES)['data'],
][]) {
  void t.test(`${kind}: each field is refused one step beyond its limit`, (t) => {
    t.equal(read(kind, good).length, 1, 'as it should be')
    for (const [place, values] of Object.entries(bad)) {
      for (const value of values) {
        const body = good.map((field, i) => (i === Number(place) ? value : field))
        t.throws(() => read(kind, body), refusal('FW_MALFORMED'), `field ${place}`)
      }
    }
    t.throws(() => read(kind, good.slice(1)), refusal('FW_MALFORMED'), 'a field too few')
    t.throws(() => read(kind, [...good, null]), refusal('FW_MALFORMED'), 'a field too many')
    t.throws(() => read(kind, [...good, 0, 0]), refusal('FW_MALFORMED'), 'two fields too many')
    t.throws(() => read(kind, null), refusal('FW_MALFORMED'))
    t.end()
  })
}

void t.test('each list is read at its limit', (t) => {
  const at = (kind: keyof typeof KIND, place: number, value: CborValue) =>
    read(
      kind,
      BODIES[kind].good.map((field, i) => (i === place ? value : field)),
    ).length
  t.equal(at('data', 0, [bin(12), 0, false, bin(MAX_BATCH_BYTES)]), 1)
  t.equal(
    at(
      'data',
      1,
      Array.from({ length: 33 }, () => state),
    ),
    1,
  )
  t.equal(at('gap', 3, pairs(64)), 1)
  t.equal(at('ack', 0, [[bin(12), 0, pairs(64)]]), 1)
  t.equal(
    at(
      'ack',
      0,
      Array.from({ length: 66 }, () => [bin(12), 0, []]),
    ),
    1,
  )
  t.equal(
    at(
      'welcome',
      3,
      Array.from({ length: 8 }, () => ['x'.repeat(256), 't'.repeat(128), 'f'.repeat(64)]),
    ),
    1,
  )
  t.equal(at('notice', 4, bin(167)), 1)
  const many = Array.from({ length: 64 }, (_, i) => [`${i}`, null])
  t.equal(at('command', 4, many), 1)
  t.equal(at('reply', 4, many), 1)
  t.equal(at('command', 4, [['a'.repeat(128), 1]]), 1)
  t.equal(at('command', 2, 600_000), 1)
  t.equal(at('command', 3, 'n'.repeat(64)), 1)
  t.equal(at('reply', 2, 'c'.repeat(64)), 1)
  t.equal(at('reply', 3, 'ü'.repeat(128)), 1)
  t.end()
})

void t.test('an ACK above 8 KiB is neither made nor read', (t) => {
  const stream = (ranges: number) => [
    bin(12),
    0,
    Array.from({ length: ranges }, (_, i) => [70_000 + 2 * i, 70_001 + 2 * i]),
  ]
  const body = [Array.from({ length: 20 }, () => stream(64)), 0, 0, null, null, null]
  t.ok(encodeCbor(body).length > 8_192)
  t.throws(() => read('ack', body), refusal('FW_MALFORMED'))
  t.equal(read('ack', [Array.from({ length: 11 }, () => stream(64)), 0, 0, null, null, null]).length, 1)
  const streams = Array.from({ length: 20 }, () => ({
    stream: bin(12),
    through: 0,
    ranges: Array.from({ length: 64 }, (_, i) => ({ from: 70_000 + 2 * i, to: 70_001 + 2 * i })),
  }))
  const message: Message = { kind: 'ack', streams, startsBefore: 0, givenUpBelow: 0 }
  t.throws(() => encodeMessages([message]), refusal('FW_TOO_LARGE'))
  t.end()
})

void t.test('the bound of an earlier release: an ACK without reply through has six fields', (t) => {
  const message = { kind: 'ack', streams: [], startsBefore: 0, givenUpBelow: 0 } as const
  // Kind, length, an array of 6 or 7.
  t.equal(encodeMessages([message])[3], 0x86)
  t.equal(encodeMessages([{ ...message, replyThrough: 0 }])[3], 0x87)
  t.same(decodeDown(encodeMessages([{ ...message, replyThrough: 5 }])), [{ ...message, replyThrough: 5 }])
  t.end()
})

void t.test('COMMAND and REPLY are made and read up to 2 KiB, and not one byte above', (t) => {
  const command = (length: number): Message => ({
    kind: 'command',
    id: 1,
    stampMs: 0,
    ttlMs: 1,
    name: 'write',
    args: [['value', 'x'.repeat(length)]],
  })
  const reply = (length: number): Message => ({
    kind: 'reply',
    id: 1,
    status: 'done',
    code: '',
    text: '',
    result: [['value', 'x'.repeat(length)]],
  })
  for (const [make, kind] of [
    [command, 'command'],
    [reply, 'reply'],
  ] as const) {
    const head = encodeMessages([make(1_000)]).length - 3 - 1_000
    const most = MAX_COMMAND_BYTES - head
    const content = encodeMessages([make(most)])
    t.equal(content.length, 3 + MAX_COMMAND_BYTES)
    t.equal((kind === 'reply' ? decodeUp(content) : decodeDown(content)).length, 1)
    t.throws(() => encodeMessages([make(most + 1)]), refusal('FW_TOO_LARGE'))
    const text = 'x'.repeat(most + 1)
    const body: CborValue =
      kind === 'reply' ? [1, 0, '', '', [['value', text]]] : [1, 0, 1, 'write', [['value', text]]]
    t.equal(encodeCbor(body).length, MAX_COMMAND_BYTES + 1)
    t.throws(() => read(kind, body), refusal('FW_MALFORMED'))
  }
  t.end()
})

function attempt(call: () => unknown): unknown {
  try {
    call()
    return 'read'
  } catch (error) {
    if ((error as { code?: string }).code === 'FW_MALFORMED') return 'FW_MALFORMED'
    throw error
  }
}

/** With its fields in the order of the decoder, for comparing as text. */
function normal(messages: readonly Message[]): unknown {
  const order: Record<Message['kind'], readonly string[]> = {
    data: ['kind', 'batch', 'streams', 'ready', 'oldestSession', 'downThrough', 'stampMs', 'clock'],
    gap: ['kind', 'cause', 'readings', 'what'],
    reply: ['kind', 'id', 'status', 'code', 'text', 'result'],
    ack: ['kind', 'streams', 'startsBefore', 'givenUpBelow', 'echo', 'wallMs', 'hold', 'replyThrough'],
    welcome: ['kind', 'k', 'certificate', 'doorbell', 'relays', 'directorySlot', 'siteRevision'],
    prekey: ['kind', 'oneTime', 'newest'],
    refused: ['kind', 'code'],
    notice: ['kind', 'id', 'siteRevision', 'doorbell', 'relays', 'certificate'],
    command: ['kind', 'id', 'stampMs', 'ttlMs', 'name', 'args'],
  }
  return messages.map((message) => {
    const fields = new Map(Object.entries(message))
    return Object.fromEntries(
      order[message.kind].flatMap((key) => (fields.has(key) ? [[key, fields.get(key) as unknown]] : [])),
    )
  })
}
