import { MAX_JSON_DEPTH, MAX_VALUES_PER_LINE } from '../constants.js'
import { isName, type LineFault, type LineFormat, type LineValue } from './line.js'
import { DAMAGED, parseQuoted } from './scalar.js'

/** One JSON object a line. Nested objects and arrays give names with dots: `{"motor":{"rpm":3}}` is `motor.rpm`. */
export function jsonFormat(): LineFormat {
  return {
    parse(line) {
      if (line.trim() === '') return []
      let parsed: unknown
      try {
        parsed = JSON.parse(line)
      } catch {
        return 'not understood'
      }
      if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) return 'not understood'
      const values = new Map<string, LineValue>()
      return collect(parsed, '', 1, values) ?? [...values]
    },
  }
}

function collect(
  node: object,
  prefix: string,
  depth: number,
  into: Map<string, LineValue>,
): LineFault | undefined {
  if (depth > MAX_JSON_DEPTH) return 'not understood'
  for (const [key, member] of Object.entries(node) as [string, unknown][]) {
    const name = prefix + key
    if (!isName(name)) return 'not understood'
    if (member === null) continue
    if (typeof member === 'object') {
      const fault = collect(member, `${name}.`, depth + 1, into)
      if (fault !== undefined) return fault
      continue
    }
    const value = scalar(member)
    // Two members that flatten to one name: nobody could say which of them is the reading.
    if (value === DAMAGED || into.has(name)) return 'not understood'
    if (into.size >= MAX_VALUES_PER_LINE) return 'too many values'
    into.set(name, value)
  }
  return undefined
}

function scalar(member: unknown): LineValue | typeof DAMAGED {
  if (typeof member === 'boolean') return member
  if (typeof member === 'number') return Number.isFinite(member) ? member : DAMAGED
  return typeof member === 'string' ? parseQuoted(member) : DAMAGED
}
