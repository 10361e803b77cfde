import {
  ACK_SILENCE_MS,
  ASK_MS,
  ASK_SLOW_MS,
  DIAL_DELAY_MS,
  HINT_AGE_MS,
  MAX_HINTS,
  OUTGOING_PER_ADDRESS,
  ROTATION_MS,
} from './constants.js'
import { HeardTable, type Heard } from './heard-table.js'
import { DEFAULT_LAN_LIMITS, type LanLimits } from './limits.js'
import { Pinned, type Pin } from './pinned.js'
import { between, type Random } from './random.js'
import { targetKey, type LinkTarget } from './target.js'

/*
 * Which of the addresses heard on the LAN to dial, and which links to give up (DESIGN 7).
 *
 *              outstanding, and no open link brought an ACK in 60 s
 *   idle ───────────────────────────────────────────────────────────▶ searching
 *    ▲ fills its slots with devices     every 10 s one slot changes hands │
 *    │ that have no link                                                  │
 *    │              an ACK on a link, or nothing outstanding              │
 *    └──────────── found ◀────────────────────────────────────────────────┘
 *                  no dials because of beacons
 *
 * Pinned targets (peers, addresses that brought ACKs) are dialled in every state. A gateway is always idle, with more slots.
 */

export type NeighbourEvent =
  /** A beacon. `local`: from this machine itself, where every port is a place of its own. */
  | { readonly type: 'heard'; readonly target: LinkTarget; readonly id: string; readonly local: boolean }
  | { readonly type: 'dialFailed'; readonly target: LinkTarget }
  /** A link is open. Whoever dialled it has a `target`; `address` is the other end's, `link` the number others name it by. */
  | { readonly type: 'opened'; readonly link: number; readonly address: string; readonly target?: LinkTarget }
  | { readonly type: 'closed'; readonly link: number }
  /** An ACK that opened came over this link. */
  | { readonly type: 'acked'; readonly link: number }
  | { readonly type: 'outstanding'; readonly value: boolean }
  /** Addresses that a link named as sources of ACKs. */
  | { readonly type: 'hinted'; readonly targets: readonly LinkTarget[] }
  | { readonly type: 'networkChanged' }
  | { readonly type: 'tick' }

export type NeighbourEffect =
  /** Answered later by `opened` with this target, or by `dialFailed`. */
  | { readonly type: 'dial'; readonly target: LinkTarget }
  /** Only links that were dialled from here. Answered later by `closed`. */
  | { readonly type: 'close'; readonly link: number }
  /** Ask this link for the prekey record, for the hints that come with it. */
  | { readonly type: 'ask'; readonly link: number }
  /** Addresses to dial first after a start, to be kept on disk. */
  | { readonly type: 'remember'; readonly targets: readonly LinkTarget[] }

export interface NeighbourOptions {
  readonly role: 'agent' | 'gateway'
  readonly peers: readonly LinkTarget[]
  readonly remembered: readonly LinkTarget[]
  /** Default: those of the role. */
  readonly limits?: Pick<LanLimits, 'outgoingLinks' | 'dialsPerSecond' | 'dialBurst' | 'dialsAtOnce'>
  /** Monotonic milliseconds, as in `step`. */
  readonly now: number
  readonly random: Random
}

interface LinkState {
  readonly link: number
  readonly address: string
  readonly target: LinkTarget | undefined
  readonly key: string | undefined
  readonly openedAt: number
  lastAck: number | undefined
  closing: boolean
}

interface Dial {
  readonly target: LinkTarget
  /** Absent for a pinned target. */
  readonly heard?: Heard
}

interface Picture {
  /** LinkTarget keys with an outgoing link or dial. */
  readonly dialled: Set<string>
  /** Outgoing links and dials of each address. */
  readonly atAddress: Map<string, number>
  /** Addresses at the other ends of links, whoever dialled. */
  readonly addresses: Set<string>
  /** Beacon ids of the devices behind those. */
  readonly linkedIds: Set<string>
}

/** Feed it every event in order and carry out the effects; `tick` a few times a second. No timers, no sockets. */
export class Neighbours {
  readonly #role: 'agent' | 'gateway'
  readonly #random: Random
  readonly #heard = new HeardTable()
  readonly #pinned: Pinned
  readonly #links = new Map<number, LinkState>()
  /** Links dialled from here, at most one a target. */
  readonly #byKey = new Map<string, LinkState>()
  readonly #dials = new Map<string, Dial>()
  #sources: { readonly target: LinkTarget; readonly at: number }[] = []
  #outstanding = false
  #searchingSince: number | undefined
  #lastRotation = 0
  #lastAsk = 0
  #hintsTurn = true
  readonly #limits: NonNullable<NeighbourOptions['limits']>
  #dialTokens: number
  #tokensAt: number

  constructor(options: NeighbourOptions) {
    this.#role = options.role
    this.#random = options.random
    this.#limits = options.limits ?? DEFAULT_LAN_LIMITS[options.role]
    this.#dialTokens = this.#limits.dialBurst
    this.#tokensAt = options.now
    this.#pinned = new Pinned(options.peers, options.remembered, options.now, options.random)
  }

  get searching(): boolean {
    return this.#searchingSince !== undefined
  }

  /** Addresses heard lately, and how many devices they seem to be. */
  get heard(): { readonly addresses: number; readonly devices: number } {
    return { addresses: this.#heard.size, devices: this.#heard.deviceIds().size }
  }

  /** At most 4 addresses that brought ACKs in the last 10 min, the last one first: what a record frame names. */
  hints(now: number): LinkTarget[] {
    return this.#sources.filter((source) => now - source.at <= HINT_AGE_MS).map((source) => source.target)
  }

  step(event: NeighbourEvent, now: number): NeighbourEffect[] {
    const effects: NeighbourEffect[] = []
    this.#take(event, now, effects)
    this.#search(now)
    this.#makeRoom(effects)
    this.#dialPinned(now, effects)
    this.#fill(now, effects)
    if (this.#searchingSince !== undefined) {
      this.#rotate(now, effects)
      this.#ask(now, this.#searchingSince, effects)
    }
    return effects
  }

  #take(event: NeighbourEvent, now: number, effects: NeighbourEffect[]): void {
    switch (event.type) {
      case 'heard': {
        const fresh = (): { notBefore: number; lot: number } => ({
          notBefore: now + between(this.#random, 0, DIAL_DELAY_MS),
          lot: between(this.#random, 0, 1),
        })
        this.#heard.hear(event.target, event.id, event.local, now, fresh, (key) => this.#byKey.has(key))
        return
      }
      case 'opened':
        return this.#opened(event, now, effects)
      case 'dialFailed':
        return this.#dialFailed(event.target, now)
      case 'closed':
        return this.#closed(event.link, now)
      case 'acked':
        return this.#acked(event.link, now, effects)
      case 'outstanding':
        this.#outstanding = event.value
        return
      case 'hinted':
        return this.#heard.hint(event.targets, now)
      case 'networkChanged':
        return this.#pinned.hurry(now)
      case 'tick':
        return this.#heard.expire(now)
    }
  }

  #opened(event: NeighbourEvent & { type: 'opened' }, now: number, effects: NeighbourEffect[]): void {
    const { link, address, target } = event
    const key = target === undefined ? undefined : targetKey(target)
    if (key !== undefined) {
      const heard = this.#dials.get(key)?.heard
      if (heard !== undefined) this.#heard.outcome(heard.place, true)
      this.#dials.delete(key)
    }
    const state = { link, address, target, key, openedAt: now, lastAck: undefined, closing: false }
    this.#links.set(link, state)
    if (key !== undefined) this.#byKey.set(key, state)
    if (this.#searchingSince !== undefined) effects.push({ type: 'ask', link })
  }

  #dialFailed(target: LinkTarget, now: number): void {
    const key = targetKey(target)
    const dial = this.#dials.get(key)
    if (dial === undefined) return
    this.#dials.delete(key)
    if (dial.heard !== undefined) this.#heard.outcome(dial.heard.place, false)
    const pin = this.#pinned.get(key)
    if (pin !== undefined) this.#pinned.failed(pin, now)
  }

  #closed(number: number, now: number): void {
    const link = this.#links.get(number)
    if (link === undefined) return
    this.#links.delete(number)
    if (link.key !== undefined && this.#byKey.get(link.key) === link) this.#byKey.delete(link.key)
    const acked = link.lastAck !== undefined && now - link.lastAck <= HINT_AGE_MS
    for (const target of this.#listensAt(link)) {
      const pin = this.#pinned.get(targetKey(target))
      // A pin that has another link is dialled when that one ends.
      if (pin !== undefined && (link.target !== undefined || acked)) this.#pinned.broke(pin, acked, now)
    }
  }

  #acked(number: number, now: number, effects: NeighbourEffect[]): void {
    const link = this.#links.get(number)
    if (link === undefined) return
    link.lastAck = now
    let changed = false
    for (const target of this.#listensAt(link)) {
      changed = this.#pinned.acked(target, now) || changed
      const source = { target: { address: link.address, port: target.port }, at: now }
      const others = this.#sources.filter((other) => targetKey(other.target) !== targetKey(source.target))
      this.#sources = [source, ...others].slice(0, MAX_HINTS)
    }
    if (changed) effects.push({ type: 'remember', targets: this.#pinned.kept().map((pin) => pin.target) })
  }

  /**
   * Where the other end of a link can be dialled: what was dialled, or the address that a beacon from there announced
   * (of more than two programs on one machine nobody knows which one it is).
   */
  #listensAt(link: LinkState): LinkTarget[] {
    if (link.target !== undefined) return [link.target]
    const announced = this.#heard.at(link.address)
    return announced.length <= OUTGOING_PER_ADDRESS ? announced.map((heard) => heard.target) : []
  }

  #search(now: number): void {
    const wanted = this.#role === 'agent' && this.#outstanding && !this.#ackedSince(now - ACK_SILENCE_MS)
    if (!wanted) {
      this.#searchingSince = undefined
    } else if (this.#searchingSince === undefined) {
      this.#searchingSince = now
      this.#lastRotation = now
      this.#lastAsk = -Infinity
    }
  }

  #ackedSince(since: number): boolean {
    for (const link of this.#links.values()) {
      if (!link.closing && link.lastAck !== undefined && link.lastAck >= since) return true
    }
    return false
  }

  #dialPinned(now: number, effects: NeighbourEffect[]): void {
    for (const pin of this.#pinned.due(now)) {
      if (!this.#dials.has(pin.key) && !this.#isServed(pin)) this.#dial({ target: pin.target }, effects)
    }
  }

  #fill(now: number, effects: NeighbourEffect[]): void {
    const found = this.#role === 'agent' && this.#searchingSince === undefined && this.#ackedSince(-Infinity)
    if (found) return
    while (this.#slotsTaken() < this.#slots()) {
      if (!this.#dialHeard(now, effects)) return
    }
  }

  #rotate(now: number, effects: NeighbourEffect[]): void {
    if (now - this.#lastRotation < ROTATION_MS || this.#slotsTaken() < this.#slots()) return
    const silent = this.#longestSilent()
    if (silent === undefined) return
    if (!this.#dialHeard(now, effects)) return
    silent.closing = true
    // The slot is free before it is taken again.
    effects.splice(-1, 0, { type: 'close', link: silent.link })
    this.#lastRotation = now
  }

  /** A kept address holds a slot even when it was the other end that had dialled. */
  #makeRoom(effects: NeighbourEffect[]): void {
    while (this.#slotsTaken() > this.#slots()) {
      const silent = this.#longestSilent()
      if (silent === undefined) return
      silent.closing = true
      effects.push({ type: 'close', link: silent.link })
    }
  }

  /** Of the links that may be given up, the one longest without an ACK. */
  #longestSilent(): LinkState | undefined {
    return [...this.#links.values()]
      .filter((link) => this.#holdsSlot(link) && !this.#pinned.get(link.key!))
      .sort((a, b) => (a.lastAck ?? -Infinity) - (b.lastAck ?? -Infinity) || a.openedAt - b.openedAt)[0]
  }

  #ask(now: number, since: number, effects: NeighbourEffect[]): void {
    if (now - this.#lastAsk < (now - since < ASK_SLOW_MS ? ASK_MS : ASK_SLOW_MS)) return
    this.#lastAsk = now
    const asked = new Set(effects.filter((effect) => effect.type === 'ask').map((effect) => effect.link))
    for (const { link, closing } of this.#links.values()) {
      if (!closing && !asked.has(link)) effects.push({ type: 'ask', link })
    }
  }

  /** Dials the best address heard, if one may be dialled now. */
  #dialHeard(now: number, effects: NeighbourEffect[]): boolean {
    const dialling = [...this.#dials.values()].filter((dial) => dial.heard !== undefined).length
    if (dialling >= this.#limits.dialsAtOnce || !this.#mayDial(now)) return false
    const { dialled, atAddress, linkedIds, addresses } = this.#picture()
    const found = this.#heard.candidate(now, {
      taken: ({ key, target }) =>
        dialled.has(key) ||
        this.#pinned.get(key) !== undefined ||
        (atAddress.get(target.address) ?? 0) >= OUTGOING_PER_ADDRESS,
      linked: ({ id, place }) => linkedIds.has(id) || addresses.has(place),
      onlyUnlinked: this.#searchingSince === undefined || now - this.#searchingSince < ROTATION_MS,
      useHints: this.#hintsTurn,
    })
    if (found === undefined) return false
    // Every second choice is made without hints: who lies in them delays a search, and never starves it.
    this.#hintsTurn = !found.hinted
    this.#dialTokens--
    this.#heard.dialled(found.heard, now)
    this.#dial({ target: found.heard.target, heard: found.heard }, effects)
    return true
  }

  /** What is linked or being dialled now, as the choice of the next dial needs it. */
  #picture(): Picture {
    const picture: Picture = {
      dialled: new Set(),
      atAddress: new Map(),
      addresses: new Set(),
      linkedIds: new Set(),
    }
    const outgoing = (key: string, address: string): void => {
      picture.dialled.add(key)
      picture.atAddress.set(address, (picture.atAddress.get(address) ?? 0) + 1)
    }
    for (const link of this.#links.values()) {
      if (link.closing) continue
      picture.addresses.add(link.address)
      if (link.key !== undefined) outgoing(link.key, link.address)
    }
    for (const [key, { target }] of this.#dials) outgoing(key, target.address)
    for (const heard of this.#heard.all()) {
      // On this machine itself every program has the same address, which then says nothing.
      if (heard.place === heard.key) picture.atAddress.delete(heard.target.address)
      if (picture.dialled.has(heard.key) || picture.addresses.has(heard.place))
        picture.linkedIds.add(heard.id)
    }
    return picture
  }

  #mayDial(now: number): boolean {
    const { dialsPerSecond, dialBurst } = this.#limits
    const earned = ((now - this.#tokensAt) / 1_000) * dialsPerSecond
    this.#dialTokens = Math.min(dialBurst, this.#dialTokens + earned)
    this.#tokensAt = now
    return this.#dialTokens >= 1
  }

  #dial(dial: Dial, effects: NeighbourEffect[]): void {
    this.#dials.set(targetKey(dial.target), dial)
    effects.push({ type: 'dial', target: dial.target })
  }

  /** It has a link: dialled from here, or dialled by it and bringing ACKs. */
  #isServed(pin: Pin): boolean {
    if (this.#byKey.has(pin.key)) return true
    for (const link of this.#links.values()) {
      if (link.target === undefined && link.lastAck !== undefined && link.address === pin.target.address)
        return true
    }
    return false
  }

  #slots(): number {
    return this.#limits.outgoingLinks
  }

  /** Peers have slots of their own; a kept address holds its slot while it is redialled. */
  #slotsTaken(): number {
    let taken = 0
    for (const link of this.#links.values()) if (this.#holdsSlot(link)) taken++
    for (const dial of this.#dials.values()) if (dial.heard !== undefined) taken++
    for (const pin of this.#pinned.kept()) if (!this.#isServed(pin)) taken++
    return taken
  }

  #holdsSlot(link: LinkState): boolean {
    return link.key !== undefined && !link.closing && this.#pinned.get(link.key)?.cause !== 'peer'
  }
}
