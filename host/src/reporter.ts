import {
  EVENTS_KEPT,
  EVENTS_PER_WINDOW,
  EVENT_WINDOW_MS,
  MAX_EVENT_CODES,
  MAX_EVENT_FIELDS,
  MAX_EVENT_TEXT,
} from './constants.js'
import type { EventFields, Level, Reporter } from './events.js'
import { printable } from './text.js'

export interface ReportedEvent {
  readonly wallMs: number
  readonly level: Level
  readonly code: string
  readonly message: string
  readonly fields: EventFields
}

export interface ProgramReporterOptions {
  /** `text` (default): one line for people. `json`: one JSON object a line for a log collector. */
  readonly format?: 'text' | 'json'
  /** The least level that is written and kept; `info` by default. */
  readonly level?: Level
  /** Takes whole lines, the line end included; standard error by default. */
  readonly write?: (line: string) => void
  readonly clock?: { wallMs(): number; monoMs(): number }
}

export interface ProgramReporter extends Reporter {
  /** The newest events that were written, oldest first, at most 200: for `status`. */
  recent(): readonly ReportedEvent[]
  /** Calls `listener` for each event from now on, of every level, also those too low to be written, but none of those cut off. */
  listen(listener: (event: ReportedEvent) => void): void
  /** How often each code came, suppressed ones included. */
  counts(): Readonly<Record<string, number>>
}

const LEVELS: readonly Level[] = ['debug', 'info', 'warn', 'error']

interface Window {
  count: number
  written: number
  suppressed: number
  level: Level
  endsMs: number
}

/**
 * Writes events as lines, `2026-11-23T03:46:12.345Z warn FW_X message key=value`. A code that comes more than 20 times
 * within 60 s is cut off and the rest counted and told, so that a fault or a stranger cannot fill a disk with log.
 */
export function createReporter(options: ProgramReporterOptions = {}): ProgramReporter {
  const { format = 'text', level: least = 'info', write = writeToStandardError } = options
  const clock = options.clock ?? { wallMs: Date.now, monoMs: () => performance.now() }
  const windows = new Map<string, Window>()
  const kept: ReportedEvent[] = []
  const listeners: ((event: ReportedEvent) => void)[] = []

  function emit(level: Level, code: string, message: string, fields: EventFields): void {
    const event = { wallMs: clock.wallMs(), level, code, message, fields: boundedFields(fields) }
    for (const listener of listeners) listener(event)
    if (!isWritten(level)) return
    kept.push(event)
    if (kept.length > EVENTS_KEPT) kept.shift()
    write(format === 'json' ? jsonLine(event) : textLine(event))
  }

  function isWritten(level: Level): boolean {
    return LEVELS.indexOf(level) >= LEVELS.indexOf(least)
  }

  /** Undefined when there are more codes than anybody documented. */
  function windowOf(code: string, level: Level): Window | undefined {
    const now = clock.monoMs()
    const known = windows.get(code)
    if (known && now < known.endsMs) return known
    const window = {
      count: known?.count ?? 0,
      written: 0,
      suppressed: 0,
      level,
      endsMs: now + EVENT_WINDOW_MS,
    }
    if (known) tellSuppressed(code, known)
    else if (windows.size >= MAX_EVENT_CODES) return undefined
    windows.set(code, window)
    return window
  }

  function tellSuppressed(code: string, window: Window): void {
    const { suppressed, level } = window
    window.suppressed = 0
    if (suppressed > 0) emit(level, code, 'More of these came and were not written.', { suppressed })
  }

  return {
    event(level, code, message, fields = {}) {
      if (listeners.length === 0 && !isWritten(level)) return
      const window = windowOf(code, level)
      if (!window) return
      window.count++
      if (window.written++ < EVENTS_PER_WINDOW) {
        emit(level, code, message, fields)
      } else if (window.suppressed++ === 0) {
        setTimeout(() => tellSuppressed(code, window), EVENT_WINDOW_MS).unref()
      }
    },
    recent: () => [...kept],
    listen: (listener) => void listeners.push(listener),
    counts: () => Object.fromEntries([...windows].map(([code, { count }]) => [code, count])),
  }
}

function textLine({ wallMs, level, code, message, fields }: ReportedEvent): string {
  const pairs = Object.entries(fields).map(
    ([name, value]) => ` ${printable(name, MAX_EVENT_TEXT)}=${shown(value)}`,
  )
  return `${time(wallMs)} ${level} ${code} ${printable(message, MAX_EVENT_TEXT)}${pairs.join('')}\n`
}

/** Text with spaces or quotes is quoted, so that a value cannot look like another field. */
function shown(value: string | number | boolean): string {
  if (typeof value !== 'string') return String(value)
  const text = printable(value, MAX_EVENT_TEXT)
  return /^[^\s"=]+$/.test(text) ? text : `"${text.replaceAll('"', '\\"')}"`
}

function jsonLine({ wallMs, level, code, message, fields }: ReportedEvent): string {
  const safe = Object.entries(fields).map(([name, value]) => [
    printable(name, MAX_EVENT_TEXT),
    typeof value === 'string' ? printable(value, MAX_EVENT_TEXT) : value,
  ])
  const event = { time: time(wallMs), level, code, message: printable(message, MAX_EVENT_TEXT) }
  return `${JSON.stringify({ ...event, fields: Object.fromEntries(safe) as unknown })}\n`
}

function boundedFields(fields: EventFields): EventFields {
  const bounded = Object.entries(fields)
    .slice(0, MAX_EVENT_FIELDS)
    .map(([name, value]) => [name, typeof value === 'string' ? value.slice(0, MAX_EVENT_TEXT + 1) : value])
  return Object.fromEntries(bounded) as EventFields
}

function time(wallMs: number): string {
  return new Date(wallMs).toISOString()
}

let listening = false

function writeToStandardError(line: string): void {
  if (!listening) {
    listening = true
    // Whoever read the log went away; that must not end the program.
    process.stderr.on('error', () => undefined)
  }
  process.stderr.write(line)
}
