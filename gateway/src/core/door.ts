import {
  checkKnock,
  doorbellSecret,
  helloHash,
  hex,
  INVITE_ID_BIT,
  inviteKnockKey,
  parseHello,
  type Hello,
  type PacketHeader,
  type Random,
} from '@fieldwhisper/protocol'
import { HELLO_BUDGET, HELLO_QUEUE } from './constants.js'
import type { Invites } from './invites.js'
import type { Meta } from './meta.js'
import type { HelloJob, HelloResult, OneTimeSecrets, Ports, Route } from './ports.js'
import type { Prekey, Prekeys } from './prekeys.js'
import type { Session } from './session.js'
import type { Endpoint } from './sessions.js'
import { TokenBucket, TokenBuckets } from './token-bucket.js'

/** A hello whose knock was right, on its way through the worker. */
export interface PendingHello {
  readonly id: number
  readonly packet: Uint8Array
  readonly address: Uint8Array
  readonly hash: Uint8Array
  readonly prekey: Prekey
  /** The session it would continue; absent at a doorbell. */
  readonly predecessor?: Session
  readonly knockId: number
  readonly oneTime: OneTimeSecrets
  /** Every way a copy came. */
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
  readonly #working = new Map<string, PendingHello>()
  readonly #byId = new Map<number, PendingHello>()
  readonly #linkBudget = new TokenBuckets(HELLO_BUDGET.link)
  readonly #successorBudget: TokenBucket
  readonly #doorbellBudget: TokenBucket
  readonly #oldEpochBudget: TokenBucket
  readonly #parts: {
    prekeys: Prekeys
    invites: Invites
    meta: Meta
    ports: Ports
    random: Random
    master: Uint8Array
  }
  #nextId = 1

  constructor(
    parts: {
      prekeys: Prekeys
      invites: Invites
      meta: Meta
      ports: Ports
      random: Random
      master: Uint8Array
    },
    now: number,
  ) {
    this.#parts = parts
    this.#successorBudget = new TokenBucket(HELLO_BUDGET.successor, now)
    this.#doorbellBudget = new TokenBucket(HELLO_BUDGET.doorbell, now)
    this.#oldEpochBudget = new TokenBucket(HELLO_BUDGET.oldEpoch, now)
  }

  /** A hello of this link is being worked on: what follows it on the link may be for the session it makes. */
  working(link: number): boolean {
    for (const { routes } of this.#working.values()) {
      if (routes.some((route) => route.via === 'link' && route.id === link)) return true
    }
    return false
  }

  knock(
    endpoint: Exclude<Endpoint, { kind: 'session' }>,
    header: PacketHeader,
    packet: Uint8Array,
    route: Route,
    now: number,
  ): Knocked {
    const hello = parseHello(packet)
    const prekey =
      endpoint.kind === 'doorbell'
        ? endpoint.prekey
        : this.#parts.prekeys.get(endpoint.session.succession?.oneTime ?? 0)
    const key = prekey && this.#knockKey(endpoint, hello)
    if (!key || !checkKnock(hello, key)) return { outcome: 'dropped' }
    const hash = helloHash(hello, prekey.record)
    const name = hex(hash)
    const accepted = prekey.hellos.get(name)
    if (accepted !== undefined) return { outcome: 'copy', session: accepted }
    const twin = this.#working.get(name)
    if (twin) {
      twin.routes.push(route)
      return { outcome: 'working' }
    }
    if (this.#working.size >= HELLO_QUEUE || !this.#affordable(endpoint, hello, route, now))
      return { outcome: 'later' }
    const { random, ports, prekeys } = this.#parts
    const pending: PendingHello = {
      id: this.#nextId++,
      packet,
      address: new Uint8Array(header.address),
      hash,
      prekey,
      ...(endpoint.kind === 'successor' && { predecessor: endpoint.session }),
      knockId: hello.knockId,
      oneTime: { prekeySecret: random(32), kemSeed: random(64) },
      routes: [route],
    }
    this.#working.set(name, pending)
    this.#byId.set(pending.id, pending)
    const job: HelloJob = {
      id: pending.id,
      packet,
      secrets: prekeys.secretsOf(prekey),
      oneTime: pending.oneTime,
    }
    ports.openHello(job)
    return { outcome: 'working' }
  }

  /** The worker is done with it. */
  done(result: HelloResult): PendingHello | undefined {
    const pending = this.#byId.get(result.id)
    if (!pending) return undefined
    this.#byId.delete(result.id)
    this.#working.delete(hex(pending.hash))
    return pending
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

  #affordable(endpoint: Endpoint, { knockId }: Hello, route: Route, now: number): boolean {
    // A relay brings the hellos of many agents; it has budgets of its own.
    if (route.via === 'link' && !this.#linkBudget.take(String(route.id), now)) return false
    if (endpoint.kind === 'successor') return this.#successorBudget.take(now)
    const old = knockId < INVITE_ID_BIT && knockId < this.#parts.meta.counters.epoch
    return (old ? this.#oldEpochBudget : this.#doorbellBudget).take(now)
  }
}
