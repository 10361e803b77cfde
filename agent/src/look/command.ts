import { hostname } from 'node:os'
import { resolve } from 'node:path'
import { UsageError, type CliInput, type ProgramReporter } from '@fieldwhisper/host'
import { exportReadings, toNewFile, toStandardOutput, type Exported } from './export.js'
import { csv, senml, type ExportFormat } from './formats.js'
import { rowsText, statsText } from './screens.js'
import { withSpool } from './source.js'

const MAX_PEEK = 1_000

export const SPOOL_ACTIONS = {
  stats: 'what is in the spool: how much, since when, what was lost',
  peek: 'the next readings that wait for the gateway, oldest first; prints readings',
  export:
    'all readings that wait, to FILE (a new one, for you alone) or - for standard output; prints readings',
} as const

interface Place {
  readonly stateDir: string
  readonly name: string | undefined
  readonly reporter: ProgramReporter
}

/** `spool stats|peek|export`. These alone print readings, for whoever may read the agent's folder anyway. */
export async function spoolCommand({ options, positionals }: CliInput, place: Place): Promise<number> {
  const [action, file] = positionals
  const json = options['json'] === true
  if (action === 'export') return exportTo(file, formatOf(options['format'], place), place)
  if (file !== undefined) throw new UsageError(`spool ${action} takes no FILE; only export does.`)
  if (action === 'peek') return peek(countOf(options['count']), json, place)
  const report = await withSpool(place.stateDir, place.reporter, (spool) => spool.stats())
  process.stdout.write(json ? `${JSON.stringify(report)}\n` : statsText(report, place.stateDir, Date.now()))
  return 0
}

async function peek(count: number, json: boolean, { stateDir, reporter }: Place): Promise<number> {
  const page = await withSpool(stateDir, reporter, (spool) => spool.page(undefined, count))
  const rows = page.rows.slice(0, count)
  process.stdout.write(json ? `${JSON.stringify(rows)}\n` : rowsText(rows))
  return 0
}

async function exportTo(file: string | undefined, format: ExportFormat, place: Place): Promise<number> {
  if (file === undefined) throw new UsageError('spool export needs a FILE, or - for standard output.')
  const { stateDir, reporter } = place
  const path = file === '-' ? file : resolve(file)
  const done = await withSpool(stateDir, reporter, (spool) =>
    path === '-'
      ? exportReadings(spool, format, toStandardOutput)
      : toNewFile(path, (write) => exportReadings(spool, format, write)),
  )
  // Standard output may be the readings themselves.
  process.stderr.write(exportedText(done, path, format))
  return done.unreadable > 0 ? 1 : 0
}

function exportedText({ readings, unreadable }: Exported, path: string, { title }: ExportFormat): string {
  const where = path === '-' ? 'standard output' : path
  const damaged =
    unreadable > 0
      ? `${unreadable} batches could not be read: the agent reports their readings as lost.\n`
      : ''
  return `${readings} readings written to ${where} (${title}). They stay in the spool and still go to the gateway.\n${damaged}`
}

function formatOf(format: CliInput['options'][string], { name }: Place): ExportFormat {
  if (format === 'csv') return csv
  if (format === 'senml') return senml(name ?? hostname())
  throw new UsageError('--format is senml or csv.')
}

function countOf(count: CliInput['options'][string]): number {
  const number = Number(count)
  if (Number.isInteger(number) && number >= 1 && number <= MAX_PEEK) return number
  throw new UsageError(`--count is a number from 1 to ${MAX_PEEK}.`)
}
