import { concat, equalBytes } from '../bytes.js'
import { asArray, asBytes, asUint, decodeCbor, encodeCbor, type CborValue } from '../cbor.js'
import { ADDRESS_BYTES, FINGERPRINT_BYTES, KEY_BYTES, LABEL } from '../constants.js'
import { malformed, ProtocolError } from '../errors.js'
import { encodeItems, ROLE, TYPE } from '../items.js'
import { derive } from '../primitives/derive.js'
import { crypto } from '../primitives/index.js'
import { relaysFromCbor, relaysToCbor, type RelayInfo } from './relay-info.js'

/** What an operator carries from `gateway enroll` to `agent join`. No secret of the site is in it. */
export interface Invite {
  readonly siteFingerprint: Uint8Array
  /** The address under which the newest prekey record is found. */
  readonly directorySlot: Uint8Array
  /** Top bit set, so that it is never a doorbell epoch. */
  readonly id: number
  readonly secret: Uint8Array
  readonly relays: readonly RelayInfo[]
}

const INVITE_VERSION = 1
const PREFIX = 'fw1-'
const CHECKSUM_BYTES = 4
/** A line with the most and longest relays that `relaysFromCbor` takes has 5,020 characters. */
const MAX_TEXT = 8_192
export const INVITE_ID_BIT = 0x8000_0000

/** One line: `fw1-` and base64url of the CBOR fields and a 4-byte checksum against typing errors. */
export function encodeInvite(invite: Invite): string {
  const body = encodeCbor([
    INVITE_VERSION,
    invite.siteFingerprint,
    invite.directorySlot,
    invite.id,
    invite.secret,
    relaysToCbor(invite.relays),
  ])
  return PREFIX + Buffer.from(concat(body, checksum(body))).toString('base64url')
}

/** Throws FW_INVITE_INVALID with what a person can do about it. */
export function decodeInvite(text: string): Invite {
  const line = text.trim()
  if (!line.startsWith(PREFIX) || line.length > MAX_TEXT || !/^[\w-]+$/.test(line)) {
    throw invalid('this is not an invite: it is one line that begins with fw1-')
  }
  const bytes = new Uint8Array(Buffer.from(line.slice(PREFIX.length), 'base64url'))
  const body = bytes.subarray(0, Math.max(0, bytes.length - CHECKSUM_BYTES))
  if (!equalBytes(checksum(body), bytes.subarray(body.length))) {
    throw invalid('the invite is incomplete or mistyped: copy the whole line again')
  }
  try {
    const [version, fingerprint, slot, id, secret, relays] = asArray(decodeCbor(body), 'invite', 6)
    if (asUint(version, 'version') !== INVITE_VERSION)
      throw invalid('the invite was made by a newer gateway: update this agent')
    return {
      siteFingerprint: asBytes(fingerprint, 'site fingerprint', FINGERPRINT_BYTES),
      directorySlot: asBytes(slot, 'directory slot', ADDRESS_BYTES),
      id: inviteId(id),
      secret: asBytes(secret, 'invite secret', KEY_BYTES),
      relays: relaysFromCbor(relays),
    }
  } catch (error) {
    if (error instanceof ProtocolError && error.code === 'FW_INVITE_INVALID') throw error
    throw new ProtocolError('FW_INVITE_INVALID', 'the invite does not read: ask for a new one', {
      cause: error,
    })
  }
}

/** The knock key of a join. */
export function inviteKnockKey(secret: Uint8Array): Uint8Array {
  return derive(secret, LABEL.knockInvite)
}

function inviteId(value: CborValue | undefined): number {
  const id = asUint(value, 'invite id')
  if (id < INVITE_ID_BIT) throw malformed('an invite id without its top bit')
  return id
}

function checksum(body: Uint8Array): Uint8Array {
  return crypto
    .sha256(encodeItems(LABEL.inviteChecksum, [TYPE.bytes, ROLE.none, body]))
    .subarray(0, CHECKSUM_BYTES)
}

function invalid(message: string): ProtocolError {
  return new ProtocolError('FW_INVITE_INVALID', message)
}
