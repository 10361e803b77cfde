import { z } from 'zod'
import { about } from './config-fields.js'
import type { Budget } from './token-bucket.js'
import { duration, parseDuration, parseSize, size, type Size, type Span } from './units.js'

/*
 * The tables of limits. Each package has one beside its constants; options in it are the validation of `limits:` in the
 * configuration, and all of them together are docs/limits.md.
 */

/** What a table says of every limit. */
export interface LimitFacts {
  /** What is bounded. */
  readonly meaning: string
  /** Why so much, and what happens when it is raised or lowered. */
  readonly reason: string
  /** Where it was decided. */
  readonly source: string
  /** The test that goes to the limit and one over; it mentions the limit by its name in the table. */
  readonly test: string
}

/** A limit that an operator may set. All bounds are inclusive. */
export type LimitOption = LimitFacts & {
  /** In the YAML. */
  readonly key: string
} & (
    | {
        readonly kind: 'count'
        /** Of what, in the plural; of a rate with its time. */
        readonly unit: string
        readonly min: number
        readonly max: number
        readonly default: number
      }
    | { readonly kind: 'size'; readonly min: Size; readonly max: Size; readonly default: Size }
    | { readonly kind: 'duration'; readonly min: Span; readonly max: Span; readonly default: Span }
  )

/** A limit without an option. */
export interface LimitConstant extends LimitFacts {
  readonly value: number | Budget
  /** `bytes` and `ms`, or of what, in the plural. */
  readonly unit: string
}

export type LimitOptions = Readonly<Record<string, LimitOption>>

export interface LimitTable {
  readonly title: string
  /** The programs whose configuration has `limits:` with these options. */
  readonly programs?: readonly ('agent' | 'gateway' | 'relay')[]
  readonly options?: LimitOptions
  /** Options that stand in the YAML outside `limits:`, by their path. */
  readonly elsewhere?: LimitOptions
  /** Another implementation relies on these. */
  readonly fixed?: Readonly<Record<string, LimitConstant>>
  /** This implementation's choice. */
  readonly chosen?: Readonly<Record<string, LimitConstant>>
}

/** Counts, bytes and milliseconds, by the names in the table. */
export type LimitValues<T extends LimitOptions> = { readonly [K in keyof T]: number }

type LimitInput<T extends LimitOptions> = {
  readonly [K in keyof T as T[K]['key']]?: (T[K]['default'] extends number ? number : string) | undefined
}

/** `limits:` in a configuration: keys and units in, values by their names in the table out. */
export function limitsSchema<const T extends LimitOptions>(
  options: T,
): z.ZodType<LimitValues<T>, LimitInput<T>> {
  const entries = Object.entries(options)
  const shape = Object.fromEntries(entries.map(([, option]) => [option.key, limitField(option)]))
  const named = z
    .strictObject(shape)
    .transform((written) => Object.fromEntries(entries.map(([name, { key }]) => [name, written[key]])))
  return named as unknown as z.ZodType<LimitValues<T>, LimitInput<T>>
}

/** One option, for a place of its own in a configuration. What is refused is told with its range and unit. */
export function limitField<O extends LimitOption>(
  option: O,
): z.ZodPrefault<z.ZodType<number, O['default'] extends number ? number : string>> {
  return field(option) as unknown as z.ZodPrefault<
    z.ZodType<number, O['default'] extends number ? number : string>
  >
}

function field(option: LimitOption): z.ZodType {
  const { min, max, meaning } = option
  if (option.kind === 'size') {
    return about(size(option).prefault(option.default), `${meaning} From ${min} to ${max}.`)
  }
  if (option.kind === 'duration') {
    return about(duration(option).prefault(option.default), `${meaning} From ${min} to ${max}.`)
  }
  const error = `expected a whole number of ${option.unit}, from ${min} to ${max}`
  const whole = z.int({ error }).min(option.min, { error }).max(option.max, { error })
  return about(whole.default(option.default), `${meaning} From ${min} to ${max} ${option.unit}.`)
}

/** What is in force where the configuration says nothing. */
export function limitDefaults<const T extends LimitOptions>(options: T): LimitValues<T> {
  const values = Object.entries(options).map(([name, option]) => [name, limitDefault(option)])
  return Object.fromEntries(values) as LimitValues<T>
}

/** In counts, bytes or milliseconds. */
export function limitDefault(option: LimitOption): number {
  if (option.kind === 'count') return option.default
  const value = option.kind === 'size' ? parseSize(option.default) : parseDuration(option.default)
  if (value === undefined) throw new TypeError(`the default of ${option.key} is not a ${option.kind}`)
  return value
}
