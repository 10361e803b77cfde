import { concat, equalBytes, wipe } from '../bytes.js'
import { KEM_SEED_BYTES } from '../constants.js'
import { expectLength, ProtocolError } from '../errors.js'
import { verifyAgentCertificate, type AgentCertificate } from '../identity/certificate.js'
import { parseRecord, type PrekeyRecord } from '../identity/record.js'
import { unpad } from '../packet/padding.js'
import { crypto, type AgreementKey } from '../primitives/index.js'
import { decodeBox1, parseHello, recordRoleOf, type Hello, type HelloKind } from './layout.js'
import {
  acceptedHash,
  agentSignatureBytes,
  helloKeys,
  sessionSecrets,
  transcript,
  type SessionSecrets,
} from './schedule.js'

/** The private halves behind one prekey record, as bytes so that they can go to a worker thread. */
export interface PrekeySecrets {
  /** The record's signed bytes. */
  readonly record: Uint8Array
  /** X25519 private key of the gateway's certificate. */
  readonly gatewaySecret: Uint8Array
  /** X25519 private key of the record. */
  readonly prekeySecret: Uint8Array
  /** ML-KEM-768 seed of the record, 64 bytes. */
  readonly kemSeed: Uint8Array
}

export interface OpenedHello {
  readonly kind: HelloKind
  readonly agentKey: Uint8Array
  /** Present unless the agent is joining. */
  readonly certificate?: AgentCertificate
  readonly continuity: Uint8Array
  readonly siteRevision: number
  readonly t1: Uint8Array
  readonly ck: Uint8Array
}

/** The name under which an accepted hello is remembered; no public-key work. */
export function helloHash(hello: Hello, recordBytes: Uint8Array): Uint8Array {
  return acceptedHash(helloTranscript(hello, parseRecord(recordBytes)), hello.box1)
}

/**
 * All public-key work of accepting a hello: two X25519, one decapsulation, the agent's signature and certificate; about 1.5 ms,
 * so for a worker thread. Every failure is one and the same: undefined. (A wrong KEM key gives another secret and box1 does not
 * open; low-order X25519 points are refused.) The caller has checked the knock.
 */
export function openHello(packet: Uint8Array, secrets: PrekeySecrets): OpenedHello | undefined {
  // Outside of the try: unusable secrets are our own fault and no reason to call the hello wrong.
  const keys: ImportedPrekey = {
    record: parseRecord(secrets.record),
    gateway: crypto.agreementKey(secrets.gatewaySecret),
    prekey: crypto.agreementKey(secrets.prekeySecret),
    kemSeed: secrets.kemSeed,
  }
  expectLength('KEM seed', secrets.kemSeed, KEM_SEED_BYTES)
  try {
    return openBox1(parseHello(packet), keys)
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

interface ImportedPrekey {
  readonly record: PrekeyRecord
  readonly gateway: AgreementKey
  readonly prekey: AgreementKey
  readonly kemSeed: Uint8Array
}

function openBox1(
  hello: Hello,
  { record, gateway, prekey, kemSeed }: ImportedPrekey,
): OpenedHello | undefined {
  if (!equalBytes(hello.header.address, record.address)) return undefined
  const t1 = helloTranscript(hello, record)
  const { k1, ck } = helloKeys(
    t1,
    gateway.agree(hello.ephemeralKey),
    prekey.agree(hello.ephemeralKey),
    crypto.kem.decapsulate(kemSeed, hello.kemCiphertext),
  )
  const plaintext = crypto.open(k1, hello.header.nonce, hello.headerWithoutHops, hello.box1)
  wipe(k1)
  if (!plaintext) return undefined
  const { box, rest, signature } = decodeBox1(plaintext)
  if (record.role !== recordRoleOf(box.kind)) return undefined
  const certificate = box.kind === 'join' ? undefined : verifyAgentCertificate(record.siteKey, box.identity)
  const agentKey = certificate?.agentKey ?? box.identity
  if (!crypto.verify(agentKey, agentSignatureBytes(t1, rest), signature)) return undefined
  const { kind, continuity, siteRevision } = box
  return { kind, agentKey, ...(certificate && { certificate }), continuity, siteRevision, t1, ck }
}

/**
 * The cheap half: the session's secrets and the first messages. Undefined where K or r is not the agent's, or box2 was
 * altered.
 */
export function finishHello(
  packet: Uint8Array,
  opened: Pick<OpenedHello, 't1' | 'ck'>,
  k: Uint8Array,
  r: Uint8Array,
): { readonly session: SessionSecrets; readonly content: Uint8Array } | undefined {
  const hello = parseHello(packet)
  const session = sessionSecrets(opened.t1, opened.ck, hello.box1, k, r)
  const aad = concat(hello.headerWithoutHops, hello.box1)
  const padded = crypto.open(session.box2Key, hello.header.nonce, aad, hello.box2)
  if (!padded) return undefined
  try {
    return { session, content: unpad(padded) }
  } catch (error) {
    if (error instanceof ProtocolError) return undefined
    throw error
  }
}

function helloTranscript(hello: Hello, record: PrekeyRecord): Uint8Array {
  return transcript(record, hello.headerWithoutHops, hello.ephemeralKey, hello.kemCiphertext)
}
