/** Colours of the terminal's own palette, or none. */
export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
  readonly good: (text: string) => string
  readonly other: (text: string) => string
  readonly warn: (text: string) => string
  readonly bad: (text: string) => string
}

const plain = (text: string): string => text
export const PLAIN: Style = { bold: plain, dim: plain, good: plain, other: plain, warn: plain, bad: plain }

const sgr =
  (on: number, off: number) =>
  (text: string): string =>
    text === '' ? '' : `\x1b[${on}m${text}\x1b[${off}m`

export const COLOURED: Style = {
  bold: sgr(1, 22),
  dim: sgr(2, 22),
  good: sgr(32, 39),
  other: sgr(36, 39),
  warn: sgr(33, 39),
  bad: sgr(31, 39),
}

type Environment = Readonly<Record<string, string | undefined>>

/** Colours only where the terminal has them and nobody forbids them (https://no-color.org). */
export function styleFor(
  out: { readonly isTTY?: boolean; hasColors?(): boolean },
  env: Environment = process.env,
): Style {
  if (!out.isTTY || env['TERM'] === 'dumb' || (env['NO_COLOR'] ?? '') !== '') return PLAIN
  return out.hasColors?.() ? COLOURED : PLAIN
}

/** Can the cursor be moved, so that a picture is redrawn in place? */
export function canRedraw(out: { readonly isTTY?: boolean }, env: Environment = process.env): boolean {
  return out.isTTY === true && env['TERM'] !== 'dumb'
}
