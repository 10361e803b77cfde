import { SENML_ABSOLUTE_S, senmlName } from '@fieldwhisper/protocol'
import type { ReadingRow } from './rows.js'

/** How readings are written to a file: what stands before, between and after them. */
export interface ExportFormat {
  readonly title: string
  readonly head: string
  readonly between: string
  readonly end: string
  readonly line: (row: ReadingRow, first: boolean) => string
}

/**
 * SenML as JSON (RFC 8428). `id`, `quality`, `clock` and `name` are labels of our own, which readers of SenML skip; the last three
 * stand only where they say something: not good, not synchronised, not writable as a SenML name.
 */
export function senml(device: string): ExportFormat {
  return {
    title: 'SenML JSON',
    head: '[\n',
    between: ',\n',
    end: '\n]\n',
    line: (row, first) => JSON.stringify(senmlRecord(row, first ? device : undefined)),
  }
}

function senmlRecord(row: ReadingRow, device: string | undefined): Record<string, unknown> {
  const { id, name, unit, quality, clock } = row
  const seconds = Date.parse(row.time) / 1_000
  const n = senmlName(name)
  return {
    ...(device !== undefined && { bn: `${senmlName(device)}/` }),
    n,
    ...(unit !== null && unit !== '' && { u: unit }),
    ...(seconds >= SENML_ABSOLUTE_S && { t: seconds }),
    ...valueOf(row),
    ...(id !== null && { id }),
    ...(quality !== 'good' && { quality }),
    ...(clock !== 'synchronised' && { clock }),
    ...(n !== name && { name }),
  }
}

function valueOf({ type, value }: ReadingRow): Record<string, unknown> {
  const label = { number: 'v', text: 'vs', boolean: 'vb', bytes: 'vd' }[type]
  return { [label]: value }
}

const COLUMNS = ['id', 'time', 'name', 'unit', 'type', 'value', 'quality', 'clock'] as const

/** RFC 4180, with a line of titles. */
export const csv: ExportFormat = {
  title: 'CSV',
  head: `${COLUMNS.join(',')}\r\n`,
  between: '',
  end: '',
  line: (row) => `${COLUMNS.map((column) => csvField(row[column])).join(',')}\r\n`,
}

function csvField(value: string | number | boolean | null): string {
  const text = String(value ?? '')
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text
}
