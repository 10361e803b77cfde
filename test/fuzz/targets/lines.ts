import assert from 'node:assert/strict'
import { checkReading } from '@fieldwhisper/protocol'
import { csvFormat } from '../../../agent/dist/sources/lines/csv.js'
import { jsonFormat } from '../../../agent/dist/sources/lines/json.js'
import { numberFormat } from '../../../agent/dist/sources/lines/number.js'
import { pairsFormat } from '../../../agent/dist/sources/lines/pairs.js'
import { LineReader } from '../../../agent/dist/sources/lines/reader.js'
import type { Target } from '../engine/target.js'
import { utf8 } from '../support.js'

const MAX_LINE_BYTES = 256
const MAX_VALUES_PER_LINE = 64
const FAULTS = ['too long', 'not text', 'not understood', 'too many values', 'too many names']

/** First byte: how the line is read; the rest: what the device sent. */
export const serialLines: Target = {
  name: 'serial-lines',
  contract:
    'Never throws; values that a reading takes, at most 64 a line, or the name of a fault; no line above its limit.',
  maxBytes: 1_024,
  text: true,
  testInputs: 6_000,
  seeds: () =>
    [
      '021.5\r\n',
      '1t=21.5 p:1013;ok=true\n',
      '2a,b\n1,"x""y"\n',
      '3{"motor":{"rpm":3},"a":[1,true,"x"]}\n',
      '4t=21,5 p="a b"\n',
    ].map(utf8),
  dictionary: [
    '"',
    '""',
    '=',
    ':',
    ',',
    ';',
    '\t',
    '\r\n',
    '\n',
    'nan',
    'true',
    '1e999',
    '__proto__',
    '{"',
    '":',
    '[',
    '\u0000',
    '\ufeff',
    '\ud83d\ude00',
  ].map(utf8),
  run(input) {
    const formats = [
      numberFormat({ reading: 'x', decimalComma: false }),
      pairsFormat({ decimalComma: false }),
      csvFormat({ separator: ',', decimalComma: false }),
      jsonFormat(),
      pairsFormat({ decimalComma: true }),
      csvFormat({ separator: ';', decimalComma: true }),
    ]
    const format = formats[(input[0] ?? 0) % formats.length]!
    const reader = new LineReader({ maxBytes: MAX_LINE_BYTES, lineEnd: '\n' })
    const lines: string[] = []
    reader.on('data', (line: string) => lines.push(line))
    reader.write(Buffer.from(input.subarray(1)))
    for (let line = reader.read() as string | null; line !== null; line = reader.read() as string | null)
      lines.push(line)
    reader.destroy()
    for (const line of [...lines, Buffer.from(input.subarray(1)).toString()]) {
      const found = format.parse(line)
      if (typeof found === 'string') {
        assert.ok(FAULTS.includes(found))
        continue
      }
      assert.ok(found.length <= MAX_VALUES_PER_LINE)
      const common = { monoMs: 0, wallMs: 0, clock: 'unset', quality: 'good' } as const
      for (const [name, value] of found) checkReading({ name, value, ...common })
    }
  },
}
