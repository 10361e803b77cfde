import {
  addressOfSeed,
  agentCertificate,
  deviceKey,
  doorbellSecret,
  gatewayCertificate,
  inviteKnockKey,
  siteFingerprint,
  writeRecord,
} from '../reference/identity.js'
import { sealHello, successor, type Hello } from '../reference/hello.js'
import { ed25519Public, kemPublic, x25519Public } from '../reference/primitives.js'
import { BODIES, writeMessages } from '../reference/messages.js'
import { writeBatch } from '../reference/batch.js'
import { fixed } from './inputs.js'

/** One site with its gateway and one agent, made by the reference from fixed bytes. */

export const siteSeed = fixed('site key')
export const siteKey = ed25519Public(siteSeed)
export const fingerprint = siteFingerprint(siteKey)
export const master = fixed('master secret')
export const gatewaySeed = fixed('gateway signing key')
export const gatewaySecret = fixed('gateway agreement key')
export const gatewayCert = gatewayCertificate(
  siteSeed,
  1,
  ed25519Public(gatewaySeed),
  x25519Public(gatewaySecret),
)
export const agentSeed = fixed('agent key')
export const agentKey = ed25519Public(agentSeed)
export const agentCert = agentCertificate(siteSeed, 7, 'pump-7', agentKey)
export const K = deviceKey(master, agentKey)
export const inviteSecret = fixed('invite secret')
export const inviteId = 0x8000_0007
const ZEROS = new Uint8Array(32)

export function prekey(role: 'signedPrekey' | 'oneTimePrekey', number: number, address: Uint8Array) {
  const prekeySecret = fixed(`prekey ${number}`)
  const kemSeed = fixed(`KEM seed ${number}`, 64)
  const record = writeRecord(gatewaySeed, {
    role,
    number,
    agreementKey: x25519Public(prekeySecret),
    kemKey: kemPublic(kemSeed),
    address,
    gatewayCertificate: gatewayCert,
    siteKey,
  })
  return { record, gatewaySecret, prekeySecret, kemSeed }
}

export const signed = prekey('signedPrekey', 41, addressOfSeed(fixed('doorbell')))

const stream = fixed('stream', 12)
export const readings = [
  {
    name: 'temperature',
    unit: 'Cel',
    value: 21.5,
    quality: 'good',
    monoMs: 120_000,
    wallMs: 1_760_000_000_000,
    clock: 'synchronised',
  },
  {
    name: 'running',
    value: true,
    quality: 'uncertain',
    monoMs: 120_250,
    wallMs: 1_760_000_000_250,
    clock: 'synchronised',
  },
] as const

export const data = {
  kind: 'data',
  batch: { stream, number: 3, historical: false, bytes: writeBatch(fixed('boot', 8), readings) },
  streams: [{ stream, floor: 3, end: 4, closed: false }],
  ready: false,
  downThrough: 0,
  stampMs: 120_300,
} as const

const firstContent = writeMessages([{ kind: 'data', body: BODIES.data(data) }])

type Inputs = Omit<Hello, 'agentSeed' | 'nonce' | 'ephemeralSecret' | 'coins'>

function hello(name: string, inputs: Inputs): Hello {
  return {
    ...inputs,
    agentSeed,
    nonce: fixed(`${name} nonce`, 12),
    ephemeralSecret: fixed(`${name} ephemeral key`),
    coins: fixed(`${name} coins`),
  }
}

export const joinHello = hello('join', {
  kind: 'join',
  record: signed.record,
  identity: agentKey,
  continuity: new Uint8Array(8),
  siteRevision: 0,
  k: inviteSecret,
  r: ZEROS,
  knockId: inviteId,
  knockKey: inviteKnockKey(inviteSecret),
  content: new Uint8Array(0),
})
const joined = sealHello(joinHello).session

export const oneTime = prekey('oneTimePrekey', 42, addressOfSeed(successor(joined.r).addressSeed))
export const continueHello = hello('continue', {
  kind: 'continue',
  record: oneTime.record,
  identity: agentCert,
  continuity: joined.id,
  siteRevision: 12,
  k: K,
  r: joined.r,
  knockId: 0,
  knockKey: successor(joined.r).knockKey,
  content: firstContent,
})
export const continued = sealHello(continueHello).session

export const lostHello = hello('lost', {
  kind: 'lost',
  record: signed.record,
  identity: agentCert,
  continuity: continued.id,
  siteRevision: 13,
  k: K,
  r: ZEROS,
  knockId: 5,
  knockKey: doorbellSecret(master, 5),
  content: firstContent,
})
