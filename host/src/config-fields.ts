import { z } from 'zod'
import { duration, size } from './units.js'

/** Text of `least` to `most` bytes without control characters or blanks at its ends. */
export function plainText(least: number, most: number): z.ZodType<string, string> {
  return z
    .string()
    .refine(
      (text) => {
        const bytes = Buffer.byteLength(text)
        return (
          bytes >= least &&
          bytes <= most &&
          text === text.trim() &&
          text.isWellFormed() &&
          !/\p{Cc}/u.test(text)
        )
      },
      {
        error: `expected text of ${least} to ${most} bytes, without control characters and blanks at the ends`,
      },
    )
    .meta({ minLength: least, maxLength: most })
}

/** The same schema with what it means, which the published JSON Schema and editors show. */
export function about<T extends z.ZodType>(schema: T, meaning: string): T {
  return schema.meta({ ...schema.meta(), description: meaning })
}

type Duration = Parameters<typeof duration>[0]
type Size = Parameters<typeof size>[0]

/** A duration with its default; milliseconds come out. */
export function durationAbout(
  bounds: Duration,
  byDefault: string,
  meaning: string,
): z.ZodPrefault<z.ZodType<number, string>> {
  return about(duration(bounds).prefault(byDefault), `${meaning} From ${bounds.min} to ${bounds.max}.`)
}

/** A size with its default; bytes come out. */
export function sizeAbout(
  bounds: Size,
  byDefault: string,
  meaning: string,
): z.ZodPrefault<z.ZodType<number, string>> {
  return about(size(bounds).prefault(byDefault), `${meaning} From ${bounds.min} to ${bounds.max}.`)
}
