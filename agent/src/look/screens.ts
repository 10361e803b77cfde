import { printable } from '@fieldwhisper/host'
import type { GapCause } from '@fieldwhisper/protocol'
import type { ReadingTime, SpoolStats } from '../spool/view.js'
import type { ReadingRow } from './rows.js'
import type { SpoolReport } from './source.js'

const MAX_CELL = 60

const GAP_TEXT: Readonly<Record<GapCause, string>> = {
  full: 'the spool was full',
  age: 'they grew too old',
  lost: 'they were lost with an earlier spool',
  corrupt: 'they could not be read',
}

/** What `spool stats` shows a person. */
export function statsText(report: SpoolReport, stateDir: string, nowMs: number): string {
  const { readings, batches, streams, openReadings, oldest, newest, bytes, agent } = report
  const rows: [string, string][] = [
    ['spool', `${stateDir}${agent ? `, of ${agent.name ?? 'an agent without a name yet'}` : ''}`],
    [
      'waiting',
      `${readings} readings for the gateway: ${batches} batches of ${streams} streams, ${openReadings} in the one being filled`,
    ],
    ...(oldest && newest ? [timeRow('oldest', oldest, nowMs), timeRow('newest', newest, nowMs)] : []),
    ['on disk', bytesText(bytes)],
    [
      'counted',
      `${report.accepted} taken = ${report.acknowledged} at the gateway + ${readings} here + ${report.dropped} dropped`,
    ],
    ...gapRows(report),
    ['gateway', gatewayText(agent)],
  ]
  return rows.map(([name, value]) => `${name.padEnd(10)} ${value}\n`).join('')
}

function timeRow(name: string, { wallMs, clock }: ReadingTime, nowMs: number): [string, string] {
  const time = new Date(Math.round(wallMs)).toISOString()
  if (clock === 'unset') return [name, `${time} (the clock of this machine was not set then)`]
  return [name, `${time}, ${agoText(nowMs - wallMs)} ago`]
}

function gapRows({ gaps, gapCount, earlierSpoolLost }: SpoolStats): [string, string][] {
  const rows = gaps.map(({ start, cause, readings }): [string, string] => [
    'lost',
    `${readings} readings (start ${start}): ${GAP_TEXT[cause]}; the gateway has not confirmed yet that it knows`,
  ])
  if (gapCount > gaps.length) rows.push(['lost', `and ${gapCount - gaps.length} more of these`])
  if (earlierSpoolLost) {
    rows.push([
      'lost',
      'an earlier spool with all its readings; the gateway has not confirmed yet that it knows',
    ])
  }
  return rows.length > 0 ? rows : [['lost', 'nothing that the gateway does not know']]
}

function gatewayText(agent: SpoolReport['agent']): string {
  if (!agent) return 'no agent runs here, nothing is sent; start it with: fieldwhisper-agent run'
  if (!agent.joined) return 'this device has not joined a site'
  const heard =
    agent.heardAgoMs === null ? 'not heard since the start' : `heard ${agoText(agent.heardAgoMs)} ago`
  return `${heard}, ${agent.inFlight} packets on their way`
}

/** What `spool peek` shows a person. */
export function rowsText(rows: readonly ReadingRow[]): string {
  if (rows.length === 0) return 'Nothing waits: the gateway has every reading.\n'
  const cells = rows.map(({ time, clock, name, value, unit, quality }) => [
    clock === 'synchronised' ? time : `${time} ?`,
    printable(name, MAX_CELL),
    printable(String(value), MAX_CELL),
    printable(unit ?? '', MAX_CELL),
    quality,
  ])
  const head = ['TIME (UTC)', 'NAME', 'VALUE', 'UNIT', 'QUALITY']
  const widths = head.map((title, i) => Math.max(title.length, ...cells.map((row) => row[i]!.length)))
  const lines = [head, ...cells].map((row) =>
    row
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
  const unsure = rows.some(({ clock }) => clock !== 'synchronised')
  return `${lines.join('\n')}\n${unsure ? '? the clock of this machine was not synchronised when it was taken\n' : ''}`
}

function agoText(ms: number): string {
  const s = Math.max(0, Math.round(ms / 1_000))
  if (s < 120) return `${s} s`
  if (s < 7_200) return `${Math.round(s / 60)} min`
  return s < 172_800 ? `${Math.round(s / 3_600)} h` : `${Math.round(s / 86_400)} days`
}

function bytesText(bytes: number): string {
  return bytes < 1_048_576 ? `${Math.ceil(bytes / 1_024)} KiB` : `${(bytes / 1_048_576).toFixed(1)} MiB`
}
