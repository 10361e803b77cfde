import { concat, equalBytes, readU32, u32 } from '../bytes.js'
import { ADDRESS_BYTES, KEM_PUBLIC_BYTES, KEY_BYTES, LABEL, SIGNATURE_BYTES } from '../constants.js'
import { expectLength, malformed, ProtocolError } from '../errors.js'
import { encodeItems, ROLE, TYPE } from '../items.js'
import { crypto, type SigningKey } from '../primitives/index.js'
import {
  GATEWAY_CERTIFICATE_BYTES,
  verifyGatewayCertificate,
  type GatewayCertificate,
} from './certificate.js'
import { siteFingerprint } from './site.js'

/**
 * The public keys an agent needs to begin a session without an answer. Numbers only grow; an agent uses the highest it has
 * seen. A signed prekey serves everybody for a day, a one-time prekey one session's successor.
 */
export interface PrekeyRecord {
  readonly role: 'signed' | 'one-time'
  readonly number: number
  /** X25519, 32 bytes. */
  readonly agreementKey: Uint8Array
  /** ML-KEM-768, 1,184 bytes. */
  readonly kemKey: Uint8Array
  /** Where a hello on this record is sent: a doorbell, or the address of one session's successor. */
  readonly address: Uint8Array
  readonly gatewayCertificate: Uint8Array
  /** Ed25519. */
  readonly siteKey: Uint8Array
  /** The record as it was signed and is hashed into a hello. */
  readonly bytes: Uint8Array
}

export interface VerifiedRecord extends PrekeyRecord {
  readonly gateway: GatewayCertificate
}

const RECORD_VERSION = 1
const KEYS_OFFSET = 6
const CERTIFICATE_OFFSET = KEYS_OFFSET + KEY_BYTES + KEM_PUBLIC_BYTES + ADDRESS_BYTES
const SITE_OFFSET = CERTIFICATE_OFFSET + GATEWAY_CERTIFICATE_BYTES
const BODY_BYTES = SITE_OFFSET + KEY_BYTES
export const RECORD_BYTES = BODY_BYTES + SIGNATURE_BYTES

/**
 * version u8 ‖ role u8 ‖ number u32 ‖ X25519 key 32 ‖ ML-KEM-768 key 1,184 ‖ address 16 ‖ gateway certificate 134 ‖ site key 32
 * ‖ the gateway's signature 64.
 */
export function signRecord(gateway: SigningKey, record: Omit<PrekeyRecord, 'bytes'>): PrekeyRecord {
  const body = concat(
    Uint8Array.of(RECORD_VERSION, roleByte(record.role)),
    u32(record.number),
    record.agreementKey,
    record.kemKey,
    record.address,
    record.gatewayCertificate,
    record.siteKey,
  )
  expectLength('body of a prekey record', body, BODY_BYTES)
  return { ...record, bytes: concat(body, gateway.sign(signedBytes(record.role, body))) }
}

/** Reads a record without believing it; the number is enough to see whether verifying is worth its cost. */
export function parseRecord(bytes: Uint8Array): PrekeyRecord {
  if (bytes.length !== RECORD_BYTES) throw malformed(`a prekey record of ${bytes.length} bytes`)
  if (bytes[0] !== RECORD_VERSION) {
    throw new ProtocolError('FW_VERSION_UNKNOWN', `prekey record version ${bytes[0]} is not known here`)
  }
  const role = bytes[1]
  if (role !== ROLE.signedPrekey && role !== ROLE.oneTimePrekey)
    throw malformed('a prekey record of unknown role')
  return {
    role: role === ROLE.signedPrekey ? 'signed' : 'one-time',
    number: readU32(bytes, 2),
    agreementKey: bytes.subarray(KEYS_OFFSET, KEYS_OFFSET + KEY_BYTES),
    kemKey: bytes.subarray(KEYS_OFFSET + KEY_BYTES, KEYS_OFFSET + KEY_BYTES + KEM_PUBLIC_BYTES),
    address: bytes.subarray(CERTIFICATE_OFFSET - ADDRESS_BYTES, CERTIFICATE_OFFSET),
    gatewayCertificate: bytes.subarray(CERTIFICATE_OFFSET, SITE_OFFSET),
    siteKey: bytes.subarray(SITE_OFFSET, BODY_BYTES),
    bytes,
  }
}

/**
 * Throws FW_WRONG_SITE where the record belongs to another site than `fingerprint` (16 bytes), FW_SIGNATURE_INVALID where the
 * gateway or its certificate is not this site's. What it returns is a copy: the frame it came in may go.
 */
export function verifyRecord(untrusted: Uint8Array, fingerprint: Uint8Array): VerifiedRecord {
  const bytes = new Uint8Array(untrusted)
  const record = parseRecord(bytes)
  if (!equalBytes(siteFingerprint(record.siteKey), fingerprint)) {
    throw new ProtocolError('FW_WRONG_SITE', 'the prekey record belongs to another site')
  }
  const gateway = verifyGatewayCertificate(record.siteKey, record.gatewayCertificate)
  const body = bytes.subarray(0, BODY_BYTES)
  if (!crypto.verify(gateway.signingKey, signedBytes(record.role, body), bytes.subarray(BODY_BYTES))) {
    throw new ProtocolError('FW_SIGNATURE_INVALID', 'the prekey record is not signed by its gateway')
  }
  return { ...record, gateway }
}

export function roleByte(role: PrekeyRecord['role']): typeof ROLE.signedPrekey | typeof ROLE.oneTimePrekey {
  return role === 'signed' ? ROLE.signedPrekey : ROLE.oneTimePrekey
}

function signedBytes(role: PrekeyRecord['role'], body: Uint8Array): Uint8Array {
  return encodeItems(LABEL.record, [TYPE.record, roleByte(role), body])
}
