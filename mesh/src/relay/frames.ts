import { ADDRESS_BYTES, HEADER_BYTES, MAX_PACKET_BYTES, ProtocolError } from '@fieldwhisper/protocol/packet'
import {
  FRAME,
  HASH_BYTES,
  LENGTH_BYTES,
  MAX_CLOSING_TEXT_BYTES,
  MAX_DELETE_HASHES,
  MAX_FRAME_BYTES,
  MAX_MESSAGE_BYTES,
  MAX_RECORD_BYTES,
  NONCE_BYTES,
  PROVE_CREATE,
  PROVE_SUBSCRIBE,
  PUBLIC_KEY_BYTES,
  SIGNATURE_BYTES,
  STATUS,
} from './constants.js'
import type { Status } from './constants.js'

export * from './constants.js'

/*
 * The frames between a client and a relay. A WebSocket message holds one or more of them:
 *
 *   length u16 (of what follows) ‖ type u8 ‖ body
 *
 * Decoding is all or nothing for a message, so a bad frame has no neighbours that were acted on. Byte fields of decoded
 * frames are views into the message.
 */

/** What a client sends. `request` (u32) comes back in the answer. */
export type ClientFrame =
  | {
      readonly kind: 'prove'
      readonly request: number
      readonly create: boolean
      readonly subscribe: boolean
      /** Ed25519 address key, 32 bytes. */
      readonly publicKey: Uint8Array
      /** 64 bytes, see `AddressKey.sign`. */
      readonly signature: Uint8Array
    }
  | { readonly kind: 'deposit'; readonly request: number; readonly packet: Uint8Array }
  | { readonly kind: 'delete'; readonly address: Uint8Array; readonly hashes: readonly Uint8Array[] }
  | { readonly kind: 'remove'; readonly request: number; readonly address: Uint8Array }
  | {
      readonly kind: 'publish'
      readonly request: number
      readonly slot: Uint8Array
      readonly record: Uint8Array
    }
  | { readonly kind: 'lookup'; readonly slot: Uint8Array }

/** What a relay sends. */
export type RelayFrame =
  | { readonly kind: 'challenge'; readonly nonce: Uint8Array }
  | { readonly kind: 'proved'; readonly request: number; readonly status: Status }
  | {
      readonly kind: 'stored'
      readonly request: number
      readonly status: Status
      /** Room left for packets of this kind in that mailbox, for this client. */
      readonly roomPackets: number
      readonly roomBytes: number
    }
  | { readonly kind: 'packet'; readonly packet: Uint8Array }
  /** `record` is empty where the relay has none. */
  | { readonly kind: 'record'; readonly slot: Uint8Array; readonly record: Uint8Array }
  | { readonly kind: 'closing'; readonly code: number; readonly text: string }

/** One frame with its length in front. Throws ProtocolError `FW_MALFORMED` or `FW_TOO_LARGE` where a field is out of bounds. */
export function encodeFrame(frame: ClientFrame | RelayFrame): Uint8Array {
  switch (frame.kind) {
    case 'prove': {
      const flags = (frame.create ? PROVE_CREATE : 0) | (frame.subscribe ? PROVE_SUBSCRIBE : 0)
      exactly(frame.publicKey, PUBLIC_KEY_BYTES, 'address key')
      exactly(frame.signature, SIGNATURE_BYTES, 'signature')
      return build(FRAME.prove, u32(frame.request), Uint8Array.of(flags), frame.publicKey, frame.signature)
    }
    case 'deposit':
      return build(FRAME.deposit, u32(frame.request), packetField(frame.packet))
    case 'delete':
      if (frame.hashes.length < 1) throw malformed('a DELETE names no packet')
      if (frame.hashes.length > MAX_DELETE_HASHES) {
        throw tooLarge(`${frame.hashes.length} hashes in a DELETE`, MAX_DELETE_HASHES)
      }
      for (const hash of frame.hashes) exactly(hash, HASH_BYTES, 'hash')
      return build(FRAME.delete, address(frame.address), ...frame.hashes)
    case 'remove':
      return build(FRAME.remove, u32(frame.request), address(frame.address))
    case 'publish':
      if (frame.record.length < 1) throw malformed('a PUBLISH holds no record')
      return build(FRAME.publish, u32(frame.request), address(frame.slot), record(frame.record))
    case 'lookup':
      return build(FRAME.lookup, address(frame.slot))
    case 'challenge':
      return build(FRAME.challenge, exactly(frame.nonce, NONCE_BYTES, 'nonce'))
    case 'proved':
      return build(FRAME.proved, u32(frame.request), Uint8Array.of(frame.status))
    case 'stored':
      return build(
        FRAME.stored,
        u32(frame.request),
        Uint8Array.of(frame.status),
        u32(frame.roomPackets),
        u32(frame.roomBytes),
      )
    case 'packet':
      return build(FRAME.packet, packetField(frame.packet))
    case 'record':
      return build(FRAME.record, address(frame.slot), record(frame.record))
    case 'closing': {
      const text = new TextEncoder().encode(frame.text)
      if (text.length > MAX_CLOSING_TEXT_BYTES)
        throw tooLarge(`${text.length} bytes of text`, MAX_CLOSING_TEXT_BYTES)
      return build(FRAME.closing, Uint8Array.of(frame.code), text)
    }
  }
}

/** Every frame of a message from a client. Throws ProtocolError `FW_MALFORMED` or `FW_TOO_LARGE`. */
export function decodeClientFrames(message: Uint8Array): ClientFrame[] {
  return split(message, clientFrame)
}

/** Every frame of a message from a relay. Throws ProtocolError `FW_MALFORMED` or `FW_TOO_LARGE`. */
export function decodeRelayFrames(message: Uint8Array): RelayFrame[] {
  return split(message, relayFrame)
}

/** Joins encoded frames, in order, into as few messages of at most 64 KiB as hold them. */
export function packMessages(frames: readonly Uint8Array[]): Uint8Array[] {
  const messages: Uint8Array[] = []
  let first = 0
  let size = 0
  for (let i = 0; i <= frames.length; i++) {
    const next = frames[i]
    if (next && size + next.length <= MAX_MESSAGE_BYTES) {
      size += next.length
      continue
    }
    if (i > first) messages.push(i === first + 1 ? frames[first]! : join(frames.slice(first, i), size))
    first = i
    size = next?.length ?? 0
  }
  return messages
}

function clientFrame(type: number, body: Uint8Array): ClientFrame {
  switch (type) {
    case FRAME.prove: {
      size(body, 4 + 1 + PUBLIC_KEY_BYTES + SIGNATURE_BYTES, 'PROVE')
      const flags = body[4]!
      if (flags > (PROVE_CREATE | PROVE_SUBSCRIBE)) throw malformed(`PROVE with flags ${flags}`)
      return {
        kind: 'prove',
        request: readU32(body, 0),
        create: (flags & PROVE_CREATE) !== 0,
        subscribe: (flags & PROVE_SUBSCRIBE) !== 0,
        publicKey: body.subarray(5, 5 + PUBLIC_KEY_BYTES),
        signature: body.subarray(5 + PUBLIC_KEY_BYTES),
      }
    }
    case FRAME.deposit:
      atLeast(body, 4 + HEADER_BYTES, 'DEPOSIT')
      return { kind: 'deposit', request: readU32(body, 0), packet: packetField(body.subarray(4)) }
    case FRAME.delete: {
      atLeast(body, ADDRESS_BYTES + HASH_BYTES, 'DELETE')
      const hashes: Uint8Array[] = []
      if ((body.length - ADDRESS_BYTES) % HASH_BYTES !== 0) throw malformed('DELETE with half a hash')
      for (let at = ADDRESS_BYTES; at < body.length; at += HASH_BYTES)
        hashes.push(body.subarray(at, at + HASH_BYTES))
      return { kind: 'delete', address: body.subarray(0, ADDRESS_BYTES), hashes }
    }
    case FRAME.remove:
      size(body, 4 + ADDRESS_BYTES, 'REMOVE')
      return { kind: 'remove', request: readU32(body, 0), address: body.subarray(4) }
    case FRAME.publish:
      atLeast(body, 4 + ADDRESS_BYTES + 1, 'PUBLISH')
      return {
        kind: 'publish',
        request: readU32(body, 0),
        slot: body.subarray(4, 4 + ADDRESS_BYTES),
        record: record(body.subarray(4 + ADDRESS_BYTES)),
      }
    case FRAME.lookup:
      return { kind: 'lookup', slot: size(body, ADDRESS_BYTES, 'LOOKUP') }
    default:
      throw malformed(`frame type ${type} from a client`)
  }
}

function relayFrame(type: number, body: Uint8Array): RelayFrame {
  switch (type) {
    case FRAME.challenge:
      return { kind: 'challenge', nonce: size(body, NONCE_BYTES, 'CHALLENGE') }
    case FRAME.proved:
      size(body, 4 + 1, 'PROVED')
      return { kind: 'proved', request: readU32(body, 0), status: status(body[4]!) }
    case FRAME.stored:
      size(body, 4 + 1 + 4 + 4, 'STORED')
      return {
        kind: 'stored',
        request: readU32(body, 0),
        status: status(body[4]!),
        roomPackets: readU32(body, 5),
        roomBytes: readU32(body, 9),
      }
    case FRAME.packet:
      return { kind: 'packet', packet: packetField(body) }
    case FRAME.record:
      atLeast(body, ADDRESS_BYTES, 'RECORD')
      return {
        kind: 'record',
        slot: body.subarray(0, ADDRESS_BYTES),
        record: record(body.subarray(ADDRESS_BYTES)),
      }
    case FRAME.closing: {
      atLeast(body, 1, 'CLOSING')
      if (body.length - 1 > MAX_CLOSING_TEXT_BYTES)
        throw tooLarge('text of a CLOSING', MAX_CLOSING_TEXT_BYTES)
      return { kind: 'closing', code: body[0]!, text: new TextDecoder().decode(body.subarray(1)) }
    }
    default:
      throw malformed(`frame type ${type} from a relay`)
  }
}

function split<T>(message: Uint8Array, decode: (type: number, body: Uint8Array) => T): T[] {
  if (message.length === 0) throw malformed('an empty message')
  if (message.length > MAX_MESSAGE_BYTES)
    throw tooLarge(`a message of ${message.length} bytes`, MAX_MESSAGE_BYTES)
  const frames: T[] = []
  let at = 0
  while (at < message.length) {
    if (message.length - at < LENGTH_BYTES) throw malformed('a message ends inside a length')
    const length = (message[at]! << 8) | message[at + 1]!
    at += LENGTH_BYTES
    if (length === 0) throw malformed('an empty frame')
    if (length > MAX_FRAME_BYTES) throw tooLarge(`a frame of ${length} bytes`, MAX_FRAME_BYTES)
    if (length > message.length - at) throw malformed('a message ends inside a frame')
    frames.push(decode(message[at]!, message.subarray(at + 1, at + length)))
    at += length
  }
  return frames
}

function build(type: number, ...fields: readonly Uint8Array[]): Uint8Array {
  let length = 1
  for (const field of fields) length += field.length
  const frame = new Uint8Array(LENGTH_BYTES + length)
  frame[0] = length >>> 8
  frame[1] = length
  frame[2] = type
  let at = LENGTH_BYTES + 1
  for (const field of fields) {
    frame.set(field, at)
    at += field.length
  }
  return frame
}

function join(frames: readonly Uint8Array[], size: number): Uint8Array {
  const message = new Uint8Array(size)
  let at = 0
  for (const frame of frames) {
    message.set(frame, at)
    at += frame.length
  }
  return message
}

function packetField(packet: Uint8Array): Uint8Array {
  if (packet.length < HEADER_BYTES) throw malformed(`a packet of ${packet.length} bytes`)
  if (packet.length > MAX_PACKET_BYTES) throw tooLarge(`a packet of ${packet.length} bytes`, MAX_PACKET_BYTES)
  return packet
}

function record(bytes: Uint8Array): Uint8Array {
  if (bytes.length > MAX_RECORD_BYTES) throw tooLarge(`a record of ${bytes.length} bytes`, MAX_RECORD_BYTES)
  return bytes
}

function address(bytes: Uint8Array): Uint8Array {
  return exactly(bytes, ADDRESS_BYTES, 'address')
}

function status(value: number): Status {
  if (value > STATUS.disk) throw malformed(`status ${value}`)
  return value as Status
}

function exactly(bytes: Uint8Array, length: number, what: string): Uint8Array {
  if (bytes.length !== length) throw malformed(`${what} of ${bytes.length} bytes, not ${length}`)
  return bytes
}

function size(body: Uint8Array, length: number, name: string): Uint8Array {
  if (body.length !== length) throw malformed(`${name} with a body of ${body.length} bytes, not ${length}`)
  return body
}

function atLeast(body: Uint8Array, length: number, name: string): void {
  if (body.length < length) throw malformed(`${name} with a body of ${body.length} bytes, at least ${length}`)
}

function u32(value: number): Uint8Array {
  return Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0
}

function malformed(what: string): ProtocolError {
  return new ProtocolError('FW_MALFORMED', `Relay link: ${what}.`)
}

function tooLarge(what: string, limit: number): ProtocolError {
  return new ProtocolError('FW_TOO_LARGE', `Relay link: ${what}, at most ${limit} are allowed.`)
}
