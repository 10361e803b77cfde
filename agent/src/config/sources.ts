import { z } from 'zod'
import {
  MAX_LINE_BYTES,
  MAX_NAMES_PER_PORT,
  MAX_SIMULATED_RATE,
  MAX_VALUES_PER_LINE,
} from '../sources/constants.js'
import { isName } from '../sources/lines/line.js'
import { SYSTEM_READINGS } from '../sources/system-probes.js'
import { WAVEFORMS } from '../sources/waveform.js'
import { about, durationAbout, plainText, sizeAbout } from '@fieldwhisper/host'

/** Sources of one agent, and series of one simulation. */
const MAX_SOURCES = 32
const MAX_SERIES = 100

const common = {
  name: about(
    z
      .string()
      .regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,31}$/, { error: 'expected 1 to 32 letters, digits, - or _' })
      .optional(),
    'What log and status call this source. Absent: its type. Two sources of one type need names.',
  ),
  prefix: about(
    plainText(0, 32).prefault(''),
    'Put in front of the names of its readings, so that two sources of one type do not mix theirs.',
  ),
}

const unitAbout = about(
  plainText(1, 32).optional(),
  'Unit of the SenML registry (RFC 8428): Cel, Pa, V, A, W, l/s, %RH, /100 for per cent.',
)
const readingName = plainText(1, 64)

export const systemSchema = z.strictObject({
  type: about(z.literal('system'), 'This machine itself: processor, memory, disk, network.'),
  ...common,
  interval: durationAbout({ min: '1s', max: '1h' }, '5s', 'How often it is measured.'),
  readings: about(
    z
      .array(z.enum(SYSTEM_READINGS))
      .min(1)
      .default([...SYSTEM_READINGS]),
    'Which kinds of readings. Absent: all.',
  ),
  interfaces: about(
    z.array(z.string().min(1).max(15)).min(1).max(16).optional(),
    'Network interfaces to report. Absent: those with an address, without loopback and those of containers, 8 at most.',
  ),
})

const lineName = z.string().refine(isName, {
  error: 'expected a name of 1 to 64 bytes, without control characters and blanks at the ends',
})

export const serialSchema = z
  .strictObject({
    type: about(z.literal('serial'), 'Text lines from a serial port.'),
    ...common,
    path: about(
      plainText(1, 4_096),
      'The port, such as /dev/ttyUSB0; better its name in /dev/serial/by-id, which stays the same.',
    ),
    baud_rate: about(z.int().min(50).max(4_000_000).default(9_600), 'Bits per second, as the device sends.'),
    data_bits: about(z.literal([5, 6, 7, 8]).default(8), 'Data bits of a character.'),
    parity: about(
      z.enum(['none', 'even', 'odd', 'mark', 'space']).default('none'),
      'Parity bit of a character.',
    ),
    stop_bits: about(z.literal([1, 1.5, 2]).default(1), 'Stop bits after a character.'),
    flow_control: about(
      z.enum(['none', 'hardware', 'software']).default('none'),
      'hardware: RTS and CTS; software: XON and XOFF.',
    ),
    format: about(
      z.enum(['number', 'pairs', 'json', 'csv']),
      'What a line holds: one number; name=value pairs; one JSON object; columns under a header.',
    ),
    reading: about(
      readingName.optional(),
      'format number: name of the reading. Absent: the name of the source.',
    ),
    unit: about(plainText(1, 32).optional(), 'format number: unit of the reading.'),
    header: about(
      z.array(lineName).min(1).max(MAX_VALUES_PER_LINE).optional(),
      'format csv: the columns, for a device that sends no header or only when it is switched on. Absent: the first line of names.',
    ),
    separator: about(
      z.enum([',', ';', 'tab']).optional(),
      'format csv: what parts the columns. Absent: a comma, with decimal_comma a semicolon.',
    ),
    decimal_comma: about(z.boolean().default(false), 'Numbers are written 21,5. Not with format json.'),
    readings: about(
      z
        .record(
          lineName,
          z.strictObject({ name: about(readingName.optional(), 'Name of the reading.'), unit: unitAbout }),
        )
        .refine((known) => Object.keys(known).length <= MAX_NAMES_PER_PORT, {
          error: `at most ${MAX_NAMES_PER_PORT} readings`,
        })
        .default({}),
      'By the name in the line: what the reading is called instead (without prefix), and its unit.',
    ),
    only_listed: about(
      z.boolean().default(false),
      'true: names that are not under readings are passed over.',
    ),
    line_end: about(z.enum(['lf', 'cr']).default('lf'), 'What ends a line; lf takes CR LF as well.'),
    encoding: about(z.enum(['utf8', 'latin1']).default('utf8'), 'How text is written.'),
    max_line: sizeAbout(
      { min: '16B', max: `${MAX_LINE_BYTES / 1_024}KiB` },
      '4KiB',
      'Longer lines are refused.',
    ),
  })
  .superRefine((source, context) => {
    const only = (format: typeof source.format, keys: readonly (keyof typeof source)[]): void => {
      if (source.format === format) return
      for (const key of keys) {
        if (source[key] !== undefined)
          context.addIssue({ code: 'custom', path: [key], message: `only with format: ${format}` })
      }
    }
    only('number', ['reading', 'unit'])
    only('csv', ['header', 'separator'])
    if (source.format === 'json' && source.decimal_comma) {
      context.addIssue({ code: 'custom', path: ['decimal_comma'], message: 'not with format: json' })
    }
    if (source.decimal_comma && source.separator === ',') {
      context.addIssue({ code: 'custom', path: ['separator'], message: 'a comma is the decimal sign here' })
    }
    if (new Set(source.header).size !== (source.header?.length ?? 0)) {
      context.addIssue({ code: 'custom', path: ['header'], message: 'a column stands here twice' })
    }
  })

const series = z
  .strictObject({
    name: about(readingName, 'Name of the reading.'),
    unit: unitAbout,
    waveform: about(
      z.enum(WAVEFORMS),
      'Shape of the values; counter counts its readings, so that a lost one shows.',
    ),
    min: about(z.number().default(0), 'Lowest value; the value of constant.'),
    max: about(z.number().default(1), 'Highest value.'),
    period: durationAbout({ min: '10ms', max: '365d' }, '60s', 'Length of one wave.'),
  })
  .refine(({ min, max }) => min <= max, { error: 'min is above max', path: ['min'] })

export const simulateSchema = z
  .strictObject({
    type: about(z.literal('simulate'), 'Made-up readings for tests and demonstrations.'),
    ...common,
    rate: about(
      z.number().min(0.001).max(10_000).default(1),
      'Readings a second of each series, from 0.001 (one in 17 minutes) to 10000.',
    ),
    count: about(
      z.int().min(1).max(1e9).optional(),
      'So many readings of each series, then silence. Absent: without end.',
    ),
    seed: about(z.int().min(0).max(0xffff_ffff).default(1), 'Another number makes other noise.'),
    readings: about(
      z
        .array(series)
        .min(1)
        .max(MAX_SERIES)
        .prefault([{ name: 'counter', waveform: 'counter' }]),
      'The series.',
    ),
  })
  .superRefine((source, context) => {
    const names = source.readings.map(({ name }) => name)
    names.forEach((name, index) => {
      if (names.indexOf(name) < index)
        context.addIssue({
          code: 'custom',
          path: ['readings', index, 'name'],
          message: 'this name is given twice',
        })
    })
    if (source.rate * names.length > MAX_SIMULATED_RATE) {
      const message = `all readings together are more than ${MAX_SIMULATED_RATE} a second`
      context.addIssue({ code: 'custom', path: ['rate'], message })
    }
  })

export const sourcesSchema = z
  .array(z.discriminatedUnion('type', [systemSchema, serialSchema, simulateSchema]))
  .max(MAX_SOURCES)
  .superRefine((sources, context) => {
    const names = sources.map(({ name, type }) => name ?? type)
    const spaces = sources.map(({ type, prefix }) => `${type}\n${prefix}`)
    const ports = sources.map((source) => (source.type === 'serial' ? source.path : undefined))
    sources.forEach((source, index) => {
      const issue = (key: string, message: string): void => {
        context.addIssue({
          code: 'custom',
          path: source[key as 'type'] === undefined ? [index] : [index, key],
          message,
        })
      }
      if (names.indexOf(names[index] ?? '') < index)
        issue('name', `another source is named "${names[index] ?? ''}"; give this one a name`)
      else if (spaces.indexOf(spaces[index] ?? '') < index)
        issue('prefix', `another ${source.type} source has the same prefix: their readings would mix`)
      if (source.type === 'serial' && ports.indexOf(source.path) < index)
        issue('path', 'another source reads this port')
    })
  })

export type SystemConfig = z.output<typeof systemSchema>
export type SerialConfig = z.output<typeof serialSchema>
export type SimulateConfig = z.output<typeof simulateSchema>
export type SourceConfig = z.output<typeof sourcesSchema>[number]
