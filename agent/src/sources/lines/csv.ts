import { MAX_VALUES_PER_LINE } from '../constants.js'
import { isName, type LineFormat, type LineValue } from './line.js'
import { DAMAGED, parseNumber, parseQuoted, parseScalar } from './scalar.js'

interface Field {
  readonly text: string
  readonly quoted: boolean
}

/**
 * Columns under a header. The header comes from the configuration, or is the first line whose fields are all names; until
 * then nothing is read. The same header again is skipped (devices repeat it when they restart). Another header is taken only
 * as the first line after the port was opened again, for a row of words must not rename the columns.
 */
export function csvFormat(options: {
  readonly separator: ',' | ';' | '\t'
  readonly decimalComma: boolean
  readonly header?: readonly string[]
}): LineFormat {
  let header = options.header
  let firstLine = true

  return {
    reopened() {
      firstLine = true
    },

    parse(line) {
      if (line.trim() === '') return []
      const fields = split(line, options.separator)
      if (fields === undefined) return 'not understood'
      if (fields.length > MAX_VALUES_PER_LINE) return 'too many values'
      const mayRename = firstLine && options.header === undefined
      firstLine = false

      const names = fields.map((field) => field.text)
      if (header === undefined || mayRename) {
        if (isHeader(names)) {
          header = names
          return []
        }
        if (header === undefined) return 'not understood'
      }
      if (names.length === header.length && names.every((name, column) => name === header?.[column]))
        return []
      if (fields.length !== header.length) return 'not understood'

      const values: [string, LineValue][] = []
      for (const [column, field] of fields.entries()) {
        const value = field.quoted ? parseQuoted(field.text) : parseScalar(field.text, options.decimalComma)
        if (value === DAMAGED) return 'not understood'
        const name = header[column]
        if (value !== undefined && name !== undefined) values.push([name, value])
      }
      return values
    },
  }
}

/** Names only, each once, none of them a number: the first line of a device that sends no header is not mistaken for one. */
function isHeader(names: readonly string[]): boolean {
  return (
    new Set(names).size === names.length &&
    names.every(
      (name) => isName(name) && parseNumber(name, false) === DAMAGED && parseNumber(name, true) === DAMAGED,
    )
  )
}

/** Fields of one line, quoted as in RFC 4180; `undefined` when the quotes do not close. */
function split(line: string, separator: string): Field[] | undefined {
  const fields: Field[] = []
  let at = 0
  for (;;) {
    while (line.charAt(at) === ' ') at++
    if (line.charAt(at) === '"') {
      let text = ''
      for (;;) {
        const end = line.indexOf('"', at + 1)
        if (end < 0) return undefined
        text += line.slice(at + 1, end)
        at = end + 1
        if (line.charAt(at) !== '"') break
        text += '"'
      }
      while (line.charAt(at) === ' ') at++
      if (at < line.length && line.charAt(at) !== separator) return undefined
      fields.push({ text, quoted: true })
    } else {
      const found = line.indexOf(separator, at)
      const end = found < 0 ? line.length : found
      fields.push({ text: line.slice(at, end).trim(), quoted: false })
      at = end
    }
    if (at >= line.length) return fields
    at++
    if (at >= line.length) {
      fields.push({ text: '', quoted: false })
      return fields
    }
  }
}
