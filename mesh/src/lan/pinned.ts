import { HINT_AGE_MS, KEPT_MAX, PEER_RETRY_MAX_MS, REDIAL_MAX_MS, REDIAL_MIN_MS } from './constants.js'
import { between, type Random } from './random.js'
import { targetKey, type LinkTarget } from './target.js'

/** A target that is dialled whenever it has no link, outside the budget of beacons. */
export interface Pin {
  readonly target: LinkTarget
  readonly key: string
  /** From the configuration (for ever), or an address that brought ACKs (until others do). */
  readonly cause: 'peer' | 'kept'
  failures: number
  nextDial: number
  lastAck: number | undefined
  readonly since: number
}

/** Configured peers and at most four addresses that brought ACKs: what is always dialled, and when. */
export class Pinned {
  readonly #random: Random
  readonly #pins = new Map<string, Pin>()

  constructor(peers: readonly LinkTarget[], remembered: readonly LinkTarget[], now: number, random: Random) {
    this.#random = random
    for (const target of peers) this.#add(target, 'peer', now)
    for (const target of remembered.slice(0, KEPT_MAX)) this.#add(target, 'kept', now)
  }

  get(key: string): Pin | undefined {
    return this.#pins.get(key)
  }

  /** Pins whose time to be dialled has come, remembered ones before peers. */
  due(now: number): Pin[] {
    return [...this.#pins.values()].filter((pin) => pin.nextDial <= now).sort((a, b) => order(a) - order(b))
  }

  kept(): Pin[] {
    return [...this.#pins.values()].filter((pin) => pin.cause === 'kept')
  }

  failed(pin: Pin, now: number): void {
    pin.failures++
    const patient = pin.cause === 'peer' && !recent(pin, now)
    const high = patient
      ? Math.min(PEER_RETRY_MAX_MS, REDIAL_MAX_MS * 2 ** (pin.failures - 1))
      : REDIAL_MAX_MS
    pin.nextDial = now + between(this.#random, Math.max(REDIAL_MIN_MS, high / 10), high)
  }

  /** Its link ended: at once when that brought ACKs, else like a failure. */
  broke(pin: Pin, ackedOnLink: boolean, now: number): void {
    if (!ackedOnLink) return this.failed(pin, now)
    pin.failures = 0
    pin.nextDial = now
  }

  /** An ACK came from this target. Returns whether the list of kept addresses changed. */
  acked(target: LinkTarget, now: number): boolean {
    const known = this.#pins.get(targetKey(target))
    const pin = known ?? this.#add(target, 'kept', now)
    pin.lastAck = now
    return this.#drop(now, pin) || (known === undefined && pin.cause === 'kept')
  }

  /** An interface came or changed: what waited for a road tries it. */
  hurry(now: number): void {
    for (const pin of this.#pins.values()) {
      pin.failures = 0
      pin.nextDial = Math.min(pin.nextDial, now)
    }
  }

  /** Kept addresses silent for 10 min leave when another one answers now; above four, the longest silent. */
  #drop(now: number, answering: Pin): boolean {
    const kept = this.kept().sort((a, b) => (b.lastAck ?? b.since) - (a.lastAck ?? a.since))
    const out = kept.filter(
      (pin, i) => pin !== answering && (i >= KEPT_MAX || now - (pin.lastAck ?? pin.since) > HINT_AGE_MS),
    )
    for (const pin of out) this.#pins.delete(pin.key)
    return out.length > 0
  }

  #add(target: LinkTarget, cause: 'peer' | 'kept', now: number): Pin {
    const key = targetKey(target)
    const pin: Pin = { target, key, cause, failures: 0, nextDial: now, lastAck: undefined, since: now }
    if (!this.#pins.has(key)) this.#pins.set(key, pin)
    return this.#pins.get(key)!
  }
}

function recent(pin: Pin, now: number): boolean {
  return pin.lastAck !== undefined && now - pin.lastAck <= HINT_AGE_MS
}

function order(pin: Pin): number {
  return pin.cause === 'kept' ? 0 : 1
}
