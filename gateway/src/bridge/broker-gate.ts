import type { Socket } from 'node:net'
import { MAX_CLIENTS, MAX_STRANGERS } from './constants.js'

/**
 * Counts the connections of all listeners of the embedded broker together, from the TCP connection on: so many in all, and
 * of these so many that have not logged in, whatever they are busy with.
 */
export class BrokerGate {
  readonly #strangers = new Set<Socket>()
  readonly #all = new Set<Socket>()
  readonly #full: (what: string, limit: number) => void

  constructor(full: (what: string, limit: number) => void) {
    this.#full = full
  }

  /** False if there is no room; the socket is closed then. */
  take(socket: Socket): boolean {
    if (this.#all.size >= MAX_CLIENTS) return this.#refuse(socket, 'clients', MAX_CLIENTS)
    if (this.#strangers.size >= MAX_STRANGERS)
      return this.#refuse(socket, 'clients that have not logged in', MAX_STRANGERS)
    this.#all.add(socket)
    this.#strangers.add(socket)
    socket.once('close', () => this.leave(socket))
    return true
  }

  /** It is gone, or about to be. */
  leave(socket: Socket): void {
    this.#all.delete(socket)
    this.#strangers.delete(socket)
  }

  #refuse(socket: Socket, what: string, limit: number): false {
    this.#full(what, limit)
    socket.destroy()
    return false
  }

  /** Logged in: its place among the strangers is free. */
  admit(socket: Socket): void {
    this.#strangers.delete(socket)
  }

  closeStrangers(): void {
    for (const socket of this.#strangers) socket.destroy()
  }

  closeAll(): void {
    for (const socket of this.#all) socket.destroy()
  }
}
