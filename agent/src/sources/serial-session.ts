import { MID_LINE_MS, PORT_WATCH_INTERVAL_MS } from './constants.js'
import { isText, type LineFault } from './lines/line.js'
import type { LineReader } from './lines/reader.js'
import { closePort, type Port, type PortMachine } from './serial-port.js'
import type { SourceContext } from './source.js'

export interface SessionEvents {
  /** A whole line of text, without its end. */
  line(text: string): void
  fault(fault: LineFault): void
  /** The device is gone; once, and never after `close`. */
  lost(): void
}

export interface SessionOptions {
  readonly path: string
  readonly encoding: 'utf8' | 'latin1'
  readonly maxLineBytes: number
}

/**
 * One open port, from opening to unplugging: bytes to lines, and the end noticed. Besides what the driver reports, the path
 * is looked at every few seconds: after some kinds of unplugging the driver reads nothing for ever, at full speed.
 */
export class SerialSession {
  readonly #port: Port
  readonly #reader: LineReader
  readonly #options: SessionOptions
  readonly #events: SessionEvents
  readonly #machine: PortMachine
  readonly #context: SourceContext
  readonly #openedMs: number
  readonly #utf8 = new TextDecoder('utf-8', { fatal: true })
  #identity: string | undefined
  #cancelWatch: (() => void) | undefined
  #over = false

  constructor(
    port: Port,
    reader: LineReader,
    options: SessionOptions,
    events: SessionEvents,
    machine: PortMachine,
    context: SourceContext,
  ) {
    this.#port = port
    this.#reader = reader
    this.#options = options
    this.#events = events
    this.#machine = machine
    this.#context = context
    this.#openedMs = context.clock.monoMs()

    const lost = (): void => this.#lost()
    port.on('close', lost).on('end', lost).on('error', lost)
    port.once('data', () => {
      if (context.clock.monoMs() - this.#openedMs < MID_LINE_MS) reader.skipLine()
    })
    reader.on('data', (line: string) => this.#line(line))
    reader.on('overlong', () => events.fault('too long'))
    port.pipe(reader, { end: false })
    void this.#watch()
  }

  /** Resolves when the port is closed, or when its driver has not managed that in time. */
  async close(): Promise<void> {
    this.#finish()
    await closePort(this.#port, this.#context)
  }

  #line(bytes: string): void {
    if (this.#over) return
    if (bytes.length > this.#options.maxLineBytes) {
      this.#events.fault('too long')
      return
    }
    const line = this.#decode(bytes.endsWith('\r') ? bytes.slice(0, -1) : bytes)
    if (line === undefined || !isText(line)) this.#events.fault('not text')
    else this.#events.line(line)
  }

  #decode(bytes: string): string | undefined {
    if (this.#options.encoding === 'latin1') return bytes
    try {
      return this.#utf8.decode(Buffer.from(bytes, 'latin1'))
    } catch {
      return undefined
    }
  }

  async #watch(): Promise<void> {
    const identity = await this.#machine.identity(this.#options.path)
    if (this.#over) return
    if (this.#identity !== undefined && identity !== this.#identity) {
      this.#lost()
      return
    }
    // Ports without a path in the file system (COM3) cannot be watched.
    if (identity === undefined) return
    this.#identity = identity
    this.#cancelWatch = this.#context.timers.after(PORT_WATCH_INTERVAL_MS, () => void this.#watch())
  }

  #lost(): void {
    if (this.#over) return
    this.#finish()
    void closePort(this.#port, this.#context)
    this.#events.lost()
  }

  #finish(): void {
    this.#over = true
    this.#cancelWatch?.()
    this.#port.unpipe(this.#reader)
    this.#reader.destroy()
  }
}
