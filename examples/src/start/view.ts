import { durationText, valueText } from './format.js'
import type { Counts, Path, Sensor, View } from './model.js'
import { subscribeLines } from './mqtt-line.js'
import type { Style } from './style.js'
import { clip, padEnd, padStart, width } from './width.js'

export interface Terminal {
  readonly columns: number
  readonly rows: number
  readonly style: Style
}

const MIN_COLUMNS = 24
const MIN_NAME = 8
/** Below this width ages are left out. */
const AGE_COLUMNS = 60
const PATH_WIDTH = 7
const AGE_WIDTH = 10
/** A value that has not changed hands for so long is not news any more. */
const STALE_MS = 30_000

/**
 * The picture, from top to bottom: what runs, the sensors, what became of the packets, how to subscribe, the last warning.
 * It is never higher than the terminal: sensors give way first, then the lower part.
 */
export function renderView(view: View, terminal: Terminal): string[] {
  const columns = Math.max(MIN_COLUMNS, terminal.columns) - 1
  const rows = Math.max(1, terminal.rows - 1)
  const head = headLines(view, columns, terminal.style)
  const foot = footLines(view, columns, terminal.style)
  const wanted = view.sensors.length + 1
  // Empty lines are the first to give way, one by one from below.
  for (let at = foot.length - 1; at > 0 && head.length + wanted + foot.length > rows; at -= 1) {
    if (foot[at] === '') foot.splice(at, 1)
  }
  const room = rows - head.length - foot.length
  const lines = [...head, ...sensorLines(view.sensors, room, columns, terminal.style), ...foot]
  return highest(lines, rows, terminal.columns)
}

/** As many lines as fit; one that is wider than the terminal takes several rows. */
function highest(lines: readonly string[], rows: number, columns: number): string[] {
  let used = 0
  return lines.filter((line) => (used += Math.max(1, Math.ceil(width(line) / columns))) <= rows)
}

function headLines({ site, folder, upMs, step }: View, columns: number, style: Style): string[] {
  const title = `Fieldwhisper  site ${site} in ${folder}  ${durationText(upMs)}`
  const end = 'Ctrl-C ends it'
  const space = columns - width(title) - width(end)
  const first = space >= 2 ? title + ' '.repeat(space) + end : clip(title, columns)
  const styled = first.startsWith('Fieldwhisper')
    ? style.bold('Fieldwhisper') + first.slice('Fieldwhisper'.length)
    : first
  return step === undefined ? [styled, ''] : [styled, style.warn(clip(`... ${step}`, columns)), '']
}

function sensorLines(sensors: readonly Sensor[], room: number, columns: number, style: Style): string[] {
  if (sensors.length === 0) return ['  no reading yet']
  const shown = Math.min(sensors.length, room - 1 >= sensors.length ? sensors.length : Math.max(1, room - 2))
  const values = sensors.map(({ value, unit }) => valueText(value, unit))
  const withAge = columns >= AGE_COLUMNS
  const valueRoom = Math.min(24, columns - 2 - MIN_NAME - 2 - 2 - PATH_WIDTH)
  const valueWidth = Math.min(valueRoom, Math.max(5, ...values.map(width)))
  const others = 2 + 2 + valueWidth + 2 + PATH_WIDTH + (withAge ? AGE_WIDTH : 0)
  const wanted = Math.max(6, ...sensors.map(({ name }) => width(name)))
  const nameWidth = Math.max(MIN_NAME, Math.min(wanted, columns - others))
  const row = (name: string, value: string, path: string, age: string): string => {
    const cells = [
      `  ${padEnd(clip(name, nameWidth), nameWidth)}`,
      padStart(clip(value, valueWidth), valueWidth),
    ]
    return [...cells, padEnd(path, PATH_WIDTH - 2), ...(withAge ? [age] : [])].join('  ').trimEnd()
  }
  const head = style.dim(clip(row('SENSOR', 'VALUE', 'PATH', 'AGE'), columns))
  const rows = sensors.slice(0, shown).map((sensor, index) => {
    const path = sensor.path ?? 'waits'
    const line = clip(row(sensor.name, values[index] ?? '', path, durationText(sensor.ageMs)), columns)
    return paint(line, sensor, path, style)
  })
  const hidden = sensors.length - shown
  return [
    head,
    ...rows,
    ...(hidden > 0 ? [style.dim(clip(`  and ${hidden} more in a higher window`, columns))] : []),
  ]
}

function paint(line: string, sensor: Sensor, path: string, style: Style): string {
  if (sensor.ageMs >= STALE_MS) return style.dim(line)
  const at = line.lastIndexOf(path)
  if (at < 0) return line
  return line.slice(0, at) + pathStyle(sensor.path, style)(path) + line.slice(at + path.length)
}

function pathStyle(path: Path | undefined, style: Style): (text: string) => string {
  if (path === undefined) return style.warn
  return path === 'lan' ? style.good : style.other
}

function footLines({ counts, programs, mqtt, warning }: View, columns: number, style: Style): string[] {
  const lines = ['']
  if (counts) lines.push(...fill(countItems(counts, style), columns))
  const states = programs.map(({ name, state, detail }) => {
    const text = state === 'running' ? detail : `${state} ${detail}`.trim()
    return `${name} ${state === 'running' ? text : style.warn(text)}`
  })
  if (states.length > 0) lines.push(...fill(states, columns))
  if (mqtt) {
    const { host, port, user, password, connected } = mqtt
    const address = `MQTT mqtt://${host}:${port}${connected ? '' : style.warn(' not connected')}`
    lines.push('', ...fill([address, `user ${user}`, `password ${password}`], columns))
    lines.push(...subscribeLines(mqtt, columns, '  '))
  }
  if (warning) {
    const time = new Date(warning.atMs).toTimeString().slice(0, 8)
    lines.push('', style.warn(clip(`  ${time} ${warning.program}: ${warning.text}`, columns)))
  }
  return lines
}

function countItems(counts: Counts, style: Style): string[] {
  const { sealed, acknowledged, held, lost, lastPath } = counts
  return [
    `sealed ${sealed}`,
    `acknowledged ${acknowledged}`,
    `in the spool ${held}`,
    lost > 0 ? style.bad(`lost ${lost}`) : 'lost 0',
    `last copy ${lastPath === undefined ? '-' : pathStyle(lastPath, style)(lastPath)}`,
  ]
}

/** Items side by side, as many as fit a line. */
function fill(items: readonly string[], columns: number): string[] {
  const lines: string[] = []
  for (const item of items) {
    const last = lines.at(-1)
    if (last !== undefined && width(last) + 3 + width(item) <= columns)
      lines[lines.length - 1] = `${last}   ${item}`
    else lines.push(`  ${item}`)
  }
  return lines
}
