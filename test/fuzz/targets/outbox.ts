import { decodeBatch, encodeCbor, ProtocolError } from '@fieldwhisper/protocol'
import {
  decodeItem,
  outboxEventWrite,
  outboxWrite,
  sequenceKey,
} from '../../../gateway/dist/bridge/outbox-entry.js'
import { openSource } from '../../../gateway/dist/bridge/outbox-source.js'
import { RetainedValues } from '../../../gateway/dist/bridge/retained.js'
import { RETAINED_TABLE } from '../../../gateway/dist/bridge/outbox-entry.js'
import { Expiry } from '../../../gateway/dist/bridge/expiry.js'
import { readingFormat } from '../../../gateway/dist/bridge/payload-format.js'
import { createTopics } from '../../../gateway/dist/bridge/topics.js'
import { PacketMeter } from '../../../gateway/dist/bridge/broker-socket.js'
import { GatewayError } from '../../../gateway/dist/errors.js'
import assert from 'node:assert/strict'
import { bounded, sameValue, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { golden, storeOf } from '../support.js'

const silent = { event: () => undefined }
const context = {
  topics: createTopics('works'),
  format: readingFormat('json'),
  expiry: new Expiry([]),
  withProperties: false,
  wallMs: () => 0,
  expired: () => undefined,
}

function samples(): Uint8Array[] {
  const [batch, other] = [...golden('batches', 'batch')].reverse()
  const entry = {
    agent: 'ab'.repeat(32),
    name: 'pump-7',
    path: 'lan',
    stream: new Uint8Array(12).fill(1),
    number: 3,
    historical: false,
    receivedWallMs: 1_760_000_000_000,
    batch: batch!,
  } as const
  return [
    outboxWrite(1, entry),
    outboxWrite(2, { ...entry, path: 'relay', clockOffsetMs: 1_759_999_000_000.5, batch: other! }),
    outboxEventWrite(3, {
      level: 'warn',
      code: 'FW_READINGS_LOST',
      message: 'some were lost',
      wallMs: 1_760_000_000_000,
      agent: 'pump-7',
      fields: { lost: 3, cause: 'full', known: true },
    }),
  ].map(({ value }) => new Uint8Array(value!))
}

export const outboxItem: Target = {
  name: 'outbox-item',
  contract:
    'An item that encodes and decodes to itself and whose messages can be made, each a topic of this site and JSON, or GatewayError or ProtocolError.',
  maxBytes: 16_384,
  testInputs: 3_000,
  seeds: samples,
  run(input) {
    const item = valueOrRefusal([GatewayError], () => decodeItem(input))
    if (item === undefined) return
    const again = item.kind === 'event' ? outboxEventWrite(1, item.event) : outboxWrite(1, item.entry)
    sameValue(decodeItem(again.value!), item)
    const retained = new RetainedValues(silent)
    const source = valueOrRefusal([GatewayError, ProtocolError], () =>
      openSource(
        { key: sequenceKey(1), value: input },
        { ...context, retained, decode: (batch) => decodeBatch(batch).readings },
      ),
    )
    if (source === undefined) return
    for (let index = 0; index < source.count; index++) {
      for (const { topic, payload } of source.messages(index)) {
        assert.ok(topic.startsWith('fieldwhisper/works/'))
        assert.doesNotMatch(topic, /[+#\0]/)
        bounded(payload, input.length, 8, 65_536)
        if (payload.length > 0) assert.equal(typeof JSON.parse(Buffer.from(payload).toString()), 'object')
      }
    }
  },
}

export const retainedValues: Target = {
  name: 'retained-value',
  contract: 'A start takes the value over or leaves it out; nothing is thrown.',
  maxBytes: 2_048,
  testInputs: 6_000,
  seeds: () => [
    encodeCbor([1, 'fieldwhisper/works/a/b', new Uint8Array(12), 3, 1, 1_760_000_000_000, Buffer.from('{}')]),
    encodeCbor([1, 'fieldwhisper/a/b', new Uint8Array(12), 3, 1, 1_760_000_000_000, Buffer.from('{}'), 77]),
  ],
  run(input) {
    const values = new RetainedValues(silent)
    let restored = 0
    values.load(
      storeOf([{ table: RETAINED_TABLE, key: Buffer.from('ab/c'), value: input }]),
      () => restored++,
    )
    assert.ok(restored <= 1)
    const order = { stream: '00'.repeat(12), number: 1, index: 0, timeMs: 0, sequence: 1 }
    values.decide('ab', 'c', 'fieldwhisper/works/a/b', order, new Uint8Array(1))
  },
}

/** What the embedded broker counts of a client before its parser sees anything. */
export const brokerMeter: Target = {
  name: 'mqtt-lengths',
  contract: 'The same verdict however the bytes are cut, and none that lets a packet above the limit pass.',
  maxBytes: 2_048,
  testInputs: 6_000,
  seeds: () => [Uint8Array.of(0x10, 4, 1, 2, 3, 4, 0xc0, 0), Uint8Array.of(0x30, 0xff, 0xff, 0xff, 0x7f)],
  run(input) {
    const limit = 300
    const verdict = (piece: number): boolean => {
      const meter = new PacketMeter(limit)
      for (let at = 0; at < input.length; at += piece)
        if (!meter.take(input.subarray(at, at + piece))) return false
      return true
    }
    const whole = verdict(Math.max(1, input.length))
    for (const piece of [1, 7]) assert.equal(verdict(piece), whole)
    assert.equal(whole, lengthsAreWithin(input, limit))
  },
}

/** MQTT 3.1.1, section 2.2.3, written down again. */
function lengthsAreWithin(input: Uint8Array, limit: number): boolean {
  for (let at = 0; at < input.length;) {
    let length = 0
    let used = 0
    for (;;) {
      const byte = input[at + 1 + used]
      if (byte === undefined) return length <= limit
      if (++used > 4) return false
      length += (byte & 127) * 128 ** (used - 1)
      if (length > limit) return false
      if (byte < 128) break
    }
    at += 1 + used + length
  }
  return true
}
