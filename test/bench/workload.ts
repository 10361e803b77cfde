/** The readings that both sides carry: the same four series, made by the same code. */
import { seededUniform, waveformValue, type Series } from '../../agent/src/sources/waveform.js'

export const SERIES: readonly Series[] = [
  { name: 'temperature', unit: 'Cel', waveform: 'sine', min: 18, max: 26, periodMs: 60_000 },
  { name: 'pressure', unit: 'Pa', waveform: 'triangle', min: 99_000, max: 103_000, periodMs: 45_000 },
  { name: 'vibration', unit: 'm/s2', waveform: 'noise', min: 0, max: 4, periodMs: 60_000 },
  { name: 'counter', waveform: 'counter', min: 0, max: 0, periodMs: 60_000 },
]

/** `readings:` of a simulated source of an agent, for the same series. */
export const SIMULATED = SERIES.map(({ name, unit, waveform, min, max, periodMs }) => ({
  name,
  ...(unit !== undefined && { unit }),
  waveform,
  min,
  max,
  period: `${periodMs}ms`,
}))

/** The fixed rate, all series together. */
export const RATE_PER_S = 1_000
/** How often a source hands over what is due: that of the agent's simulated source. */
export const TICK_MS = 10
/** What the agent waits at the fixed rate until it closes a batch. */
export const BATCH_INTERVAL_MS = 20
/** Readings in a batch of the agent at saturation, and in a message of the peer that collects. */
export const BATCH_READINGS = 100

/** One reading of the peer, as a plain MQTT publisher would write it. */
export interface PlainReading {
  readonly name: string
  readonly value: number
  readonly unit?: string
  /** RFC 3339 with milliseconds. */
  readonly time: string
}

/** Readings in turn through the series, `ratePerS` of them a second of their own time. */
export function plainReadings(ratePerS: number): (index: number, wallMs: number) => PlainReading {
  const uniform = seededUniform(1)
  return (index, wallMs) => {
    const series = SERIES[index % SERIES.length]!
    const value = waveformValue(
      series,
      Math.floor(index / SERIES.length),
      (index * 1_000) / ratePerS,
      uniform,
    )
    const { name, unit } = series
    return { name, value, ...(unit !== undefined && { unit }), time: new Date(wallMs).toISOString() }
  }
}
