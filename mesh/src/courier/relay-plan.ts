import {
  DEPOSITS_IN_FLIGHT,
  RELAY_REFUSED_JITTER,
  RELAY_REFUSED_MS,
  RELAY_STORED_MS,
  SCAN_MS,
  UNSENT_MS,
} from './constants.js'
import type { CourierEffect, DepositResult } from './events.js'
import { Lanes } from './lanes.js'
import type { Entry, OutgoingPacket, Outstanding } from './packet.js'

/** A number in [low, high). */
export type Between = (low: number, high: number) => number

interface Relay {
  readonly name: string
  connected: boolean
  readonly lanes: Lanes
  readonly inFlight: Set<number>
  /** Mailboxes whose proof was accepted on this connection. */
  readonly proved: Set<string>
  /** Packets that wait for the proof of their mailbox. */
  readonly waiting: Map<string, Set<number>>
  pausedUntil: number
  lastAckAt: number | undefined
  stored: number
  refused: number
  acked: number
}

export interface RelayHealth {
  readonly relay: string
  readonly connected: boolean
  readonly stored: number
  readonly refused: number
  readonly acked: number
  readonly lastAckAt?: number
}

/**
 * What is deposited at which relay: everything on every new connection, again 6 h after "stored", a minute after a refusal.
 * "Stored" settles nothing: a relay may lie.
 */
export class RelayPlan {
  readonly #outstanding: Outstanding
  readonly #between: Between
  readonly #relays = new Map<string, Relay>()
  #scannedAt = -Infinity

  constructor(outstanding: Outstanding, between: Between) {
    this.#outstanding = outstanding
    this.#between = between
  }

  get relays(): RelayHealth[] {
    return [...this.#relays.values()].map(({ name, connected, stored, refused, acked, lastAckAt }) => ({
      relay: name,
      connected,
      stored,
      refused,
      acked,
      ...(lastAckAt !== undefined && { lastAckAt }),
    }))
  }

  added(entry: Entry): void {
    for (const relay of this.#relays.values()) if (relay.connected) this.#queue(relay, entry)
  }

  settled(id: number): void {
    for (const { lanes, inFlight, waiting } of this.#relays.values()) {
      lanes.delete(id)
      inFlight.delete(id)
      for (const ids of waiting.values()) ids.delete(id)
    }
  }

  connected(name: string): void {
    const relay = this.#relay(name)
    this.#forgetConnection(relay)
    relay.connected = true
    for (const entry of this.#outstanding.values()) if (!entry.packet.once) this.#queue(relay, entry)
  }

  disconnected(name: string): void {
    const relay = this.#relays.get(name)
    if (!relay) return
    relay.connected = false
    this.#forgetConnection(relay)
  }

  removed(name: string): void {
    this.#relays.delete(name)
    for (const { relays } of this.#outstanding.values()) relays.delete(name)
  }

  proved(name: string, mailbox: string, accepted: boolean, now: number): void {
    const relay = this.#relays.get(name)
    if (!relay?.connected) return
    const ids = relay.waiting.get(mailbox)
    relay.waiting.delete(mailbox)
    if (accepted) relay.proved.add(mailbox)
    for (const id of ids ?? []) {
      const entry = this.#outstanding.get(id)
      if (!entry) continue
      if (accepted) this.#queue(relay, entry)
      else this.#refused(relay, entry, now)
    }
  }

  deposited(name: string, id: number, result: DepositResult, now: number): void {
    const relay = this.#relays.get(name)
    if (!relay?.inFlight.delete(id)) return
    const entry = this.#outstanding.get(id)
    if (result === 'unsent') {
      relay.pausedUntil = now + UNSENT_MS
      if (!entry) return
      entry.relays.set(name, { state: 'queued' })
      relay.lanes.putBack([entry.packet])
    } else if (result === 'refused') {
      relay.refused++
      if (entry) this.#refused(relay, entry, now)
    } else {
      relay.stored++
      entry?.relays.set(name, { state: 'waits', dueAt: now + RELAY_STORED_MS })
    }
  }

  drained(name: string): void {
    const relay = this.#relays.get(name)
    if (relay) relay.pausedUntil = -Infinity
  }

  acked(name: string, packets: number, now: number): void {
    const relay = this.#relays.get(name)
    if (!relay) return
    relay.lastAckAt = now
    relay.acked += packets
  }

  tick(now: number): void {
    if (now - this.#scannedAt < SCAN_MS) return
    this.#scannedAt = now
    for (const relay of this.#relays.values()) {
      if (!relay.connected) continue
      for (const entry of this.#outstanding.values()) {
        const state = entry.relays.get(relay.name)
        if (state?.state === 'waits' && state.dueAt <= now) this.#queue(relay, entry)
      }
    }
  }

  /** Emits at most `budget` deposits; returns how many are left of it. */
  pump(now: number, budget: number, effects: CourierEffect[]): number {
    for (const relay of this.#relays.values()) {
      while (budget > 0 && this.#open(relay, now)) {
        const id = relay.lanes.take()
        if (id === undefined) break
        const entry = this.#outstanding.get(id)
        if (!entry || this.#mustWait(relay, entry.packet)) continue
        relay.inFlight.add(id)
        entry.relays.set(relay.name, { state: 'deposited' })
        effects.push({ type: 'deposit', relay: relay.name, id, bytes: entry.packet.bytes })
        budget--
      }
    }
    return budget
  }

  pending(now: number): boolean {
    return [...this.#relays.values()].some((relay) => relay.lanes.size > 0 && this.#open(relay, now))
  }

  #open(relay: Relay, now: number): boolean {
    return relay.connected && relay.pausedUntil <= now && relay.inFlight.size < DEPOSITS_IN_FLIGHT
  }

  /** Puts a packet aside that may not be deposited yet: its mailbox is not proved, or that of the hello before it. */
  #mustWait(relay: Relay, packet: OutgoingPacket): boolean {
    const hello = packet.after === undefined ? undefined : this.#outstanding.get(packet.after)
    const helloWaits = hello?.relays.get(relay.name)?.state === 'queued' ? hello.packet : undefined
    const first = [helloWaits, packet].find(
      (candidate) => candidate?.proves && !relay.proved.has(candidate.mailbox),
    )
    if (!first) return false
    let ids = relay.waiting.get(first.mailbox)
    if (!ids) relay.waiting.set(first.mailbox, (ids = new Set()))
    ids.add(packet.id)
    return true
  }

  #queue(relay: Relay, entry: Entry): void {
    const repeat = entry.relays.has(relay.name)
    entry.relays.set(relay.name, { state: 'queued' })
    relay.lanes.push(entry.packet, repeat)
  }

  #refused(relay: Relay, entry: Entry, now: number): void {
    const waitMs = this.#between(
      RELAY_REFUSED_MS * (1 - RELAY_REFUSED_JITTER),
      RELAY_REFUSED_MS * (1 + RELAY_REFUSED_JITTER),
    )
    entry.relays.set(relay.name, { state: 'waits', dueAt: now + waitMs })
  }

  #forgetConnection(relay: Relay): void {
    relay.lanes.clear()
    relay.inFlight.clear()
    relay.proved.clear()
    relay.waiting.clear()
    relay.pausedUntil = -Infinity
  }

  #relay(name: string): Relay {
    let relay = this.#relays.get(name)
    if (!relay) {
      relay = {
        name,
        connected: false,
        lanes: new Lanes(),
        inFlight: new Set(),
        proved: new Set(),
        waiting: new Map(),
        pausedUntil: -Infinity,
        lastAckAt: undefined,
        stored: 0,
        refused: 0,
        acked: 0,
      }
      this.#relays.set(name, relay)
    }
    return relay
  }
}
