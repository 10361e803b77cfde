import {
  Courier,
  type CourierEffect,
  type CourierEvent,
  type CourierStatus,
  type Lan,
  type LinkInfo,
} from '@fieldwhisper/mesh'
import { systemRandom, type Clock, type Reporter } from '@fieldwhisper/host'
import type { Random, RelayInfo } from '@fieldwhisper/protocol'
import {
  AgentCore,
  type CoreEffect,
  type CoreEvent,
  type CoreOptions,
  type DueCommand,
  type SaveEffect,
} from './core/index.js'
import { DEFAULT_AGENT_LIMITS, type AgentLimits } from './limits.js'
import type { AgentRelays } from './paths/relays.js'

const TICK_MS = 50

/** What turns the wheel: the machine's event loop and its randomness, or virtual ones. */
export interface EngineDrive {
  readonly random: Random
  /** Calls until it is cancelled. */
  readonly every: (intervalMs: number, task: () => void) => () => void
  /** After whatever else waits in this process. */
  readonly soon: (task: () => void) => () => void
}

export const systemDrive: EngineDrive = {
  random: systemRandom,
  every(intervalMs, task) {
    const timer = setInterval(task, intervalMs)
    return () => clearInterval(timer)
  },
  soon(task) {
    const immediate = setImmediate(task)
    return () => clearImmediate(immediate)
  },
}

/** What the engine asks of the LAN. */
export interface EngineLan extends Pick<Lan, 'send' | 'ask' | 'acked' | 'useful' | 'outstanding'> {
  links(): readonly Pick<LinkInfo, 'id'>[]
}

export interface EngineParts {
  readonly drive: EngineDrive
  readonly core: Omit<CoreOptions, 'hasRoom' | 'random' | 'bootId'>
  /** New packets to every LAN link instead of two. */
  readonly offerAll: boolean
  readonly limits?: AgentLimits
  readonly clock: Clock
  readonly reporter: Reporter
  readonly relays: () => AgentRelays | undefined
  readonly lan: () => EngineLan | undefined
  /** Throws where it could not be written. */
  readonly save: (effect: SaveEffect) => void
  readonly joined: (name: string) => void
  readonly useRelays: (relays: readonly RelayInfo[]) => void
  readonly batchInterval: (atLeastMs: number) => void
  /** To be answered with `replied`, once. */
  readonly command: (command: DueCommand) => void
}

/** Turns the wheels of core and courier: events in, one after the other, effects out to disk, LAN and relays. */
export class Engine {
  readonly core: AgentCore
  readonly #parts: EngineParts
  readonly #courier: Courier
  readonly #events: CoreEvent[] = []
  readonly #courierEvents: CourierEvent[] = []
  #running = false
  #again: (() => void) | undefined
  #ticker: (() => void) | undefined
  #outstanding: boolean | undefined
  #stopped = false

  constructor(parts: EngineParts) {
    this.#parts = parts
    const { limits = DEFAULT_AGENT_LIMITS } = parts
    this.#courier = new Courier({ random: parts.drive.random, offerAll: parts.offerAll, limits })
    this.core = new AgentCore(
      {
        ...parts.core,
        limits,
        hasRoom: (priority, bytes) => this.#courier.hasRoom(priority, bytes),
        random: parts.drive.random,
        bootId: parts.clock.bootId,
      },
      parts.clock.monoMs(),
    )
  }

  start(): void {
    this.post({ type: 'start' })
    this.#ticker = this.#parts.drive.every(TICK_MS, () => this.#tick())
  }

  stop(): void {
    this.#stopped = true
    this.#ticker?.()
    this.#again?.()
  }

  post(event: CoreEvent): void {
    this.#events.push(event)
    this.#run()
  }

  courier(event: CourierEvent): void {
    this.#courierEvents.push(event)
    this.#run()
  }

  courierStatus(): CourierStatus {
    return this.#courier.status(this.#now())
  }

  #now(): number {
    return this.#parts.clock.monoMs()
  }

  #tick(): void {
    this.courier({ type: 'tick' })
    this.post({ type: 'tick' })
    const outstanding = this.#courier.status(this.#now()).outstanding > 0 || this.core.needsRecord
    if (outstanding === this.#outstanding) return
    this.#outstanding = outstanding
    this.#parts.lan()?.outstanding(outstanding)
  }

  /** One event at a time; what they cause waits its turn. */
  #run(): void {
    if (this.#running || this.#stopped) return
    this.#running = true
    try {
      for (;;) {
        const courierEvent = this.#courierEvents.shift()
        const event = courierEvent ? undefined : this.#events.shift()
        if (courierEvent) this.#stepCourier(courierEvent)
        else if (event) this.#stepCore(event)
        else break
      }
    } finally {
      this.#running = false
    }
  }

  #stepCore(event: CoreEvent): void {
    const { effects, more } = this.core.step(event, this.#now())
    for (const effect of effects) this.#carryOut(effect)
    if (more) this.#soon()
  }

  #stepCourier(event: CourierEvent): void {
    const { effects, more } = this.#courier.step(event, this.#now())
    const busy = new Map<number, number[]>()
    for (const effect of effects) this.#offer(effect, busy)
    for (const [link, ids] of busy) this.#courierEvents.push({ type: 'linkBusy', link, ids })
    if (more) this.#soon()
  }

  /** The rest of the work. */
  #soon(): void {
    this.#again ??= this.#parts.drive.soon(() => {
      this.#again = undefined
      this.courier({ type: 'tick' })
      this.post({ type: 'tick' })
    })
  }

  #offer(effect: CourierEffect, busy: Map<number, number[]>): void {
    if (effect.type === 'deposit') {
      this.#parts.relays()?.deposit(effect.relay, effect.id, effect.bytes)
      return
    }
    const refused = busy.get(effect.link)
    if (refused) refused.push(effect.id)
    else if (!this.#parts.lan()?.send(effect.link, effect.bytes)) busy.set(effect.link, [effect.id])
  }

  #carryOut(effect: CoreEffect): void {
    const { relays, lan, reporter } = this.#parts
    switch (effect.type) {
      case 'save':
        this.#events.push({ type: 'saved', file: effect.file, ok: this.#save(effect) })
        return
      case 'joined':
        return this.#parts.joined(effect.name)
      case 'send':
        this.#courierEvents.push({ type: 'added', packet: effect.packet })
        return
      case 'settle':
        this.#courierEvents.push({ type: 'settled', ids: effect.ids })
        return
      case 'prove':
        return relays()?.prove(effect.key, effect.subscribe)
      case 'unprove':
        return relays()?.unprove(effect.address)
      case 'remove':
        return relays()?.remove(effect.key)
      case 'discard':
        return relays()?.discard(effect.relay, effect.address, effect.hash)
      case 'heard': {
        const { path, ack, acked } = effect
        if ('link' in path) lan()?.useful(path.link)
        if (!ack) return
        if ('link' in path) lan()?.acked(path.link)
        this.#courierEvents.push({ type: 'acked', path, packets: acked })
        return
      }
      case 'lookUp':
        relays()?.lookUp(effect.slot)
        for (const { id } of lan()?.links() ?? []) lan()?.ask(id, effect.slot)
        return
      case 'serve':
        // Links ask when they need it, and are answered from the core.
        return
      case 'relays':
        return this.#parts.useRelays(effect.relays)
      case 'batchInterval':
        return this.#parts.batchInterval(effect.atLeastMs)
      case 'command':
        return this.#parts.command(effect.command)
      case 'event':
        return reporter.event(effect.level, effect.code, effect.message, effect.fields)
    }
  }

  #save(effect: SaveEffect): boolean {
    try {
      this.#parts.save(effect)
      return true
    } catch (error) {
      const text = 'The state of this agent could not be written; it goes on in memory and tries again.'
      this.#parts.reporter.event('error', 'FW_AGENT_STATE_UNSAVED', text, {
        file: effect.file,
        reason: String(error),
      })
      return false
    }
  }
}
