import { createSocket, type Socket } from 'node:dgram'
import type { Reporter } from '@fieldwhisper/host'
import { closeSocket } from './close-socket.js'
import type { LanInterface } from './interfaces.js'

export interface BeaconReceiverOptions {
  readonly family: 'ipv4' | 'ipv6'
  readonly group: string
  readonly port: number
  readonly reporter: Reporter
  readonly received: (datagram: Uint8Array, source: string) => void
}

/**
 * Listens for beacons of one family: one socket, shared with the other programs of this machine, that joined the group on
 * every chosen interface. An interface that cannot be joined is reported and does not keep the others from being heard.
 */
export class BeaconReceiver {
  readonly #options: BeaconReceiverOptions
  #socket: Socket | undefined

  constructor(options: BeaconReceiverOptions) {
    this.#options = options
  }

  get isOpen(): boolean {
    return this.#socket !== undefined
  }

  /** Joins anew on these interfaces: memberships of an interface that went away and came back are worth nothing. */
  open(interfaces: readonly LanInterface[]): void {
    void this.close()
    const { family, port, reporter, received } = this.#options
    const mine = interfaces.filter((one) => (family === 'ipv4' ? one.ipv4.length > 0 : one.ipv6))
    if (mine.length === 0) return
    const socket = createSocket({
      type: family === 'ipv4' ? 'udp4' : 'udp6',
      reuseAddr: true,
      ipv6Only: family === 'ipv6',
    })
    this.#socket = socket
    socket.on('message', (datagram, { address }) => received(datagram, address))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      reporter.event(
        'warn',
        'FW_LAN_BEACON_UNAVAILABLE',
        `cannot listen for beacons on UDP port ${port}: ${error.message}`,
        {
          family,
          cause: error.code ?? 'unknown',
        },
      )
      if (this.#socket === socket) void this.close()
    })
    socket.bind({ port, exclusive: true }, () => {
      if (this.#socket !== socket) return
      for (const one of mine) this.#join(socket, one)
    })
  }

  /** Resolves when its socket is closed. */
  async close(): Promise<void> {
    const socket = this.#socket
    this.#socket = undefined
    if (socket !== undefined) await closeSocket(socket)
  }

  #join(socket: Socket, one: LanInterface): void {
    const { family, group, reporter } = this.#options
    const by = family === 'ipv4' ? one.ipv4[0]!.address : `::%${one.name}`
    try {
      socket.addMembership(group, by)
    } catch (error) {
      const { code = 'unknown', message } = error as NodeJS.ErrnoException
      // Two addresses of one interface, or an interface listed twice by the system: joined is joined.
      if (code === 'EADDRINUSE') return
      reporter.event('warn', 'FW_LAN_INTERFACE_FAILED', `cannot hear beacons on ${one.name}: ${message}`, {
        interface: one.name,
        family,
        cause: code,
      })
    }
  }
}
