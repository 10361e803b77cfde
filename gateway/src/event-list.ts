import type { Clock, ReportedEvent, Store, Write } from '@fieldwhisper/host'
import { asFinite, asText, encodeCbor } from '@fieldwhisper/protocol'
import { readRecord, RECORD_VERSION } from './core/tables.js'

export const EVENTS_TABLE = 'events'

/** So many events are kept; at 300 bytes each a few megabytes. */
export const MAX_EVENTS = 10_000
/** In running time of the gateway: a clock that jumps removes none. */
export const MAX_EVENT_AGE_MS = 90 * 86_400_000
/** Events are written together, at most so often: an SD card outlives a night of alarms. */
export const EVENTS_FLUSH_MS = 15_000
/** Waiting for a disk that takes nothing. The oldest of them go first. */
export const MAX_WAITING_EVENTS = 1_000
/** One answer of the control socket holds so much; more of the oldest are left out. */
const MAX_LIST_BYTES = 8 * 1024 * 1024
/** Old ones that go with one write. */
const TRIM_AT_ONCE = 200

/** Kept although they are only information: who came and went, and that a disk has room again. */
const KEPT_INFO: ReadonlySet<string> = new Set([
  'FW_AGENT_JOINED',
  'FW_AGENT_REVOKED',
  'FW_DISK_ROOM',
  'FW_GATEWAY_RUNNING',
])

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof LEVELS)[number]

/** One line of `fieldwhisper-gateway events --json`. */
export interface EventLine {
  readonly time: string
  readonly level: Level
  readonly code: string
  readonly message: string
  readonly fields: Readonly<Record<string, string | number | boolean>>
}

export interface EventFilter {
  /** Unix time in milliseconds; earlier ones are left out. */
  readonly sinceMs?: number
  readonly level?: Level
  /** The newest so many. */
  readonly count: number
}

interface Options {
  readonly store: Store
  readonly clock: Pick<Clock, 'monoMs'>
  readonly runningMs: () => number
  readonly after: (delayMs: number, task: () => void) => () => void
  /** Called once for each event that is kept. */
  readonly kept?: (event: ReportedEvent) => void
}

/** What happened at this gateway, on its disk: warnings, errors, losses, and who came and went. */
export class EventList {
  readonly #options: Options
  #waiting: { readonly sequence: number; readonly event: ReportedEvent; readonly runningMs: number }[] = []
  #first: number
  #next: number
  #flushedAt = -Infinity
  #flushing: Promise<void> | undefined
  #cancel: (() => void) | undefined
  #ended = false

  constructor(options: Options) {
    this.#options = options
    const end = (reverse: boolean): number | undefined => {
      for (const { key } of options.store.range(EVENTS_TABLE, { reverse, limit: 1 })) return sequenceOf(key)
      return undefined
    }
    this.#first = end(false) ?? 0
    this.#next = (end(true) ?? -1) + 1
  }

  /** For the reporter: takes what is worth keeping. */
  readonly take = (event: ReportedEvent): void => {
    const { level, code } = event
    if (this.#ended || !(level === 'warn' || level === 'error' || KEPT_INFO.has(code))) return
    this.#waiting.push({ sequence: this.#next++, event, runningMs: this.#options.runningMs() })
    if (this.#waiting.length > MAX_WAITING_EVENTS) this.#waiting.shift()
    this.#options.kept?.(event)
    this.#arm()
  }

  list(filter: EventFilter): EventLine[] {
    const waiting = this.#waiting.map(({ event }) => lineOf(event)).filter(wanted(filter))
    const left = filter.count - waiting.length
    const stored = left > 0 ? storedEvents(this.#options.store, { ...filter, count: left }) : []
    return [...stored, ...waiting].slice(-filter.count)
  }

  /** Writes what waits; what is reported later is not kept. */
  async stop(): Promise<void> {
    this.#ended = true
    this.#cancel?.()
    await this.#flushing
    await this.#flush()
  }

  #arm(): void {
    if (this.#cancel || this.#flushing || this.#ended) return
    const dueIn = Math.max(0, this.#flushedAt + EVENTS_FLUSH_MS - this.#options.clock.monoMs())
    this.#cancel = this.#options.after(dueIn, () => {
      this.#cancel = undefined
      this.#flushing = this.#flush().finally(() => {
        this.#flushing = undefined
        if (this.#waiting.length > 0) this.#arm()
      })
    })
  }

  async #flush(): Promise<void> {
    const written = [...this.#waiting]
    if (written.length === 0) return
    this.#flushedAt = this.#options.clock.monoMs()
    const old = this.#old()
    const writes: Write[] = written.map(({ sequence, event, runningMs }) => ({
      table: EVENTS_TABLE,
      key: keyOf(sequence),
      value: encode(event, runningMs),
    }))
    for (const sequence of old) writes.push({ table: EVENTS_TABLE, key: keyOf(sequence), value: null })
    try {
      await this.#options.store.commit(writes)
    } catch {
      // A disk that takes nothing says so itself; these wait for the next time.
      return
    }
    this.#first = (old.at(-1) ?? this.#first - 1) + 1
    const last = written.at(-1)!.sequence
    this.#waiting = this.#waiting.filter(({ sequence }) => sequence > last)
  }

  /** The oldest that are too many or too old, some at a time. */
  #old(): number[] {
    const old: number[] = []
    const from = keyOf(this.#first)
    const before = this.#options.runningMs() - MAX_EVENT_AGE_MS
    for (const { key, value } of this.#options.store.range(EVENTS_TABLE, { from, limit: TRIM_AT_ONCE })) {
      const sequence = sequenceOf(key)
      if (this.#next - sequence <= MAX_EVENTS && (decode(value)?.runningMs ?? -1) >= before) break
      old.push(sequence)
    }
    return old
  }
}

/** The newest events on disk that pass the filter, newest last. */
export function storedEvents(store: Pick<Store, 'range'>, filter: EventFilter): EventLine[] {
  const found: EventLine[] = []
  const passes = wanted(filter)
  let bytes = 0
  for (const { value } of store.range(EVENTS_TABLE, { reverse: true })) {
    if (found.length >= filter.count || bytes > MAX_LIST_BYTES) break
    const line = decode(value)?.line
    if (!line || !passes(line)) continue
    found.push(line)
    bytes += value.length
  }
  return found.reverse()
}

function wanted({ sinceMs = -Infinity, level = 'debug' }: EventFilter): (line: EventLine) => boolean {
  const least = LEVELS.indexOf(level)
  return (line) => LEVELS.indexOf(line.level) >= least && Date.parse(line.time) >= sinceMs
}

function lineOf({ wallMs, level, code, message, fields }: ReportedEvent): EventLine {
  return { time: new Date(wallMs).toISOString(), level, code, message, fields }
}

/** Version, running ms, wall ms, level, code, message, fields as JSON. */
function encode({ wallMs, level, code, message, fields }: ReportedEvent, runningMs: number): Uint8Array {
  const text = message.toWellFormed()
  return encodeCbor([RECORD_VERSION, runningMs, wallMs, level, code, text, JSON.stringify(fields)])
}

/** Undefined for what does not read: a list of events is no reason not to start. */
function decode(value: Uint8Array): { readonly line: EventLine; readonly runningMs: number } | undefined {
  try {
    const [, running, wall, level, code, message, fields] = readRecord(value, 'event', 7)
    const line = {
      time: new Date(asFinite(wall, 'time')).toISOString(),
      level: LEVELS.find((known) => known === level) ?? 'warn',
      code: asText(code, 'code', 1, 128),
      message: asText(message, 'message', 0, 65_536),
      fields: JSON.parse(asText(fields, 'fields', 2, 1_048_576)) as EventLine['fields'],
    }
    return { line, runningMs: asFinite(running, 'running time') }
  } catch {
    return undefined
  }
}

function keyOf(sequence: number): Uint8Array {
  const key = Buffer.alloc(8)
  key.writeBigUInt64BE(BigInt(Math.max(0, sequence)))
  return key
}

function sequenceOf(key: Uint8Array): number {
  return Number(Buffer.from(key).readBigUInt64BE())
}
