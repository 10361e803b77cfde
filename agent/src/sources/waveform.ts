/** Shapes of a simulated series. `counter` counts its readings from 0, so that a lost one shows. */
export const WAVEFORMS = ['counter', 'constant', 'sine', 'triangle', 'sawtooth', 'square', 'noise'] as const
export type Waveform = (typeof WAVEFORMS)[number]

export interface Series {
  readonly name: string
  readonly unit?: string
  readonly waveform: Waveform
  /** Lowest and highest value; `constant` is `min`. Nothing to `counter`. */
  readonly min: number
  readonly max: number
  /** Of one wave. */
  readonly periodMs: number
}

/** Numbers from 0 to below 1, the same for the same seed on every machine. For shapes, never for secrets. */
export function seededUniform(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    // Weyl sequence and the finaliser of MurmurHash3: even, short, and good enough to look like noise.
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b)
    mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35)
    return ((mixed ^ (mixed >>> 16)) >>> 0) / 2 ** 32
  }
}

/** Value number `index` of a series, `elapsedMs` after its start. */
export function waveformValue(
  series: Series,
  index: number,
  elapsedMs: number,
  uniform: () => number,
): number {
  const { min, max } = series
  const phase = (elapsedMs % series.periodMs) / series.periodMs
  const between = (share: number): number => Number((min + (max - min) * share).toFixed(6))
  switch (series.waveform) {
    case 'counter':
      return index
    case 'constant':
      return min
    case 'sine':
      return between((1 + Math.sin(2 * Math.PI * phase)) / 2)
    case 'triangle':
      return between(phase < 0.5 ? 2 * phase : 2 - 2 * phase)
    case 'sawtooth':
      return between(phase)
    case 'square':
      return phase < 0.5 ? min : max
    case 'noise':
      return between(uniform())
  }
}
