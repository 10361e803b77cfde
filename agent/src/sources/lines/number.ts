import type { LineFormat } from './line.js'
import { DAMAGED, parseNumber } from './scalar.js'

/** One number a line: `21.5`. The name is given by the configuration. */
export function numberFormat(options: {
  readonly reading: string
  readonly decimalComma: boolean
}): LineFormat {
  return {
    parse(line) {
      const value = parseNumber(line.trim(), options.decimalComma)
      if (value === DAMAGED) return 'not understood'
      return value === undefined ? [] : [[options.reading, value]]
    },
  }
}
