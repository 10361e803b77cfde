import { lookup } from 'node:dns/promises'
import { connect, isIP, type Socket } from 'node:net'
import { CONNECT_TIMEOUT_MS, TCP_KEEPALIVE_MS } from './constants.js'
import type { LinkTarget } from './target.js'

/**
 * Opens TCP connections, each within 3 s. Host names are looked up one after another: a site whose DNS is dead would
 * else block every thread that the process has for files.
 */
export class Dialler {
  readonly #connecting = new Set<Socket>()
  #lookups: Promise<unknown> = Promise.resolve()
  #attempts = 0
  #stopped = false

  /** Resolves to a connected socket, or to undefined when nobody answered. Never rejects. */
  async dial({ address, port }: LinkTarget): Promise<Socket | undefined> {
    try {
      const found = isIP(address) > 0 ? address : await this.#find(address)
      if (found === undefined || this.#stopped) return undefined
      return await this.#connect(found, port)
    } catch {
      // A remembered target that is none, or a name that nobody knows.
      return undefined
    }
  }

  /** Ends what is under way; those dials resolve to undefined. */
  stop(): void {
    this.#stopped = true
    for (const socket of this.#connecting) socket.destroy()
  }

  /** One of the name's addresses, another one at the next attempt. */
  async #find(name: string): Promise<string | undefined> {
    const turn = this.#lookups.then(async () => {
      if (this.#stopped) return undefined
      const found = await lookup(name, { all: true })
      return found[this.#attempts++ % found.length]?.address
    })
    this.#lookups = turn.catch(() => undefined)
    return await turn
  }

  #connect(host: string, port: number): Promise<Socket | undefined> {
    return new Promise((resolve) => {
      const socket = connect({
        host,
        port,
        noDelay: true,
        keepAlive: true,
        keepAliveInitialDelay: TCP_KEEPALIVE_MS,
      })
      this.#connecting.add(socket)
      const deadline = setTimeout(() => socket.destroy(), CONNECT_TIMEOUT_MS)
      const settle = (result: Socket | undefined): void => {
        clearTimeout(deadline)
        this.#connecting.delete(socket)
        socket.removeAllListeners('connect').removeAllListeners('close')
        resolve(result)
      }
      // The close event follows an error.
      socket.on('error', () => undefined)
      socket.once('close', () => settle(undefined))
      socket.once('connect', () => settle(socket))
    })
  }
}
