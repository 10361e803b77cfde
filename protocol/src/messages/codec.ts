import { concat, readU16, u16 } from '../bytes.js'
import { decodeCbor, encodeCbor, type CborValue } from '../cbor.js'
import { MAX_ACK_BYTES, MAX_COMMAND_BYTES } from '../constants.js'
import { malformed, ProtocolError } from '../errors.js'
import * as down from './down.js'
import type { DownMessage, Message, UpMessage } from './types.js'
import * as up from './up.js'

/** Kind bytes; unknown kinds are skipped. */
const KIND = {
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

/** Largest bodies of those that have a bound of their own. */
const MAX_BODY: Readonly<Partial<Record<Message['kind'], number>>> = {
  ack: MAX_ACK_BYTES,
  reply: MAX_COMMAND_BYTES,
  command: MAX_COMMAND_BYTES,
}

const HEAD_BYTES = 3
/** A content holds few messages; more of them is somebody's game. */
const MAX_MESSAGES = 64

/** kind u8 ‖ length u16 ‖ CBOR body, one after the other. Throws FW_TOO_LARGE on an ACK, COMMAND or REPLY above its bound. */
export function encodeMessages(messages: readonly Message[]): Uint8Array {
  return concat(
    ...messages.map((message) => {
      const body = encodeCbor(encodeBody(message))
      const most = MAX_BODY[message.kind]
      if (most !== undefined && body.length > most) {
        const what = message.kind.toUpperCase()
        throw new ProtocolError(
          'FW_TOO_LARGE',
          `${what} of ${body.length} bytes, at most ${most} are allowed`,
        )
      }
      return concat(Uint8Array.of(KIND[message.kind]), u16(body.length), body)
    }),
  )
}

/** What an agent may say; throws FW_MALFORMED, and then nothing of the content counts. */
export function decodeUp(content: Uint8Array): UpMessage[] {
  return decodeWith(content, (kind, body): UpMessage | undefined => {
    if (kind === KIND.data) return up.decodeData(decodeCbor(body))
    if (kind === KIND.gap) return up.decodeGap(decodeCbor(body))
    if (kind === KIND.reply) return up.decodeReply(decodeCbor(atMost(body, MAX_COMMAND_BYTES)))
    return undefined
  })
}

/** What a gateway may say. */
export function decodeDown(content: Uint8Array): DownMessage[] {
  return decodeWith(content, (kind, body): DownMessage | undefined => {
    if (kind === KIND.ack) return down.decodeAck(decodeCbor(atMost(body, MAX_ACK_BYTES)))
    if (kind === KIND.welcome) return down.decodeWelcome(decodeCbor(body))
    if (kind === KIND.prekey) return down.decodePrekey(decodeCbor(body))
    if (kind === KIND.refused) return down.decodeRefused(decodeCbor(body))
    if (kind === KIND.notice) return down.decodeNotice(decodeCbor(body))
    if (kind === KIND.command) return down.decodeCommand(decodeCbor(atMost(body, MAX_COMMAND_BYTES)))
    return undefined
  })
}

function atMost(body: Uint8Array, limit: number): Uint8Array {
  if (body.length > limit) throw malformed(`a message of ${body.length} bytes, at most ${limit} are allowed`)
  return body
}

function encodeBody(message: Message): CborValue {
  switch (message.kind) {
    case 'data':
      return up.encodeData(message)
    case 'gap':
      return up.encodeGap(message)
    case 'reply':
      return up.encodeReply(message)
    case 'ack':
      return down.encodeAck(message)
    case 'welcome':
      return down.encodeWelcome(message)
    case 'prekey':
      return down.encodePrekey(message)
    case 'refused':
      return down.encodeRefused(message)
    case 'notice':
      return down.encodeNotice(message)
    case 'command':
      return down.encodeCommand(message)
  }
}

function decodeWith<T>(content: Uint8Array, decode: (kind: number, body: Uint8Array) => T | undefined): T[] {
  const messages: T[] = []
  let count = 0
  for (let at = 0; at < content.length;) {
    if (++count > MAX_MESSAGES) throw malformed(`more than ${MAX_MESSAGES} messages in a packet`)
    if (at + HEAD_BYTES > content.length) throw malformed('a message is cut off')
    const end = at + HEAD_BYTES + readU16(content, at + 1)
    if (end > content.length) throw malformed('a message is cut off')
    const message = decode(content[at]!, content.subarray(at + HEAD_BYTES, end))
    if (message !== undefined) messages.push(message)
    at = end
  }
  return messages
}
