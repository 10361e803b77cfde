import { concat, equalBytes, readU16, readU32, u16, u32 } from '../bytes.js'
import {
  BOX1_PLAINTEXT_BYTES,
  HEADER_BYTES,
  KEM_CIPHERTEXT_BYTES,
  KEY_BYTES,
  KNOCK_BYTES,
  MIN_PLAINTEXT_BYTES,
  PACKET_HELLO,
  SESSION_ID_BYTES,
  SIGNATURE_BYTES,
  TAG_BYTES,
} from '../constants.js'
import { expectLength, malformed } from '../errors.js'
import { MAX_AGENT_CERTIFICATE_BYTES } from '../identity/certificate.js'
import type { PrekeyRecord } from '../identity/record.js'
import { headerWithoutHops, parseHeader, type PacketHeader } from '../packet/header.js'
import { crypto } from '../primitives/index.js'

/*
 * The bytes of a hello:
 *
 *   header 30 | EA 32 | ct 1,088 | box1 384 + 16 | box2, at least 256 + 16 | knock id 4 ‖ MAC 16
 */

const EPHEMERAL_OFFSET = HEADER_BYTES
const CIPHERTEXT_OFFSET = EPHEMERAL_OFFSET + KEY_BYTES
const BOX1_OFFSET = CIPHERTEXT_OFFSET + KEM_CIPHERTEXT_BYTES
const BOX2_OFFSET = BOX1_OFFSET + BOX1_PLAINTEXT_BYTES + TAG_BYTES
const KNOCK_MAC_BYTES = 16
export const MIN_HELLO_BYTES = BOX2_OFFSET + MIN_PLAINTEXT_BYTES + TAG_BYTES + KNOCK_BYTES

/**
 * join: first contact. continue: rekey and every restart. lost: no session is left. 4 is reserved for `meet`.
 */
export type HelloKind = 'join' | 'continue' | 'lost'
const KINDS: readonly (HelloKind | undefined)[] = [undefined, 'join', 'continue', 'lost']

/** A one-time prekey belongs to one session's successor; whoever has no session to continue begins on a signed one. */
export function recordRoleOf(kind: HelloKind): PrekeyRecord['role'] {
  return kind === 'continue' ? 'one-time' : 'signed'
}

export interface Hello {
  readonly header: PacketHeader
  readonly headerWithoutHops: Uint8Array
  readonly ephemeralKey: Uint8Array
  readonly kemCiphertext: Uint8Array
  readonly box1: Uint8Array
  readonly box2: Uint8Array
  /** 0 at a successor, the epoch at a doorbell, the invite's id when joining. */
  readonly knockId: number
  readonly packet: Uint8Array
}

export function parseHello(packet: Uint8Array): Hello {
  const header = parseHeader(packet)
  if (header.type !== PACKET_HELLO) throw malformed('not a hello')
  if (packet.length < MIN_HELLO_BYTES) throw malformed(`a hello of ${packet.length} bytes is too short`)
  const knockOffset = packet.length - KNOCK_BYTES
  return {
    header,
    headerWithoutHops: headerWithoutHops(packet),
    ephemeralKey: packet.subarray(EPHEMERAL_OFFSET, CIPHERTEXT_OFFSET),
    kemCiphertext: packet.subarray(CIPHERTEXT_OFFSET, BOX1_OFFSET),
    box1: packet.subarray(BOX1_OFFSET, BOX2_OFFSET),
    box2: packet.subarray(BOX2_OFFSET, knockOffset),
    knockId: readU32(packet, knockOffset),
    packet,
  }
}

/** The packet with its knock: key id u32 ‖ HMAC-SHA-256 over everything before it but hops, 16 bytes. */
export function knock(withoutKnock: Uint8Array, id: number, key: Uint8Array): Uint8Array {
  const packet = concat(withoutKnock, u32(id))
  return concat(packet, knockMac(packet, key))
}

/** The cheap check (one HMAC) that stands before any public-key work. */
export function checkKnock(hello: Hello, key: Uint8Array): boolean {
  const macOffset = hello.packet.length - KNOCK_MAC_BYTES
  return equalBytes(knockMac(hello.packet.subarray(0, macOffset), key), hello.packet.subarray(macOffset))
}

function knockMac(packet: Uint8Array, key: Uint8Array): Uint8Array {
  return crypto
    .hmacSha256(key, headerWithoutHops(packet), packet.subarray(HEADER_BYTES))
    .subarray(0, KNOCK_MAC_BYTES)
}

export interface Box1 {
  readonly kind: HelloKind
  /** Id of the session that is continued or missed, or zeros. */
  readonly continuity: Uint8Array
  /** The newest site revision the agent has heard of. */
  readonly siteRevision: number
  /** The agent's Ed25519 key when joining, else its certificate. */
  readonly identity: Uint8Array
}

/** kind u8 ‖ continuity 8 ‖ site revision u32 ‖ identity length u16 ‖ identity: what the agent's signature covers. */
export function encodeBox1(box: Box1): Uint8Array {
  expectLength('continuity', box.continuity, SESSION_ID_BYTES)
  if (box.identity.length > MAX_AGENT_CERTIFICATE_BYTES) throw malformed('the identity for box1 is too long')
  return concat(
    Uint8Array.of(KINDS.indexOf(box.kind)),
    box.continuity,
    u32(box.siteRevision),
    u16(box.identity.length),
    box.identity,
  )
}

/** rest ‖ signature 64 ‖ zeros, 384 bytes in all. */
export function padBox1(rest: Uint8Array, signature: Uint8Array): Uint8Array {
  const plaintext = new Uint8Array(BOX1_PLAINTEXT_BYTES)
  plaintext.set(rest)
  plaintext.set(signature, rest.length)
  return plaintext
}

export function decodeBox1(plaintext: Uint8Array): {
  readonly box: Box1
  readonly rest: Uint8Array
  readonly signature: Uint8Array
} {
  const identityOffset = 1 + SESSION_ID_BYTES + 4 + 2
  const kind = KINDS[plaintext[0]!]
  if (!kind) throw malformed(`hello kind ${plaintext[0]} is not known`)
  const identityLength = readU16(plaintext, identityOffset - 2)
  if (identityLength > MAX_AGENT_CERTIFICATE_BYTES) throw malformed('the identity in box1 is too long')
  const end = identityOffset + identityLength
  const padding = plaintext.subarray(end + SIGNATURE_BYTES)
  if (padding.some((byte) => byte !== 0)) throw malformed('the padding of box1 is not zero')
  return {
    box: {
      kind,
      continuity: plaintext.subarray(1, 1 + SESSION_ID_BYTES),
      siteRevision: readU32(plaintext, 1 + SESSION_ID_BYTES),
      identity: plaintext.subarray(identityOffset, end),
    },
    rest: plaintext.subarray(0, end),
    signature: plaintext.subarray(end, end + SIGNATURE_BYTES),
  }
}
