import { networkInterfaces } from 'node:os'
import type { Reporter } from '@fieldwhisper/host'
import { decodeBeacon, encodeBeacon } from './beacon.js'
import { BeaconReceiver } from './beacon-receiver.js'
import { BeaconSender } from './beacon-sender.js'
import {
  BEACON_BURST,
  BEACON_BURST_MS,
  BEACON_CROWD,
  BEACON_ID_BYTES,
  BEACON_ID_LIFE_MS,
  BEACON_INTERVAL_CROWDED_MS,
  BEACON_JITTER,
  BEACON_RESERVED_BYTES,
  BEACONS_PER_SECOND,
  INTERFACE_POLL_MS,
} from './constants.js'
import {
  chooseInterfaces,
  isOnLink,
  isOwnAddress,
  type InterfaceChoice,
  type InterfaceTable,
  type LanInterface,
} from './interfaces.js'
import { between, type Random } from './random.js'
import { DEFAULT_LAN_LIMITS } from './limits.js'
import { plainAddress, type LinkTarget } from './target.js'

export interface HeardBeacon {
  /** The datagram's source address with the port that it announces. */
  readonly target: LinkTarget
  /** 16 hexadecimal digits. */
  readonly id: string
  /** From this machine itself. */
  readonly local: boolean
}

export interface BeaconSocketOptions extends InterfaceChoice {
  readonly port: number
  readonly groups: { readonly ipv4: string; readonly ipv6: string }
  readonly broadcast: boolean
  /** Between two beacons while few devices are heard. Default 5 s. */
  readonly intervalMs?: number
  /** TCP port to announce; undefined: nothing to announce now. */
  readonly linkPort: () => number | undefined
  /** Devices heard lately: above 20 the beacon slows down. */
  readonly devices: () => number
  readonly heard: (beacon: HeardBeacon) => void
  /** An interface came, went or changed. */
  readonly changed: (interfaces: readonly LanInterface[]) => void
  readonly reporter: Reporter
  readonly random: Random
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** For tests; default `os.networkInterfaces`. */
  readonly listInterfaces?: () => InterfaceTable
  readonly pollMs?: number
}

/** Datagrams by what became of them. */
export interface BeaconCounts {
  heard: number
  own: number
  offLink: number
  /** Above 200 a second, not looked at. */
  unread: number
  length: number
  magic: number
  version: number
  port: number
}

/** Milliseconds to the next beacon; `burst` of the quick ones are left. */
export function beaconWait(of: {
  readonly burst: number
  readonly devices: number
  readonly intervalMs: number
  readonly random: Random
}): number {
  const { burst, devices, intervalMs, random } = of
  if (burst === BEACON_BURST) return between(random, 0, BEACON_BURST_MS / 4)
  const slow = devices > BEACON_CROWD ? BEACON_INTERVAL_CROWDED_MS : intervalMs
  const nominal = burst > 0 ? BEACON_BURST_MS : slow
  return nominal * between(random, 1 - BEACON_JITTER, 1 + BEACON_JITTER)
}

/** Announces this device on every chosen interface and reports whom it hears. It answers nothing (DESIGN 7). */
export class BeaconSocket {
  readonly #options: BeaconSocketOptions
  readonly #sender: BeaconSender
  readonly #receivers: readonly BeaconReceiver[]
  readonly counts: BeaconCounts = {
    heard: 0,
    own: 0,
    offLink: 0,
    unread: 0,
    length: 0,
    magic: 0,
    version: 0,
    port: 0,
  }
  #interfaces: readonly LanInterface[] = []
  #table: InterfaceTable = {}
  #id = ''
  #previousId = ''
  #idUntil = 0
  #burst = 0
  #windowStart = 0
  #windowCount = 0
  #toldNone = false
  #poll: NodeJS.Timeout | undefined
  #next: NodeJS.Timeout | undefined

  constructor(options: BeaconSocketOptions) {
    this.#options = options
    const { groups, port, broadcast, reporter } = options
    this.#sender = new BeaconSender({ groups, port, broadcast, reporter })
    const received = (datagram: Uint8Array, source: string): void => this.#received(datagram, source)
    this.#receivers = (['ipv4', 'ipv6'] as const).map(
      (family) => new BeaconReceiver({ family, group: groups[family], port, reporter, received }),
    )
  }

  /** The interfaces in use now. */
  get interfaces(): readonly LanInterface[] {
    return this.#interfaces
  }

  start(): void {
    this.#look()
    this.#poll = setInterval(() => this.#look(), this.#options.pollMs ?? INTERFACE_POLL_MS)
  }

  /** Resolves when all sockets are closed. */
  async stop(): Promise<void> {
    clearInterval(this.#poll)
    clearTimeout(this.#next)
    await Promise.all([this.#sender.close(), ...this.#receivers.map((receiver) => receiver.close())])
  }

  /** Three quick beacons from now: at a start, and when the port or an interface changed. */
  announce(): void {
    this.#burst = BEACON_BURST
    this.#schedule()
  }

  #look(): void {
    try {
      this.#table = (this.#options.listInterfaces ?? networkInterfaces)()
    } catch {
      // The system has no handle left to ask with: what was seen last still holds.
    }
    const interfaces = chooseInterfaces(this.#table, this.#options)
    const before = this.#interfaces.map((one) => one.signature).join('; ')
    const changed = interfaces.map((one) => one.signature).join('; ') !== before
    this.#interfaces = interfaces
    for (const receiver of this.#receivers) if (changed || !receiver.isOpen) receiver.open(interfaces)
    this.#sender.sync(interfaces)
    this.#tellNone(interfaces.length === 0)
    if (!changed) return
    this.#options.changed(interfaces)
    this.announce()
  }

  #tellNone(none: boolean): void {
    if (none && !this.#toldNone) {
      const { names } = this.#options
      const which =
        names === undefined ? 'no network interface' : `none of the interfaces ${names.join(', ')}`
      this.#options.reporter.event(
        'warn',
        'FW_LAN_NO_INTERFACE',
        `${which} is up; LAN peers are found when one is`,
      )
    }
    this.#toldNone = none
  }

  #schedule(): void {
    clearTimeout(this.#next)
    this.#next = setTimeout(() => this.#beat(), this.#wait())
  }

  #wait(): number {
    const { random, devices, intervalMs = DEFAULT_LAN_LIMITS.agent.beaconIntervalMs } = this.#options
    return beaconWait({ burst: this.#burst, devices: devices(), intervalMs, random })
  }

  #beat(): void {
    const { linkPort, random } = this.#options
    const port = linkPort()
    if (port !== undefined) {
      const id = Buffer.from(this.#currentId(), 'hex')
      this.#sender.send(encodeBeacon({ id, port }, random(BEACON_RESERVED_BYTES)))
    }
    this.#burst = Math.max(0, this.#burst - 1)
    this.#schedule()
  }

  #currentId(): string {
    const now = this.#options.now()
    if (this.#id === '' || now >= this.#idUntil) {
      this.#previousId = this.#id
      this.#id = Buffer.from(this.#options.random(BEACON_ID_BYTES)).toString('hex')
      this.#idUntil = now + BEACON_ID_LIFE_MS
    }
    return this.#id
  }

  #received(datagram: Uint8Array, source: string): void {
    const now = this.#options.now()
    if (now - this.#windowStart >= 1_000) {
      this.#windowStart = now
      this.#windowCount = 0
    }
    if (++this.#windowCount > BEACONS_PER_SECOND) {
      this.#count('unread')
      return
    }
    const beacon = decodeBeacon(datagram)
    if (typeof beacon === 'string') return this.#count(beacon)
    const id = Buffer.from(beacon.id).toString('hex')
    if (id === this.#id || id === this.#previousId) return this.#count('own')
    const address = plainAddress(source)
    if (!isOnLink(this.#interfaces, address)) return this.#count('offLink')
    this.#count('heard')
    const local = isOwnAddress(this.#table, address)
    // Our own port under another id: an echo of us that somebody changed.
    if (local && beacon.port === this.#options.linkPort()) return
    this.#options.heard({ target: { address, port: beacon.port }, id, local })
  }

  #count(what: keyof BeaconCounts): void {
    this.counts[what]++
  }
}
