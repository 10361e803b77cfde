import { encodeBatch, type Reading } from '@fieldwhisper/protocol'
import { writeBatch } from '../reference/batch.js'
import { chapter } from '../support/chapter.js'
import { fixed } from '../support/inputs.js'
import * as world from '../support/world.js'

interface Input {
  readonly bootId: Uint8Array
  readonly readings: readonly Reading[]
}

const bootId = fixed('boot', 8)
const at = (ms: number, clock: Reading['clock'] = 'synchronised', drift = 0) =>
  ({ quality: 'good', monoMs: ms, wallMs: 1_760_000_000_000 + ms + drift, clock }) as const

export const batchChapter = chapter<Input>({
  name: 'batches',
  sections: '1.3, 7',
  cases: [
    { title: 'no reading', input: { bootId, readings: [] } },
    { title: 'two readings', input: { bootId, readings: world.readings } },
    {
      title: 'numbers at the borders of their forms',
      input: {
        bootId,
        readings: [
          0,
          23,
          24,
          255,
          256,
          65_535,
          65_536,
          2 ** 32 - 1,
          2 ** 32,
          -1,
          -24,
          -25,
          -256,
          -257,
          -65_536,
          -65_537,
          -(2 ** 31),
          -(2 ** 32),
          -(2 ** 32) - 1,
          0.1,
          -1e-320,
          1.7976931348623157e308,
        ].map((value, i) => ({ name: 'n', value, ...at(i) })),
      },
    },
    {
      title: 'text, booleans and bytes, and units',
      input: {
        bootId,
        readings: [
          { name: 'zustand', value: 'läuft ⚙', ...at(0) },
          { name: 'zustand', value: '\uFEFF' + 'x'.repeat(100), ...at(1) },
          { name: 'offen', value: false, ...at(2) },
          { name: 'raw', value: fixed('raw value', 300), ...at(3) },
          { name: 't', unit: 'Cel', value: 1, ...at(4) },
          { name: 't', unit: 'K', value: 2, ...at(5) },
          { name: 't', value: '', ...at(6), quality: 'bad' },
        ],
      },
    },
    {
      title: 'a clock that jumps, and one that only rounds',
      input: {
        bootId,
        readings: [
          { name: 'a', value: 1, ...at(10, 'unset', -1_760_000_000_000) },
          { name: 'a', value: 2, ...at(20, 'unknown') },
          { name: 'a', value: 3, ...at(30) },
          { name: 'a', value: 4, ...at(40, 'synchronised', 1) },
          { name: 'a', value: 5, ...at(50, 'synchronised', 2) },
          { name: 'a', value: 6, ...at(5) },
          { name: 'a', value: 7, ...at(60.6) },
        ],
      },
    },
  ],
  product: ({ bootId, readings }) => ({ batch: encodeBatch({ bootId, readings }) }),
  reference: ({ bootId, readings }) => ({ batch: writeBatch(bootId, readings) }),
})
