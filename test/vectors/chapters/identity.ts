import {
  addressKeyFromSeed,
  crypto,
  deviceKey,
  directoryKey,
  doorbellSecret,
  encodeInvite,
  inviteKnockKey,
  signAgentCertificate,
  signGatewayCertificate,
  signRecord,
  siteFingerprint,
  type RelayInfo,
} from '@fieldwhisper/protocol'
import * as reference from '../reference/identity.js'
import { ed25519Public, kemPublic, x25519Public } from '../reference/primitives.js'
import { chapter } from '../support/chapter.js'
import { fixed } from '../support/inputs.js'
import * as world from '../support/world.js'

export const siteChapter = chapter({
  name: 'site',
  sections: '2',
  cases: [
    {
      title: 'fingerprint, and what comes from the master secret',
      input: {
        siteSeed: world.siteSeed,
        master: world.master,
        agentKey: world.agentKey,
        epochs: [1, 5, 2 ** 31 - 1],
      },
    },
  ],
  product: ({ siteSeed, master, agentKey, epochs }) => {
    const siteKey = crypto.signingKey(siteSeed).publicKey
    const directory = directoryKey(master)
    return {
      siteKey,
      fingerprint: siteFingerprint(siteKey),
      deviceKey: deviceKey(master, agentKey),
      directorySlot: directory.address,
      doorbellSecrets: epochs.map((epoch) => doorbellSecret(master, epoch)),
    }
  },
  reference: ({ siteSeed, master, agentKey, epochs }) => {
    const siteKey = ed25519Public(siteSeed)
    return {
      siteKey,
      fingerprint: reference.siteFingerprint(siteKey),
      deviceKey: reference.deviceKey(master, agentKey),
      directorySlot: reference.addressOfSeed(reference.directorySeed(master)),
      doorbellSecrets: epochs.map((epoch) => reference.doorbellSecret(master, epoch)),
    }
  },
})

export const addressChapter = chapter({
  name: 'addresses',
  sections: '2.3',
  cases: [
    {
      title: 'a proof for a relay by name',
      input: { seed: fixed('address seed'), nonce: fixed('relay nonce'), relayName: 'relay.local' },
    },
    {
      title: 'a proof for a relay by IPv6 address',
      input: { seed: fixed('another address seed'), nonce: fixed('relay nonce'), relayName: 'fe80::1' },
    },
  ],
  product: ({ seed, nonce, relayName }) => {
    const key = addressKeyFromSeed(seed)
    return { publicKey: key.publicKey, address: key.address, proof: key.sign(nonce, relayName) }
  },
  reference: ({ seed, nonce, relayName }) => ({
    publicKey: ed25519Public(seed),
    address: reference.addressOfSeed(seed),
    proof: reference.relayProof(seed, nonce, relayName),
  }),
})

interface CertificateInput {
  readonly siteSeed: Uint8Array
  readonly number: number
  readonly name?: string
  readonly agentKey?: Uint8Array
  readonly signingKey?: Uint8Array
  readonly agreementKey?: Uint8Array
}

const longest = `${'ä'.repeat(30)}-007`

export const certificateChapter = chapter<CertificateInput>({
  name: 'certificates',
  sections: '2.1',
  cases: [
    {
      title: 'of an agent',
      input: { siteSeed: world.siteSeed, number: 7, name: 'pump-7', agentKey: world.agentKey },
    },
    {
      title: 'of an agent with the longest name and the highest number',
      input: { siteSeed: world.siteSeed, number: 2 ** 32 - 1, name: longest, agentKey: world.agentKey },
    },
    {
      title: 'of a gateway',
      input: {
        siteSeed: world.siteSeed,
        number: 1,
        signingKey: ed25519Public(world.gatewaySeed),
        agreementKey: x25519Public(world.gatewaySecret),
      },
    },
  ],
  product: ({ siteSeed, number, name, agentKey, signingKey, agreementKey }) => {
    const site = crypto.signingKey(siteSeed)
    if (name !== undefined && agentKey) {
      return { certificate: signAgentCertificate(site, { number, name, agentKey }) }
    }
    return {
      certificate: signGatewayCertificate(site, {
        number,
        signingKey: signingKey!,
        agreementKey: agreementKey!,
      }),
    }
  },
  reference: ({ siteSeed, number, name, agentKey, signingKey, agreementKey }) => ({
    certificate:
      name !== undefined && agentKey
        ? reference.agentCertificate(siteSeed, number, name, agentKey)
        : reference.gatewayCertificate(siteSeed, number, signingKey!, agreementKey!),
  }),
})

interface RecordInput {
  readonly role: 'signedPrekey' | 'oneTimePrekey'
  readonly number: number
  readonly prekeySecret: Uint8Array
  readonly kemSeed: Uint8Array
  readonly address: Uint8Array
  readonly gatewayCertificate: Uint8Array
  readonly gatewaySeed: Uint8Array
  readonly siteKey: Uint8Array
}

const record = (role: RecordInput['role'], number: number): RecordInput => ({
  role,
  number,
  prekeySecret: fixed(`prekey ${number}`),
  kemSeed: fixed(`KEM seed ${number}`, 64),
  address: fixed(`address ${number}`, 16),
  gatewayCertificate: world.gatewayCert,
  gatewaySeed: world.gatewaySeed,
  siteKey: world.siteKey,
})

export const recordChapter = chapter<RecordInput>({
  name: 'records',
  sections: '2.2',
  cases: [
    { title: 'a signed prekey', input: record('signedPrekey', 1) },
    { title: 'a one-time prekey', input: record('oneTimePrekey', 2 ** 32 - 1) },
  ],
  product: ({ role, number, prekeySecret, kemSeed, address, gatewayCertificate, gatewaySeed, siteKey }) => ({
    record: signRecord(crypto.signingKey(gatewaySeed), {
      role: role === 'signedPrekey' ? 'signed' : 'one-time',
      number,
      agreementKey: crypto.agreementKey(prekeySecret).publicKey,
      kemKey: crypto.kem.publicKey(kemSeed),
      address,
      gatewayCertificate,
      siteKey,
    }).bytes,
  }),
  reference: ({ prekeySecret, kemSeed, gatewaySeed, ...input }) => ({
    record: reference.writeRecord(gatewaySeed, {
      ...input,
      agreementKey: x25519Public(prekeySecret),
      kemKey: kemPublic(kemSeed),
    }),
  }),
})

interface InviteInput {
  readonly siteFingerprint: Uint8Array
  readonly directorySlot: Uint8Array
  readonly id: number
  readonly secret: Uint8Array
  readonly relays: readonly RelayInfo[]
}

const invite = {
  siteFingerprint: world.fingerprint,
  directorySlot: reference.addressOfSeed(reference.directorySeed(world.master)),
  id: world.inviteId,
  secret: world.inviteSecret,
}

export const inviteChapter = chapter<InviteInput>({
  name: 'invites',
  sections: '2.4, 4.1',
  cases: [
    { title: 'without a relay', input: { ...invite, relays: [] } },
    {
      title: 'with two relays',
      input: {
        ...invite,
        relays: [
          { url: 'ws://192.168.1.20:24780' },
          { url: 'wss://relay.example:443', token: 'open-sesame', fingerprint: 'ab'.repeat(32) },
        ],
      },
    },
  ],
  product: (input) => ({ line: encodeInvite(input), knockKey: inviteKnockKey(input.secret) }),
  reference: (input) => ({
    line: reference.writeInvite({
      ...input,
      relays: input.relays.map(({ url, token = '', fingerprint = '' }) => [url, token, fingerprint] as const),
    }),
    knockKey: reference.inviteKnockKey(input.secret),
  }),
})
