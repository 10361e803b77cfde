import type { Readable } from 'node:stream'
import { LINE_BYTES } from './constants.js'

/** Calls back with every line of a stream, the unfinished last one included; longer ones are cut. */
export function eachLine(stream: Readable, onLine: (line: string) => void): void {
  let rest = ''
  stream.setEncoding('utf8')
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split('\n')
    rest = (lines.pop() ?? '').slice(0, LINE_BYTES)
    for (const line of lines) onLine(line.slice(0, LINE_BYTES).replace(/\r$/, ''))
  })
  stream.on('end', () => {
    if (rest !== '') onLine(rest)
  })
  stream.on('error', () => undefined)
}

export interface LogLine {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly code: string
  readonly text: string
}

const EVENT = /^\S+Z (debug|info|warn|error) (FW_[A-Z0-9_]+) (.*)$/
const FAILURE = /^error (FW_[A-Z0-9_]+): (.*)$/

/** One line of a program's log, or undefined for a line that is none (the rest of a list of problems, a stack). */
export function parseLogLine(line: string): LogLine | undefined {
  const [, level, code, text] = EVENT.exec(line) ?? []
  if (code !== undefined) return { level: level as LogLine['level'], code, text: text ?? '' }
  const [, failed, reason] = FAILURE.exec(line) ?? []
  return failed === undefined ? undefined : { level: 'error', code: failed, text: reason ?? '' }
}
