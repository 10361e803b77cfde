import { createServer, type Server, type Socket } from 'node:net'
import type { Reporter } from '@fieldwhisper/host'
import { DEFAULT_LINK_PORT, LISTEN_RETRY_MS, TCP_KEEPALIVE_MS } from './constants.js'

export interface LinkServerOptions {
  /** Default: every address, IPv6 and IPv4. */
  readonly host?: string
  /** Default 24708. When it is taken, any free one is used and reported: beacons announce the true one. */
  readonly port?: number
  readonly connection: (socket: Socket) => void
  readonly reporter: Reporter
}

/** The TCP listener for links. It never fails to start: what cannot listen now tries again every 10 s. */
export class LinkServer {
  readonly #options: LinkServerOptions
  #server: Server | undefined
  #retry: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: LinkServerOptions) {
    this.#options = options
  }

  /** The port that it listens on; undefined while it does not. */
  get port(): number | undefined {
    const address = this.#server?.address()
    return typeof address === 'object' && address !== null ? address.port : undefined
  }

  /** Resolves when it listens, or when it was found that it cannot yet. */
  async start(): Promise<void> {
    const { host, port = DEFAULT_LINK_PORT, reporter } = this.#options
    const hosts = host === undefined ? ['::', '0.0.0.0'] : [host]
    let failure: NodeJS.ErrnoException | undefined
    for (const one of hosts) {
      failure = await this.#listen(one, port)
      if (failure?.code === 'EADDRINUSE' && port !== 0) {
        failure = await this.#listen(one, 0)
        if (failure === undefined) {
          reporter.event(
            'warn',
            'FW_LAN_PORT_TAKEN',
            `TCP port ${port} is taken; links come in on port ${this.port} instead`,
            {
              wanted: port,
              port: this.port ?? 0,
            },
          )
        }
      }
      if (failure === undefined || this.#stopped) return
    }
    reporter.event(
      'error',
      'FW_LAN_LISTEN_FAILED',
      `cannot listen for links on ${hosts.join(' or ')}: ${failure?.message}`,
      {
        cause: failure?.code ?? 'unknown',
      },
    )
    this.#retry = setTimeout(() => void this.start(), LISTEN_RETRY_MS)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#retry)
    const server = this.#server
    this.#server = undefined
    if (server === undefined) return
    await new Promise<void>((resolve) => server.close(() => resolve()))
  }

  #listen(host: string, port: number): Promise<NodeJS.ErrnoException | undefined> {
    if (this.#stopped) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEPALIVE_MS })
      server.on('connection', this.#options.connection)
      server.once('error', resolve)
      server.listen({ host, port, exclusive: true }, () => {
        server.removeListener('error', resolve)
        // Out of file handles and the like: the listener goes on, the comer tries again.
        server.on('error', () => undefined)
        if (this.#stopped) {
          server.close(() => resolve(undefined))
          return
        }
        this.#server = server
        resolve(undefined)
      })
    })
  }
}
