import {
  addressKeyFromSeed,
  beginHello,
  crypto,
  deviceKey,
  signAgentCertificate,
  signGatewayCertificate,
  signRecord,
  siteFingerprint,
  successor,
  verifyRecord,
  type HelloRequest,
  type PrekeyRecord,
  type PrekeySecrets,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'

export type Random = (length: number) => Uint8Array

/** The same bytes in every run: SHA-256 of a counter. */
export function seededRandom(name: string): Random {
  let counter = 0
  return (length) => {
    const out = new Uint8Array(length)
    for (let at = 0; at < length; at += 32) {
      out.set(crypto.sha256(Buffer.from(`${name} ${counter++}`)).subarray(0, length - at), at)
    }
    return out
  }
}

export const bytes = (length: number): fc.Arbitrary<Uint8Array> =>
  fc.uint8Array({ minLength: length, maxLength: length })

/** A copy with one bit turned round. */
export function flipped(source: Uint8Array, byte: number, bit = 0): Uint8Array {
  const copy = new Uint8Array(source)
  copy[byte]! ^= 1 << bit
  return copy
}

/** What tap's `throws` compares a ProtocolError with. */
export function refusal(code: string): { readonly name: 'ProtocolError'; readonly code: string } {
  return { name: 'ProtocolError', code }
}

export interface Site {
  readonly siteKey: Uint8Array
  readonly fingerprint: Uint8Array
  readonly site: ReturnType<typeof crypto.signingKey>
  readonly gateway: ReturnType<typeof crypto.signingKey>
  readonly gatewayCertificate: Uint8Array
  readonly master: Uint8Array
  prekey(role: PrekeyRecord['role'], number: number, address: Uint8Array): PrekeySecrets
}

export function makeSite(name: string): Site {
  const random = seededRandom(name)
  const site = crypto.signingKey(random(32))
  const gateway = crypto.signingKey(random(32))
  const gatewaySecret = random(32)
  const gatewayCertificate = signGatewayCertificate(site, {
    number: 1,
    signingKey: gateway.publicKey,
    agreementKey: crypto.agreementKey(gatewaySecret).publicKey,
  })
  return {
    site,
    siteKey: site.publicKey,
    fingerprint: siteFingerprint(site.publicKey),
    gateway,
    gatewayCertificate,
    master: random(32),
    prekey(role, number, address) {
      const [prekeySecret, kemSeed] = [random(32), random(64)]
      const { bytes } = signRecord(gateway, {
        role,
        number,
        agreementKey: crypto.agreementKey(prekeySecret).publicKey,
        kemKey: crypto.kem.publicKey(kemSeed),
        address,
        gatewayCertificate,
        siteKey: site.publicKey,
      })
      return { record: bytes, gatewaySecret, prekeySecret, kemSeed }
    },
  }
}

export const ZEROS = new Uint8Array(32)

/** One site, its doorbell, an agent that has joined, and the successor of that session. */
export function makeWorld() {
  const random = seededRandom('world')
  const home = makeSite('home')
  const agentSeed = random(32)
  const agent = crypto.signingKey(agentSeed)
  const certificate = signAgentCertificate(home.site, {
    number: 2,
    name: 'pump-7',
    agentKey: agent.publicKey,
  })
  const doorbell = home.prekey('signed', 10, addressKeyFromSeed(random(32)).address)
  const inviteSecret = random(32)
  const k = deviceKey(home.master, agent.publicKey)

  const join: HelloRequest = {
    kind: 'join',
    record: verifyRecord(doorbell.record, home.fingerprint),
    agent,
    identity: agent.publicKey,
    continuity: new Uint8Array(8),
    siteRevision: 0,
    k: inviteSecret,
    r: ZEROS,
    knock: { id: 0x8000_0001, key: random(32) },
    content: Buffer.from('first messages of a join'),
  }
  const first = beginHello(join, random).session
  const next = successor(first.resumption)
  const oneTime = home.prekey('one-time', 11, next.addressKey.address)
  const member = { identity: certificate, continuity: first.id, siteRevision: 3, k }
  const requests: Record<HelloRequest['kind'], HelloRequest> = {
    join,
    continue: {
      ...join,
      ...member,
      kind: 'continue',
      record: verifyRecord(oneTime.record, home.fingerprint),
      r: first.resumption,
      knock: { id: 0, key: next.knockKey },
    },
    lost: { ...join, ...member, kind: 'lost', knock: { id: 1, key: random(32) } },
  }
  const prekeys: Record<HelloRequest['kind'], PrekeySecrets> = {
    join: doorbell,
    continue: oneTime,
    lost: doorbell,
  }
  return { random, home, agent, agentSeed, certificate, requests, prekeys }
}
