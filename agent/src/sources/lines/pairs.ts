import { MAX_VALUES_PER_LINE } from '../constants.js'
import { isName, type LineFormat, type LineValue } from './line.js'
import { DAMAGED, parseQuoted, parseScalar } from './scalar.js'

const NAME = /^[\p{L}_][\p{L}\p{N}_.\-/#%°()[\]]*$/u
const BLANK = /[ \t]/

/**
 * `name=value` pairs, several a line, between them blanks, semicolons or commas (no comma where it is the decimal sign).
 * `name:value` is understood as well, as plotters of microcontroller tools print it. Values: numbers, true, false, words,
 * text in double quotes.
 */
export function pairsFormat(options: { readonly decimalComma: boolean }): LineFormat {
  const separator = options.decimalComma ? /[ \t;]/ : /[ \t;,]/

  return {
    parse(line) {
      const values: [string, LineValue][] = []
      let at = 0
      const skip = (characters: RegExp): void => {
        while (at < line.length && characters.test(line.charAt(at))) at++
      }
      for (;;) {
        skip(separator)
        if (at >= line.length) return values

        const nameAt = at
        while (at < line.length && !/[=: \t;]/.test(line.charAt(at))) at++
        const name = line.slice(nameAt, at)
        skip(BLANK)
        if (!/[=:]/.test(line.charAt(at)) || !NAME.test(name) || !isName(name)) return 'not understood'
        at++
        skip(BLANK)

        let value: LineValue | undefined | typeof DAMAGED
        if (line.charAt(at) === '"') {
          const end = line.indexOf('"', at + 1)
          if (end < 0) return 'not understood'
          value = parseQuoted(line.slice(at + 1, end))
          at = end + 1
          if (at < line.length && !separator.test(line.charAt(at))) return 'not understood'
        } else {
          const valueAt = at
          while (at < line.length && !separator.test(line.charAt(at))) at++
          value = parseScalar(line.slice(valueAt, at), options.decimalComma)
        }
        if (value === DAMAGED) return 'not understood'
        if (value === undefined) continue
        if (values.length >= MAX_VALUES_PER_LINE) return 'too many values'
        values.push([name, value])
      }
    },
  }
}
