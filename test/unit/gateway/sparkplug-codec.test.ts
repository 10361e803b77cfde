import fc from 'fast-check'
import t from 'tap'
import { GatewayError } from '../../../gateway/src/errors.js'
import {
  decodePayload,
  encodePayload,
  type Metric,
  type MetricValue,
} from '../../../gateway/src/sparkplug/codec.js'
import {
  DATA_TYPE,
  MAX_COMMAND_BYTES,
  MAX_COMMAND_METRICS,
  MAX_METRIC_NAME_BYTES,
} from '../../../gateway/src/sparkplug/constants.js'
import { readPayload } from '../../support/protobuf-reader.js'

const hex = (text: string): Uint8Array => Buffer.from(text.replaceAll(/\s+/g, ''), 'hex')

void t.test('a payload has the bytes that the message definition says', (t) => {
  const bytes = encodePayload({
    timestamp: 300,
    seq: 5,
    metrics: [
      {
        name: 'T',
        alias: 1,
        timestamp: 299,
        datatype: DATA_TYPE.Double,
        historical: true,
        properties: [
          { key: 'Quality', type: DATA_TYPE.Int32, int: 192 },
          { key: 'engUnit', type: DATA_TYPE.String, text: 'Cel' },
        ],
        value: { kind: 'double', value: 1.5 },
      },
      { alias: 2, value: { kind: 'null' } },
    ],
  })
  t.same(
    Buffer.from(bytes).toString('hex'),
    Buffer.from(
      hex(`
        08 ac02
        12 39
          0a 01 54
          10 01
          18 ab02
          20 0a
          28 01
          4a 22
            0a 07 5175616c697479
            0a 07 656e67556e6974
            12 05 08 03 18 c001
            12 07 08 0c 42 03 43656c
          69 000000000000f83f
        12 04 10 02 38 01
        18 05`),
    ).toString('hex'),
  )
  t.end()
})

const text = fc.string({ unit: 'binary', maxLength: 20 }).filter((found) => found.isWellFormed())
const double = fc.double({ noNaN: true })
const valueOf = <Kind extends string, T>(
  kind: Kind,
  of: fc.Arbitrary<T>,
): fc.Arbitrary<{ kind: Kind; value: T }> => of.map((value) => ({ kind, value }))
const value: fc.Arbitrary<MetricValue> = fc.oneof(
  fc.constant({ kind: 'null' as const }),
  valueOf('int', fc.nat(0xffff_ffff)),
  valueOf('long', fc.bigInt(0n, 2n ** 64n - 1n)),
  valueOf('float', fc.float({ noNaN: true })),
  valueOf('double', double),
  valueOf('boolean', fc.boolean()),
  valueOf('string', text),
  valueOf('bytes', fc.uint8Array({ maxLength: 40 })),
)
const metric: fc.Arbitrary<Metric> = fc.record(
  {
    name: text,
    alias: fc.maxSafeNat(),
    timestamp: fc.maxSafeNat(),
    datatype: fc.nat(34),
    historical: fc.boolean(),
    value,
  },
  { requiredKeys: [], noNullPrototype: true },
)

void t.test('what is encoded is decoded to the same, by this codec and by another reader', (t) => {
  fc.assert(
    fc.property(
      fc.record(
        { timestamp: fc.maxSafeNat(), seq: fc.nat(255), metrics: fc.array(metric, { maxLength: 8 }) },
        { noNullPrototype: true },
      ),
      (payload) => {
        const bytes = encodePayload(payload)
        t.strictSame(decodePayload(bytes), payload)
        const other = readPayload(bytes)
        t.equal(other.seq, payload.seq)
        t.strictSame(
          other.metrics.map(({ name, alias, timestamp, datatype, isNull = false, value }) => ({
            name,
            alias,
            timestamp,
            datatype,
            isNull,
            value,
          })),
          payload.metrics.map(({ name, alias, timestamp, datatype, value }) => ({
            name,
            alias,
            timestamp,
            datatype,
            isNull: value?.kind === 'null',
            value: value && 'value' in value ? value.value : undefined,
          })),
        )
      },
    ),
    { numRuns: 200 },
  )
  t.end()
})

void t.test('fields that readings have no use for are skipped', (t) => {
  // uuid, body, an extension of eight bytes; in the metric is_transient, meta data, a data set and a template as value.
  const bytes = hex(`
    22 02 6162  2a 01 00  39 0102030405060708  45 01020304
    12 13  0a 01 41  30 01  42 02 1800  8a01 02 0801  9201 02 2801`)
  t.same(decodePayload(bytes), { metrics: [{ name: 'A' }] })
  t.end()
})

function refusal(bytes: Uint8Array): GatewayError | undefined {
  try {
    decodePayload(bytes)
    return undefined
  } catch (error) {
    return error instanceof GatewayError && error.code === 'FW_SPARKPLUG_PAYLOAD_INVALID' ? error : undefined
  }
}

void t.test('a command is bounded by bytes, by metrics and by the length of a name', (t) => {
  const filled = (length: number): Uint8Array => {
    const body = Buffer.alloc(length, 0)
    body[0] = 0x2a
    // Four bytes of length leave the rest for the body.
    let rest = length - 5
    for (let i = 1; i <= 4; i += 1) {
      body[i] = (rest & 0x7f) | (i < 4 ? 0x80 : 0)
      rest >>>= 7
    }
    return body
  }
  t.same(decodePayload(filled(MAX_COMMAND_BYTES)), { metrics: [] })
  t.match(refusal(filled(MAX_COMMAND_BYTES + 1))?.message, `${MAX_COMMAND_BYTES}`)

  const empty = (count: number): Uint8Array => Buffer.from('1200'.repeat(count), 'hex')
  t.equal(decodePayload(empty(MAX_COMMAND_METRICS)).metrics.length, MAX_COMMAND_METRICS)
  t.match(refusal(empty(MAX_COMMAND_METRICS + 1))?.message, `${MAX_COMMAND_METRICS}`)

  const withName = (length: number): Uint8Array => encodePayload({ metrics: [{ name: 'n'.repeat(length) }] })
  t.equal(decodePayload(withName(MAX_METRIC_NAME_BYTES)).metrics[0]?.name?.length, MAX_METRIC_NAME_BYTES)
  t.match(refusal(withName(MAX_METRIC_NAME_BYTES + 1))?.message, `${MAX_METRIC_NAME_BYTES}`)
  t.end()
})

void t.test('what is no payload is refused with a code', (t) => {
  const table: [string, string][] = [
    ['a metric that is cut off', '12 05 0a'],
    ['a metric whose value is longer than the metric', '12 03 7a 05 41 41414141'],
    ['a value that is cut off', '12 04 69 000000'],
    ['a name that is no UTF-8', '12 04 0a 02 c328'],
    ['text that is no UTF-8', '12 04 7a 02 c328'],
    ['an alias beyond 2^53', '12 0a 10 ffffffffffffffff7f'],
    ['a tag without end', 'ffffffffffffffffffff'],
    ['a field without a number', '00 00'],
    ['a group', '0b 0c'],
    ['a wire type that is none', '0f'],
    ['a length beyond the end', '2a ffffffff0f'],
    ['JSON', Buffer.from('{"metrics":[]}').toString('hex')],
  ]
  for (const [what, bytes] of table) t.ok(refusal(hex(bytes)), what)
  t.ok(refusal(Buffer.alloc(MAX_COMMAND_BYTES, 0x0b)), 'groups in groups')
  t.end()
})

void t.test('no bytes do anything but decode or be refused', (t) => {
  const hostile = fc.oneof(
    fc.uint8Array({ maxLength: 200 }),
    fc.tuple(fc.array(metric, { maxLength: 3 }), fc.nat(), fc.nat(255)).map(([metrics, at, byte]) => {
      const bytes = Uint8Array.from(encodePayload({ metrics, seq: 1 }))
      bytes[at % bytes.length] = byte
      return bytes
    }),
  )
  fc.assert(
    fc.property(hostile, (bytes) => {
      try {
        return decodePayload(bytes).metrics.length <= MAX_COMMAND_METRICS
      } catch (error) {
        return error instanceof GatewayError && error.code === 'FW_SPARKPLUG_PAYLOAD_INVALID'
      }
    }),
    { numRuns: 1_000 },
  )
  t.end()
})
