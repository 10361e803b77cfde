import {
  equalBytes,
  ProtocolError,
  verifyAgentCertificate,
  verifyRecord,
  type AckMessage,
  type DownMessage,
  type HoldReason,
  type NoticeMessage,
  type PrekeyMessage,
  type RefusalCode,
  type RefusedMessage,
  type WelcomeMessage,
} from '@fieldwhisper/protocol'
import type { Commands } from './commands.js'
import type { Composer } from './composer.js'
import type { CoreEffect } from './events.js'
import { settleFlights, type Flights } from './flights.js'
import type { Keeping } from './keeping.js'
import type { BatchPort } from './ports.js'
import type { Sealer } from './sealer.js'
import type { AgentSession } from './session.js'
import type { SessionBook } from './session-book.js'
import type { TimeEcho } from './time-echo.js'

interface Parts {
  readonly publicKey: Uint8Array
  readonly batches: BatchPort
  readonly composer: Composer
  readonly flights: Flights
  readonly keeping: Keeping
  readonly sealer: Sealer
  readonly clock: TimeEcho
  readonly book: SessionBook
  readonly commands: Commands
  /** Site key of the newest record. */
  readonly siteKey: () => Uint8Array | undefined
  readonly offerRecord: (bytes: Uint8Array, now: number, out: CoreEffect[]) => void
}

export interface Taken {
  readonly ack: boolean
  /** Packets that were acknowledged. */
  readonly acked: number
  /** Something is to be confirmed. */
  readonly confirm: boolean
  readonly refused?: RefusalCode
}

/** What the messages of the gateway change. Each belongs to the session it came in; only that of WELCOME, PREKEY is believed there. */
export class Answers {
  readonly #parts: Parts
  #hold: HoldReason | undefined
  #ackedPackets = 0

  constructor(parts: Parts) {
    this.#parts = parts
  }

  get hold(): HoldReason | undefined {
    return this.#hold
  }

  get ackedPackets(): number {
    return this.#ackedPackets
  }

  take(session: AgentSession, messages: readonly DownMessage[], now: number, out: CoreEffect[]): Taken {
    let [ack, acked, confirm] = [false, 0, false]
    let refused: RefusalCode | undefined
    let left = false
    // K before the PREKEY that came with it: a successor without K could not be used. NOTICE and COMMAND by their ids.
    for (const message of [...messages].sort(byRank)) {
      switch (message.kind) {
        case 'ack':
          ack = true
          acked += this.#ack(session, message, now, out)
          break
        case 'welcome':
          confirm = this.#welcome(session, message, now, out) || confirm
          break
        case 'prekey':
          confirm = this.#prekey(session, message, now, out) || confirm
          break
        case 'notice':
          confirm = (!left && this.#notice(message, now, out)) || confirm
          break
        case 'command':
          // What is behind one that is left must not be taken before it.
          left ||= !this.#parts.commands.take(message, now, out)
          confirm ||= !left
          break
        case 'refused':
          refused = this.#refused(session, message)
          break
      }
    }
    this.#ackedPackets += acked
    return { ack, acked, confirm, ...(refused && { refused }) }
  }

  #ack(session: AgentSession, message: AckMessage, now: number, out: CoreEffect[]): number {
    const { flights, batches, composer, sealer, clock, commands } = this.#parts
    this.#hold = message.hold
    if (message.replyThrough !== undefined) commands.acknowledged(message.replyThrough)
    clock.take(message, now)
    const done = flights.acknowledged(message.streams)
    out.push(...settleFlights(done))
    batches.ack(message.streams, message.startsBefore)
    composer.acknowledged(message.streams, message.echo?.stampMs)
    const givenUp = flights
      .of(session)
      .filter(({ counter }) => counter !== undefined && counter < message.givenUpBelow)
    sealer.reseal(givenUp, out)
    return done.length
  }

  #welcome(session: AgentSession, message: WelcomeMessage, now: number, out: CoreEffect[]): boolean {
    const { keeping, publicKey } = this.#parts
    const { standing } = keeping
    const siteKey = standing.state === 'member' ? standing.key.siteKey : this.#parts.siteKey()
    const name = siteKey && this.#nameIn(message.certificate, siteKey, publicKey, out)
    if (name === undefined || standing.state === 'stranger') return false
    const known = standing.state === 'member'
    // K never changes. Another one in a session of K would be somebody's mistake.
    if (known ? !equalBytes(standing.key.k, message.k) : session.kind !== 'join') return false
    const { doorbell, relays, siteRevision, directorySlot, k, certificate } = message
    const old = keeping.site
    if (!known || siteRevision >= old.siteRevision) {
      keeping.saveSite(
        { ...old, doorbell, relays, siteRevision: Math.max(old.siteRevision, siteRevision) },
        now,
        out,
      )
      out.push({ type: 'relays', relays })
    }
    if (known) return true
    const { fingerprint } = standing.invite
    keeping.saveKey({ k, certificate, siteKey: siteKey!, fingerprint, directorySlot }, now, out)
    out.push({ type: 'joined', name })
    return true
  }

  #prekey(session: AgentSession, message: PrekeyMessage, now: number, out: CoreEffect[]): boolean {
    const { keeping, book, offerRecord } = this.#parts
    offerRecord(message.newest, now, out)
    const { fingerprint } = keeping
    if (session !== book.answered || keeping.standing.state !== 'member' || !fingerprint) return false
    if (session.oneTime) return true
    try {
      const record = verifyRecord(message.oneTime, fingerprint)
      if (record.role !== 'one-time' || !equalBytes(record.address, session.successor.addressKey.address))
        return false
    } catch (error) {
      if (error instanceof ProtocolError) return false
      throw error
    }
    session.oneTime = new Uint8Array(message.oneTime)
    keeping.base = { id: session.id, resumption: session.resumption, oneTime: session.oneTime }
    book.save(now, out)
    return true
  }

  #notice(message: NoticeMessage, now: number, out: CoreEffect[]): boolean {
    const { keeping, publicKey } = this.#parts
    const { standing, site } = keeping
    if (standing.state !== 'member') return false
    if (message.id <= site.downThrough) return true
    const { certificate } = message
    const renamed = certificate && !equalBytes(certificate, standing.key.certificate)
    if (renamed && this.#nameIn(certificate, standing.key.siteKey, publicKey, out) !== undefined) {
      keeping.saveKey({ ...standing.key, certificate }, now, out)
    }
    const { doorbell, relays, siteRevision, id } = message
    const newest = siteRevision >= site.siteRevision
    keeping.saveSite(
      { ...site, ...(newest && { doorbell, relays, siteRevision }), downThrough: id },
      now,
      out,
    )
    if (newest) out.push({ type: 'relays', relays })
    return true
  }

  #refused(session: AgentSession, { code }: RefusedMessage): RefusalCode | undefined {
    const { state } = this.#parts.keeping.standing
    // In a session of K only the end of this device can be said; the rest belongs to joining.
    if (state === 'joining' ? session.kind !== 'join' : code !== 'revoked') return undefined
    return code
  }

  /** The name in a certificate of this site for this device. */
  #nameIn(
    certificate: Uint8Array,
    siteKey: Uint8Array,
    publicKey: Uint8Array,
    out: CoreEffect[],
  ): string | undefined {
    try {
      const { name, agentKey } = verifyAgentCertificate(siteKey, certificate)
      if (equalBytes(agentKey, publicKey)) return name
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
    }
    const message =
      'The gateway sent a certificate that is not for this device or not of this site; it is not used.'
    out.push({ type: 'event', level: 'error', code: 'FW_AGENT_CERTIFICATE_INVALID', message })
    return undefined
  }
}

const RANK = { ack: 0, welcome: 1, prekey: 2, notice: 3, command: 3, refused: 4 } as const

function byRank(a: DownMessage, b: DownMessage): number {
  return RANK[a.kind] - RANK[b.kind] || ('id' in a && 'id' in b ? a.id - b.id : 0)
}
