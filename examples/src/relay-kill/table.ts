import type { Row } from './tally.js'

const HEAD = [
  'phase',
  'time',
  'sent',
  'received',
  'lost',
  'repeated',
  'by LAN',
  'by relay',
  'longest silence',
]

/** The result for people, the last row set off. */
export function resultTable(rows: readonly Row[]): string[] {
  const cells = rows.map((row) => [
    row.title,
    `${row.seconds.toFixed(0)} s`,
    ...[row.sent, row.received, row.lost, row.repeated, row.byLan, row.byRelay].map(String),
    seconds(row.silenceMs),
  ])
  const widths = HEAD.map((title, column) =>
    Math.max(title.length, ...cells.map((line) => line[column]?.length ?? 0)),
  )
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, column) =>
        column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd()
  const rule = '-'.repeat(line(HEAD).length)
  return [line(HEAD), rule, ...cells.slice(0, -1).map(line), rule, ...cells.slice(-1).map(line)]
}

export function seconds(ms: number): string {
  return `${(ms / 1_000).toFixed(2)} s`
}
