import {
  DIAL_BACKOFF_MAX_MS,
  DIAL_BUDGET_MS,
  DIALLED_MAX,
  HEARD_EXPIRY_MS,
  HEARD_MAX,
  HINT_AGE_MS,
} from './constants.js'
import { targetKey, withoutScope, type LinkTarget } from './target.js'

/** One address that beacons came from. */
export interface Heard {
  readonly target: LinkTarget
  readonly key: string
  /** Whom the limits per address count: the address, or address and port on this machine itself. */
  readonly place: string
  /** Beacon id in hex: addresses with one id are probably one device. It proves nothing and only orders. */
  id: string
  lastHeard: number
  /** The random delay before the first dial ends here. */
  readonly notBefore: number
  /** Drawn once: equals are dialled in an order that no two devices share. */
  readonly lot: number
  lastDialled: number | undefined
  hintedAt: number | undefined
}

interface Dialled {
  at: number
  failures: number
}

/** What candidates are compared by; see `HeardTable.candidate`. */
export interface CandidateQuestion {
  /** Dialled or linked already. */
  taken(heard: Heard): boolean
  /** There is a link with this device, over another address or dialled by it. */
  linked(heard: Heard): boolean
  /** Leave linked devices out, not only behind. */
  readonly onlyUnlinked: boolean
  readonly useHints: boolean
}

export interface Candidate {
  readonly heard: Heard
  readonly hinted: boolean
}

/**
 * Addresses heard on the LAN and when they may be dialled. Bounded: 256 addresses, the longest unheard leaves first;
 * dials are remembered apart from them, so that pushing an address out of the table does not renew its budget.
 */
export class HeardTable {
  readonly #heard = new Map<string, Heard>()
  readonly #dialled = new Map<string, Dialled>()

  get size(): number {
    return this.#heard.size
  }

  /** Distinct beacon ids: about as many as there are devices. */
  deviceIds(): Set<string> {
    return new Set([...this.#heard.values()].map((heard) => heard.id))
  }

  all(): IterableIterator<Heard> {
    return this.#heard.values()
  }

  at(address: string): Heard[] {
    return [...this.#heard.values()].filter((heard) => heard.target.address === address)
  }

  /** A beacon came. A full table gives up the address longest unheard that has no link (`inUse`). */
  hear(
    target: LinkTarget,
    id: string,
    local: boolean,
    now: number,
    fresh: () => { readonly notBefore: number; readonly lot: number },
    inUse: (key: string) => boolean,
  ): void {
    const key = targetKey(target)
    const known = this.#heard.get(key)
    if (known === undefined && this.#heard.size >= HEARD_MAX && !this.#evict(inUse)) return
    const place = local ? key : target.address
    const heard: Heard = known ?? {
      target,
      key,
      place,
      id,
      lastHeard: now,
      lastDialled: undefined,
      hintedAt: undefined,
      ...fresh(),
    }
    if (known !== undefined && known.id !== id) {
      // Another id: it may have started anew, so that earlier failures say nothing about it.
      const dialled = this.#dialled.get(place)
      if (dialled !== undefined) dialled.failures = 0
      known.id = id
    }
    heard.lastHeard = now
    // Order of the map is order of hearing.
    this.#heard.delete(key)
    this.#heard.set(key, heard)
  }

  hint(targets: readonly LinkTarget[], now: number): void {
    for (const hint of targets) {
      for (const heard of this.#heard.values()) {
        if (heard.target.port === hint.port && withoutScope(heard.target.address) === hint.address)
          heard.hintedAt = now
      }
    }
  }

  expire(now: number): void {
    for (const [key, heard] of this.#heard) {
      if (now - heard.lastHeard <= HEARD_EXPIRY_MS) break
      this.#heard.delete(key)
    }
    for (const [place, dialled] of this.#dialled) {
      if (now - dialled.at > DIAL_BACKOFF_MAX_MS) this.#dialled.delete(place)
    }
  }

  dialled(heard: Heard, now: number): void {
    heard.lastDialled = now
    const failures = this.#dialled.get(heard.place)?.failures ?? 0
    this.#dialled.delete(heard.place)
    this.#dialled.set(heard.place, { at: now, failures })
    if (this.#dialled.size > DIALLED_MAX) this.#dialled.delete(this.#dialled.keys().next().value!)
  }

  /** What became of a dial to this place: failures double the wait for the next one, up to 10 min. */
  outcome(place: string, success: boolean): void {
    const dialled = this.#dialled.get(place)
    if (dialled !== undefined) dialled.failures = success ? 0 : dialled.failures + 1
  }

  /**
   * The address to dial next: hinted ones first, then devices never dialled without a link, then other addresses never
   * dialled, then the one longest not dialled. Only addresses whose minute (or back-off) is over.
   */
  candidate(now: number, question: CandidateQuestion): Candidate | undefined {
    let best: Heard | undefined
    let bestRank = Infinity
    for (const heard of this.#heard.values()) {
      if (heard.notBefore > now || !this.#mayDial(heard.place, now) || question.taken(heard)) continue
      const linked = question.linked(heard)
      if (linked && question.onlyUnlinked) continue
      const rank =
        question.useHints && isHinted(heard, now) ? 0 : heard.lastDialled !== undefined ? 3 : linked ? 2 : 1
      if (best === undefined || rank < bestRank || (rank === bestRank && before(heard, best))) {
        best = heard
        bestRank = rank
      }
    }
    return best === undefined ? undefined : { heard: best, hinted: bestRank === 0 }
  }

  #mayDial(place: string, now: number): boolean {
    const dialled = this.#dialled.get(place)
    if (dialled === undefined) return true
    return (
      now - dialled.at >=
      Math.min(DIAL_BACKOFF_MAX_MS, DIAL_BUDGET_MS * 2 ** Math.max(0, dialled.failures - 1))
    )
  }

  #evict(inUse: (key: string) => boolean): boolean {
    for (const key of this.#heard.keys()) {
      if (inUse(key)) continue
      this.#heard.delete(key)
      return true
    }
    return false
  }
}

/** Named by a link since it was last dialled, and not long ago. */
function isHinted(heard: Heard, now: number): boolean {
  const { hintedAt, lastDialled } = heard
  return hintedAt !== undefined && now - hintedAt <= HINT_AGE_MS && hintedAt >= (lastDialled ?? -Infinity)
}

function before(a: Heard, b: Heard): boolean {
  if (a.lastDialled !== b.lastDialled) return (a.lastDialled ?? -Infinity) < (b.lastDialled ?? -Infinity)
  return a.lot < b.lot
}
