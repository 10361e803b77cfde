import { z } from 'zod'

const DURATION_UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const
const SIZE_UNITS = { B: 1, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40 } as const

export type Span = `${number}${keyof typeof DURATION_UNITS}`
export type Size = `${number}${keyof typeof SIZE_UNITS}`

/** Milliseconds of `500ms`, `10s`, `5m`, `24h`, `7d`; undefined for anything else. */
export function parseDuration(text: string): number | undefined {
  return parse(text, DURATION_UNITS)
}

/** Bytes of `64KiB`, `2GiB`, `512B`; undefined for anything else. */
export function parseSize(text: string): number | undefined {
  return parse(text, SIZE_UNITS)
}

/**
 * A duration in a configuration: text with a unit in, milliseconds out. Both bounds are inclusive.
 * Give a default as text, with `.prefault('10s')`.
 */
export function duration(bounds: { readonly min: Span; readonly max: Span }): z.ZodType<number, string> {
  return quantity(DURATION_UNITS, 'a duration such as 500ms, 10s, 5m, 24h or 7d', bounds)
}

/** A size in a configuration: text with a unit in, bytes out. Both bounds are inclusive. Default: `.prefault('2GiB')`. */
export function size(bounds: { readonly min: Size; readonly max: Size }): z.ZodType<number, string> {
  return quantity(SIZE_UNITS, 'a size such as 512B, 64KiB, 16MiB or 2GiB', bounds)
}

function quantity(
  units: Readonly<Record<string, number>>,
  what: string,
  { min, max }: { readonly min: string; readonly max: string },
): z.ZodType<number, string> {
  const [least, most] = [parse(min, units), parse(max, units)]
  if (least === undefined || most === undefined)
    throw new TypeError(`bounds ${min} to ${max} are not ${what}`)
  const expected = `expected ${what}, from ${min} to ${max}`
  return z
    .string({ error: expected })
    .regex(pattern(units), { error: expected })
    .transform((text, context) => {
      const value = parse(text, units)
      if (value !== undefined && value >= least && value <= most) return value
      context.issues.push({ code: 'custom', message: expected, input: text })
      return z.NEVER
    })
    .meta({ description: `${what}, from ${min} to ${max}` })
}

function parse(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const found = pattern(units).exec(text)
  if (!found) return undefined
  const value = Number(found[1]) * (units[found[2] ?? ''] ?? NaN)
  return Number.isSafeInteger(value) ? value : undefined
}

function pattern(units: Readonly<Record<string, number>>): RegExp {
  return new RegExp(`^(\\d{1,12}(?:\\.\\d{1,3})?) ?(${Object.keys(units).join('|')})$`)
}
