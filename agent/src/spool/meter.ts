import { type Reading, type ReadingValue } from '@fieldwhisper/protocol'

const HEAD_BYTES = 48
const SERIES_BYTES = 8
const CLOCK_BYTES = 20
/** Series index, time and quality of a row. */
const ROW_BYTES = 9
const ROW_BYTES_FAR = 13
const FAR_MS = 2 ** 31

/** An upper bound of what a batch takes when it is encoded, reading by reading. */
export class BatchMeter {
  readonly #series = new Set<string>()
  #clock: { readonly offset: number; readonly quality: string } | undefined
  #baseMs: number | undefined
  #bytes = HEAD_BYTES

  get bytes(): number {
    return this.#bytes
  }

  /** What the batch would take with this reading in it. */
  with(reading: Reading): number {
    return this.#bytes + this.#cost(reading)
  }

  add(reading: Reading): void {
    this.#bytes += this.#cost(reading)
    this.#baseMs ??= reading.monoMs
    this.#series.add(seriesKey(reading))
    this.#clock = clockOf(reading)
  }

  copy(): BatchMeter {
    const copy = new BatchMeter()
    for (const key of this.#series) copy.#series.add(key)
    copy.#clock = this.#clock
    copy.#baseMs = this.#baseMs
    copy.#bytes = this.#bytes
    return copy
  }

  #cost(reading: Reading): number {
    const far = Math.abs(reading.monoMs - (this.#baseMs ?? reading.monoMs)) >= FAR_MS
    const key = seriesKey(reading)
    const series = this.#series.has(key) ? 0 : SERIES_BYTES + Buffer.byteLength(key)
    const clock = clockOf(reading)
    const sameClock = clock.offset === this.#clock?.offset && clock.quality === this.#clock.quality
    return (
      (far ? ROW_BYTES_FAR : ROW_BYTES) + valueBytes(reading.value) + series + (sameClock ? 0 : CLOCK_BYTES)
    )
  }
}

function seriesKey({ name, unit }: Reading): string {
  return `${name}\0${unit ?? ''}`
}

function clockOf({ wallMs, monoMs, clock }: Reading): { offset: number; quality: string } {
  return { offset: Math.round(wallMs) - Math.round(monoMs), quality: clock }
}

function valueBytes(value: ReadingValue): number {
  if (typeof value === 'string') return 5 + Buffer.byteLength(value)
  if (value instanceof Uint8Array) return 5 + value.length
  return 9
}
