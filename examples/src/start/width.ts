/** Columns that text takes in a terminal, for names in any script. */

const STYLE = /\x1b\[[0-9;]*m/g
const COMBINING = /^[\p{Mn}\p{Me}\p{Cf}]$/u
/** East Asian Wide and Fullwidth (UAX 11), and emoji, in coarse blocks. */
const WIDE =
  /^[\u1100-\u115f\u2e80-\u303e\u3041-\u33ff\u3400-\u4dbf\u4e00-\u9fff\ua000-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1f64f}\u{1f900}-\u{1f9ff}\u{20000}-\u{3fffd}]$/u

export function width(text: string): number {
  let columns = 0
  for (const character of text.replaceAll(STYLE, '')) columns += columnsOf(character)
  return columns
}

function columnsOf(character: string): number {
  if (COMBINING.test(character)) return 0
  return WIDE.test(character) ? 2 : 1
}

/** At most `columns` wide, cut with an ellipsis. Takes plain text: style is added afterwards. */
export function clip(text: string, columns: number): string {
  if (width(text) <= columns) return text
  if (columns < 1) return ''
  let used = 0
  let kept = ''
  for (const character of text) {
    used += columnsOf(character)
    if (used > columns - 1) break
    kept += character
  }
  return `${kept}…`
}

export function padEnd(text: string, columns: number): string {
  return text + ' '.repeat(Math.max(0, columns - width(text)))
}

export function padStart(text: string, columns: number): string {
  return ' '.repeat(Math.max(0, columns - width(text))) + text
}
