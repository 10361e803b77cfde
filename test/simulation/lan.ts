import type { Dice } from './dice.js'
import type { Interference } from './interference.js'
import type { Life } from './life.js'
import { FAST_BYTES_PER_MS, Wire, type Side } from './wire.js'
import type { World } from './world.js'

/** As agents and gateways have it: 256 KiB wait for a link at most. */
const MAX_BUFFERED = 256 * 1024
const FRAME_BYTES = 20

export type LinkMessage =
  | { readonly kind: 'packet'; readonly bytes: Uint8Array }
  | { readonly kind: 'question'; readonly bytes: Uint8Array }
  | { readonly kind: 'record'; readonly bytes: Uint8Array }

export interface LanHandlers {
  opened(link: number): void
  packet(link: number, packet: Uint8Array): void
  question(link: number, slot: Uint8Array): void
  record(link: number, record: Uint8Array): void
  closed(link: number): void
}

export type LinkWire = Wire<LinkMessage>

/** The switch that everybody is plugged into, by name. */
export class Lan {
  readonly world: World
  readonly dice: Dice
  readonly interference: Interference
  readonly ports = new Map<string, LanPort>()
  readonly wires = new Set<LinkWire>()
  /** Names whose cable is out. */
  readonly unplugged = new Set<string>()
  bytesPerMs = FAST_BYTES_PER_MS

  constructor(world: World, dice: Dice, interference: Interference) {
    this.world = world
    this.dice = dice
    this.interference = interference
  }

  reachable(from: string, to: string): LanPort | undefined {
    return this.unplugged.has(from) || this.unplugged.has(to) ? undefined : this.ports.get(to)
  }

  open(from: LanPort, to: LanPort): void {
    const { world, dice, wires } = this
    const ports = [from, to] as const
    const ids: [number, number] = [0, 0]
    const line = {
      latencyMs: dice.between(0.2, 5),
      jitterMs: dice.between(0, 5),
      bytesPerMs: () => this.bytesPerMs,
    }
    const ends = ([0, 1] as const).map((side) => ({
      receive: (message: LinkMessage) => ports[side].receive(ids[side], message),
      closed: () => ports[side].lost(ids[side]),
    }))
    const wire: LinkWire = new Wire(world, dice.fork(), line, [ends[0]!, ends[1]!])
    wires.add(wire)
    ids[0] = from.add(wire, 0, to.name)
    ids[1] = to.add(wire, 1, from.name)
    from.handlers.opened(ids[0])
    to.handlers.opened(ids[1])
  }

  unplug(name: string): void {
    this.unplugged.add(name)
    const port = this.ports.get(name)
    for (const wire of port?.wires ?? []) {
      const noticed = (): number => this.dice.between(15_000, 60_000)
      for (const side of [0, 1] as const) wire.stall(side, [noticed(), noticed()])
    }
  }
}

/** One device on the LAN, for one life of its process. */
export class LanPort {
  readonly name: string
  readonly handlers: LanHandlers
  readonly #lan: Lan
  readonly #life: Life
  readonly #links = new Map<number, { readonly wire: LinkWire; readonly side: Side; readonly peer: string }>()
  #next = 1

  constructor(lan: Lan, life: Life, name: string, handlers: LanHandlers) {
    this.#lan = lan
    this.#life = life
    this.name = name
    this.handlers = handlers
    lan.ports.set(name, this)
  }

  get wires(): LinkWire[] {
    return [...this.#links.values()].map(({ wire }) => wire)
  }

  links(): readonly { readonly id: number }[] {
    return [...this.#links.keys()].map((id) => ({ id }))
  }

  /** Looks for this peer as long as the process lives. */
  seek(peer: string): void {
    const { dice } = this.#lan
    const found = [...this.#links.values()].some((link) => link.peer === peer)
    const port = found ? undefined : this.#lan.reachable(this.name, peer)
    if (port) this.#lan.open(this, port)
    this.#life.after(Math.min(this.#lan.world.pace, 5) * dice.between(1_000, 10_000), () => this.seek(peer))
  }

  /** The process is gone; a machine without power resets nothing. */
  end(heardInMs: () => number): void {
    if (this.#lan.ports.get(this.name) === this) this.#lan.ports.delete(this.name)
    for (const { wire, side } of this.#links.values()) {
      wire.kill(side, heardInMs())
      this.#lan.wires.delete(wire)
    }
    this.#links.clear()
  }

  add(wire: LinkWire, side: Side, peer: string): number {
    const id = this.#next++
    this.#links.set(id, { wire, side, peer })
    return id
  }

  send(link: number, packet: Uint8Array): boolean {
    return this.#give(link, { kind: 'packet', bytes: packet })
  }

  ask(link: number, slot: Uint8Array): boolean {
    return this.#give(link, { kind: 'question', bytes: slot })
  }

  answer(link: number, record: Uint8Array): boolean {
    return this.#give(link, { kind: 'record', bytes: record })
  }

  receive(link: number, message: LinkMessage): void {
    if (!this.#life.alive || !this.#links.has(link)) return
    switch (message.kind) {
      case 'question':
        return this.handlers.question(link, message.bytes)
      case 'record':
        return this.handlers.record(link, message.bytes)
      case 'packet':
        return this.#lan.interference.pass(message.bytes, (packet) => {
          if (this.#life.alive && this.#links.has(link)) this.handlers.packet(link, packet)
        })
    }
  }

  lost(link: number): void {
    const entry = this.#links.get(link)
    if (!entry || !this.#life.alive) return
    this.#links.delete(link)
    this.#lan.wires.delete(entry.wire)
    this.handlers.closed(link)
  }

  #give(link: number, message: LinkMessage): boolean {
    const entry = this.#links.get(link)
    if (!entry || !this.#life.alive || entry.wire.buffered(entry.side) > MAX_BUFFERED) return false
    entry.wire.send(entry.side, message, message.bytes.length + FRAME_BYTES)
    return true
  }
}
