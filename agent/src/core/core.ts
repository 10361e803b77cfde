import {
  addressKeyFromSeed,
  decodeDown,
  equalBytes,
  PACKET_DATA,
  packetHash,
  parseHeader,
  ProtocolError,
  readU32,
  type DownMessage,
  type PacketHeader,
  type RefusalCode,
} from '@fieldwhisper/protocol'
import type { CourierPath } from '@fieldwhisper/mesh'
import { Answers } from './answers.js'
import { Commands } from './commands.js'
import { Composer } from './composer.js'
import { Confirmations } from './confirmations.js'
import {
  ASK_FIRST_MS,
  ASK_SILENT_MS,
  HEARD_WITHIN_MS,
  QUIET_MS,
  REKEY_AFTER_MS,
  REKEY_AFTER_PACKETS,
  SAVE_SILENCE_MS,
  SILENT_ENOUGH_TO_ASK_MS,
  SLOW_BATCHES_AFTER_MS,
  SLOWEST_BATCH_MS,
} from './constants.js'
import type { CoreEffect, CoreEvent } from './events.js'
import { Failures } from './failures.js'
import { Flights } from './flights.js'
import { Keeping } from './keeping.js'
import type { CoreOptions } from './ports.js'
import { RecordBook } from './record-book.js'
import { Sealer } from './sealer.js'
import type { AgentSession, Purpose } from './session.js'
import { SessionBook } from './session-book.js'
import { Silence } from './silence.js'
import type { CoreStatus } from './status.js'
import { REFUSED_TEXT } from './texts.js'
import { TimeEcho } from './time-echo.js'

export interface CoreStep {
  readonly effects: readonly CoreEffect[]
  /** There is more to seal at once: step again, with `tick`, when these are out. */
  readonly more: boolean
}

/**
 * An agent's side of the protocol (DESIGN 4 to 6), without sockets, disk or clock. Feed it every event in order, carry the
 * effects out in order, and call it with `tick` a few times a second. `now` is the machine's monotonic clock in milliseconds,
 * the one that readings are stamped with.
 *
 * A step: 1 the event, 2 sessions to begin or end, 3 batches to seal, 4 what is to be confirmed.
 */
export class AgentCore {
  readonly #options: CoreOptions
  readonly #keeping: Keeping
  readonly #flights = new Flights()
  readonly #book: SessionBook
  readonly #composer: Composer
  readonly #sealer: Sealer
  readonly #answers: Answers
  readonly #commands: Commands
  readonly #confirmations: Confirmations
  readonly #clock: TimeEcho
  readonly #silence: Silence
  readonly #failures = new Failures()
  #records: RecordBook
  #started = false
  #heardAt: number | undefined
  #ackAt: number | undefined
  /** Number of the newest record when the gateway was last heard or a doorbell tried. */
  #knownRecord = 0
  #askedAt = -Infinity
  #silenceSavedAt = 0
  #intervalMs = 0
  #nextPacket = 1
  /** The last session whose readiness was put on the way to the gateway. */
  #readySaid: AgentSession | undefined
  #refused: { readonly code: RefusalCode; readonly at: number } | undefined

  constructor(options: CoreOptions, now: number) {
    this.#options = options
    const { standing, site, session, batches, random, identity } = options
    const nextPacketId = (): number => this.#nextPacket++
    this.#keeping = new Keeping(standing, site, session)
    this.#records = new RecordBook(site.record, this.#keeping.fingerprint)
    this.#clock = new TimeEcho(options.bootId)
    this.#composer = new Composer(batches)
    const shared = { keeping: this.#keeping, flights: this.#flights, random, nextPacketId }
    this.#sealer = new Sealer({ ...shared, options, composer: this.#composer, clock: this.#clock }, now)
    this.#book = new SessionBook({
      ...shared,
      identity,
      records: () => this.#records,
      reseal: (over, out) => this.#sealer.reseal(this.#flights.of(over), out),
    })
    this.#commands = new Commands(this.#keeping)
    this.#answers = new Answers({
      ...shared,
      publicKey: identity.publicKey,
      batches,
      composer: this.#composer,
      sealer: this.#sealer,
      clock: this.#clock,
      book: this.#book,
      commands: this.#commands,
      siteKey: () => this.#records.newest?.siteKey,
      offerRecord: (bytes, at, out) => this.#record(bytes, 'session', at, out),
    })
    this.#confirmations = new Confirmations(batches, this.#composer, this.#sealer, this.#commands)
    this.#silence = new Silence(
      session.silence,
      (low, high) => low + (readU32(random(4), 0) / 2 ** 32) * (high - low),
    )
    this.#knownRecord = this.#records.newest?.number ?? 0
  }

  /** Nothing can be sent before somebody names the site's prekey record. */
  get needsRecord(): boolean {
    return (
      this.#keeping.standing.state !== 'stranger' && this.#book.sealing === undefined && !this.#records.newest
    )
  }

  /** The gateway may have a record that this agent does not know: whoever comes is asked for it. */
  wantsRecord(now: number): boolean {
    return this.needsRecord || this.#silence.silentMs(now) > SILENT_ENOUGH_TO_ASK_MS
  }

  /** The newest record, for links that ask for this slot. */
  recordFor(slot: Uint8Array): Uint8Array | undefined {
    const own = this.#keeping.directorySlot
    return own && equalBytes(own, slot) ? this.#records.newest?.bytes : undefined
  }

  get directorySlot(): Uint8Array | undefined {
    return this.#keeping.directorySlot
  }

  status(now: number): CoreStatus {
    const { standing } = this.#keeping
    const session = this.#book.answered ?? this.#book.sealing
    return {
      standing: standing.state,
      session: session
        ? {
            id: session.name,
            kind: session.kind,
            answered: session.answeredAt !== undefined,
            ready: this.#book.isReady(session),
            packets: session.up.next,
          }
        : undefined,
      tries: this.#book.tries.length,
      inFlight: this.#flights.size,
      sealed: this.#sealer.sealed,
      acknowledgedPackets: this.#answers.ackedPackets,
      silentMs: this.#silence.silentMs(now),
      heardAgoMs: this.#heardAt === undefined ? undefined : now - this.#heardAt,
      hold: this.#answers.hold,
      refused: this.#refused?.code,
      record: this.#records.newest?.number,
      olderRecordsIgnored: this.#records.ignored,
      failedPackets: this.#failures.count,
    }
  }

  step(event: CoreEvent, now: number): CoreStep {
    const out: CoreEffect[] = []
    this.#take(event, now, out)
    this.#tellFailures(now, out)
    if (!this.#started || this.#keeping.standing.state === 'stranger') return { effects: out, more: false }
    this.#keeping.retry(now, out)
    this.#commands.step(now, out)
    this.#sessions(now, out)
    this.#pace(now, out)
    const more = this.#sealer.fill(this.#book, now, out)
    const newest = this.#book.answered
    if (newest && newest !== this.#readySaid && this.#book.isReady(newest)) {
      this.#readySaid = newest
      this.#confirmations.due(now)
    }
    const heard = this.#heardAt !== undefined && now - this.#heardAt < HEARD_WITHIN_MS
    this.#confirmations.step(this.#book, heard, now, out)
    return { effects: out, more }
  }

  #tellFailures(now: number, out: CoreEffect[]): void {
    const packets = this.#failures.news(now)
    if (packets === 0) return
    const message =
      "Packets that look like the gateway's did not open: they were altered on the way, or somebody forges them. True ones are not affected."
    out.push({ type: 'event', level: 'warn', code: 'FW_AGENT_PACKETS_FAILED', message, fields: { packets } })
  }

  #take(event: CoreEvent, now: number, out: CoreEffect[]): void {
    switch (event.type) {
      case 'start':
        this.#started = true
        this.#silenceSavedAt = now
        return this.#start(now, out)
      case 'packet':
        return this.#packet(event.path, event.packet, now, out)
      case 'record':
        return this.#record(event.record, event.source, now, out)
      case 'closed':
        return this.#sealer.closed(event.batch, event.urgent === true)
      case 'dropped': {
        const flights = event.batches.flatMap((place) => this.#flights.at(place) ?? [])
        return this.#sealer.reseal(flights, out)
      }
      case 'relayConnected':
        return this.#ask(now, out)
      case 'saved':
        return this.#keeping.saved(event.file, event.ok, now)
      case 'replied':
        return this.#commands.finished(event.id, event.reply, now, out)
      case 'mailboxRemoved':
        for (const mailboxes of [...this.#keeping.oldMailboxes]) {
          if (!equalBytes(addressKeyFromSeed(mailboxes.down).address, event.address)) continue
          this.#keeping.removed(mailboxes)
          this.#book.save(now, out)
        }
        return
      case 'tick':
        return
    }
  }

  #start(now: number, out: CoreEffect[]): void {
    const { standing } = this.#keeping
    if (standing.state === 'stranger') {
      const message =
        'This agent belongs to no site: readings are kept and cannot be sent. Join with an invite from the gateway (gateway enroll NAME).'
      out.push({ type: 'event', level: 'error', code: 'FW_AGENT_NOT_JOINED', message })
      return
    }
    // Mailboxes of earlier tries and sessions: nobody here has their keys any more.
    for (const mailboxes of this.#keeping.oldMailboxes) this.#book.removeMailboxes(mailboxes, out)
    const { newest } = this.#records
    const slot = this.#keeping.directorySlot
    if (newest && slot) out.push({ type: 'serve', slot, record: newest.bytes })
    this.#ask(now, out)
  }

  #packet(path: CourierPath, packet: Uint8Array, now: number, out: CoreEffect[]): void {
    let header: PacketHeader
    try {
      header = parseHeader(packet)
    } catch (error) {
      if (error instanceof ProtocolError) return
      throw error
    }
    const session = header.type === PACKET_DATA ? this.#book.byDownAddress(header.address) : undefined
    if (session) this.#open(session, header, packet, path, now, out)
    // Opened, seen before, failed or for a session that is over: the relay need not keep it.
    if ('relay' in path) {
      const address = new Uint8Array(header.address)
      out.push({ type: 'discard', relay: path.relay, address, hash: packetHash(packet) })
    }
  }

  #open(
    session: AgentSession,
    header: PacketHeader,
    packet: Uint8Array,
    path: CourierPath,
    now: number,
    out: CoreEffect[],
  ): void {
    const sender = 'link' in path ? `link ${path.link}` : path.relay
    if (!this.#failures.mayTry(sender, now)) return
    const opened = session.down.open(header, packet)
    if (opened.outcome === 'failed') this.#failures.failed(sender, now)
    // The copy that came second says that its path works, and no more.
    if (opened.outcome === 'duplicate') out.push({ type: 'heard', path, ack: 'relay' in path, acked: 0 })
    if (opened.outcome !== 'opened') return
    let messages: DownMessage[]
    try {
      messages = decodeDown(opened.content)
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      const message = 'The gateway sent something that this agent cannot read: update the agent.'
      out.push({ type: 'event', level: 'error', code: 'FW_AGENT_CONTENT_MALFORMED', message })
      return
    }
    this.#heard(session, messages, path, now, out)
  }

  #heard(
    session: AgentSession,
    messages: readonly DownMessage[],
    path: CourierPath,
    now: number,
    out: CoreEffect[],
  ): void {
    const first = session.answeredAt === undefined
    if (first && messages.some(({ kind }) => kind !== 'refused')) {
      this.#book.firstAnswer(session, now, out)
      this.#confirmations.sessionChanged()
      this.#refused = undefined
    }
    const taken = this.#answers.take(session, messages, now, out)
    if (first) this.#sealer.reseal(this.#hello(session), out)
    out.push({ type: 'heard', path, ack: taken.ack, acked: taken.acked })
    this.#heardAt = now
    if (taken.ack) this.#ackAt = now
    this.#knownRecord = this.#records.newest?.number ?? 0
    if (taken.refused) return this.#refuse(session, taken.refused, now, out)
    this.#silence.heard(now)
    if (taken.confirm) this.#confirmations.due(now)
  }

  /** The batch that rode in the hello, if its acknowledgement did not come with the first answer. */
  #hello(session: AgentSession): ReturnType<Flights['of']> {
    return this.#flights.of(session).filter(({ counter }) => counter === undefined)
  }

  #refuse(session: AgentSession, code: RefusalCode, now: number, out: CoreEffect[]): void {
    this.#refused = { code, at: now }
    this.#book.drop(session, now, out)
    this.#silence.refused(now)
    const message = `The gateway refused this agent: ${REFUSED_TEXT[code]} Readings are kept; it tries again in some hours.`
    out.push({ type: 'event', level: 'error', code: 'FW_AGENT_REFUSED', message, fields: { refusal: code } })
  }

  #record(bytes: Uint8Array, source: string, now: number, out: CoreEffect[]): void {
    const { fingerprint, directorySlot } = this.#keeping
    if (!fingerprint || !directorySlot) return
    const result = this.#records.offer(bytes, source, fingerprint, now)
    switch (result.outcome) {
      case 'newer':
        this.#keeping.saveRecord(result.record, now, out)
        out.push({ type: 'serve', slot: directorySlot, record: result.record.bytes })
        return
      case 'wrong-site': {
        const message = 'A prekey record of another site came under the name of this one; it is not used.'
        out.push({
          type: 'event',
          level: 'warn',
          code: 'FW_AGENT_RECORD_WRONG_SITE',
          message,
          fields: { source },
        })
        return
      }
      case 'invalid': {
        const message = 'A prekey record that is not properly signed came; it is not used.'
        out.push({
          type: 'event',
          level: 'warn',
          code: 'FW_AGENT_RECORD_INVALID',
          message,
          fields: { source },
        })
        return
      }
      case 'ignored':
        return
    }
  }

  #sessions(now: number, out: CoreEffect[]): void {
    if (this.#book.endDrained(now, out)) this.#confirmations.due(now)
    const session = this.#book.sealing
    if (!session) {
      // A refusal is followed by hours of patience; otherwise the first hello goes out as soon as a record is there.
      if (!this.#refused) this.#begin('first', now, out)
    } else this.#rekey(session, now, out)
    const waiting = session === undefined || session.answeredAt === undefined || this.#flights.size > 0
    this.#silence.outstanding(waiting || this.#options.batches.hasHeld, now)
    this.#whenSilent(now, out)
  }

  #begin(purpose: Purpose, now: number, out: CoreEffect[]): void {
    const carries = purpose === 'first' || purpose === 'exhausted'
    const begun = this.#book.begin(
      purpose,
      carries ? () => this.#sealer.firstContent(now) : undefined,
      now,
      out,
    )
    // Only a record that is newer than what was tried with says that something changed at the gateway.
    if (begun && purpose !== 'rekey') this.#knownRecord = this.#records.newest?.number ?? 0
  }

  #rekey(session: AgentSession, now: number, out: CoreEffect[]): void {
    if (this.#book.isExhausted(session)) {
      // 2^16 packets without an answer cannot be: so many are never outstanding.
      this.#begin('exhausted', now, out)
      return
    }
    if (!this.#book.isReady(session)) return
    const due =
      session.begunOn === 'signed' ||
      now - session.begunAt >= REKEY_AFTER_MS ||
      session.up.next >= REKEY_AFTER_PACKETS
    // Whoever hears nothing tries no more than silence allows; whoever is heard and not answered, once an hour.
    const last = this.#book.tries.at(-1)?.begunAt ?? -Infinity
    const quiet = this.#silence.silentMs(now) > QUIET_MS || (this.#heardAt ?? -Infinity) < last
    if (!due || quiet || now - last < REKEY_AFTER_MS) return
    this.#begin('rekey', now, out)
  }

  #whenSilent(now: number, out: CoreEffect[]): void {
    const silentMs = this.#silence.silentMs(now)
    const askEvery = this.needsRecord ? ASK_FIRST_MS : ASK_SILENT_MS
    if ((this.needsRecord || silentMs > SILENT_ENOUGH_TO_ASK_MS) && now - this.#askedAt >= askEvery)
      this.#ask(now, out)
    const newer = (this.#records.newest?.number ?? 0) > this.#knownRecord
    const action = this.#silence.due(now, newer)
    if (action) {
      this.#refused = undefined
      this.#try(action, now, out)
    }
    if (action || (silentMs > 0 && now - this.#silenceSavedAt >= SAVE_SILENCE_MS)) {
      this.#silenceSavedAt = now
      this.#keeping.setSilence(this.#silence.state(now))
      this.#book.save(now, out)
    }
  }

  #try(action: 'probe' | 'lost', now: number, out: CoreEffect[]): void {
    const minutes = Math.round(this.#silence.silentMs(now) / 60_000)
    const message = `The gateway has not been heard for ${minutes} min; ${TRY_TEXT[action]}. Readings are kept.`
    out.push({ type: 'event', level: 'warn', code: 'FW_AGENT_GATEWAY_SILENT', message, fields: { minutes } })
    if (!this.#book.sealing) this.#begin('first', now, out)
    else this.#begin(action === 'probe' ? 'probe' : 'doorbell', now, out)
  }

  /** Batches stay open for longer while nothing is acknowledged, so that the window holds days instead of an hour. */
  #pace(now: number, out: CoreEffect[]): void {
    const silentMs = Math.min(
      this.#silence.silentMs(now),
      this.#ackAt === undefined ? Infinity : now - this.#ackAt,
    )
    const slow =
      silentMs > SLOW_BATCHES_AFTER_MS ? Math.min(SLOWEST_BATCH_MS, Math.floor(silentMs / 10_000) * 1_000) : 0
    if (slow === this.#intervalMs) return
    this.#intervalMs = slow
    out.push({ type: 'batchInterval', atLeastMs: slow })
  }

  #ask(now: number, out: CoreEffect[]): void {
    const slot = this.#keeping.directorySlot
    if (!slot) return
    this.#askedAt = now
    out.push({ type: 'lookUp', slot })
  }
}

const TRY_TEXT = {
  probe: 'a new session is tried',
  lost: "a new session is tried by the gateway's doorbell",
} as const
