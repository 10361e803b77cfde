import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { LOOPBACK } from '../programs/ports.js'

/**
 * The cable between agents and gateway: TCP connections pass through it, and `cut` breaks all of them and lets none through
 * until `mend`. It stands on loopback, where nothing can be unplugged without root.
 */
export class Gate {
  readonly #target: number
  readonly #sockets = new Set<Socket>()
  #server: Server | undefined
  #port = 0

  /** Leads to a TCP port of loopback. */
  constructor(target: number) {
    this.#target = target
  }

  /** Where agents dial; known after the first `mend`. */
  get port(): number {
    return this.#port
  }

  mend(): Promise<void> {
    const server = createServer((socket) => this.#pass(socket))
    this.#server = server
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: LOOPBACK, port: this.#port }, () => {
        this.#port = (server.address() as AddressInfo).port
        resolve()
      })
    })
  }

  async cut(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    const closed = new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  #pass(near: Socket): void {
    const far = connect({ host: LOOPBACK, port: this.#target })
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(socket)
      socket.setNoDelay(true)
      socket.on('error', () => socket.destroy())
      socket.on('close', () => {
        this.#sockets.delete(socket)
        other.destroy()
      })
    }
    near.pipe(far)
    far.pipe(near)
  }
}
