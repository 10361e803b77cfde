import { Backoff } from './backoff.js'
import {
  HEALTHY_AFTER_MS,
  MAX_NAMES_PER_PORT,
  PORT_CLOSE_LIMIT_MS,
  PORT_OPEN_LIMIT_MS,
  PORT_RETRY_FIRST_MS,
  PORT_RETRY_MOST_MS,
} from './constants.js'
import { Delivery } from './delivery.js'
import { Health } from './health.js'
import type { LineFault, LineFormat, LineValue } from './lines/line.js'
import type { LineReader } from './lines/reader.js'
import { openFault, type PortFault } from './serial-fault.js'
import {
  closePort,
  openPort,
  portMachine,
  type Port,
  type PortMachine,
  type PortSettings,
} from './serial-port.js'
import { SerialSession } from './serial-session.js'
import type { Sink, Source, SourceContext, SourceStatus } from './source.js'
import { Tally } from './tally.js'

export interface SerialOptions {
  readonly name: string
  readonly port: PortSettings
  readonly lineEnd: '\n' | '\r'
  readonly encoding: 'utf8' | 'latin1'
  readonly maxLineBytes: number
  readonly format: LineFormat
  /** Put in front of every name that the configuration does not give. */
  readonly prefix: string
  /** By the device's own names: what they are called here and their SenML unit. */
  readonly readings: ReadonlyMap<string, { readonly name?: string; readonly unit?: string }>
  /** Names that are not in `readings` are passed over. */
  readonly onlyListed: boolean
}

const PORT = 'serial port'

/**
 * Text lines from a serial port. 1 open, 2 lines, 3 values, 4 samples; when the device goes away, from 1 again with growing
 * pauses. A sample's time is when its line was complete. A serial device cannot be told to wait: what the spool cannot take
 * is counted and gone.
 */
export class SerialSource implements Source {
  readonly name: string
  readonly #options: SerialOptions
  readonly #context: SourceContext
  readonly #machine: PortMachine
  readonly #health: Health
  readonly #delivery: Delivery
  readonly #faults: Tally<LineFault>
  readonly #pauses = new Backoff(PORT_RETRY_FIRST_MS, PORT_RETRY_MOST_MS)
  readonly #names = new Set<string>()
  #run: symbol | undefined
  #opening: Promise<void> = Promise.resolve()
  #session: SerialSession | undefined
  #openedMs = 0
  #cancelRetry: (() => void) | undefined
  #cancelSlow: (() => void) | undefined

  constructor(options: SerialOptions, context: SourceContext, machine: PortMachine = portMachine) {
    this.name = options.name
    this.#options = options
    this.#context = context
    this.#machine = machine
    this.#health = new Health({ name: options.name, type: 'serial' }, 1, context.clock)
    this.#delivery = new Delivery(context, this.#health)
    this.#faults = new Tally(context, (counts) => {
      this.#health.event(
        'warn',
        'FW_SERIAL_LINES_REFUSED',
        `lines from ${options.port.path} were no readings: check format and baud_rate, then cable and ground`,
        Object.fromEntries([...counts].map(([fault, count]) => [fault.replaceAll(' ', '_'), count])),
      )
    })
  }

  start(sink: Sink): void {
    if (this.#run !== undefined) return
    this.#health.started(sink)
    this.#delivery.open(sink)
    this.#pauses.reset()
    const run = Symbol(this.name)
    this.#run = run
    this.#opening = this.#open(run)
  }

  async stop(): Promise<void> {
    if (this.#run === undefined) return
    this.#run = undefined
    this.#cancelRetry?.()
    this.#cancelSlow?.()
    this.#faults.flush()
    this.#delivery.close()
    this.#health.stopped()
    const session = this.#session
    this.#session = undefined
    await session?.close()
    await atMost(this.#opening, PORT_CLOSE_LIMIT_MS, this.#context)
  }

  status(): SourceStatus {
    return this.#health.status({
      accepted: this.#delivery.accepted,
      refused: this.#delivery.refused,
      discarded: this.#faults.total + this.#delivery.overflowed,
    })
  }

  /** Never rejects. A driver that answers after `stop` finds its port closed again. */
  async #open(run: symbol): Promise<void> {
    const { path } = this.#options.port
    const cancelSlow = this.#context.timers.after(PORT_OPEN_LIMIT_MS, () => {
      if (this.#run === run) this.#health.raise(PORT, 'FW_SERIAL_PORT_SLOW', slowText(path))
    })
    this.#cancelSlow = cancelSlow
    let port: Port | undefined
    try {
      const { maxLineBytes: maxBytes, lineEnd } = this.#options
      const reader = await this.#machine.reader({ maxBytes, lineEnd })
      port = await this.#machine.create(this.#options.port)
      await openPort(port)
      if (this.#run === run) {
        this.#opened(port, reader)
        return
      }
      await closePort(port, this.#context)
    } catch (error) {
      if (port !== undefined) await closePort(port, this.#context)
      if (this.#run === run) this.#failed(openFault(path, error))
    } finally {
      cancelSlow()
    }
  }

  #opened(port: Port, reader: LineReader): void {
    this.#openedMs = this.#context.clock.monoMs()
    this.#options.format.reopened?.()
    this.#session = new SerialSession(
      port,
      reader,
      {
        path: this.#options.port.path,
        encoding: this.#options.encoding,
        maxLineBytes: this.#options.maxLineBytes,
      },
      {
        line: (text) => this.#line(text),
        fault: (fault) => this.#faults.count(fault),
        lost: () => this.#lost(),
      },
      this.#machine,
      this.#context,
    )
    this.#health.clear(PORT)
  }

  #line(text: string): void {
    const at = this.#context.clock.monoMs()
    const values = this.#options.format.parse(text)
    if (typeof values === 'string') {
      this.#faults.count(values)
      return
    }
    for (const [name, value] of values) this.#value(name, value, at)
  }

  #value(key: string, value: LineValue, at: number): void {
    const listed = this.#options.readings.get(key)
    if (listed === undefined && this.#options.onlyListed) return
    const name = listed?.name ?? this.#options.prefix + key
    if (!this.#names.has(name)) {
      if (this.#names.size >= MAX_NAMES_PER_PORT) {
        this.#faults.count('too many names')
        return
      }
      this.#names.add(name)
    }
    const unit = listed?.unit
    this.#delivery.push({ name, value, at, ...(unit === undefined ? {} : { unit }) })
  }

  #lost(): void {
    this.#session = undefined
    if (this.#context.clock.monoMs() - this.#openedMs >= HEALTHY_AFTER_MS) this.#pauses.reset()
    this.#failed({ code: 'FW_SERIAL_PORT_LOST', message: lostText(this.#options.port.path) })
  }

  #failed(fault: PortFault): void {
    // A port that was lost and is still missing is one event, not two.
    const known = fault.code === 'FW_SERIAL_PORT_MISSING' && this.#isLost()
    if (!known) this.#health.raise(PORT, fault.code, fault.message)
    const run = this.#run
    this.#cancelRetry = this.#context.timers.after(this.#pauses.next(), () => {
      if (run !== undefined && this.#run === run) this.#opening = this.#open(run)
    })
  }

  #isLost(): boolean {
    return this.status().problems.some(({ code }) => code === 'FW_SERIAL_PORT_LOST')
  }
}

function lostText(path: string): string {
  return `the device at ${path} went away: plug it in again, the agent opens it by itself`
}

function slowText(path: string): string {
  return `${path} does not finish opening: unplug the device and plug it in again`
}

function atMost(work: Promise<void>, limitMs: number, context: SourceContext): Promise<void> {
  return new Promise((resolve) => {
    const cancel = context.timers.after(limitMs, resolve)
    void work.finally(() => {
      cancel()
      resolve()
    })
  })
}
