import { MAX_KEY_BYTES } from '../constants.js'

/** Why a line is no reading: a word for the log. The line itself is never shown. */
export type LineFault = 'too long' | 'not text' | 'not understood' | 'too many values' | 'too many names'

export type LineValue = number | string | boolean

/** What a line says: names as the device writes them. Empty when it says nothing (a header, an empty line). */
export type LineValues = readonly (readonly [name: string, value: LineValue])[]

/**
 * Understands the lines of one device. A line that is damaged anywhere is refused as a whole: when one character was hit,
 * its neighbours are not trusted either. Never throws, whatever the line.
 */
export interface LineFormat {
  parse(line: string): LineValues | LineFault
  /** The port was opened again: the next line may be the first of another device. */
  reopened?(): void
}

const CONTROL = /[\p{Cc}\uFFFD]/u

/** Whether a text is one: control characters come from a wrong baud rate or a broken cable, halves of characters from JSON. */
export function isText(line: string): boolean {
  return line.isWellFormed() && !CONTROL.test(line.replaceAll('\t', ' '))
}

/** Whether a name may become (part of) the name of a reading. */
export function isName(name: string): boolean {
  return (
    name.length > 0 &&
    name === name.trim() &&
    Buffer.byteLength(name) <= MAX_KEY_BYTES &&
    isText(name) &&
    !name.includes('\t')
  )
}
