import { Neighbours, type NeighbourEffect, type NeighbourEvent, type LinkTarget } from '@fieldwhisper/mesh'

import { seededRandom } from '../../support/seeded-random.js'

/*
 * A LAN on virtual time: every device runs the real Neighbours; this stands for the beacons, the links and the sealed
 * traffic around it. Seeded, so that a failing run repeats.
 */

export interface SiteOptions {
  readonly agents: number
  readonly seed: number
  /** Share of beacons that a device does not hear. */
  readonly loss?: number
  /** The gateway's own dials fail, or everybody's dials to agents do (after this many ms). */
  readonly gatewayDials?: boolean
  readonly agentsDropDialsMs?: number
  /** Handshakes a second that the gateway's worker manages. */
  readonly handshakesPerSecond?: number
  /** Addresses a device: 2 is IPv4 and IPv6. */
  readonly addresses?: number
  /** When each device starts. */
  readonly startMs?: (index: number, chance: () => number) => number
}

interface Device {
  readonly index: number
  readonly role: 'agent' | 'gateway'
  readonly targets: readonly LinkTarget[]
  neighbours: Neighbours | undefined
  foundAt: number | undefined
  outgoing: number
  mostOutgoing: number
  inbound: number
  dials: number
}

const AGENT_INBOUND = 64
const LATENCY_MS = 2

export class Site {
  readonly devices: Device[] = []
  readonly #options: SiteOptions
  readonly #queue: { at: number; order: number; run: () => void }[] = []
  readonly #ends = new Map<number, { device: Device; other: number; dialled: boolean }>()
  #now = 0
  #order = 0
  readonly chance: () => number
  #nextLink = 1
  #gatewayFreeAt = 0

  constructor(options: SiteOptions) {
    this.#options = options
    const bytes = seededRandom(options.seed)
    this.chance = () => Buffer.from(bytes(4)).readUInt32BE() / 2 ** 32
    for (let index = 0; index <= options.agents; index++) {
      const targets = Array.from({ length: options.addresses ?? 1 }, (_, i) => ({
        address: i === 0 ? `10.0.0.${index + 1}` : `fe80::${index + 1}%eth0`,
        port: 24_708,
      }))
      const role = index === 0 ? 'gateway' : 'agent'
      const counts = { foundAt: undefined, outgoing: 0, mostOutgoing: 0, inbound: 0, dials: 0 }
      const device: Device = { index, role, targets, neighbours: undefined, ...counts }
      this.devices.push(device)
      this.#at(options.startMs?.(index, () => this.chance()) ?? this.chance() * 2_000, () =>
        this.#start(device),
      )
    }
  }

  get agents(): Device[] {
    return this.devices.filter((device) => device.role === 'agent')
  }

  run(untilMs: number): void {
    while (this.#queue.length > 0) {
      const next = this.#queue[0]!
      if (next.at > untilMs) break
      this.#queue.shift()
      this.#now = next.at
      next.run()
    }
    this.#now = untilMs
  }

  #at(at: number, run: () => void): void {
    const item = { at, order: this.#order++, run }
    let low = 0
    let high = this.#queue.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#queue[middle]!.at <= at) low = middle + 1
      else high = middle
    }
    this.#queue.splice(low, 0, item)
  }

  #start(device: Device): void {
    const random = seededRandom(this.#options.seed * 1_000 + device.index)
    device.neighbours = new Neighbours({
      role: device.role,
      peers: [],
      remembered: [],
      now: this.#now,
      random,
    })
    if (device.role === 'agent') this.#step(device, { type: 'outstanding', value: true })
    this.#beacon(device, 3)
    this.#tick(device)
  }

  #tick(device: Device): void {
    this.#step(device, { type: 'tick' })
    this.#at(this.#now + 250, () => this.#tick(device))
  }

  #beacon(device: Device, burst: number): void {
    for (const other of this.devices) {
      if (other === device) continue
      for (const target of device.targets) {
        if (this.chance() < (this.#options.loss ?? 0)) continue
        const event = { type: 'heard', target, id: `id-${device.index}`, local: false } as const
        this.#at(this.#now + 1, () => this.#step(other, event))
      }
    }
    const nominal = burst > 0 ? 1_000 : device.neighbours!.heard.devices > 20 ? 30_000 : 5_000
    this.#at(this.#now + nominal * (0.8 + 0.4 * this.chance()), () =>
      this.#beacon(device, Math.max(0, burst - 1)),
    )
  }

  #step(device: Device, event: NeighbourEvent): void {
    const effects = device.neighbours?.step(event, this.#now) ?? []
    for (const effect of effects) this.#carryOut(device, effect)
  }

  #carryOut(device: Device, effect: NeighbourEffect): void {
    if (effect.type === 'dial') this.#dial(device, effect.target)
    if (effect.type === 'close') this.#at(this.#now + LATENCY_MS, () => this.#close(effect.link))
    if (effect.type === 'ask') this.#at(this.#now + LATENCY_MS, () => this.#answer(effect.link))
  }

  #dial(device: Device, target: LinkTarget): void {
    device.dials++
    const other = this.devices.find((one) => one.targets.some((own) => own.address === target.address))!
    const dropped = other.role === 'agent' ? this.#options.agentsDropDialsMs : undefined
    const blocked =
      dropped !== undefined || (device.role === 'gateway' && this.#options.gatewayDials === false)
    const full = other.role === 'agent' && other.inbound >= AGENT_INBOUND
    if (blocked || full || other.neighbours === undefined) {
      this.#at(this.#now + (dropped ?? LATENCY_MS), () => this.#step(device, { type: 'dialFailed', target }))
      return
    }
    this.#at(this.#now + LATENCY_MS, () => {
      const [here, there] = [this.#nextLink++, this.#nextLink++]
      this.#ends.set(here, { device, other: there, dialled: true })
      this.#ends.set(there, { device: other, other: here, dialled: false })
      device.mostOutgoing = Math.max(device.mostOutgoing, ++device.outgoing)
      other.inbound++
      const from = device.targets[other.targets.findIndex((own) => own.address === target.address)]!
      this.#step(device, { type: 'opened', link: here, address: target.address, target })
      this.#step(other, { type: 'opened', link: there, address: from.address })
      this.#hello(device, here)
      this.#hello(other, there)
    })
  }

  /** A searching agent offers its hello on every link that opens; the gateway's worker takes one after another. */
  #hello(device: Device, link: number): void {
    const end = this.#ends.get(link)!
    if (device.role !== 'agent' || this.#ends.get(end.other)!.device.role !== 'gateway') return
    const per = 1_000 / (this.#options.handshakesPerSecond ?? 10)
    this.#gatewayFreeAt = Math.max(this.#gatewayFreeAt, this.#now) + per
    this.#at(this.#gatewayFreeAt, () => {
      if (!this.#ends.has(link)) return
      device.foundAt ??= this.#now
      this.#step(device, { type: 'acked', link })
    })
  }

  #answer(link: number): void {
    const end = this.#ends.get(link)
    const other = end === undefined ? undefined : this.#ends.get(end.other)!.device
    if (end === undefined || other === undefined) return
    const targets = other
      .neighbours!.hints(this.#now)
      .map((hint) => ({ ...hint, address: hint.address.replace(/%.*/, '') }))
    this.#at(this.#now + LATENCY_MS, () => this.#step(end.device, { type: 'hinted', targets }))
  }

  #close(link: number): void {
    const end = this.#ends.get(link)
    if (end === undefined) return
    const far = this.#ends.get(end.other)!
    this.#ends.delete(link)
    this.#ends.delete(end.other)
    end.device.outgoing--
    far.device.inbound--
    this.#step(end.device, { type: 'closed', link })
    this.#step(far.device, { type: 'closed', link: end.other })
  }
}

/** Times of finding, sorted, in seconds; Infinity for those that did not. */
export function foundTimes(site: Site): number[] {
  return site.agents.map((agent) => (agent.foundAt ?? Infinity) / 1_000).sort((a, b) => a - b)
}

export function distribution(times: readonly number[]): string {
  const at = (share: number): string =>
    times[Math.min(times.length - 1, Math.floor(share * times.length))]!.toFixed(1)
  return `found after (s): first ${at(0)}, half ${at(0.5)}, 90 % ${at(0.9)}, last ${at(1)}`
}
