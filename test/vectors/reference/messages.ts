/** Section 6 of docs/protocol.md. */
import { join, must, readNumber, u16, u8, type Bytes } from './bytes.js'
import { read, write, type Value } from './cbor.js'

export interface Message {
  readonly kind: keyof typeof KINDS
  readonly body: Value
}

const KINDS = {
  data: 1,
  gap: 2,
  reply: 3,
  ack: 16,
  welcome: 17,
  prekey: 18,
  refused: 19,
  notice: 20,
  command: 21,
} as const

export function writeMessages(messages: readonly Message[]): Bytes {
  return join(
    ...messages.map(({ kind, body }) => {
      const bytes = write(body)
      return join(u8(KINDS[kind]), u16(bytes.length), bytes)
    }),
  )
}

export function readMessages(content: Bytes): Message[] {
  const messages: Message[] = []
  for (let at = 0; at < content.length;) {
    const end = at + 3 + readNumber(content, at + 1, 2)
    must(end <= content.length, 'cut off')
    const known = Object.entries(KINDS).find(([, number]) => number === content[at])
    if (known) messages.push({ kind: known[0] as Message['kind'], body: read(content.slice(at + 3, end)) })
    at = end
  }
  return messages
}

interface Range {
  readonly from: number
  readonly to: number
}
interface Relay {
  readonly url: string
  readonly token?: string
  readonly fingerprint?: string
}
interface Doorbell {
  readonly epoch: number
  readonly secret: Bytes
}

/** The fields of a message by their names in the vectors, in the order of the page. */
export const BODIES = {
  data: (m: {
    batch?: { stream: Bytes; number: number; historical: boolean; bytes: Bytes }
    streams: readonly { stream: Bytes; floor: number; end: number; closed: boolean }[]
    ready: boolean
    oldestSession?: Bytes
    downThrough: number
    stampMs: number
    clock?: { bootId: Bytes; offsetMs: number; errorMs: number }
  }): Value => [
    m.batch ? [m.batch.stream, m.batch.number, m.batch.historical, m.batch.bytes] : null,
    m.streams.map((s) => [s.stream, s.floor, s.end, s.closed]),
    m.ready,
    m.oldestSession ?? null,
    m.downThrough,
    m.stampMs,
    m.clock ? [m.clock.bootId, m.clock.offsetMs, m.clock.errorMs] : null,
  ],
  gap: (m: {
    cause: string
    readings?: number
    what: { stream: Bytes; ranges: readonly Range[] } | { startsBefore: number }
  }): Value => {
    const head: Value[] = [['full', 'age', 'lost', 'corrupt'].indexOf(m.cause), m.readings ?? null]
    return 'stream' in m.what
      ? [...head, m.what.stream, pairs(m.what.ranges)]
      : [...head, m.what.startsBefore]
  },
  ack: (m: {
    streams: readonly { stream: Bytes; through: number; ranges: readonly Range[] }[]
    startsBefore: number
    givenUpBelow: number
    echo?: { stampMs: number; delayMs: number }
    wallMs?: number
    hold?: string
    replyThrough?: number
  }): Value => [
    m.streams.map((s) => [s.stream, s.through, pairs(s.ranges)]),
    m.startsBefore,
    m.givenUpBelow,
    m.echo ? [m.echo.stampMs, m.echo.delayMs] : null,
    m.wallMs ?? null,
    m.hold === undefined ? null : ['outbox-full', 'disk', 'confirm', 'clone'].indexOf(m.hold),
    ...(m.replyThrough === undefined ? [] : [m.replyThrough]),
  ],
  welcome: (m: {
    k: Bytes
    certificate: Bytes
    doorbell: Doorbell
    relays: readonly Relay[]
    directorySlot: Bytes
    siteRevision: number
  }): Value => [
    m.k,
    m.certificate,
    [m.doorbell.epoch, m.doorbell.secret],
    relays(m.relays),
    m.directorySlot,
    m.siteRevision,
  ],
  prekey: (m: { oneTime: Bytes; newest: Bytes }): Value => [m.oneTime, m.newest],
  refused: (m: { code: string }): Value => [
    ['invite-expired', 'invite-used', 'revoked', 'name-taken'].indexOf(m.code),
  ],
  notice: (m: {
    id: number
    siteRevision: number
    doorbell: Doorbell
    relays: readonly Relay[]
    certificate?: Bytes
  }): Value => [
    m.id,
    m.siteRevision,
    [m.doorbell.epoch, m.doorbell.secret],
    relays(m.relays),
    m.certificate ?? null,
  ],
  command: (m: {
    id: number
    stampMs: number
    ttlMs: number
    name: string
    args: readonly (readonly [string, Value])[]
  }): Value => [m.id, m.stampMs, m.ttlMs, m.name, m.args],
  reply: (m: {
    id: number
    status: string
    code: string
    text: string
    result: readonly (readonly [string, Value])[]
  }): Value => [
    m.id,
    ['done', 'refused', 'failed', 'expired', 'unknown'].indexOf(m.status),
    m.code,
    m.text,
    m.result,
  ],
}

const pairs = (ranges: readonly Range[]): Value => ranges.map(({ from, to }) => [from, to])
const relays = (list: readonly Relay[]): Value =>
  list.map(({ url, token = '', fingerprint = '' }) => [url, token, fingerprint])
