import { printable } from '@fieldwhisper/host'
import type { Value } from './model.js'

const STEPS = ['', 'k', 'M', 'G', 'T', 'P']
const BINARY_STEPS = ['', 'Ki', 'Mi', 'Gi', 'Ti', 'Pi']
/** Longest text of one value on the screen. */
const VALUE_LENGTH = 40

/** A value with its SenML unit (RFC 8428, section 12.1) as people write it: `41.5 °C`, `7.6 GiB`, `3 h 12 min`. */
export function valueText(value: Value, unit?: string): string {
  if (value === null) return 'none'
  if (typeof value !== 'number') return printable(String(value), VALUE_LENGTH)
  switch (unit) {
    case '':
    case undefined:
      return digits(value)
    case 'Cel':
      return `${digits(value)} °C`
    case '/':
    case '/100':
    case '%':
      return unit === '/' ? `${digits(value * 100)} %` : `${digits(value)} %`
    case 'B':
      return scaled(value, 1_024, BINARY_STEPS, 'B')
    case 'B/s':
    case 'bit/s':
      return scaled(value, 1_000, STEPS, unit)
    case 's':
      return value >= 120 ? durationText(value * 1_000) : `${digits(value)} s`
    default:
      return `${digits(value)} ${printable(unit, 16)}`
  }
}

/** At most five figures where a fraction follows; large and small numbers keep their size. */
function digits(value: number): string {
  if (Number.isInteger(value) && Math.abs(value) < 1e12) return String(value)
  if (!Number.isFinite(value)) return String(value)
  const size = Math.abs(value)
  if (size >= 1e12 || (size < 1e-3 && size > 0)) return value.toExponential(2)
  return String(Number(value.toPrecision(size >= 1_000 ? 7 : 5)))
}

function scaled(value: number, base: number, steps: readonly string[], unit: string): string {
  let step = 0
  let shown = value
  while (Math.abs(shown) >= base && step < steps.length - 1) {
    shown /= base
    step += 1
  }
  const text = step === 0 ? digits(shown) : shown.toFixed(Math.abs(shown) < 100 ? 1 : 0)
  return `${text} ${steps[step] ?? ''}${unit}`
}

/** The two largest parts: `4 s`, `2 min 5 s`, `3 h 12 min`, `12 d 3 h`. */
export function durationText(ms: number): string {
  const seconds = Math.floor(Math.max(0, ms) / 1_000)
  const parts: [number, string][] = [
    [Math.floor(seconds / 86_400), 'd'],
    [Math.floor(seconds / 3_600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([count]) => count > 0)
  if (first < 0) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([count], index) => index === 0 || count > 0)
    .map(([count, unit]) => `${count} ${unit}`)
    .join(' ')
}

/** `1 reading`, `2 readings`. */
export function plural(count: number, one: string): string {
  return `${count} ${one}${count === 1 ? '' : 's'}`
}

/** A word as a POSIX shell takes it. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
