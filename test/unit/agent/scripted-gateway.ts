import {
  addressKeyFromSeed,
  addressOf,
  checkKnock,
  crypto,
  decodeBatch,
  decodeUp,
  deviceKey,
  encodeMessages,
  finishHello,
  helloHash,
  hex,
  INVITE_ID_BIT,
  inviteKnockKey,
  OpeningDirection,
  openHello,
  PACKET_HELLO,
  parseHeader,
  parseHello,
  SealingDirection,
  signAgentCertificate,
  signGatewayCertificate,
  signRecord,
  successor,
  type DownMessage,
  type GapMessage,
  type Invite,
  type PrekeyRecord,
  type Reading,
  type SessionSecrets,
  type UpMessage,
} from '@fieldwhisper/protocol'
import { siteFingerprint } from '../../../protocol/src/identity/site.js'

let seed = 1
/** Different bytes each time, the same in every run. */
export function fresh(length: number): Uint8Array {
  const out = new Uint8Array(length)
  for (let at = 0; at < length; at += 32)
    out.set(crypto.sha256(Buffer.from(`seed ${seed++}`)).subarray(0, length - at), at)
  return out
}

interface Prekey {
  readonly record: PrekeyRecord
  readonly prekeySecret: Uint8Array
  readonly kemSeed: Uint8Array
}

export interface GatewaySession {
  readonly secrets: SessionSecrets
  readonly kind: string
  readonly continuity: string
  readonly up: OpeningDirection
  readonly down: SealingDirection
  readonly order: number
  readonly oneTime: Prekey
  confirmed: boolean
  /** Messages it opened, oldest first. */
  readonly said: UpMessage[]
  ended: boolean
}

/** A gateway for one agent, as short as the protocol allows; tests switch parts of it off. */
export class ScriptedGateway {
  readonly site = crypto.signingKey(fresh(32))
  readonly signing = crypto.signingKey(fresh(32))
  readonly agreement = fresh(32)
  readonly master = fresh(32)
  readonly certificate = signGatewayCertificate(this.site, {
    number: 1,
    signingKey: this.signing.publicKey,
    agreementKey: crypto.agreementKey(this.agreement).publicKey,
  })
  readonly directorySlot = addressKeyFromSeed(fresh(32)).address
  readonly invite: Invite = {
    siteFingerprint: siteFingerprint(this.site.publicKey),
    directorySlot: this.directorySlot,
    id: (INVITE_ID_BIT | 7) >>> 0,
    secret: fresh(32),
    relays: [],
  }
  signed: Prekey
  readonly sessions: GatewaySession[] = []
  readonly readings: Reading[] = []
  readonly gaps: GapMessage[] = []
  readonly hellos: string[] = []
  /** Answers that are held back. */
  mute = false
  /** Answers only one packet of so many. */
  answerEvery = 1
  refuse: 'invite-used' | 'revoked' | undefined
  hold: 'confirm' | undefined
  givenUpBelow = 0
  wallMs: number | undefined
  noticeId = 0
  /** In every ACK from now on. */
  replyThrough: number | undefined
  name = 'pump-7'
  #number = 1
  #order = 0
  readonly #accepted = new Map<string, GatewaySession>()
  readonly #doorbells = new Map<string, Prekey>()
  /** By stream: everything below `through`, and single numbers above. */
  readonly #ledger = new Map<string, { through: number; above: Set<number> }>()
  #startsBefore = 0
  now = 0

  constructor() {
    this.signed = this.newSigned()
  }

  newSigned(): Prekey {
    const prekey = this.#prekey('signed', addressOf(crypto.signingKey(fresh(32)).publicKey))
    this.#doorbells.set(hex(prekey.record.address), prekey)
    return (this.signed = prekey)
  }

  /** Restored from a backup: no sessions, no prekeys, and a record with a higher number. */
  restore(): void {
    this.sessions.length = 0
    this.#accepted.clear()
    this.#doorbells.clear()
    this.#number += 10
    this.newSigned()
  }

  /** One packet in, answers out. */
  take(packet: Uint8Array): Uint8Array[] {
    const header = parseHeader(packet)
    if (header.type === PACKET_HELLO) return this.#hello(packet)
    const session = this.sessions.find(({ up }) => hex(up.addressKey.address) === hex(header.address))
    if (!session || session.ended) return []
    const opened = session.up.open(header, packet)
    if (opened.outcome === 'failed') return []
    if (opened.outcome === 'opened') this.#content(session, opened.content)
    return session.said.length % this.answerEvery === 0 ? this.answer(session) : []
  }

  answer(session: GatewaySession, more: readonly DownMessage[] = []): Uint8Array[] {
    if (this.mute) return []
    return [
      session.down.seal(encodeMessages([this.#ack(session), ...this.#setup(session), ...more]), fresh).packet,
    ]
  }

  has(stream: Uint8Array, number: number): boolean {
    const known = this.#ledger.get(hex(stream))
    return known !== undefined && (number < known.through || known.above.has(number))
  }

  values(): unknown[] {
    return this.readings.map(({ value }) => value)
  }

  #ack(session: GatewaySession): DownMessage {
    const last = session.said.findLast((message) => message.kind === 'data')
    const hold = this.hold
    return {
      kind: 'ack',
      streams: hold
        ? []
        : [...this.#ledger].map(([stream, { through, above }]) => {
            const rest = [...above].sort((a, b) => a - b)
            const ranges: { from: number; to: number }[] = []
            for (const number of rest) {
              const open = ranges.at(-1)
              if (open?.to === number) open.to++
              else ranges.push({ from: number, to: number + 1 })
            }
            return { stream: Buffer.from(stream, 'hex'), through, ranges: ranges.slice(0, 64) }
          }),
      startsBefore: this.#startsBefore,
      givenUpBelow: this.givenUpBelow,
      ...(last && { echo: { stampMs: last.stampMs, delayMs: 0 } }),
      ...(this.wallMs !== undefined && { wallMs: this.wallMs }),
      ...(hold && { hold }),
      ...(this.replyThrough !== undefined && { replyThrough: this.replyThrough }),
    }
  }

  #setup(session: GatewaySession): DownMessage[] {
    if (session.confirmed) return []
    return [
      {
        kind: 'welcome',
        k: this.#k(),
        certificate: this.agentCertificate(),
        doorbell: { epoch: 1, secret: this.#doorbellSecret() },
        relays: [],
        directorySlot: this.directorySlot,
        siteRevision: 3,
      },
      { kind: 'prekey', oneTime: session.oneTime.record.bytes, newest: this.signed.record.bytes },
    ]
  }

  agentKey = new Uint8Array(32)

  agentCertificate(): Uint8Array {
    return signAgentCertificate(this.site, { number: 5, name: this.name, agentKey: this.agentKey })
  }

  notice(session: GatewaySession, relays: { url: string }[] = []): Uint8Array[] {
    const id = ++this.noticeId
    const doorbell = { epoch: 2, secret: this.#doorbellSecret() }
    return this.answer(session, [
      { kind: 'notice', id, siteRevision: 4, doorbell, relays, certificate: this.agentCertificate() },
    ])
  }

  #k(): Uint8Array {
    return deviceKey(this.master, this.agentKey)
  }

  #doorbellSecret(): Uint8Array {
    return crypto.sha256(this.master, Buffer.from('doorbell'))
  }

  #hello(packet: Uint8Array): Uint8Array[] {
    const hello = parseHello(packet)
    const address = hex(hello.header.address)
    const parent = this.sessions.find(
      (session) => hex(successor(session.secrets.resumption).addressKey.address) === address,
    )
    const prekey = parent?.oneTime ?? this.#doorbells.get(address)
    if (!prekey) return []
    const knock = parent
      ? successor(parent.secrets.resumption).knockKey
      : hello.knockId === this.invite.id
        ? inviteKnockKey(this.invite.secret)
        : this.#doorbellSecret()
    if (!checkKnock(hello, knock)) return []
    const hash = hex(helloHash(hello, prekey.record.bytes))
    const known = this.#accepted.get(hash)
    if (known) return known.ended ? [] : this.answer(known)
    const opened = openHello(packet, {
      record: prekey.record.bytes,
      gatewaySecret: this.agreement,
      prekeySecret: prekey.prekeySecret,
      kemSeed: prekey.kemSeed,
    })
    if (!opened) return []
    this.agentKey = new Uint8Array(opened.agentKey)
    const k = opened.kind === 'join' ? this.invite.secret : this.#k()
    const r = parent ? parent.secrets.resumption : new Uint8Array(32)
    const finished = finishHello(packet, opened, k, r)
    if (!finished) return []
    this.hellos.push(opened.kind)
    const session: GatewaySession = {
      secrets: finished.session,
      kind: opened.kind,
      continuity: hex(opened.continuity),
      up: OpeningDirection.begin(finished.session.up),
      down: SealingDirection.begin(finished.session.down),
      order: this.#order++,
      oneTime: this.#prekey('one-time', successor(finished.session.resumption).addressKey.address),
      confirmed: false,
      said: [],
      ended: false,
    }
    if (this.refuse)
      return [session.down.seal(encodeMessages([{ kind: 'refused', code: this.refuse }]), fresh).packet]
    if (parent) parent.confirmed = true
    this.sessions.push(session)
    this.#accepted.set(hash, session)
    this.#content(session, finished.content)
    return this.answer(session)
  }

  #content(session: GatewaySession, content: Uint8Array): void {
    for (const message of decodeUp(content)) {
      session.said.push(message)
      if (message.kind === 'gap') {
        this.gaps.push(message)
        if ('startsBefore' in message.what) this.#startsBefore = message.what.startsBefore
        else
          for (const { from, to } of message.what.ranges)
            for (let n = from; n < to; n++) this.#note(message.what.stream, n)
        continue
      }
      if (message.kind === 'reply') continue
      if (message.ready) session.confirmed = true
      if (message.batch && !this.has(message.batch.stream, message.batch.number)) {
        this.#note(message.batch.stream, message.batch.number)
        this.readings.push(...decodeBatch(message.batch.bytes).readings)
      }
    }
  }

  #note(stream: Uint8Array, number: number): void {
    const known = this.#ledger.get(hex(stream)) ?? { through: 0, above: new Set() }
    this.#ledger.set(hex(stream), known)
    known.above.add(number)
    while (known.above.delete(known.through)) known.through++
  }

  #prekey(role: 'signed' | 'one-time', address: Uint8Array): Prekey {
    const [prekeySecret, kemSeed] = [fresh(32), fresh(64)]
    const record = signRecord(this.signing, {
      role,
      number: this.#number++,
      agreementKey: crypto.agreementKey(prekeySecret).publicKey,
      kemKey: crypto.kem.publicKey(kemSeed),
      address,
      gatewayCertificate: this.certificate,
      siteKey: this.site.publicKey,
    })
    return { record, prekeySecret, kemSeed }
  }
}
