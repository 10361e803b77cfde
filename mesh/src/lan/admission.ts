import { INBOUND_PER_ADDRESS, INBOUND_SHARE_PER_ADDRESS, STRANGER_CHANCE_MS } from './constants.js'

/** What admission knows of an inbound link. */
export interface InboundLink {
  readonly id: number
  readonly address: string
  /** From this machine itself: not counted per address. */
  readonly local: boolean
  readonly since: number
  /** Delivered something that opened. */
  readonly useful: boolean
}

export type Admission = { readonly accept: true; readonly evict?: number } | { readonly accept: false }

/**
 * May one more link come in? Half of the places are kept for links that delivered something that opened, so that
 * strangers cannot lock out those who are known; one address has 4 places for links that delivered nothing (and a
 * sixteenth of all in any case), and whoever had a minute without delivering anything makes room for the next. Useful
 * links are never closed for others.
 */
export function admit(
  inbound: Iterable<InboundLink>,
  comer: { readonly address: string; readonly local: boolean },
  now: number,
  limit: number,
): Admission {
  let total = 0
  let strangers = 0
  let atAddress = 0
  let strangersAtAddress = 0
  let oldest: InboundLink | undefined
  for (const link of inbound) {
    const same = !link.local && link.address === comer.address
    total++
    if (same) atAddress++
    if (link.useful) continue
    strangers++
    if (same) strangersAtAddress++
    if (oldest === undefined || link.since < oldest.since) oldest = link
  }
  const most = Math.max(INBOUND_PER_ADDRESS, limit * INBOUND_SHARE_PER_ADDRESS)
  if (!comer.local && (strangersAtAddress >= INBOUND_PER_ADDRESS || atAddress >= most))
    return { accept: false }
  if (total < limit && strangers < Math.ceil(limit / 2)) return { accept: true }
  if (oldest !== undefined && now - oldest.since >= STRANGER_CHANCE_MS)
    return { accept: true, evict: oldest.id }
  return { accept: false }
}
