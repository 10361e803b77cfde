import { between, type Random } from '../lan/random.js'
import { OFFERS_A_STEP, ONCE_MS } from './constants.js'
import type { CourierEffect, CourierEvent, CourierStep } from './events.js'
import { LanPlan, newLanState, type LinkHealth } from './lan-plan.js'
import { DEFAULT_COURIER_LIMITS, type CourierLimits } from './limits.js'
import type { Entry, OutgoingPacket } from './packet.js'
import { RelayPlan, type RelayHealth } from './relay-plan.js'
import { Window } from './window.js'

export interface CourierOptions {
  readonly random: Random
  /** New packets to every link instead of two: more cover, more traffic. */
  readonly offerAll?: boolean
  readonly limits?: CourierLimits
}

export interface CourierStatus {
  readonly outstanding: number
  readonly bytes: number
  readonly searching: boolean
  readonly links: readonly LinkHealth[]
  readonly relays: readonly RelayHealth[]
}

/**
 * Carries the packets of one sender over every path until they are settled (DESIGN 6.3 and 7). Feed it every event in order,
 * carry out the effects, and call it with `tick` a few times a second. It knows nothing of what is in a packet, and takes
 * nobody's word but its owner's for its arrival.
 */
export class Courier {
  readonly #outstanding = new Map<number, Entry>()
  /** Those that nobody waits for, and when they came. */
  readonly #once = new Map<number, number>()
  readonly #window: Window
  readonly #lan: LanPlan
  readonly #relays: RelayPlan

  constructor(options: CourierOptions) {
    this.#window = new Window(options.limits ?? DEFAULT_COURIER_LIMITS)
    this.#lan = new LanPlan(this.#outstanding, options.offerAll ?? false)
    this.#relays = new RelayPlan(this.#outstanding, (low, high) => between(options.random, low, high))
  }

  /** Whether one more packet of at most `bytes` may be handed over. */
  hasRoom(priority: OutgoingPacket['priority'], bytes: number): boolean {
    return this.#window.hasRoom(priority, bytes)
  }

  status(now: number): CourierStatus {
    return {
      outstanding: this.#window.packets,
      bytes: this.#window.bytes,
      searching: this.#lan.searching(now),
      links: this.#lan.links,
      relays: this.#relays.relays,
    }
  }

  step(event: CourierEvent, now: number): CourierStep {
    this.#take(event, now)
    const effects: CourierEffect[] = []
    const left = this.#lan.pump(now, OFFERS_A_STEP, effects)
    this.#relays.pump(now, left, effects)
    return { effects, more: this.#lan.pending(now) || this.#relays.pending(now) }
  }

  #take(event: CourierEvent, now: number): void {
    switch (event.type) {
      case 'added':
        return this.#add(event.packet, now)
      case 'settled':
        for (const id of event.ids) this.#settle(id)
        return
      case 'linkOpened':
        return this.#lan.opened(event.link, now)
      case 'linkClosed':
        return this.#lan.closed(event.link, now)
      case 'linkBusy':
        return this.#lan.busy(event.link, this.#packets(event.ids), now)
      case 'acked':
        if ('link' in event.path) this.#lan.acked(event.path.link, event.packets, now)
        else this.#relays.acked(event.path.relay, event.packets, now)
        return
      case 'relayConnected':
        return this.#relays.connected(event.relay)
      case 'relayDisconnected':
        return this.#relays.disconnected(event.relay)
      case 'mailboxProved':
        return this.#relays.proved(event.relay, event.mailbox, event.accepted, now)
      case 'deposited':
        return this.#relays.deposited(event.relay, event.id, event.result, now)
      case 'relayDrained':
        return this.#relays.drained(event.relay)
      case 'relayRemoved':
        return this.#relays.removed(event.relay)
      case 'tick':
        this.#forgetOnce(now)
        this.#lan.tick(now)
        this.#relays.tick(now)
        return
    }
  }

  #add(packet: OutgoingPacket, now: number): void {
    const entry: Entry = { packet, addedAt: now, lan: newLanState(), relays: new Map() }
    this.#outstanding.set(packet.id, entry)
    if (packet.once) this.#once.set(packet.id, now)
    this.#window.add(packet)
    this.#lan.added(entry, now)
    this.#relays.added(entry)
  }

  #settle(id: number): void {
    const entry = this.#outstanding.get(id)
    if (!entry) return
    this.#outstanding.delete(id)
    this.#once.delete(id)
    this.#window.remove(entry.packet)
    this.#lan.settled(id)
    this.#relays.settled(id)
  }

  #packets(ids: readonly number[]): OutgoingPacket[] {
    return ids.flatMap((id) => this.#outstanding.get(id)?.packet ?? [])
  }

  /** Packets that nobody waits for leave when their time to be sent is over. */
  #forgetOnce(now: number): void {
    for (const [id, addedAt] of this.#once) {
      if (now - addedAt < ONCE_MS) return
      this.#settle(id)
    }
  }
}
