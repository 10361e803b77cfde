/** All tables of limits, and the page that is made of them: `npm run limits` writes docs/limits.md. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { LimitConstant, LimitOption, LimitTable } from '@fieldwhisper/host'
import { COURIER_LIMITS, LAN_LIMITS } from '@fieldwhisper/mesh'
import { RELAY_LIMITS } from '@fieldwhisper/relay'
import { AGENT_LIMITS } from '../../agent/dist/limits.js'
import { GATEWAY_LIMITS, SPARKPLUG_LIMITS } from '../../gateway/dist/limits.js'
import { root } from './repository.js'

export const LIMIT_TABLES: readonly LimitTable[] = [
  AGENT_LIMITS,
  COURIER_LIMITS,
  LAN_LIMITS,
  GATEWAY_LIMITS,
  SPARKPLUG_LIMITS,
  RELAY_LIMITS,
]

export const LIMITS_PAGE = 'docs/limits.md'

const INTRODUCTION = `# Limits

Everything that a stranger, a device of the site, or time itself could make grow has an end. This page is made by \`npm run limits\` from
the tables beside the constants, which are also what configurations are checked against; a test fails where it is not up to date, where
a limit has no test that goes to it and one over, and where an option takes what lies outside its range.

**Options** stand under \`limits:\` in the configuration of the programs named, unless the key says another place. Durations are written
\`500ms\`, \`10s\`, \`5m\`, \`24h\`, \`7d\`; sizes \`512B\`, \`64KiB\`, \`16MiB\`, \`2GiB\`; both ends of a range are allowed. **Fixed by the wire** is what
another implementation relies on ([protocol.md, section 13.2](protocol.md#132-limits) has the rest of these): it is not to be set.
**Chosen** is what this implementation does without asking.
`

export function limitsPage(tables: readonly LimitTable[] = LIMIT_TABLES): string {
  return `${[INTRODUCTION, ...tables.map(section)].join('\n')}`
}

function section({ title, programs, options, elsewhere, fixed, chosen }: LimitTable): string {
  const parts = [`## ${title}\n`]
  if (options && programs) {
    parts.push(`Options of ${programs.map((name) => `\`${name}.yaml\``).join(' and ')}, under \`limits:\`:\n`)
    parts.push(optionRows(options))
  }
  if (elsewhere) parts.push('Options with a place of their own:\n', optionRows(elsewhere))
  if (fixed) parts.push('Fixed by the wire:\n', constantRows(fixed))
  if (chosen) parts.push('Chosen:\n', constantRows(chosen))
  return parts.join('\n')
}

function optionRows(options: Readonly<Record<string, LimitOption>>): string {
  const rows = Object.values(options).map((option) => {
    const { key, meaning, reason, source, test } = option
    const unit = option.kind === 'count' ? ` ${option.unit}` : ''
    const range = `${number(option.min)} to ${number(option.max)}${unit}`
    return row(`\`${key}\``, number(option.default), range, meaning, reason, source, link(test))
  })
  return table(['Key', 'Default', 'Range', 'What it bounds', 'Why so much', 'From', 'Test'], rows)
}

function constantRows(constants: Readonly<Record<string, LimitConstant>>): string {
  const rows = Object.entries(constants).map(([name, limit]) => {
    const { meaning, reason, source, test } = limit
    return row(`\`${name}\``, shown(limit), meaning, reason, source, link(test))
  })
  return table(['Limit', 'Value', 'What it bounds', 'Why so much', 'From', 'Test'], rows)
}

function shown({ value, unit }: LimitConstant): string {
  if (typeof value !== 'number') {
    const { burst, perSecond } = value
    const rate = perSecond < 1 ? `${number(perSecond * 60)} a minute` : `${number(perSecond)} a second`
    return `${number(burst)} ${unit} at once, then ${rate}`
  }
  if (unit === 'ms') return time(value)
  if (unit === 'bytes') return bytes(value)
  return `${number(value)} ${unit}`
}

function time(ms: number): string {
  for (const [name, length] of [
    ['d', 86_400_000],
    ['h', 3_600_000],
    ['min', 60_000],
    ['s', 1_000],
  ] as const) {
    if (ms >= length && ms % length === 0) return `${number(ms / length)} ${name}`
  }
  return `${number(ms)} ms`
}

function bytes(count: number): string {
  for (const [name, length] of [
    ['MiB', 2 ** 20],
    ['KiB', 2 ** 10],
  ] as const) {
    if (count >= length && count % length === 0) return `${number(count / length)} ${name}`
  }
  return `${number(count)} bytes`
}

function number(value: number | string): string {
  return typeof value === 'string' ? value : value.toLocaleString('en-US', { maximumFractionDigits: 3 })
}

function link(test: string): string {
  return `[${test.split('/').slice(-2).join('/').replace('.test.ts', '')}](../${test})`
}

function table(heads: readonly string[], rows: readonly string[]): string {
  return `${[row(...heads), `|${'---|'.repeat(heads.length)}`, ...rows].join('\n')}\n`
}

function row(...cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(join(root, LIMITS_PAGE), limitsPage())
}
