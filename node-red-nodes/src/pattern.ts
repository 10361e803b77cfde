import { MAX_PATTERN_CHARS } from './constants.js'
import { PaletteError } from './errors.js'

/** What a field of the editor chooses: any name (empty), one name, or all that fit a pattern in which `*` is any text. */
export interface Pattern {
  /** Present where exactly one name is meant. */
  readonly only?: string
  fits(name: string): boolean
}

/** Throws PaletteError `FW_NODERED_SETTINGS_INVALID` for a pattern that is too long. */
export function parsePattern(text: string): Pattern {
  if (text.length > MAX_PATTERN_CHARS) {
    throw new PaletteError('FW_NODERED_SETTINGS_INVALID', 'problem.pattern', { limit: MAX_PATTERN_CHARS })
  }
  if (text === '') return { fits: () => true }
  if (!text.includes('*')) return { only: text, fits: (name) => name === text }
  const parts = text.split('*')
  return { fits: (name) => fitsParts(parts, name) }
}

/** Leftmost match of each part in turn: linear, whatever a stranger's name looks like. */
function fitsParts(parts: readonly string[], name: string): boolean {
  const first = parts[0]!
  const last = parts.at(-1)!
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last))
    return false
  const end = name.length - last.length
  let at = first.length
  for (const part of parts.slice(1, -1)) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}
