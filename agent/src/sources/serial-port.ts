import type { Duplex } from 'node:stream'
import { stat } from 'node:fs/promises'
import { PORT_CLOSE_LIMIT_MS } from './constants.js'
import type { LineReader, LineReaderOptions } from './lines/reader.js'
import type { SourceContext } from './source.js'

/** How the line is set. Names and values as `serialport` has them. */
export interface PortSettings {
  readonly path: string
  readonly baudRate: number
  readonly dataBits: 5 | 6 | 7 | 8
  readonly parity: 'none' | 'even' | 'odd' | 'mark' | 'space'
  readonly stopBits: 1 | 1.5 | 2
  readonly flowControl: 'none' | 'hardware' | 'software'
}

/** What this source uses of a port of `serialport`, open or not. */
export interface Port extends Duplex {
  readonly isOpen: boolean
  open(done: (error: Error | null) => void): void
  close(done: (error: Error | null) => void): void
  /** Throws away what the driver received and nobody has read. */
  flush(done: (error: Error | null) => void): void
}

/** A machine as the source sees it; tests have one of their own. */
export interface PortMachine {
  /** A port that is not open yet. Rejects when this machine has no serial port driver. */
  create(settings: PortSettings): Promise<Port>
  reader(options: LineReaderOptions): Promise<LineReader>
  /** Something that differs when another device answers to this path; `undefined` when none does. */
  identity(path: string): Promise<string | undefined>
}

export const portMachine: PortMachine = {
  async create(settings) {
    // Loaded here: 8 MB that an agent without a serial port does not need.
    const { SerialPort } = await import('serialport')
    return new SerialPort({
      path: settings.path,
      baudRate: settings.baudRate,
      dataBits: settings.dataBits,
      parity: settings.parity,
      stopBits: settings.stopBits,
      rtscts: settings.flowControl === 'hardware',
      xon: settings.flowControl === 'software',
      xoff: settings.flowControl === 'software',
      autoOpen: false,
    })
  },

  async reader(options) {
    const { LineReader } = await import('./lines/reader.js')
    return new LineReader(options)
  },

  async identity(path) {
    try {
      const { rdev, ino, dev } = await stat(path)
      return `${rdev}:${dev}:${ino}`
    } catch {
      return undefined
    }
  },
}

/** Opens a port and empties what its driver kept from before, which is older than any time we could give it. */
export async function openPort(port: Port): Promise<void> {
  // Between this and the session's own listeners a dying device would end the process.
  port.on('error', () => undefined)
  await new Promise<void>((resolve, reject) => {
    port.open((error) => (error instanceof Error ? reject(error) : resolve()))
  })
  // A driver that cannot do this kept nothing.
  await new Promise<void>((resolve) => port.flush(() => resolve()))
}

/** Closes a port that may be half open, broken or closed already. Never rejects. */
export function closePort(port: Port, context: SourceContext): Promise<void> {
  port.removeAllListeners()
  // A driver may report once more what is known already; nobody listening would end the process.
  port.on('error', () => undefined)
  if (!port.isOpen) return Promise.resolve()
  return new Promise((resolve) => {
    const cancel = context.timers.after(PORT_CLOSE_LIMIT_MS, resolve)
    port.close(() => {
      cancel()
      resolve()
    })
  })
}
