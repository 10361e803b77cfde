import type { Reporter } from '@fieldwhisper/host'
import { BeaconSocket, type BeaconCounts } from './beacon-socket.js'
import {
  DEFAULT_BEACON_PORT,
  DEFAULT_GROUPS,
  DEFAULT_LINK_PORT,
  NEIGHBOUR_TICK_MS,
  PEERS_MAX,
} from './constants.js'
import { MeshError } from '../errors.js'
import { DEFAULT_LAN_LIMITS, type LanLimits } from './limits.js'
import type { LinkEnd } from './link.js'
import { Links, type LinkInfo } from './links.js'
import { Neighbours, type NeighbourEffect, type NeighbourEvent } from './neighbours.js'
import { QuietReporter } from './quiet.js'
import type { Random } from './random.js'
import { parsePeer, type LinkTarget } from './target.js'

/** What a LAN tells its owner. Called from sockets and timers, never from within a call to `Lan` except `stop` and `close`. */
export interface LanHandlers {
  /** The other end speaks our protocol; who it is, nobody knows yet. */
  opened(link: LinkInfo): void
  /** 31 to 16,384 bytes from anybody; yours to keep. */
  packet(link: number, packet: Uint8Array): void
  /** Asks for the prekey record of a slot (16 bytes); `answer` it if the slot is this site's, else say nothing. */
  question(link: number, slot: Uint8Array): void
  /** A prekey record, unverified; never empty. Asked for or not. */
  record(link: number, record: Uint8Array): void
  /** Once for every `opened`. */
  closed(link: number, end: LinkEnd): void
  /** Addresses to pass as `remembered` at the next start; changes seldom. */
  remember(targets: readonly LinkTarget[]): void
}

export interface LanOptions {
  /** Nobody else learns the role from it. */
  readonly role: 'agent' | 'gateway'
  /** Default: those of the role. */
  readonly limits?: LanLimits
  /** Interface names for beacons. Absent: all but loopback. */
  readonly interfaces?: readonly string[]
  /** Beacons also on loopback, for a site on one host. Default false. */
  readonly loopback?: boolean
  /** Beacons also to IPv4 subnet broadcast addresses. Default false. */
  readonly broadcast?: boolean
  /** False: neither sends nor hears beacons; only `peers` and inbound links. Default true. */
  readonly discovery?: boolean
  /** UDP, default 24707; the same in the whole site. */
  readonly beaconPort?: number
  readonly groups?: { readonly ipv4: string; readonly ipv6: string }
  /** TCP for links. Default: every address, port 24708 or, if that is taken, any free one. Port 0: any free one. */
  readonly listen?: { readonly host?: string; readonly port?: number }
  /** `host:port` or `[IPv6]:port`, at most 64; always dialled. */
  readonly peers?: readonly string[]
  /** What `remember` gave last. */
  readonly remembered?: readonly LinkTarget[]
  /** The directory slot (16 bytes) to ask links for while searching; undefined when there is none yet. */
  readonly slot?: () => Uint8Array | undefined
  readonly handlers: LanHandlers
  readonly reporter: Reporter
  readonly random: Random
  /** Monotonic. */
  readonly clock: { monoMs(): number }
}

export interface LanStatus {
  /** TCP port of links; undefined while it cannot listen. */
  readonly port: number | undefined
  readonly interfaces: readonly string[]
  readonly heardAddresses: number
  readonly heardDevices: number
  readonly searching: boolean
  readonly links: number
  readonly beacons: Readonly<BeaconCounts> | undefined
}

/**
 * The LAN side of a device: beacon, links and the choice of neighbours, put together. Carries packets and knows nothing of
 * what is in them; the courier tells it what was worth something (`acked`, `useful`, `outstanding`).
 */
export interface Lan {
  /** Resolves when links can come in and the first beacon is due; never rejects for want of a network. */
  start(): Promise<void>
  /** Sends what waits (half a second at most) and closes everything. */
  stop(): Promise<void>
  /** False: no such link, or 256 KiB wait for it already; the packet counts as not offered. */
  send(link: number, packet: Uint8Array): boolean
  /** Asks for the prekey record of a slot. */
  ask(link: number, slot: Uint8Array): boolean
  /** Answers a question, or pushes a newer record. Addresses that brought ACKs go with it. */
  answer(link: number, record: Uint8Array): boolean
  /** An ACK that opened came over this link; it is useful with that. */
  acked(link: number): void
  /** Something that came over this link opened: its place is not for strangers. */
  useful(link: number): void
  /** Is anything unacknowledged? While it is and no link brings an ACK, the LAN searches. */
  outstanding(value: boolean): void
  /** Stops or resumes reading from all links, while the owner cannot take more. */
  setPaused(paused: boolean): void
  links(): (LinkInfo & { readonly useful: boolean; readonly bufferedBytes: number })[]
  status(): LanStatus
}

/** Opens nothing before `start`. Throws `MeshError` FW_LAN_PEER_INVALID for peers that cannot be read. */
export function createLan(options: LanOptions): Lan {
  return new LanSide(options)
}

class LanSide implements Lan {
  readonly #options: LanOptions
  readonly #links: Links
  readonly #neighbours: Neighbours
  readonly #beacon: BeaconSocket | undefined
  #ticker: NodeJS.Timeout | undefined
  #stopped = false

  constructor(options: LanOptions) {
    this.#options = options
    const { role, handlers, random, clock } = options
    const now = (): number => clock.monoMs()
    const reporter = new QuietReporter(options.reporter, now)
    const limits = options.limits ?? DEFAULT_LAN_LIMITS[role]
    const peers = readPeers(options.peers ?? [])
    this.#neighbours = new Neighbours({
      role,
      peers,
      remembered: options.remembered ?? [],
      limits,
      now: now(),
      random,
    })
    this.#links = new Links({
      ...(options.listen && { listen: options.listen }),
      maxInbound: limits.inboundLinks,
      reporter,
      now,
      events: {
        opened: (link) => {
          const { id, address, target } = link
          handlers.opened(link)
          this.#step({ type: 'opened', link: id, address, ...(target && { target }) })
        },
        packet: (link, packet) => handlers.packet(link, packet),
        question: (link, slot) => handlers.question(link, slot),
        record: (link, record, hints) => {
          this.#step({ type: 'hinted', targets: hints })
          if (record.length > 0) handlers.record(link, record)
        },
        closed: (link, end) => {
          handlers.closed(link, end)
          this.#step({ type: 'closed', link })
        },
        dialFailed: (target) => this.#step({ type: 'dialFailed', target }),
      },
    })
    if (options.discovery !== false) {
      this.#beacon = new BeaconSocket({
        ...(options.interfaces && { names: options.interfaces }),
        loopback: options.loopback ?? false,
        broadcast: options.broadcast ?? false,
        intervalMs: limits.beaconIntervalMs,
        port: options.beaconPort ?? DEFAULT_BEACON_PORT,
        groups: options.groups ?? DEFAULT_GROUPS,
        linkPort: () => this.#links.port,
        devices: () => this.#neighbours.heard.devices,
        heard: (beacon) => this.#step({ type: 'heard', ...beacon }),
        changed: () => this.#step({ type: 'networkChanged' }),
        reporter,
        random,
        now,
      })
    }
  }

  async start(): Promise<void> {
    await this.#links.start()
    if (this.#stopped) return
    this.#ticker = setInterval(() => this.#step({ type: 'tick' }), NEIGHBOUR_TICK_MS)
    this.#beacon?.start()
    this.#step({ type: 'tick' })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearInterval(this.#ticker)
    await Promise.all([this.#beacon?.stop(), this.#links.stop()])
  }

  send(link: number, packet: Uint8Array): boolean {
    return this.#links.sendPacket(link, packet)
  }

  ask(link: number, slot: Uint8Array): boolean {
    return this.#links.sendQuestion(link, slot)
  }

  answer(link: number, record: Uint8Array): boolean {
    return this.#links.sendRecord(link, record, this.#neighbours.hints(this.#options.clock.monoMs()))
  }

  acked(link: number): void {
    this.#links.markUseful(link)
    this.#step({ type: 'acked', link })
  }

  useful(link: number): void {
    this.#links.markUseful(link)
  }

  outstanding(value: boolean): void {
    this.#step({ type: 'outstanding', value })
  }

  setPaused(paused: boolean): void {
    this.#links.setPaused(paused)
  }

  links(): ReturnType<Lan['links']> {
    return this.#links.list()
  }

  status(): LanStatus {
    const { addresses, devices } = this.#neighbours.heard
    return {
      port: this.#links.port,
      interfaces: this.#beacon?.interfaces.map(({ name }) => name) ?? [],
      heardAddresses: addresses,
      heardDevices: devices,
      searching: this.#neighbours.searching,
      links: this.#links.list().length,
      beacons: this.#beacon && { ...this.#beacon.counts },
    }
  }

  #step(event: NeighbourEvent): void {
    if (this.#stopped) return
    for (const effect of this.#neighbours.step(event, this.#options.clock.monoMs())) this.#carryOut(effect)
  }

  #carryOut(effect: NeighbourEffect): void {
    switch (effect.type) {
      case 'dial':
        return this.#links.dial(effect.target)
      case 'close':
        return this.#links.close(effect.link)
      case 'ask': {
        const slot = this.#options.slot?.()
        if (slot !== undefined) this.#links.sendQuestion(effect.link, slot)
        return
      }
      case 'remember':
        return this.#options.handlers.remember(effect.targets)
    }
  }
}

function readPeers(entries: readonly string[]): LinkTarget[] {
  if (entries.length > PEERS_MAX) {
    throw new MeshError(
      'FW_LAN_PEER_INVALID',
      `${entries.length} peers are configured, at most ${PEERS_MAX} are dialled`,
    )
  }
  return entries.map((entry) => parsePeer(entry, DEFAULT_LINK_PORT))
}
