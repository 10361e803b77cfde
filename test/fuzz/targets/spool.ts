import assert from 'node:assert/strict'
import type { Reading } from '@fieldwhisper/protocol'
import {
  concat,
  decodeUp,
  encodeBatch,
  encodeMessages,
  encodeCbor,
  ProtocolError,
  u32,
} from '@fieldwhisper/protocol'
import { Spool } from '../../../agent/dist/spool/index.js'
import * as records from '../../../agent/dist/spool/records.js'
import { valueOrRefusal, sameValue } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { storeOf } from '../support.js'

const { META, TABLE } = records
const stream = concat(u32(3), new Uint8Array(8).fill(1))
const reading: Reading = {
  name: 'x',
  value: 1,
  quality: 'good',
  monoMs: 5,
  wallMs: 1_760_000_000_000,
  clock: 'unknown',
}
const chunk = encodeBatch({ bootId: new Uint8Array(8), readings: [reading, reading] })

/** What a spool with one closed batch and one chunk behind it has on disk; the input takes the place of one value. */
const RECORDS = [
  { table: TABLE.streams, key: stream, value: encodeCbor([1, 2, false, null, [0, [[4, 6]], 3]]) },
  { table: TABLE.batches, key: records.itemKey(stream, 0), value: encodeCbor([0, 0, 2, 60, 1_000]) },
  { table: TABLE.chunks, key: records.itemKey(stream, 0), value: chunk },
  { table: TABLE.chunks, key: records.itemKey(stream, 1), value: chunk },
  { table: TABLE.meta, key: META.mark, value: encodeCbor(['a spool', 3, 0]) },
  { table: TABLE.meta, key: META.counters, value: encodeCbor([10, 2, 1]) },
]

export const spoolRecords: Target = {
  name: 'spool-records',
  contract:
    'Each record of a spool reads, and encodes and decodes to itself, or is refused with ProtocolError.',
  maxBytes: 4_096,
  testInputs: 6_000,
  seeds: () => RECORDS.map(({ value }) => value),
  run(input) {
    const decodeStream = (value: Uint8Array): records.StreamRecord => records.decodeStream(stream, value)
    const codecs: readonly [(value: Uint8Array) => unknown, (value: never) => Uint8Array][] = [
      [decodeStream, records.encodeStream],
      [records.decodeBatchRecord, records.encodeBatchRecord],
      [records.decodeCounters, records.encodeCounters],
      [records.decodeMark, records.encodeMark],
    ]
    for (const [decode, encode] of codecs) {
      const value = valueOrRefusal([ProtocolError], () => decode(input))
      if (value !== undefined) sameValue(decode(encode(value as never)), value)
    }
  },
}

/** First byte: which record is the odd one. */
export const spoolStart: Target = {
  name: 'spool-start',
  contract:
    'A spool opens on it, or refuses with ProtocolError; open, it holds, closes, tells and drops what it has.',
  maxBytes: 1_024,
  maxMs: 200,
  testInputs: 1_500,
  seeds: () => RECORDS.map(({ value }, index) => concat(Uint8Array.of(index), value)),
  async run(input) {
    const which = (input[0] ?? 0) % RECORDS.length
    const store = storeOf(
      RECORDS.map((record, index) => (index === which ? { ...record, value: input.subarray(1) } : record)),
    )
    const tasks: (() => void)[] = []
    let spool: Spool
    try {
      spool = await Spool.open({
        store,
        mark: { load: () => undefined, save: () => undefined },
        clock: { monoMs: () => 1_000, bootId: new Uint8Array(8) },
        runningMs: () => 5_000,
        timers: { after: (_ms, task) => (tasks.push(task), () => undefined) },
        random: (n) => new Uint8Array(n).fill(2),
        reporter: { event: () => undefined },
        limits: { maxBytes: 2 ** 30, maxAgeMs: 1e9, minFreeBytes: 0, alwaysBytes: 0, onFull: 'drop_oldest' },
        batch: { intervalMs: 1_000, maxReadings: 1_000 },
      })
    } catch (error) {
      if (error instanceof ProtocolError) return
      throw error
    }
    const appended = spool.append(reading)
    for (const task of tasks.splice(0)) task()
    await appended
    for (const batch of spool.behind()) {
      assert.ok(Number.isSafeInteger(batch.number))
      valueOrRefusal([ProtocolError], () => spool.encoded(batch))
    }
    for (const gap of spool.gaps(64)) assert.equal(decodeUp(encodeMessages([gap])).length, 1)
    spool.ack([{ stream, through: 9, ranges: [] }], 0)
  },
}
