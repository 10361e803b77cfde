import {
  addressKeyFromSeed,
  beginHello,
  crypto,
  decodeDown,
  decodeInvite,
  encodeBatch,
  encodeMessages,
  hex,
  inviteKnockKey,
  OpeningDirection,
  parseHeader,
  SealingDirection,
  successor,
  verifyRecord,
  type AckMessage,
  type DataMessage,
  type DownMessage,
  type Invite,
  type PrekeyMessage,
  type SessionSecrets,
  type UpMessage,
  type VerifiedRecord,
  type WelcomeMessage,
} from '@fieldwhisper/protocol'
import { seededRandom } from './seeded-random.js'

const ZEROS = new Uint8Array(32)

/** One side of a session as a test drives it, packet by packet. */
export interface AgentSession {
  readonly secrets: SessionSecrets
  readonly hello: Uint8Array
  readonly up: SealingDirection
  readonly down: OpeningDirection
}

/** An agent without a clock, a disk or a will of its own: a test tells it what to send and hands it what came. */
export class ScriptedAgent {
  readonly random: (length: number) => Uint8Array
  readonly key: ReturnType<typeof crypto.signingKey>
  readonly invite: Invite
  readonly stream: Uint8Array
  welcome: WelcomeMessage | undefined
  prekey: PrekeyMessage | undefined
  nextNumber = 0
  /** The newest that this agent claims to have heard of. */
  siteRevision = 0
  readonly #inviteLine: string

  constructor(inviteLine: string, seed: number) {
    this.#inviteLine = inviteLine
    this.random = seededRandom(seed)
    this.key = crypto.signingKey(this.random(32))
    this.invite = decodeInvite(inviteLine)
    this.stream = new Uint8Array([0, 0, 0, 1, ...this.random(8)])
  }

  /** The same device once more, from a copy of its disk: identity and membership, and streams of its own since the same start. */
  copy(seed: number): ScriptedAgent {
    const { key, welcome, prekey, siteRevision } = this
    return Object.assign(new ScriptedAgent(this.#inviteLine, seed), { key, welcome, prekey, siteRevision })
  }

  join(record: Uint8Array, messages: readonly UpMessage[] = []): AgentSession {
    const { id, secret } = this.invite
    return this.#hello('join', this.#verified(record), {
      identity: this.key.publicKey,
      continuity: new Uint8Array(8),
      k: secret,
      r: ZEROS,
      knock: { id, key: inviteKnockKey(secret) },
      messages,
    })
  }

  /** Continues a session on the one-time prekey it was answered with. */
  continue(from: AgentSession, oneTime: Uint8Array, messages: readonly UpMessage[] = []): AgentSession {
    const { resumption, id } = from.secrets
    return this.#hello('continue', this.#verified(oneTime), {
      identity: this.welcome!.certificate,
      continuity: id,
      k: this.welcome!.k,
      r: resumption,
      knock: { id: 0, key: successor(resumption).knockKey },
      messages,
    })
  }

  lost(record: Uint8Array, messages: readonly UpMessage[] = [], last?: AgentSession): AgentSession {
    const { doorbell, certificate, k } = this.welcome!
    return this.#hello('lost', this.#verified(record), {
      identity: certificate,
      continuity: last?.secrets.id ?? new Uint8Array(8),
      k,
      r: ZEROS,
      knock: { id: doorbell.epoch, key: doorbell.secret },
      messages,
    })
  }

  /** DATA with one batch of one reading, numbered on. */
  reading(value: number, more: Partial<DataMessage> = {}): DataMessage {
    const number = this.nextNumber++
    const wallMs = 1_700_000_000_000 + number
    const reading = {
      name: 'value',
      value,
      quality: 'good',
      monoMs: number,
      wallMs,
      clock: 'unknown',
    } as const
    const bytes = encodeBatch({ bootId: new Uint8Array(8), readings: [reading] })
    return {
      kind: 'data',
      batch: { stream: this.stream, number, historical: false, bytes },
      streams: [{ stream: this.stream, floor: 0, end: this.nextNumber, closed: false }],
      ready: false,
      downThrough: 0,
      stampMs: number,
      ...more,
    }
  }

  /** DATA without a batch. */
  empty(more: Partial<DataMessage> = {}): DataMessage {
    const streams = [{ stream: this.stream, floor: 0, end: this.nextNumber, closed: false }]
    return { kind: 'data', streams, ready: false, downThrough: 0, stampMs: 0, ...more }
  }

  seal(session: AgentSession, ...messages: readonly UpMessage[]): Uint8Array {
    return session.up.seal(encodeMessages(messages), this.random).packet
  }

  /** What the packets for this session say; WELCOME and PREKEY are kept. */
  read(session: AgentSession, packets: readonly Uint8Array[]): DownMessage[] {
    const messages: DownMessage[] = []
    for (const packet of packets) {
      const header = parseHeader(packet)
      if (hex(header.address) !== hex(session.down.addressKey.address)) continue
      const opened = session.down.open(header, packet)
      if (opened.outcome === 'opened') messages.push(...decodeDown(opened.content))
    }
    for (const message of messages) {
      if (message.kind === 'welcome') this.welcome = message
      if (message.kind === 'prekey') this.prekey = message
    }
    return messages
  }

  acks(session: AgentSession, packets: readonly Uint8Array[]): AckMessage[] {
    return this.read(session, packets).filter((message) => message.kind === 'ack')
  }

  #verified(record: Uint8Array): VerifiedRecord {
    return verifyRecord(record, this.invite.siteFingerprint)
  }

  #hello(
    kind: 'join' | 'continue' | 'lost',
    record: VerifiedRecord,
    {
      messages,
      ...rest
    }: Omit<Parameters<typeof beginHello>[0], 'kind' | 'record' | 'agent' | 'siteRevision' | 'content'> & {
      messages: readonly UpMessage[]
    },
  ): AgentSession {
    const content = encodeMessages(messages)
    const { siteRevision } = this
    const request = { kind, record, agent: this.key, siteRevision, content, ...rest }
    const { packet, session } = beginHello(request, this.random)
    return {
      secrets: session,
      hello: packet,
      up: SealingDirection.begin(session.up),
      down: OpeningDirection.begin(session.down),
    }
  }
}

export function addressOfSeed(seed: Uint8Array): string {
  return hex(addressKeyFromSeed(seed).address)
}
