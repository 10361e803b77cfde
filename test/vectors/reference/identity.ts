/** Section 2 of docs/protocol.md. */
import { join, must, readNumber, readText, same, text, u32, u8, type Bytes } from './bytes.js'
import { read, write, type Value } from './cbor.js'
import { derive, H, items } from './items.js'
import { ed25519Public, ed25519Sign, ed25519Verify } from './primitives.js'

export const siteFingerprint = (siteKey: Bytes): Bytes =>
  H('fw1 site', ['ed25519/site', siteKey]).slice(0, 16)
export const deviceKey = (master: Bytes, agentKey: Bytes): Bytes =>
  derive(master, 'fw1 device key', ['ed25519/agent', agentKey])
export const directorySeed = (master: Bytes): Bytes => derive(master, 'fw1 directory')
export const doorbellSecret = (master: Bytes, epoch: number): Bytes =>
  derive(master, 'fw1 doorbell', ['number', u32(epoch)])

export function agentCertificate(siteSeed: Bytes, number: number, name: string, agentKey: Bytes): Bytes {
  return signed(siteSeed, join(u8(1), u8(2), u32(number), agentKey, u8(text(name).length), text(name)))
}

export function gatewayCertificate(siteSeed: Bytes, number: number, signing: Bytes, agreement: Bytes): Bytes {
  return signed(siteSeed, join(u8(1), u8(3), u32(number), signing, agreement))
}

function signed(siteSeed: Bytes, body: Bytes): Bytes {
  return join(body, ed25519Sign(siteSeed, certified(ed25519Public(siteSeed), body)))
}

function certified(siteKey: Bytes, body: Bytes): Bytes {
  return items('fw1 certificate', ['ed25519/site', siteKey], ['bytes', body])
}

export function readAgentCertificate(siteKey: Bytes, certificate: Bytes): { name: string; agentKey: Bytes } {
  const body = certificate.slice(0, -64)
  must(body.length >= 40 && body.length <= 103 && body[0] === 1 && body[1] === 2, 'agent certificate')
  must(body[38] === body.length - 39, 'name length')
  must(ed25519Verify(siteKey, certified(siteKey, body), certificate.slice(-64)), 'signature of the site')
  return { name: readText(body.slice(39)), agentKey: body.slice(6, 38) }
}

export interface PrekeyRecord {
  readonly role: 'signedPrekey' | 'oneTimePrekey'
  readonly number: number
  readonly agreementKey: Bytes
  readonly kemKey: Bytes
  readonly address: Bytes
  readonly gatewayCertificate: Bytes
  readonly siteKey: Bytes
}

export function writeRecord(gatewaySeed: Bytes, record: PrekeyRecord): Bytes {
  const body = join(
    u8(record.role === 'signedPrekey' ? 5 : 6),
    u32(record.number),
    record.agreementKey,
    record.kemKey,
    record.address,
    record.gatewayCertificate,
    record.siteKey,
  )
  const versioned = join(u8(1), body)
  return join(
    versioned,
    ed25519Sign(gatewaySeed, items('fw1 prekey record', [`record/${record.role}`, versioned])),
  )
}

/** Verifies nothing. */
export function readRecord(bytes: Bytes): PrekeyRecord {
  must(bytes.length === 1468 && bytes[0] === 1, 'record')
  must(bytes[1] === 5 || bytes[1] === 6, 'role')
  return {
    role: bytes[1] === 5 ? 'signedPrekey' : 'oneTimePrekey',
    number: readNumber(bytes, 2, 4),
    agreementKey: bytes.slice(6, 38),
    kemKey: bytes.slice(38, 1222),
    address: bytes.slice(1222, 1238),
    gatewayCertificate: bytes.slice(1238, 1372),
    siteKey: bytes.slice(1372, 1404),
  }
}

export function verifyRecord(bytes: Bytes, fingerprint: Bytes): PrekeyRecord {
  const record = readRecord(bytes)
  const { gatewayCertificate: certificate, siteKey, role } = record
  must(same(siteFingerprint(siteKey), fingerprint), 'site')
  const body = certificate.slice(0, 70)
  must(body[0] === 1 && body[1] === 3, 'gateway certificate')
  must(ed25519Verify(siteKey, certified(siteKey, body), certificate.slice(70)), 'signature of the site')
  const message = items('fw1 prekey record', [`record/${role}`, bytes.slice(0, 1404)])
  must(ed25519Verify(body.slice(6, 38), message, bytes.slice(1404)), 'signature of the gateway')
  return record
}

export const addressOf = (key: Bytes): Bytes => H('fw1 address', ['ed25519', key]).slice(0, 16)
export const addressOfSeed = (seed: Bytes): Bytes => addressOf(ed25519Public(seed))

export function relayProof(seed: Bytes, nonce: Bytes, relayName: string): Bytes {
  return ed25519Sign(
    seed,
    items(
      'fw1 relay proof',
      ['nonce/relay', nonce],
      ['text/relay', text(relayName)],
      ['address', addressOfSeed(seed)],
    ),
  )
}

export type Relay = readonly [url: string, token: string, fingerprint: string]

export interface Invite {
  readonly siteFingerprint: Bytes
  readonly directorySlot: Bytes
  readonly id: number
  readonly secret: Bytes
  readonly relays: readonly Relay[]
}

export function writeInvite(invite: Invite): string {
  const body = write([
    1,
    invite.siteFingerprint,
    invite.directorySlot,
    invite.id,
    invite.secret,
    invite.relays,
  ])
  const checksum = H('fw1 invite', ['bytes', body]).slice(0, 4)
  return `fw1-${Buffer.from(join(body, checksum)).toString('base64url')}`
}

export function readInvite(line: string): Value {
  const bytes = new Uint8Array(Buffer.from(line.slice(4), 'base64url'))
  const body = bytes.slice(0, -4)
  must(same(H('fw1 invite', ['bytes', body]).slice(0, 4), bytes.slice(-4)), 'checksum')
  return read(body)
}

export const inviteKnockKey = (secret: Bytes): Bytes => derive(secret, 'fw1 knock invite')
