/** Section 7 of docs/protocol.md. */
import { must, type Bytes } from './bytes.js'
import { read, write, type Value } from './cbor.js'

export interface Reading {
  readonly name: string
  readonly unit?: string
  readonly value: number | string | boolean | Bytes
  readonly quality: string
  readonly monoMs: number
  readonly wallMs: number
  readonly clock: string
}

const QUALITIES = ['good', 'uncertain', 'bad']
const CLOCKS = ['unset', 'unknown', 'synchronised']

/**
 * A sender has some freedom: which series comes first, when it adds a clock entry, what base is. This one does as the product
 * does: series by first appearance, base is the first reading's time, and a clock entry where it must.
 */
export function writeBatch(bootId: Bytes, readings: readonly Reading[]): Bytes {
  const series: [string, string][] = []
  const clocks: [number, number, number][] = []
  const base = Math.round(readings[0]?.monoMs ?? 0)
  const rows: Value[] = []
  readings.forEach((reading, row) => {
    const unit = reading.unit ?? ''
    let index = series.findIndex(([name, other]) => name === reading.name && other === unit)
    if (index < 0) index = series.push([reading.name, unit]) - 1
    const time = Math.round(reading.monoMs)
    const offset = Math.round(reading.wallMs) - time
    const quality = CLOCKS.indexOf(reading.clock)
    const last = clocks.at(-1)
    if (!last || last[2] !== quality || Math.abs(last[1] - offset) > 1) clocks.push([row, offset, quality])
    rows.push(index, time - base, reading.value, QUALITIES.indexOf(reading.quality))
  })
  return write([1, bootId, series, clocks, base, rows])
}

type Five = readonly [
  number,
  Bytes,
  readonly (readonly [string, string])[],
  readonly (readonly [number, number, number])[],
  number,
  readonly Value[],
]

export function readBatch(bytes: Bytes): { bootId: Bytes; readings: Reading[] } {
  const [encoding, bootId, series, clocks, base, rows] = read(bytes) as unknown as Five
  must(encoding === 1, 'encoding')
  const readings: Reading[] = []
  for (let at = 0; at < rows.length; at += 4) {
    const [name, unit] = series[rows[at] as number]!
    const [, offset, clock] = clocks.findLast(([first]) => first <= at / 4)!
    const monoMs = base + (rows[at + 1] as number)
    readings.push({
      name,
      ...(unit && { unit }),
      value: rows[at + 2] as Reading['value'],
      quality: QUALITIES[rows[at + 3] as number]!,
      monoMs,
      wallMs: monoMs + offset,
      clock: CLOCKS[clock]!,
    })
  }
  return { bootId, readings }
}
