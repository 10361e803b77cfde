import { asArray, asBytes, asFinite, asText, asUint, type CborValue } from '../cbor.js'
import {
  ADDRESS_BYTES,
  KEY_BYTES,
  MAX_ACK_RANGES,
  MAX_COMMAND_NAME_BYTES,
  MAX_COMMAND_TTL_MS,
  MAX_FLOORS,
  MAX_MONO_MS,
  MAX_WALL_MS,
  MIN_WALL_MS,
  STREAM_BYTES,
} from '../constants.js'
import { malformed } from '../errors.js'
import { MAX_AGENT_CERTIFICATE_BYTES } from '../identity/certificate.js'
import { RECORD_BYTES } from '../identity/record.js'
import { relaysFromCbor, relaysToCbor } from '../identity/relay-info.js'
import { fieldsFromCbor, rangesFromCbor, rangesToCbor, wordFromCbor, wordToCbor } from './fields.js'
import type {
  AckMessage,
  CommandMessage,
  DoorbellSecret,
  HoldReason,
  NoticeMessage,
  PrekeyMessage,
  RefusalCode,
  RefusedMessage,
  StreamAck,
  WelcomeMessage,
} from './types.js'

const HOLDS: readonly HoldReason[] = ['outbox-full', 'disk', 'confirm', 'clone']
const REFUSALS: readonly RefusalCode[] = ['invite-expired', 'invite-used', 'revoked', 'name-taken']
/** Streams one ACK may name: those of one DATA and some more, all within MAX_ACK_BYTES. */
export const MAX_ACK_STREAMS = 2 * MAX_FLOORS

/** [streams, starts before, given up below, [stamp, delay] or null, wall ms or null, hold or null], and reply through where there is one */
export function encodeAck(message: AckMessage): CborValue {
  const { echo, replyThrough } = message
  return [
    message.streams.map(({ stream, through, ranges }) => [stream, through, rangesToCbor(ranges)]),
    message.startsBefore,
    message.givenUpBelow,
    echo ? [echo.stampMs, echo.delayMs] : null,
    message.wallMs ?? null,
    message.hold ? wordToCbor(HOLDS, message.hold) : null,
    ...(replyThrough === undefined ? [] : [replyThrough]),
  ]
}

export function decodeAck(value: CborValue): AckMessage {
  const [streams, startsBefore, givenUpBelow, echo, wall, hold, replies] = asArray(value, 'ACK', 6, 7)
  return {
    kind: 'ack',
    streams: asArray(streams, 'streams', 0, MAX_ACK_STREAMS).map(decodeStreamAck),
    startsBefore: asUint(startsBefore, 'start number'),
    givenUpBelow: asUint(givenUpBelow, 'given up'),
    ...(echo !== null && { echo: decodeEcho(echo) }),
    ...(wall !== null && { wallMs: asFinite(wall, 'gateway time', MIN_WALL_MS, MAX_WALL_MS) }),
    ...(hold !== null && { hold: wordFromCbor(HOLDS, hold, 'hold reason') }),
    ...(replies !== undefined && { replyThrough: asUint(replies, 'command id') }),
  }
}

/** [K, certificate, [epoch, secret], relays, directory slot, site revision] */
export function encodeWelcome(message: WelcomeMessage): CborValue {
  return [
    message.k,
    message.certificate,
    doorbellToCbor(message.doorbell),
    relaysToCbor(message.relays),
    message.directorySlot,
    message.siteRevision,
  ]
}

export function decodeWelcome(value: CborValue): WelcomeMessage {
  const [k, certificate, doorbell, relays, slot, revision] = asArray(value, 'WELCOME', 6)
  return {
    kind: 'welcome',
    k: asBytes(k, 'device key', KEY_BYTES),
    certificate: asBytes(certificate, 'certificate', 1, MAX_AGENT_CERTIFICATE_BYTES),
    doorbell: doorbellFromCbor(doorbell),
    relays: relaysFromCbor(relays),
    directorySlot: asBytes(slot, 'directory slot', ADDRESS_BYTES),
    siteRevision: asUint(revision, 'site revision'),
  }
}

/** [one-time record, newest signed record] */
export function encodePrekey(message: PrekeyMessage): CborValue {
  return [message.oneTime, message.newest]
}

export function decodePrekey(value: CborValue): PrekeyMessage {
  const [oneTime, newest] = asArray(value, 'PREKEY', 2)
  return {
    kind: 'prekey',
    oneTime: asBytes(oneTime, 'one-time record', RECORD_BYTES),
    newest: asBytes(newest, 'newest record', RECORD_BYTES),
  }
}

/** [code] */
export function encodeRefused(message: RefusedMessage): CborValue {
  return [wordToCbor(REFUSALS, message.code)]
}

export function decodeRefused(value: CborValue): RefusedMessage {
  const [code] = asArray(value, 'REFUSED', 1)
  return { kind: 'refused', code: wordFromCbor(REFUSALS, code, 'refusal') }
}

/** [id, site revision, [epoch, secret], relays, certificate or null] */
export function encodeNotice(message: NoticeMessage): CborValue {
  return [
    message.id,
    message.siteRevision,
    doorbellToCbor(message.doorbell),
    relaysToCbor(message.relays),
    message.certificate ?? null,
  ]
}

export function decodeNotice(value: CborValue): NoticeMessage {
  const [id, revision, doorbell, relays, certificate] = asArray(value, 'NOTICE', 5)
  return {
    kind: 'notice',
    id: asUint(id, 'notice id'),
    siteRevision: asUint(revision, 'site revision'),
    doorbell: doorbellFromCbor(doorbell),
    relays: relaysFromCbor(relays),
    ...(certificate !== null && {
      certificate: asBytes(certificate, 'certificate', 1, MAX_AGENT_CERTIFICATE_BYTES),
    }),
  }
}

/** [id, stamp, ttl, name, arguments] */
export function encodeCommand({ id, stampMs, ttlMs, name, args }: CommandMessage): CborValue {
  return [id, stampMs, ttlMs, name, args]
}

export function decodeCommand(value: CborValue): CommandMessage {
  const [id, stamp, ttl, name, args] = asArray(value, 'COMMAND', 5)
  return {
    kind: 'command',
    id: asUint(id, 'command id'),
    stampMs: asFinite(stamp, 'stamp', 0, MAX_MONO_MS),
    ttlMs: asUint(ttl, 'time to live', MAX_COMMAND_TTL_MS),
    name: asText(name, 'command', 1, MAX_COMMAND_NAME_BYTES),
    args: fieldsFromCbor(args, 'the arguments'),
  }
}

function decodeStreamAck(value: CborValue): StreamAck {
  const [stream, through, ranges] = asArray(value, 'stream', 3)
  const ack = {
    stream: asBytes(stream, 'stream', STREAM_BYTES),
    through: asUint(through, 'through'),
    ranges: rangesFromCbor(ranges, 'ack ranges', MAX_ACK_RANGES),
  }
  if (ack.ranges[0] && ack.ranges[0].from <= ack.through) throw malformed('ack ranges begin below through')
  return ack
}

function decodeEcho(value: CborValue | undefined): NonNullable<AckMessage['echo']> {
  const [stamp, delay] = asArray(value, 'echo', 2)
  return {
    stampMs: asFinite(stamp, 'stamp', 0, MAX_MONO_MS),
    delayMs: asFinite(delay, 'delay', 0, MAX_MONO_MS),
  }
}

function doorbellToCbor({ epoch, secret }: DoorbellSecret): readonly [number, Uint8Array] {
  return [epoch, secret]
}

function doorbellFromCbor(value: CborValue | undefined): DoorbellSecret {
  const [epoch, secret] = asArray(value, 'doorbell', 2)
  return { epoch: asUint(epoch, 'epoch'), secret: asBytes(secret, 'doorbell secret', KEY_BYTES) }
}
