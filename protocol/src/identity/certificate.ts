import { concat, fromUtf8, readU32, u32, utf8 } from '../bytes.js'
import { KEY_BYTES, LABEL, MAX_DEVICE_NAME_BYTES, SIGNATURE_BYTES } from '../constants.js'
import { expectLength, malformed, ProtocolError } from '../errors.js'
import { encodeItems, ROLE, TYPE } from '../items.js'
import { crypto, type SigningKey } from '../primitives/index.js'

/**
 * What the site key says about a device. An agent's certificate carries its name and never leaves a sealed box; a gateway's is
 * part of the public prekey record and carries none.
 */
export interface AgentCertificate {
  readonly number: number
  readonly name: string
  /** Ed25519. */
  readonly agentKey: Uint8Array
}

export interface GatewayCertificate {
  readonly number: number
  /** Ed25519. */
  readonly signingKey: Uint8Array
  /** X25519. */
  readonly agreementKey: Uint8Array
}

const CERTIFICATE_VERSION = 1
const AGENT_FIXED_BYTES = 2 + 4 + KEY_BYTES + 1
const GATEWAY_BODY_BYTES = 2 + 4 + 2 * KEY_BYTES
export const GATEWAY_CERTIFICATE_BYTES = GATEWAY_BODY_BYTES + SIGNATURE_BYTES
export const MAX_AGENT_CERTIFICATE_BYTES = AGENT_FIXED_BYTES + MAX_DEVICE_NAME_BYTES + SIGNATURE_BYTES

/** version u8 ‖ role u8 ‖ number u32 ‖ agent key 32 ‖ name length u8 ‖ name ‖ signature 64. */
export function signAgentCertificate(site: SigningKey, certificate: AgentCertificate): Uint8Array {
  const name = utf8(certificate.name)
  if (name.length < 1 || name.length > MAX_DEVICE_NAME_BYTES) {
    throw malformed(`a device name of ${name.length} bytes, 1 to ${MAX_DEVICE_NAME_BYTES} are allowed`)
  }
  if (!certificate.name.isWellFormed()) throw malformed('a device name that is not proper text')
  expectLength('agent key', certificate.agentKey, KEY_BYTES)
  const head = Uint8Array.of(CERTIFICATE_VERSION, ROLE.agent)
  return signed(
    site,
    concat(head, u32(certificate.number), certificate.agentKey, Uint8Array.of(name.length), name),
  )
}

/** version u8 ‖ role u8 ‖ number u32 ‖ Ed25519 key 32 ‖ X25519 key 32 ‖ signature 64. */
export function signGatewayCertificate(site: SigningKey, certificate: GatewayCertificate): Uint8Array {
  expectLength('gateway signing key', certificate.signingKey, KEY_BYTES)
  expectLength('gateway agreement key', certificate.agreementKey, KEY_BYTES)
  const head = Uint8Array.of(CERTIFICATE_VERSION, ROLE.gateway)
  return signed(site, concat(head, u32(certificate.number), certificate.signingKey, certificate.agreementKey))
}

/** Throws FW_MALFORMED, or FW_SIGNATURE_INVALID where another site signed it. */
export function verifyAgentCertificate(siteKey: Uint8Array, bytes: Uint8Array): AgentCertificate {
  const nameLength = bytes[AGENT_FIXED_BYTES - 1] ?? 0
  const body = checkedBody(siteKey, bytes, ROLE.agent, AGENT_FIXED_BYTES + nameLength)
  const name = body.subarray(AGENT_FIXED_BYTES)
  if (name.length < 1 || name.length > MAX_DEVICE_NAME_BYTES)
    throw malformed('the certificate has no proper name')
  return { number: readU32(body, 2), name: text(name), agentKey: body.subarray(6, 6 + KEY_BYTES) }
}

export function verifyGatewayCertificate(siteKey: Uint8Array, bytes: Uint8Array): GatewayCertificate {
  const body = checkedBody(siteKey, bytes, ROLE.gateway, GATEWAY_BODY_BYTES)
  return {
    number: readU32(body, 2),
    signingKey: body.subarray(6, 6 + KEY_BYTES),
    agreementKey: body.subarray(6 + KEY_BYTES),
  }
}

function signed(site: SigningKey, body: Uint8Array): Uint8Array {
  return concat(body, site.sign(signedBytes(site.publicKey, body)))
}

function signedBytes(siteKey: Uint8Array, body: Uint8Array): Uint8Array {
  return encodeItems(LABEL.certificate, [TYPE.ed25519, ROLE.site, siteKey], [TYPE.bytes, ROLE.none, body])
}

function checkedBody(siteKey: Uint8Array, bytes: Uint8Array, role: number, bodyBytes: number): Uint8Array {
  if (bytes.length !== bodyBytes + SIGNATURE_BYTES) throw malformed(`a certificate of ${bytes.length} bytes`)
  if (bytes[0] !== CERTIFICATE_VERSION || bytes[1] !== role) throw malformed('a certificate of another kind')
  const body = bytes.subarray(0, bodyBytes)
  if (!crypto.verify(siteKey, signedBytes(siteKey, body), bytes.subarray(bodyBytes))) {
    throw new ProtocolError('FW_SIGNATURE_INVALID', 'the certificate is not signed by this site')
  }
  return body
}

function text(bytes: Uint8Array): string {
  try {
    return fromUtf8(bytes)
  } catch (cause) {
    throw new ProtocolError('FW_MALFORMED', 'the name in the certificate is not UTF-8', { cause })
  }
}
