import { connect, createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import type { EventFields, Level } from '@fieldwhisper/host'
import { Links, type LinkEvents, type LinkInfo, type LinksOptions, type LinkTarget } from '@fieldwhisper/mesh'
import { until } from '../../support/until.js'

/** Deadlines short enough for a test and long enough for a busy machine. */
export const QUICK = {
  firstFrameMs: 400,
  frameMs: 500,
  lifeSignMs: 100,
  idleMs: 500,
  answerMs: 400,
  drainMs: 500,
}

export type LinkEvent = {
  [K in keyof LinkEvents]: { readonly type: K; readonly args: Parameters<LinkEvents[K]> }
}[keyof LinkEvents]

/** Events in order of arrival, to be waited for. */
export class Inbox<T> {
  readonly all: T[] = []
  #wake: (() => void)[] = []

  push(item: T): void {
    this.all.push(item)
    for (const wake of this.#wake.splice(0)) wake()
  }

  /** The first item, from now or before, that fits. Rejects after the deadline. */
  async until<U extends T>(fits: (item: T) => item is U, deadlineMs?: number): Promise<U>
  async until(fits: (item: T) => boolean, deadlineMs?: number): Promise<T>
  async until(fits: (item: T) => boolean, deadlineMs = 5_000): Promise<T> {
    const end = performance.now() + deadlineMs
    for (;;) {
      const found = this.all.find(fits)
      if (found !== undefined) return found
      const left = end - performance.now()
      if (left <= 0)
        throw new Error(
          `not within ${deadlineMs} ms: ${fits.toString()}; there were ${JSON.stringify(this.all).slice(0, 500)}`,
        )
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }
}

/** One device's links, with everything they said. */
export class End {
  readonly inbox = new Inbox<LinkEvent>()
  readonly reports: { level: Level; code: string; message: string; fields: EventFields | undefined }[] = []
  readonly links: Links
  /** Added to the clock. */
  skipMs = 0

  constructor(options: Partial<LinksOptions> = {}) {
    const note =
      <K extends keyof LinkEvents>(type: K) =>
      (...args: Parameters<LinkEvents[K]>) =>
        this.inbox.push({ type, args } as LinkEvent)
    this.links = new Links({
      listen: { host: '127.0.0.1', port: 0 },
      maxInbound: 64,
      timing: QUICK,
      tickMs: 20,
      now: () => performance.now() + this.skipMs,
      reporter: {
        event: (level, code, message, fields) => this.reports.push({ level, code, message, fields }),
      },
      events: {
        opened: note('opened'),
        packet: note('packet'),
        question: note('question'),
        record: note('record'),
        closed: note('closed'),
        dialFailed: note('dialFailed'),
      },
      ...options,
    })
  }

  get target(): LinkTarget {
    return { address: '127.0.0.1', port: this.links.port! }
  }

  get codes(): string[] {
    return this.reports.map(({ code }) => code)
  }

  async opened(nth = 0): Promise<LinkInfo> {
    const opened = (): Extract<LinkEvent, { type: 'opened' }>[] =>
      this.inbox.all.filter((event) => event.type === 'opened')
    await this.inbox.until(() => opened().length > nth)
    return opened()[nth]!.args[0]
  }

  async closed(link: number): Promise<string> {
    await this.inbox.until((event) => event.type === 'closed' && event.args[0] === link)
    const closed = this.inbox.all.find((event) => event.type === 'closed' && event.args[0] === link)
    return closed!.args[1] as string
  }

  packets(): Uint8Array[] {
    return this.inbox.all.flatMap((event) => (event.type === 'packet' ? [event.args[1]] : []))
  }

  /** A raw connection to this end. */
  async stranger(): Promise<Stranger> {
    const socket = connect(this.target.port, '127.0.0.1')
    await once(socket, 'connect')
    return new Stranger(socket)
  }
}

/** The other end of a raw connection. */
export class Stranger {
  readonly socket: Socket
  readonly chunks: Buffer[] = []
  closed = false

  constructor(socket: Socket) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => this.chunks.push(chunk))
    socket.on('error', () => undefined)
    socket.on('close', () => (this.closed = true))
  }

  get bytes(): string {
    return Buffer.concat(this.chunks).toString('hex')
  }

  async whenClosed(): Promise<void> {
    if (!this.closed) await once(this.socket, 'close', { signal: AbortSignal.timeout(5_000) })
  }
}

/** A server whose answers the test writes; it keeps its connections. */
export async function rawServer(
  connected: (stranger: Stranger) => void,
): Promise<{ server: Server; target: LinkTarget; strangers: Stranger[] }> {
  const strangers: Stranger[] = []
  const server = createServer((socket) => {
    strangers.push(new Stranger(socket))
    connected(strangers.at(-1)!)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return { server, target: { address: '127.0.0.1', port: address.port }, strangers }
}

/** A wire between two ends that can be cut without a word to either. */
export async function wire(
  to: LinkTarget,
): Promise<{ target: LinkTarget; cut(): void; close(): Promise<void> }> {
  const sockets: Socket[] = []
  const { server, target } = await rawServer(({ socket }) => {
    const far = connect(to.port, to.address)
    sockets.push(socket, far)
    far.on('error', () => undefined)
    socket.pipe(far)
    far.pipe(socket)
  })
  return {
    target,
    cut: () => {
      for (const socket of sockets) socket.unpipe().pause()
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** Waits until this process has no socket left; a closed handle is freed a moment after its close event. */
export async function nothingOpen(): Promise<void> {
  const open = (): boolean => process.getActiveResourcesInfo().some((what) => /TCP|UDP/.test(what))
  await until(() => !open(), { withinMs: 2_000, what: 'every socket to be closed' })
}
