import {
  checkKnock,
  doorbellSecret,
  helloHash,
  hex,
  INVITE_ID_BIT,
  inviteKnockKey,
  packetHash,
  parseHello,
  type Hello,
  type PacketHeader,
  type Random,
} from '@fieldwhisper/protocol'
import { HELLO_BUDGET, HELLO_QUEUE, MAX_HELLO_AGENTS, MAX_HELLO_ROUTES } from './constants.js'
import type { Invites } from './invites.js'
import { helloBudgets, type CoreLimits } from './limits.js'
import type { Meta } from './meta.js'
import type { HelloResult, OneTimeSecrets, Ports, Route } from './ports.js'
import type { Prekey, Prekeys } from './prekeys.js'
import type { Session } from './session.js'
import type { Endpoint } from './sessions.js'
import { TokenBucket, TokenBuckets } from '@fieldwhisper/host'

/** A hello whose knock was right, on its way through the worker. */
export interface PendingHello {
  readonly id: number
  readonly packet: Uint8Array
  readonly address: Uint8Array
  /** Of the packet, for relays and for copies on their way. */
  readonly packetHash: Uint8Array
  /** Under which it is remembered once it is accepted. */
  readonly hash: Uint8Array
  readonly prekey: Prekey
  /** The session it would continue; absent at a doorbell. */
  readonly predecessor?: Session
  readonly knockId: number
  readonly oneTime: OneTimeSecrets
  /** The ways its copies came. */
  readonly routes: Route[]
}

/** What becomes of a hello before any public-key work. */
export type Knocked =
  | { readonly outcome: 'working' }
  /** A copy of one that was accepted: answered in the session it made, if that lives. */
  | { readonly outcome: 'copy'; readonly session: string }
  /** Over budget: leave it where it is, it will be offered again. */
  | { readonly outcome: 'later' }
  /** Not for us, malformed, or a wrong knock: nothing is answered. */
  | { readonly outcome: 'dropped' }

/**
 * The order of work for a hello (DESIGN section 4), so that a stranger costs one HMAC and an insider at most a share of one core:
 * 1 type and length, 2 address, 3 knock, 4 copy of an accepted one, 5 token buckets, 6 public-key work in the worker.
 */
export class Door {
  /** By packet hash. Another packet with the same box1 is not a copy: somebody may have altered what follows it. */
  readonly #working = new Map<string, PendingHello>()
  readonly #byId = new Map<number, PendingHello>()
  readonly #workingLinks = new Map<number, number>()
  readonly #linkBudget = new TokenBuckets(HELLO_BUDGET.link)
  readonly #agentBudget = new TokenBuckets(HELLO_BUDGET.agent, MAX_HELLO_AGENTS)
  readonly #successorBudget: TokenBucket
  readonly #doorbellBudget: TokenBucket
  readonly #oldEpochBudget: TokenBucket
  readonly #parts: Parts
  #nextId = 1

  constructor(parts: Parts, now: number) {
    this.#parts = parts
    const budgets = helloBudgets(parts.limits)
    this.#successorBudget = new TokenBucket(budgets.successor, now)
    this.#doorbellBudget = new TokenBucket(budgets.doorbell, now)
    this.#oldEpochBudget = new TokenBucket(budgets.oldEpoch, now)
  }

  /** A hello of this link is being worked on: what follows it on the link may be for the session it makes. */
  working(link: number): boolean {
    return this.#workingLinks.has(link)
  }

  /** Throws ProtocolError where the packet is no hello. */
  knock(
    endpoint: Exclude<Endpoint, { kind: 'session' }>,
    header: PacketHeader,
    packet: Uint8Array,
    route: Route,
    now: number,
  ): Knocked {
    const { prekeys } = this.#parts
    const hello = parseHello(packet)
    const prekey =
      endpoint.kind === 'doorbell'
        ? endpoint.prekey
        : prekeys.oneTime(endpoint.session.succession?.oneTime ?? 0)
    const key = prekey && this.#knockKey(endpoint, hello)
    if (!key || !checkKnock(hello, key)) return { outcome: 'dropped' }
    const hash = helloHash(hello, prekey.record)
    const accepted = prekeys.accepted(prekey, hash)
    if (accepted !== undefined) return { outcome: 'copy', session: accepted }
    const name = hex(packetHash(packet))
    const twin = this.#working.get(name)
    if (twin) {
      this.#addRoute(twin, route)
      return { outcome: 'working' }
    }
    if (prekeys.isFull(prekey)) return { outcome: 'dropped' }
    if (this.#working.size >= HELLO_QUEUE || !this.#affordable(endpoint, hello, route, now))
      return { outcome: 'later' }
    this.#begin(
      name,
      {
        id: this.#nextId++,
        packet,
        address: new Uint8Array(header.address),
        packetHash: Buffer.from(name, 'hex'),
        hash,
        prekey,
        ...(endpoint.kind === 'successor' && { predecessor: endpoint.session }),
        knockId: hello.knockId,
        oneTime: { prekeySecret: this.#parts.random(32), kemSeed: this.#parts.random(64) },
        routes: [],
      },
      route,
    )
    return { outcome: 'working' }
  }

  /** The session that this hello made already, whether it still lives or not. */
  accepted(prekey: Prekey, hash: Uint8Array): string | undefined {
    return this.#parts.prekeys.accepted(prekey, hash)
  }

  /** The worker is done with it. */
  done(result: HelloResult): PendingHello | undefined {
    const pending = this.#byId.get(result.id)
    if (!pending) return undefined
    this.#byId.delete(result.id)
    this.#working.delete(hex(pending.packetHash))
    for (const route of pending.routes) {
      if (route.via !== 'link') continue
      const left = this.#workingLinks.get(route.id)! - 1
      if (left > 0) this.#workingLinks.set(route.id, left)
      else this.#workingLinks.delete(route.id)
    }
    return pending
  }

  #begin(name: string, pending: PendingHello, route: Route): void {
    this.#working.set(name, pending)
    this.#byId.set(pending.id, pending)
    this.#addRoute(pending, route)
    const { id, packet, prekey, oneTime } = pending
    this.#parts.ports.openHello({ id, packet, secrets: this.#parts.prekeys.secretsOf(prekey), oneTime })
  }

  #addRoute({ routes }: PendingHello, route: Route): void {
    if (routes.length >= MAX_HELLO_ROUTES) return
    if (routes.some(({ via, id }) => via === route.via && id === route.id)) return
    routes.push(route)
    if (route.via === 'link') this.#workingLinks.set(route.id, (this.#workingLinks.get(route.id) ?? 0) + 1)
  }

  #knockKey(endpoint: Exclude<Endpoint, { kind: 'session' }>, { knockId }: Hello): Uint8Array | undefined {
    if (endpoint.kind === 'successor')
      return knockId === 0 ? endpoint.session.succession?.knockKey : undefined
    if (knockId >= INVITE_ID_BIT) {
      const invite = this.#parts.invites.find(knockId)
      return invite && inviteKnockKey(invite.secret)
    }
    return knockId > 0 ? doorbellSecret(this.#parts.master, knockId) : undefined
  }

  /** Takes from every budget, or from none: what is offered again and again must not use up one while another is empty. */
  #affordable(endpoint: Endpoint, { knockId }: Hello, route: Route, now: number): boolean {
    const old = knockId < INVITE_ID_BIT && knockId < this.#parts.meta.counters.epoch
    const shared =
      endpoint.kind === 'successor'
        ? this.#successorBudget
        : old
          ? this.#oldEpochBudget
          : this.#doorbellBudget
    const own: [TokenBuckets, string][] = []
    // A relay brings the hellos of many agents; it has budgets of its own.
    if (route.via === 'link') own.push([this.#linkBudget, String(route.id)])
    if (endpoint.kind === 'successor') own.push([this.#agentBudget, hex(endpoint.session.agentKey)])
    if (!shared.available(now) || !own.every(([buckets, who]) => buckets.available(who, now))) return false
    return own.every(([buckets, who]) => buckets.take(who, now)) && shared.take(now)
  }
}

interface Parts {
  readonly prekeys: Prekeys
  readonly invites: Invites
  readonly meta: Meta
  readonly ports: Ports
  readonly random: Random
  readonly master: Uint8Array
  readonly limits: CoreLimits
}
