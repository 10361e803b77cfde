import { HostError } from '@fieldwhisper/host'
import { frameRecord, openRecord } from '../../../host/dist/record.js'
import { COUNTERS_KEY, decodeCounters, encodeCounters } from '../../../host/dist/store-counters.js'
import { sameBytes, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'

const KEY = Buffer.from('a key')

export const hostRecord: Target = {
  name: 'store-record',
  contract: 'Undefined, or a value whose frame is the input; the sum of another key never opens it.',
  maxBytes: 1_024,
  testInputs: 10_000,
  seeds: () => [
    new Uint8Array(frameRecord(KEY, Buffer.from('a value'))),
    new Uint8Array(frameRecord(KEY, new Uint8Array(0))),
    new Uint8Array(encodeCounters({ usedBytes: 5, quarantined: 1, quarantineBytes: 7 })),
  ],
  run(input) {
    for (const key of [KEY, COUNTERS_KEY]) {
      const value = openRecord(key, input)
      if (value) sameBytes(frameRecord(key, value), input, 'the frame')
    }
    valueOrRefusal([HostError], () => decodeCounters(Buffer.from(input), 'store'))
    // With a proper sum, so that what is below it is reached too.
    const framed = frameRecord(COUNTERS_KEY, input)
    valueOrRefusal([HostError], () => decodeCounters(framed, 'store'))
  },
}
