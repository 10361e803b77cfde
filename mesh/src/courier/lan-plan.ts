import {
  ACK_SILENCE_MS,
  BUSY_MS,
  LAN_REPEAT_MAX_MS,
  LAN_REPEAT_MIN_MS,
  SCAN_MS,
  SEARCH_OFFER_MS,
} from './constants.js'
import type { CourierEffect } from './events.js'
import { Lanes } from './lanes.js'
import type { Entry, LanState, OutgoingPacket, Outstanding } from './packet.js'

interface LinkState {
  readonly link: number
  readonly openedAt: number
  readonly lanes: Lanes
  /** Hellos that went over it. */
  readonly hellos: Set<number>
  ackedAt: number | undefined
  searchAt: number
  busyUntil: number
  offered: number
  acked: number
}

export interface LinkHealth {
  readonly link: number
  readonly offered: number
  readonly acked: number
  readonly lastAckAt?: number
}

export function newLanState(): LanState {
  return { dueAt: Infinity, stepMs: LAN_REPEAT_MIN_MS }
}

/**
 * What is offered on which link.
 *
 *              something outstanding, no ACK on an open link in 60 s
 *   found ───────────────────────────────────────────────────────────▶ searching
 *     ▲   new packets to the link that brought the last ACK and one      │  on opening and every 60 s the unanswered hello,
 *     │   other; backlog and repeats (2 to 60 s) only to the first       │  else the oldest packet; each new live packet once
 *     └──────────────────────── an ACK on a link ◀───────────────────────┘
 */
export class LanPlan {
  readonly #outstanding: Outstanding
  readonly #offerAll: boolean
  readonly #links = new Map<number, LinkState>()
  #primary: LinkState | undefined
  #scannedAt = -Infinity

  constructor(outstanding: Outstanding, offerAll: boolean) {
    this.#outstanding = outstanding
    this.#offerAll = offerAll
  }

  get links(): LinkHealth[] {
    return [...this.#links.values()].map(({ link, offered, acked, ackedAt }) => ({
      link,
      offered,
      acked,
      ...(ackedAt !== undefined && { lastAckAt: ackedAt }),
    }))
  }

  searching(now: number): boolean {
    return this.#leader(now) === undefined && this.#oldest() !== undefined
  }

  added(entry: Entry, now: number): void {
    const { packet } = entry
    const leader = this.#leader(now)
    if (!leader) {
      if (packet.kind === 'hello' || packet.priority === 'live')
        this.#pushTo([...this.#links.values()], packet)
      return
    }
    if (packet.priority === 'backlog' && packet.kind === 'data') leader.lanes.push(packet)
    else this.#pushTo(this.#offerAll ? [...this.#links.values()] : this.#two(leader), packet)
  }

  settled(id: number): void {
    for (const { lanes, hellos } of this.#links.values()) {
      lanes.delete(id)
      hellos.delete(id)
    }
  }

  opened(link: number, now: number): void {
    const state: LinkState = {
      link,
      openedAt: now,
      lanes: new Lanes(),
      hellos: new Set(),
      ackedAt: undefined,
      searchAt: now + SEARCH_OFFER_MS,
      busyUntil: -Infinity,
      offered: 0,
      acked: 0,
    }
    this.#links.set(link, state)
    const hello = this.#hello()
    if (hello) state.lanes.push(hello)
    else if (this.searching(now)) this.#offerOldest(state)
  }

  closed(link: number, now: number): void {
    const state = this.#links.get(link)
    this.#links.delete(link)
    if (state === undefined || state !== this.#primary) return
    this.#primary = undefined
    if (this.#leader(now)) this.#requeueAll(now)
  }

  busy(link: number, packets: readonly OutgoingPacket[], now: number): void {
    const state = this.#links.get(link)
    if (!state) return
    state.busyUntil = now + BUSY_MS
    state.offered -= packets.length
    for (const { id } of packets) state.hellos.delete(id)
    state.lanes.putBack(packets)
  }

  acked(link: number, packets: number, now: number): void {
    const state = this.#links.get(link)
    if (!state) return
    const wasSearching = this.#leader(now) === undefined
    state.ackedAt = now
    state.acked += packets
    this.#primary = state
    if (wasSearching) this.#requeueAll(now)
  }

  tick(now: number): void {
    if (now - this.#scannedAt < SCAN_MS) return
    this.#scannedAt = now
    const leader = this.#leader(now)
    if (leader) this.#repeat(leader, now)
    else this.#search(now)
  }

  /** Emits at most `budget` offers; returns how many are left of it. */
  pump(now: number, budget: number, effects: CourierEffect[]): number {
    for (const state of this.#links.values()) {
      while (budget > 0 && state.busyUntil <= now) {
        const id = state.lanes.take()
        if (id === undefined) break
        const entry = this.#outstanding.get(id)
        if (!entry) continue
        const hello = this.#helloBefore(entry, state)
        if (hello) budget -= this.#offer(hello, state, now, effects)
        budget -= this.#offer(entry, state, now, effects)
      }
    }
    return budget
  }

  /** Offers wait, and their links would take them. */
  pending(now: number): boolean {
    return [...this.#links.values()].some(({ lanes, busyUntil }) => lanes.size > 0 && busyUntil <= now)
  }

  #offer(entry: Entry, state: LinkState, now: number, effects: CourierEffect[]): 1 {
    const { packet, lan } = entry
    if (packet.kind === 'hello') state.hellos.add(packet.id)
    if (lan.last?.at !== now) {
      lan.dueAt = now + lan.stepMs
      lan.stepMs = Math.min(LAN_REPEAT_MAX_MS, lan.stepMs * 2)
    }
    lan.last = { link: state.link, at: now }
    state.offered++
    effects.push({ type: 'offer', link: state.link, id: packet.id, bytes: packet.bytes })
    return 1
  }

  /** The hello that must go before this packet and did not go over this link yet. */
  #helloBefore({ packet }: Entry, state: LinkState): Entry | undefined {
    if (packet.after === undefined || state.hellos.has(packet.after)) return undefined
    const hello = this.#outstanding.get(packet.after)
    if (hello) state.lanes.delete(packet.after)
    return hello
  }

  #repeat(leader: LinkState, now: number): void {
    for (const { packet, lan } of this.#outstanding.values()) {
      if (lan.dueAt > now || packet.once) continue
      lan.dueAt = Infinity
      leader.lanes.push(packet, true)
    }
  }

  #search(now: number): void {
    for (const state of this.#links.values()) {
      if (state.searchAt > now) continue
      state.searchAt = now + SEARCH_OFFER_MS
      this.#offerOldest(state)
    }
  }

  #offerOldest(state: LinkState): void {
    const packet = this.#hello() ?? this.#oldest()
    if (packet) state.lanes.push(packet, true)
  }

  /** Everything is due on the new leader, unless it had it just now. */
  #requeueAll(now: number): void {
    const leader = this.#leader(now)
    if (!leader) return
    for (const { lan } of this.#outstanding.values()) {
      lan.stepMs = LAN_REPEAT_MIN_MS
      lan.dueAt = lan.last?.link === leader.link ? lan.last.at + LAN_REPEAT_MIN_MS : now
    }
    this.#scannedAt = now
    this.#repeat(leader, now)
  }

  /** The link that brought the last ACK, if that was in the last minute. */
  #leader(now: number): LinkState | undefined {
    if (isFresh(this.#primary, now)) return this.#primary
    const [best] = [...this.#links.values()].filter((state) => isFresh(state, now)).sort(byAck)
    this.#primary = best
    return best
  }

  #two(leader: LinkState): LinkState[] {
    const [other] = [...this.#links.values()].filter((state) => state !== leader).sort(byAck)
    return other ? [leader, other] : [leader]
  }

  #pushTo(links: readonly LinkState[], packet: OutgoingPacket): void {
    for (const { lanes } of links) lanes.push(packet)
  }

  /** The newest hello that nobody answered. */
  #hello(): OutgoingPacket | undefined {
    let newest: OutgoingPacket | undefined
    for (const { packet } of this.#outstanding.values()) if (packet.kind === 'hello') newest = packet
    return newest
  }

  #oldest(): OutgoingPacket | undefined {
    for (const { packet } of this.#outstanding.values()) if (!packet.once) return packet
    return undefined
  }
}

function isFresh(state: LinkState | undefined, now: number): state is LinkState {
  return state?.ackedAt !== undefined && now - state.ackedAt <= ACK_SILENCE_MS
}

function byAck(a: LinkState, b: LinkState): number {
  return (b.ackedAt ?? -1) - (a.ackedAt ?? -1) || a.openedAt - b.openedAt || a.link - b.link
}
