import { HostError, limitDefault, parseConfig, parseDuration, parseSize } from '@fieldwhisper/host'
import type { LimitOption, LimitTable } from '@fieldwhisper/host'
import { relayProgramSchema } from '@fieldwhisper/relay'
import t from 'tap'
import { agentConfigSchema } from '../../../agent/src/config/schema.js'
import { gatewayConfigSchema } from '../../../gateway/src/config/index.js'
import { LIMIT_TABLES, LIMITS_PAGE, limitsPage } from '../../support/limits.js'
import { exists, read } from '../../support/repository.js'

const SCHEMAS = { agent: agentConfigSchema, gateway: gatewayConfigSchema, relay: relayProgramSchema }

/** Every limit with its name in the table. */
function entries(table: LimitTable): [name: string, test: string, meaning: string, reason: string][] {
  const all = [table.options, table.elsewhere, table.fixed, table.chosen]
  return all.flatMap((part) =>
    Object.entries(part ?? {}).map(([name, { test, meaning, reason }]): [string, string, string, string] => [
      name,
      test,
      meaning,
      reason,
    ]),
  )
}

/** The options of each program with their place in its YAML. */
function options(): { program: keyof typeof SCHEMAS; path: string[]; option: LimitOption }[] {
  return LIMIT_TABLES.flatMap(({ programs = [], options = {}, elsewhere = {} }) =>
    programs.flatMap((program) => [
      ...Object.values(options).map((option) => ({ program, path: ['limits', option.key], option })),
      ...Object.values(elsewhere).map((option) => ({ program, path: option.key.split('.'), option })),
    ]),
  )
}

/** What a configuration with this one value is told, or nothing. */
function problem(program: keyof typeof SCHEMAS, path: readonly string[], value: number | string): string {
  const yaml = path.reduceRight((inner, key) => `{ ${key}: ${inner} }`, String(value))
  try {
    parseConfig<unknown>(yaml, SCHEMAS[program], program)
    return ''
  } catch (error) {
    if (!(error instanceof HostError)) throw error
    return error.message
  }
}

/** The value next to a bound, as it is written; undefined where there is none that can be written. */
function beyond(option: LimitOption, by: 1 | -1): number | string | undefined {
  const bound = by > 0 ? option.max : option.min
  if (typeof bound === 'number') return bound + by
  const value = (option.kind === 'size' ? parseSize(bound) : parseDuration(bound))! + by
  if (value < 0) return undefined
  const small = `${value}${option.kind === 'size' ? 'B' : 'ms'}`
  // Twelve digits can be written; beyond that the next one of its own unit.
  return String(value).length <= 12 ? small : bound.replace(/^\d+/, (digits) => String(Number(digits) + by))
}

void t.test('docs/limits.md is made of the tables', (t) => {
  t.equal(read(LIMITS_PAGE), limitsPage(), 'npm run limits')
  t.end()
})

void t.test('every limit says what and why, and names a test that exists and mentions it', (t) => {
  const all = LIMIT_TABLES.flatMap(entries)
  t.ok(all.length > 20, `${all.length} limits`)
  for (const [name, test, meaning, reason] of all) {
    t.match(meaning, /^[A-Z0-9].+\.$/, `${name} says what it bounds`)
    t.match(reason, /^[A-Z0-9].+\.$/i, `${name} says why`)
    t.ok(exists(test) && test.endsWith('.test.ts'), `${name}: ${test} exists`)
    t.match(read(test), new RegExp(`\\b${name}\\b`), `${test} mentions ${name}`)
  }
  t.end()
})

void t.test(
  'every option takes both ends of its range, and refuses one beyond with key, range and unit',
  (t) => {
    t.ok(options().length > 10)
    for (const { program, path, option } of options()) {
      const name = `${program}: ${path.join('.')}`
      t.equal(problem(program, path, option.min), '', `${name} ${option.min}`)
      t.equal(problem(program, path, option.max), '', `${name} ${option.max}`)
      const range = `from ${option.min} to ${option.max}`
      const unit = option.kind === 'count' ? option.unit : `a ${option.kind}`
      for (const wrong of [beyond(option, -1), beyond(option, 1), 'plenty']) {
        if (wrong === undefined) continue
        const told = problem(program, path, wrong)
        t.ok(told.includes(`${path.join('.')}: `), `${name} ${wrong}: the key`)
        t.ok(told.includes(range) && told.includes(unit), `${name} ${wrong}: range and unit in ${told}`)
      }
    }
    t.end()
  },
)

void t.test('every default lies in its range, and no key stands twice in one program', (t) => {
  const seen = new Set<string>()
  for (const { program, path, option } of options()) {
    const name = `${program}: ${path.join('.')}`
    t.notOk(seen.has(name), name)
    seen.add(name)
    const written = option.kind === 'count' ? limitDefault(option) : option.default
    t.equal(problem(program, path, written), '', `${name} ${written}`)
  }
  t.end()
})
