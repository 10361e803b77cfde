import assert from 'node:assert/strict'
import { checkReading, decodeBatch, encodeBatch, ProtocolError } from '@fieldwhisper/protocol'
import { bounded, sameValue, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { golden } from '../support.js'

const MAX_BATCH_BYTES = 12_288

export const batch: Target = {
  name: 'batch',
  contract:
    'Readings that pass checkReading and encode and decode to themselves (wall time to 2 ms), or ProtocolError.',
  maxBytes: MAX_BATCH_BYTES,
  testInputs: 5_000,
  seeds: () => golden('batches', 'batch'),
  run(input) {
    const value = valueOrRefusal([ProtocolError], () => decodeBatch(input))
    if (value === undefined) return
    // A reading of four bytes names a name of 128 that stands once.
    bounded(value, input.length, 128)
    for (const reading of value.readings) checkReading(reading)
    const encoded = valueOrRefusal([ProtocolError], () => encodeBatch(value))
    // Wider numbers than needed may have made the input smaller than a batch that we write.
    if (encoded === undefined) return
    const again = decodeBatch(encoded)
    assert.equal(again.readings.length, value.readings.length)
    value.readings.forEach((reading, index) => {
      const { wallMs, ...rest } = again.readings[index]!
      const { wallMs: expected, ...same } = reading
      assert.ok(Math.abs(wallMs - expected) <= 2, 'wall time is kept to 2 ms')
      sameValue(rest, same)
    })
  },
}
