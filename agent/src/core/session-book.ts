import {
  addressKeyFromSeed,
  beginHello,
  equalBytes,
  hex,
  TREE_LEAVES,
  type Random,
  type SigningKey,
} from '@fieldwhisper/protocol'
import { MAX_TRIES, RESEAL_AFTER_MS } from './constants.js'
import type { CoreEffect } from './events.js'
import type { Flights } from './flights.js'
import type { Keeping } from './keeping.js'
import type { RecordBook } from './record-book.js'
import { mailboxesOf, newSession, type AgentSession, type Purpose } from './session.js'
import type { Mailboxes } from './state.js'
import { wayFor } from './way.js'

/** What rides along in a hello. */
export interface FirstContent {
  readonly bytes: Uint8Array
  /** Called with the session it became. */
  readonly sent: (session: AgentSession) => void
}

interface Parts {
  readonly identity: SigningKey
  readonly keeping: Keeping
  readonly records: () => RecordBook
  readonly flights: Flights
  readonly random: Random
  readonly nextPacketId: () => number
  /** Seals again whatever this session still had in flight. */
  readonly reseal: (session: AgentSession, out: CoreEffect[]) => void
}

/**
 * The sessions in memory: the one that seals, unanswered tries beside it, and older ones that are still waited for.
 *
 *            first, exhausted                         answered
 *   (none) ──────────────────▶ seals, unanswered ─────────────────▶ seals ── a newer one was answered ──▶ drains ──▶ over
 *            rekey, probe, doorbell                                   ▲        60 s later its rest is sealed anew
 *          ──────────────────▶ try ──────────── answered first ───────┘  (all other tries end)
 */
export class SessionBook {
  readonly #parts: Parts
  readonly #sessions = new Map<string, AgentSession>()
  #sealing: AgentSession | undefined
  #order = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  /** New batches are sealed in it. */
  get sealing(): AgentSession | undefined {
    return this.#sealing
  }

  /** The newest in which the gateway answered. */
  get answered(): AgentSession | undefined {
    let newest: AgentSession | undefined
    for (const session of this.#sessions.values()) {
      if (session.answeredAt !== undefined && session.order > (newest?.order ?? -1)) newest = session
    }
    return newest
  }

  get tries(): readonly AgentSession[] {
    return [...this.#sessions.values()].filter(
      (session) => session.answeredAt === undefined && session !== this.#sealing,
    )
  }

  get all(): readonly AgentSession[] {
    return [...this.#sessions.values()]
  }

  byDownAddress(address: Uint8Array): AgentSession | undefined {
    return this.#sessions.get(hex(address))
  }

  /** Whether K and the successor of this session are on disk: the gateway may erase what began it. */
  isReady(session: AgentSession): boolean {
    const { keeping } = this.#parts
    const { base } = keeping
    return (
      session === this.answered &&
      base !== undefined &&
      equalBytes(base.id, session.id) &&
      keeping.isDurable('session', 'key')
    )
  }

  isExhausted({ up }: AgentSession): boolean {
    return up.next >= TREE_LEAVES
  }

  /** Sends a hello. False where something for it is missing. */
  begin(
    purpose: Purpose,
    firstContent: (() => FirstContent) | undefined,
    now: number,
    out: CoreEffect[],
  ): boolean {
    const { identity, keeping, records, random, nextPacketId } = this.#parts
    const way = wayFor(purpose, keeping, records().newest, identity.publicKey)
    if (!way) return false
    const { mailbox, ...request } = way
    const first = firstContent?.()
    const content = first?.bytes ?? new Uint8Array()
    const { siteRevision } = keeping.site
    const hello = beginHello({ ...request, agent: identity, siteRevision, content }, random)
    const session = newSession(hello.session, {
      order: this.#order++,
      kind: way.kind,
      purpose,
      begunOn: way.record.role,
      helloMailbox: mailbox,
      helloId: nextPacketId(),
      begunAt: now,
    })
    this.#sessions.set(hex(session.down.addressKey.address), session)
    this.#limitTries(now, out)
    // The seeds are on disk before any relay has the mailboxes.
    this.save(now, out)
    out.push({ type: 'prove', key: session.down.addressKey, subscribe: true })
    if (mailbox) out.push({ type: 'prove', key: mailbox, subscribe: false })
    if (purpose === 'first' || purpose === 'exhausted') this.#seal(session, out)
    out.push({
      type: 'send',
      packet: {
        id: session.helloId,
        bytes: hello.packet,
        mailbox: hex(way.record.address),
        proves: mailbox !== undefined,
        kind: 'hello',
        priority: 'live',
      },
    })
    first?.sent(session)
    return true
  }

  /** Something opened in a session for the first time. */
  firstAnswer(session: AgentSession, now: number, out: CoreEffect[]): void {
    session.answeredAt = now
    out.push({ type: 'settle', ids: [session.helloId] })
    if (session.helloMailbox) out.push({ type: 'unprove', address: session.helloMailbox.address })
    if (session.order >= (this.#sealing?.order ?? -1) || this.#sealing?.answeredAt === undefined) {
      if (this.#sealing !== session) this.#seal(session, out)
    }
    const atOnce = session.kind !== 'continue'
    for (const other of this.all) {
      if (other === session) continue
      if (other.answeredAt === undefined) this.drop(other, now, out)
      else if (other.order < session.order) other.resealAt = atOnce ? now : now + RESEAL_AFTER_MS
    }
    this.save(now, out)
  }

  /** Ends what nobody waits for any more: sessions whose batches are all acknowledged or sealed anew. */
  endDrained(now: number, out: CoreEffect[]): boolean {
    const newest = this.answered
    let ended = false
    for (const session of this.all) {
      if (session.resealAt !== undefined && session.resealAt <= now) this.#parts.reseal(session, out)
      const over = session.answeredAt !== undefined && session !== this.#sealing && session !== newest
      if (!over || session.resealAt === undefined || this.#parts.flights.of(session).length > 0) continue
      this.drop(session, now, out)
      ended = true
    }
    return ended
  }

  /** Forgets a session; what it had in flight is sealed again elsewhere. */
  drop(session: AgentSession, now: number, out: CoreEffect[]): void {
    this.#sessions.delete(hex(session.down.addressKey.address))
    if (this.#sealing === session) this.#sealing = this.answered
    this.#parts.reseal(session, out)
    if (session.answeredAt === undefined) out.push({ type: 'settle', ids: [session.helloId] })
    if (session.helloMailbox && !this.#usesMailbox(session.helloMailbox.address)) {
      out.push({ type: 'unprove', address: session.helloMailbox.address })
    }
    const mailboxes = mailboxesOf(session)
    this.#parts.keeping.retire(mailboxes)
    this.removeMailboxes(mailboxes, out)
    this.save(now, out)
  }

  removeMailboxes({ up, down, answered }: Mailboxes, out: CoreEffect[]): void {
    out.push({ type: 'remove', key: addressKeyFromSeed(down) })
    // What waits in the upper one of an answered session is the gateway's to fetch.
    const key = addressKeyFromSeed(up)
    out.push(answered ? { type: 'unprove', address: key.address } : { type: 'remove', key })
  }

  save(now: number, out: CoreEffect[]): void {
    this.#parts.keeping.setMailboxes(this.all.map(mailboxesOf))
    this.#parts.keeping.saveSession(now, out)
  }

  #seal(session: AgentSession, out: CoreEffect[]): void {
    this.#sealing = session
    out.push({ type: 'prove', key: session.up.addressKey, subscribe: false })
  }

  #usesMailbox(address: Uint8Array): boolean {
    return this.all.some(({ helloMailbox }) => helloMailbox && equalBytes(helloMailbox.address, address))
  }

  #limitTries(now: number, out: CoreEffect[]): void {
    const [oldest, ...others] = this.tries
    if (oldest && others.length >= MAX_TRIES) this.drop(oldest, now, out)
  }
}
