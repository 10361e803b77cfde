/** Sections 4 and 5.1 of docs/protocol.md. */
import { join, must, readNumber, same, u16, u32, u8, zeros, type Bytes } from './bytes.js'
import { readAgentCertificate, readRecord, type PrekeyRecord } from './identity.js'
import { derive, H, items } from './items.js'
import { bareHeader, header, nonceOf, pad, unpad } from './packet.js'
import {
  decapsulate,
  ed25519Public,
  ed25519Sign,
  ed25519Verify,
  encapsulate,
  expand,
  extract,
  hmac256,
  open,
  seal,
  x25519Public,
  x25519Shared,
} from './primitives.js'

const KINDS = ['', 'join', 'continue', 'lost']
export type Kind = 'join' | 'continue' | 'lost'

export interface Session {
  readonly t1: Bytes
  readonly k1: Bytes
  readonly ck: Bytes
  readonly root: Bytes
  readonly id: Bytes
  readonly k2: Bytes
  readonly r: Bytes
  readonly addressSeedUp: Bytes
  readonly addressSeedDown: Bytes
  readonly treeRootUp: Bytes
  readonly treeRootDown: Bytes
}

export interface Hello {
  readonly kind: Kind
  /** The record's bytes. */
  readonly record: Bytes
  readonly agentSeed: Bytes
  readonly identity: Bytes
  readonly continuity: Bytes
  readonly siteRevision: number
  readonly k: Bytes
  readonly r: Bytes
  readonly knockId: number
  readonly knockKey: Bytes
  readonly content: Bytes
  readonly nonce: Bytes
  readonly ephemeralSecret: Bytes
  readonly coins: Bytes
  /** Sends it elsewhere than the record says. */
  readonly address?: Bytes
  /** Alters box1 before it is sealed, for hellos that no honest agent makes. */
  readonly forge?: (box1: Bytes) => Bytes
}

export function sealHello(hello: Hello): { packet: Bytes; session: Session } {
  const record = readRecord(hello.record)
  const head = header('hello', hello.address ?? record.address, hello.nonce)
  const EA = x25519Public(hello.ephemeralSecret)
  const { ciphertext, secret } = encapsulate(record.kemKey, hello.coins)
  const t1 = transcript(hello.record, record, head, EA, ciphertext)
  const IG = record.gatewayCertificate.slice(38, 70)
  const { k1, ck } = helloKeys(
    t1,
    x25519Shared(hello.ephemeralSecret, IG),
    x25519Shared(hello.ephemeralSecret, record.agreementKey),
    secret,
  )
  const rest = join(
    u8(KINDS.indexOf(hello.kind)),
    hello.continuity,
    u32(hello.siteRevision),
    u16(hello.identity.length),
    hello.identity,
  )
  const sig = ed25519Sign(hello.agentSeed, items('fw1 agent', ['hash', t1], ['bytes/agent', rest]))
  const filled = join(rest, sig)
  const plaintext = join(filled, zeros(384 - filled.length))
  const box1 = seal(k1, hello.nonce, bareHeader(head), hello.forge?.(plaintext) ?? plaintext)
  const session = sessionOf(t1, k1, ck, box1, hello.k, hello.r)
  const box2 = seal(session.k2, hello.nonce, join(bareHeader(head), box1), pad(hello.content))
  const withoutMac = join(head, EA, ciphertext, box1, box2, u32(hello.knockId))
  return { packet: join(withoutMac, knockMac(withoutMac, hello.knockKey)), session }
}

export interface Prekey {
  readonly record: Bytes
  readonly gatewaySecret: Bytes
  readonly prekeySecret: Bytes
  readonly kemSeed: Bytes
}

export interface Opened {
  readonly kind: Kind
  readonly agentKey: Bytes
  readonly continuity: Bytes
  readonly siteRevision: number
  readonly session: Session
  readonly content: Bytes
}

/** `secretsOf` gives K and r for who the agent turned out to be. Throws on anything wrong. */
export function openHello(
  packet: Bytes,
  knockKey: Bytes,
  prekey: Prekey,
  secretsOf: (kind: Kind, agentKey: Bytes) => { k: Bytes; r: Bytes },
): Opened {
  must(packet[0] === 0x11 && packet.length >= 1842 && packet.length <= 8192, 'hello')
  must(same(knockMac(packet.slice(0, -16), knockKey), packet.slice(-16)), 'knock')
  const record = readRecord(prekey.record)
  must(same(packet.slice(2, 18), record.address), 'address')
  const [EA, ct] = [packet.slice(30, 62), packet.slice(62, 1150)]
  const [box1, box2] = [packet.slice(1150, 1550), packet.slice(1550, -20)]
  const t1 = transcript(prekey.record, record, packet, EA, ct)
  const { k1, ck } = helloKeys(
    t1,
    x25519Shared(prekey.gatewaySecret, EA),
    x25519Shared(prekey.prekeySecret, EA),
    decapsulate(prekey.kemSeed, ct),
  )
  const plaintext = open(k1, nonceOf(packet), bareHeader(packet), box1)
  const kind = KINDS[plaintext[0]!] as Kind
  must(plaintext[0]! >= 1 && plaintext[0]! <= 3, 'kind')
  must((kind === 'continue') === (record.role === 'oneTimePrekey'), 'kind and role')
  const end = 15 + readNumber(plaintext, 13, 2)
  must(end <= 15 + 167, 'identity')
  must(
    plaintext.slice(end + 64).every((byte) => byte === 0),
    'filling',
  )
  const identity = plaintext.slice(15, end)
  const agentKey = kind === 'join' ? identity : readAgentCertificate(record.siteKey, identity).agentKey
  const signed = items('fw1 agent', ['hash', t1], ['bytes/agent', plaintext.slice(0, end)])
  must(ed25519Verify(agentKey, signed, plaintext.slice(end, end + 64)), 'signature of the agent')
  const { k, r } = secretsOf(kind, agentKey)
  const session = sessionOf(t1, k1, ck, box1, k, r)
  const content = unpad(open(session.k2, nonceOf(packet), join(bareHeader(packet), box1), box2))
  return {
    kind,
    agentKey,
    continuity: plaintext.slice(1, 9),
    siteRevision: readNumber(plaintext, 9, 4),
    session,
    content,
  }
}

export const acceptedHash = (t1: Bytes, box1: Bytes): Bytes =>
  H('fw1 accepted', ['hash', t1], ['bytes', box1])

/** Section 5.4. */
export function successor(r: Bytes): { addressSeed: Bytes; knockKey: Bytes } {
  return { addressSeed: derive(r, 'fw1 successor address'), knockKey: derive(r, 'fw1 successor knock') }
}

export const agentKeyOf = (seed: Bytes): Bytes => ed25519Public(seed)

function transcript(bytes: Bytes, record: PrekeyRecord, packet: Bytes, EA: Bytes, ct: Bytes): Bytes {
  return H(
    'fw1 hello',
    ['number', u8(1)],
    ['ed25519/site', record.siteKey],
    ['certificate/gateway', record.gatewayCertificate],
    [`record/${record.role}`, bytes],
    ['header', bareHeader(packet)],
    ['x25519/ephemeral', EA],
    ['kemCiphertext/ephemeral', ct],
  )
}

function helloKeys(t1: Bytes, dhIdentity: Bytes, dhPrekey: Bytes, ss: Bytes): { k1: Bytes; ck: Bytes } {
  const out = expand(extract(t1, join(dhIdentity, dhPrekey, ss)), items('fw1 hello keys'), 64)
  return { k1: out.slice(0, 32), ck: out.slice(32) }
}

function sessionOf(t1: Bytes, k1: Bytes, ck: Bytes, box1: Bytes, k: Bytes, r: Bytes): Session {
  const root = expand(extract(ck, join(k, r)), items('fw1 root', ['hash', t1], ['bytes', box1]), 32)
  return {
    t1,
    k1,
    ck,
    root,
    id: H('fw1 session', ['hash', t1], ['bytes', box1]).slice(0, 8),
    k2: derive(root, 'fw1 box2'),
    r: derive(root, 'fw1 resumption'),
    addressSeedUp: derive(root, 'fw1 address up'),
    addressSeedDown: derive(root, 'fw1 address down'),
    treeRootUp: derive(root, 'fw1 tree up'),
    treeRootDown: derive(root, 'fw1 tree down'),
  }
}

function knockMac(withoutMac: Bytes, key: Bytes): Bytes {
  return hmac256(key, join(bareHeader(withoutMac), withoutMac.slice(30))).slice(0, 16)
}
