import { HEADER_BYTES, MAX_PACKET_BYTES } from '@fieldwhisper/protocol/packet'
import { MeshError } from '../errors.js'
import {
  FRAME_LENGTH_BYTES,
  FRAME_PACKET,
  FRAME_PING,
  FRAME_PONG,
  FRAME_QUESTION,
  FRAME_RECORD,
  FRAME_TYPE_BYTES,
  MAX_FRAME_BYTES,
  MAX_HINTS,
  SLOT_BYTES,
} from './constants.js'
import { addressBytes, addressText, type LinkTarget } from './target.js'

/*
 * A link carries frames: length u16 BE (of what follows, 1 to 20,480) ‖ type u8 ‖ body.
 *   0 ping      empty: "say something"; the first frame of whoever dialled
 *   1 packet    the packet
 *   2 question  directory slot, 16 bytes
 *   3 record    count u8 (0 to 4) ‖ count × {family u8 (4 or 6), address (4 or 16), port u16 BE} ‖ prekey record or nothing
 *   4 pong      empty: a sign of life, asked for or not
 */
export type LinkFrame =
  | { readonly type: 'ping' }
  | { readonly type: 'pong' }
  | { readonly type: 'packet'; readonly packet: Uint8Array }
  | { readonly type: 'question'; readonly slot: Uint8Array }
  | { readonly type: 'record'; readonly hints: readonly LinkTarget[]; readonly record: Uint8Array }
  /** A type of a later release: skipped. */
  | { readonly type: 'unknown' }

/** Pieces of one frame in order; the packet itself is not copied. */
export type FramePieces = readonly Uint8Array[]

const PING = frame(FRAME_PING)
const PONG = frame(FRAME_PONG)

export function pingFrame(): FramePieces {
  return PING
}

export function pongFrame(): FramePieces {
  return PONG
}

/** Throws `MeshError` FW_LAN_FRAME_MALFORMED for what no packet can be: shorter than a header, longer than 16,384 bytes. */
export function packetFrame(packet: Uint8Array): FramePieces {
  checkPacketSize(packet)
  return frame(FRAME_PACKET, packet)
}

export function questionFrame(slot: Uint8Array): FramePieces {
  if (slot.length !== SLOT_BYTES) throw malformed(`a slot has ${SLOT_BYTES} bytes, not ${slot.length}`)
  return frame(FRAME_QUESTION, slot)
}

/**
 * `record` empty: "I have none". At most 4 `hints` are taken; those that are not literal addresses are left out.
 * Throws `MeshError` FW_LAN_FRAME_TOO_LONG when the record does not fit.
 */
export function recordFrame(record: Uint8Array, hints: readonly LinkTarget[]): FramePieces {
  const parts: Uint8Array[] = []
  for (const hint of hints) {
    const address = addressBytes(hint.address)
    if (address === undefined || parts.length === MAX_HINTS) continue
    const family = address.length === 4 ? 4 : 6
    parts.push(Uint8Array.of(family, ...address, hint.port >>> 8, hint.port & 0xff))
  }
  return frame(FRAME_RECORD, Uint8Array.of(parts.length), ...parts, record)
}

function frame(type: number, ...body: readonly Uint8Array[]): FramePieces {
  const length = body.reduce((sum, part) => sum + part.length, FRAME_TYPE_BYTES)
  if (length > MAX_FRAME_BYTES) throw tooLong(length)
  return [Uint8Array.of(length >>> 8, length & 0xff, type), ...body]
}

/**
 * Cuts a byte stream into frames. The length is checked before anything is allocated, and what is allocated is the one
 * frame under way: at most 20,480 bytes, however the bytes trickle in. Bodies are copies that the receiver may keep.
 */
export class LinkFrameParser {
  #length = 0
  #lengthBytes = 0
  #body: Uint8Array | undefined
  #filled = 0

  /** A frame has begun and not ended. */
  get midFrame(): boolean {
    return this.#lengthBytes > 0
  }

  /**
   * Throws `MeshError` FW_LAN_FRAME_EMPTY, FW_LAN_FRAME_TOO_LONG or FW_LAN_FRAME_MALFORMED after the frames before the
   * broken one were handed on; the stream cannot be read further then. `onFrame` returns false to stop there.
   */
  push(chunk: Uint8Array, onFrame: (frame: LinkFrame) => boolean): void {
    let offset = 0
    while (offset < chunk.length) {
      if (this.#lengthBytes < FRAME_LENGTH_BYTES) {
        this.#length = (this.#length << 8) | chunk[offset++]!
        if (++this.#lengthBytes < FRAME_LENGTH_BYTES) continue
        if (this.#length === 0) throw new MeshError('FW_LAN_FRAME_EMPTY', 'a link frame of length 0 arrived')
        if (this.#length > MAX_FRAME_BYTES) throw tooLong(this.#length)
        continue
      }
      this.#body ??= new Uint8Array(this.#length)
      const part = chunk.subarray(offset, offset + this.#length - this.#filled)
      this.#body.set(part, this.#filled)
      this.#filled += part.length
      offset += part.length
      if (this.#filled < this.#length) return
      const whole = this.#body
      this.#length = this.#lengthBytes = this.#filled = 0
      this.#body = undefined
      if (!onFrame(decode(whole))) return
    }
  }
}

function decode(whole: Uint8Array): LinkFrame {
  const body = whole.subarray(FRAME_TYPE_BYTES)
  switch (whole[0]) {
    case FRAME_PING:
    case FRAME_PONG:
      if (body.length > 0) throw malformed(`a ping or pong has no body, this one has ${body.length} bytes`)
      return { type: whole[0] === FRAME_PING ? 'ping' : 'pong' }
    case FRAME_PACKET:
      checkPacketSize(body)
      return { type: 'packet', packet: body }
    case FRAME_QUESTION:
      if (body.length !== SLOT_BYTES)
        throw malformed(`a question has ${SLOT_BYTES} bytes, not ${body.length}`)
      return { type: 'question', slot: body }
    case FRAME_RECORD:
      return decodeRecord(body)
    default:
      return { type: 'unknown' }
  }
}

function decodeRecord(body: Uint8Array): LinkFrame {
  const count = body[0]
  if (count === undefined || count > MAX_HINTS) throw malformed('a record frame names 0 to 4 addresses')
  const hints: LinkTarget[] = []
  let offset = 1
  for (let i = 0; i < count; i++) {
    const family = body[offset]
    if (family !== 4 && family !== 6) throw malformed('an address in a record frame is of family 4 or 6')
    const portOffset = offset + 1 + (family === 4 ? 4 : 16)
    if (portOffset + 2 > body.length) throw malformed('a record frame ends within an address')
    const port = (body[portOffset]! << 8) | body[portOffset + 1]!
    if (port === 0) throw malformed('an address in a record frame has port 0')
    hints.push({ address: addressText(body.subarray(offset + 1, portOffset)), port })
    offset = portOffset + 2
  }
  return { type: 'record', hints, record: body.subarray(offset) }
}

function checkPacketSize(packet: Uint8Array): void {
  if (packet.length <= HEADER_BYTES || packet.length > MAX_PACKET_BYTES) {
    throw malformed(`a packet has ${HEADER_BYTES + 1} to ${MAX_PACKET_BYTES} bytes, not ${packet.length}`)
  }
}

function malformed(what: string): MeshError {
  return new MeshError('FW_LAN_FRAME_MALFORMED', what)
}

function tooLong(length: number): MeshError {
  return new MeshError(
    'FW_LAN_FRAME_TOO_LONG',
    `a link frame of ${length} bytes, at most ${MAX_FRAME_BYTES} are allowed`,
  )
}
