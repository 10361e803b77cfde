import { createSocket, type Socket } from 'node:dgram'
import type { Reporter } from '@fieldwhisper/host'
import { closeSocket } from './close-socket.js'
import { broadcastAddress, type LanInterface } from './interfaces.js'

export interface BeaconSenderOptions {
  readonly groups: { readonly ipv4: string; readonly ipv6: string }
  readonly port: number
  /** Also to each IPv4 subnet's broadcast address. */
  readonly broadcast: boolean
  readonly reporter: Reporter
}

interface Way {
  readonly key: string
  readonly interfaceName: string
  readonly socket: Socket
  readonly destinations: readonly string[]
  ready: boolean
  /** To be closed and opened anew. */
  broken: boolean
}

/** A first failure is ordinary: a new IPv6 address may not be used for its first seconds. */
const FAILURES_REPORTED = 3

/**
 * Sends beacons: a socket for each IPv4 address and for each interface with IPv6, because the interface that a multicast
 * leaves by is a setting of its socket. A way that fails three times is reported once, opened anew and tried again; the others
 * do not notice.
 */
export class BeaconSender {
  readonly #options: BeaconSenderOptions
  readonly #ways = new Map<string, Way>()
  /** Failures in a row. */
  readonly #failures = new Map<string, number>()

  constructor(options: BeaconSenderOptions) {
    this.#options = options
  }

  /** Opens what is missing, mends what broke, closes what is gone. */
  sync(interfaces: readonly LanInterface[]): void {
    const wanted = new Map<string, () => Way>()
    for (const one of interfaces) {
      for (const own of one.ipv4) {
        const key = `${one.name} ${own.address}`
        wanted.set(key, () => this.#openIpv4(key, one.name, own))
      }
      if (one.ipv6) wanted.set(`${one.name} ipv6`, () => this.#openIpv6(`${one.name} ipv6`, one.name))
    }
    for (const way of this.#ways.values()) if (!wanted.has(way.key) || way.broken) void this.#drop(way)
    for (const [key, open] of wanted) if (!this.#ways.has(key)) this.#ways.set(key, open())
    for (const key of this.#failures.keys()) if (!wanted.has(key)) this.#failures.delete(key)
  }

  /** One beacon by every way that is ready. */
  send(beacon: Uint8Array): void {
    for (const way of this.#ways.values()) {
      if (!way.ready || way.broken) continue
      for (const destination of way.destinations) {
        way.socket.send(beacon, this.#options.port, destination, (error) => {
          if (error === null) this.#failures.delete(way.key)
          else this.#failed(way, error)
        })
      }
    }
  }

  /** Resolves when all sockets are closed. */
  async close(): Promise<void> {
    await Promise.all([...this.#ways.values()].map((way) => this.#drop(way)))
  }

  #openIpv4(key: string, name: string, own: { readonly address: string; readonly netmask: string }): Way {
    const { groups, broadcast } = this.#options
    const subnet = broadcast ? broadcastAddress(own) : undefined
    const destinations = subnet === undefined ? [groups.ipv4] : [groups.ipv4, subnet]
    return this.#open(key, name, createSocket('udp4'), own.address, destinations, (socket) => {
      socket.setMulticastInterface(own.address)
      socket.setTTL(1)
      socket.setBroadcast(broadcast)
    })
  }

  #openIpv6(key: string, name: string): Way {
    const destinations = [`${this.#options.groups.ipv6}%${name}`]
    return this.#open(key, name, createSocket('udp6'), undefined, destinations, (socket) => {
      socket.setMulticastInterface(`::%${name}`)
    })
  }

  #open(
    key: string,
    name: string,
    socket: Socket,
    address: string | undefined,
    destinations: readonly string[],
    prepare: (socket: Socket) => void,
  ): Way {
    const way: Way = { key, interfaceName: name, socket, destinations, ready: false, broken: false }
    socket.on('error', (error) => this.#failed(way, error))
    socket.bind({ port: 0, exclusive: true, ...(address !== undefined && { address }) }, () => {
      if (way.broken) return
      try {
        prepare(socket)
        // One hop: a beacon that left its subnet would announce an address that nobody there may dial.
        socket.setMulticastTTL(1)
        socket.setMulticastLoopback(true)
        way.ready = true
      } catch (error) {
        this.#failed(way, error as Error)
      }
    })
    return way
  }

  #failed(way: Way, error: NodeJS.ErrnoException): void {
    const failures = (this.#failures.get(way.key) ?? 0) + 1
    this.#failures.set(way.key, failures)
    if (!way.ready || failures % FAILURES_REPORTED === 0) way.broken = true
    if (failures !== FAILURES_REPORTED) return
    const text = `cannot send beacons on ${way.interfaceName}: ${error.message}`
    const fields = { interface: way.interfaceName, cause: error.code ?? 'unknown' }
    this.#options.reporter.event('warn', 'FW_LAN_INTERFACE_FAILED', text, fields)
  }

  async #drop(way: Way): Promise<void> {
    this.#ways.delete(way.key)
    way.broken = true
    await closeSocket(way.socket)
  }
}
