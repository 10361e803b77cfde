import { encodeCbor, MAX_FIELDS, type FieldValue } from '@fieldwhisper/protocol'
import { asError, parseDuration, type Reporter } from '@fieldwhisper/host'
import type { CommandReply, DueCommand } from '../core/index.js'
import type { Latest } from '../intake.js'
import type { Sink, Source } from '../sources/source.js'
import type { Timers } from '../sources/timers.js'
import { readArguments, type Arguments, type Wanted } from './arguments.js'
import { MAX_VALUE_BYTES, READ_LIMIT_MS, RESULT_BYTES } from './constants.js'
import { COMMAND_NAMES, type CommandName } from './names.js'
import { done, failed, refused } from './outcome.js'
import { writeOutput, type Output } from './outputs.js'

/** Range of `interval` of a source, as in its configuration. */
const MIN_INTERVAL_MS = 1_000
const MAX_INTERVAL_MS = 3_600_000

export interface RunnerParts {
  readonly allow: readonly string[]
  readonly outputs: ReadonlyMap<string, Output>
  readonly sources: () => readonly Source[]
  readonly sink: () => Sink | undefined
  /** The newest value of each name. */
  readonly latest: () => readonly Latest[]
  /** False where no such alarm is raised. */
  readonly acknowledge: (alarm: string) => boolean
  readonly about: () => { readonly version: string; readonly waiting: number }
  readonly monoMs: () => number
  readonly timers: Timers
  readonly reporter: Reporter
}

interface Known {
  readonly wanted: Wanted
  readonly run: (args: Arguments) => Promise<CommandReply> | CommandReply
}

/** Carries out what the gateway asks for, as far as this agent's operator allows it. */
export class CommandRunner {
  readonly #parts: RunnerParts
  readonly #ending = new AbortController()
  /** Outputs that are being written, and sources that are being restarted. */
  readonly #busy = new Set<string>()
  readonly #known: Readonly<Record<CommandName, Known>> = {
    ping: { wanted: {}, run: () => this.#ping() },
    read_now: { wanted: { source: 'optional text' }, run: (args) => this.#readNow(args) },
    set_interval: { wanted: { source: 'text', interval: 'text' }, run: (args) => this.#setInterval(args) },
    restart_source: { wanted: { source: 'text' }, run: (args) => this.#restart(args) },
    acknowledge: { wanted: { alarm: 'text' }, run: (args) => this.#acknowledge(args) },
    write: { wanted: { output: 'text', value: 'value' }, run: (args) => this.#write(args) },
  }

  constructor(parts: RunnerParts) {
    this.#parts = parts
  }

  /** Never rejects. */
  async run({ name, args }: DueCommand): Promise<CommandReply> {
    if (!isKnown(name))
      return refused(
        'FW_COMMAND_NOT_KNOWN',
        `this agent knows no such command; it knows ${COMMAND_NAMES.join(', ')}`,
      )
    if (!this.#parts.allow.includes(name))
      return refused(
        'FW_COMMAND_NOT_ALLOWED',
        `this agent does not carry out ${name}: its operator can add it under commands.allow`,
      )
    const { wanted, run } = this.#known[name]
    const found = readArguments(args, wanted)
    if ('status' in found) return found
    try {
      return await run(found)
    } catch (error) {
      const text = `The command ${name} ended with an error that it should not have.`
      this.#parts.reporter.event('error', 'FW_INTERNAL', text, {
        reason: asError(error).message.slice(0, 200),
      })
      return failed('FW_COMMAND_FAILED', 'it ended with an error that stands in the log of the agent')
    }
  }

  /** Ends what is under way. */
  stop(): void {
    this.#ending.abort()
  }

  #ping(): CommandReply {
    const { version, waiting } = this.#parts.about()
    return done('the agent is there', [
      ['version', version],
      ['readings_waiting', waiting],
    ])
  }

  async #readNow(args: Arguments): Promise<CommandReply> {
    const named = args.get('source')
    const source = typeof named === 'string' ? this.#source(named) : undefined
    if (source && !('name' in source)) return source
    const asked = (source ? [source] : this.#parts.sources()).filter((one) => one.readNow !== undefined)
    if (asked.length === 0)
      return refused('FW_COMMAND_ARGUMENTS', 'a source of this kind sends by itself and cannot be asked')
    const began = this.#parts.monoMs()
    const all = Promise.all(asked.map((one) => one.readNow?.() ?? Promise.resolve()))
    const inTime = await this.#within(all, READ_LIMIT_MS)
    const result = this.#measuredSince(began)
    if (!inTime && result.length === 0)
      return failed('FW_COMMAND_TIMEOUT', `no source answered within ${READ_LIMIT_MS / 1_000} s`)
    return done('measured; the readings are on their way', result)
  }

  /** What came since, as much as fits a reply. */
  #measuredSince(began: number): (readonly [string, FieldValue])[] {
    const within = this.#parts.monoMs() - began
    const fields: (readonly [string, FieldValue])[] = []
    let bytes = 0
    for (const { name, value, agoMs } of this.#parts.latest()) {
      if (agoMs > within || fields.length >= MAX_FIELDS) continue
      const field = [name, value] as const
      bytes += encodeCbor(field).length
      if (bytes > RESULT_BYTES) break
      fields.push(field)
    }
    return fields
  }

  #setInterval(args: Arguments): CommandReply {
    const source = this.#source(String(args.get('source')))
    if (!('name' in source)) return source
    const intervalMs = parseDuration(String(args.get('interval')))
    if (intervalMs === undefined || intervalMs < MIN_INTERVAL_MS || intervalMs > MAX_INTERVAL_MS)
      return refused('FW_COMMAND_ARGUMENTS', 'the interval has to be a duration from 1s to 1h, such as 10s')
    if (!source.setInterval) return refused('FW_COMMAND_ARGUMENTS', 'a source of this kind has no interval')
    source.setInterval(intervalMs)
    return done('measured at this interval until the agent or the source is started again')
  }

  async #restart(args: Arguments): Promise<CommandReply> {
    const source = this.#source(String(args.get('source')))
    if (!('name' in source)) return source
    const sink = this.#parts.sink()
    if (!sink) return failed('FW_COMMAND_FAILED', 'the sources of this agent do not run')
    return this.#alone(`source ${source.name}`, async () => {
      await source.stop()
      // The agent has ended its sources meanwhile.
      if (this.#ending.signal.aborted) return failed('FW_COMMAND_FAILED', 'the agent is ending')
      await source.start(sink)
      return done('the source was started again')
    })
  }

  #acknowledge(args: Arguments): CommandReply {
    const isRaised = this.#parts.acknowledge(String(args.get('alarm')))
    return isRaised
      ? done('the alarm is acknowledged')
      : refused('FW_COMMAND_ARGUMENTS', 'no alarm of this name is raised')
  }

  async #write(args: Arguments): Promise<CommandReply> {
    const { outputs, timers } = this.#parts
    const name = String(args.get('output'))
    const output = outputs.get(name)
    if (!output)
      return refused(
        'FW_COMMAND_ARGUMENTS',
        `there is no such output; there are ${list([...outputs.keys()])}`,
      )
    const text = String(args.get('value'))
    if (Buffer.byteLength(text) > MAX_VALUE_BYTES)
      return refused('FW_COMMAND_ARGUMENTS', `a value has at most ${MAX_VALUE_BYTES} bytes`)
    return this.#alone(`output ${name}`, () =>
      writeOutput(output, text, { timers, signal: this.#ending.signal }),
    )
  }

  #source(name: string): Source | CommandReply {
    const sources = this.#parts.sources()
    const found = sources.find((source) => source.name === name)
    return (
      found ??
      refused(
        'FW_COMMAND_ARGUMENTS',
        `there is no such source; there are ${list(sources.map((one) => one.name))}`,
      )
    )
  }

  /** Two at a time on one thing would undo each other. */
  async #alone(what: string, act: () => Promise<CommandReply>): Promise<CommandReply> {
    if (this.#busy.has(what))
      return failed('FW_COMMAND_BUSY', 'an earlier command for the same is not at its end')
    this.#busy.add(what)
    try {
      return await act()
    } finally {
      this.#busy.delete(what)
    }
  }

  async #within(work: Promise<unknown>, limitMs: number): Promise<boolean> {
    let cancel: () => void = () => undefined
    const late = new Promise<boolean>((resolve) => {
      cancel = this.#parts.timers.after(limitMs, () => resolve(false))
    })
    try {
      return await Promise.race([work.then(() => true), late])
    } finally {
      cancel()
    }
  }
}

function isKnown(name: string): name is CommandName {
  return (COMMAND_NAMES as readonly string[]).includes(name)
}

function list(names: readonly string[]): string {
  return names.length === 0 ? 'none' : names.join(', ')
}
