import {
  addressKeyFromSeed,
  crypto,
  decodeInvite,
  deviceKey,
  directoryKey,
  doorbellSecret,
  encodeCbor,
  encodeInvite,
  hex,
  INVITE_ID_BIT,
  parseRecord,
  RECORD_BYTES,
  signAgentCertificate,
  signGatewayCertificate,
  signRecord,
  siteFingerprint,
  verifyAddressProof,
  verifyAgentCertificate,
  verifyGatewayCertificate,
  verifyRecord,
  type Invite,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { H } from '../../vectors/reference/items.js'
import { bytes, flipped, makeSite, refusal, seededRandom } from './support.js'

const random = seededRandom('identity')
const home = makeSite('home')
const elsewhere = makeSite('elsewhere')
const agentKey = crypto.signingKey(random(32)).publicKey
const certificate = signAgentCertificate(home.site, { number: 7, name: 'pump-7', agentKey })
const address = addressKeyFromSeed(random(32)).address
const { record } = home.prekey('signed', 3, address)

void t.test('an agent certificate says what the site signed', (t) => {
  fc.assert(
    fc.property(
      fc
        .string({ unit: 'grapheme', minLength: 1, maxLength: 10 })
        .filter((name) => Buffer.byteLength(name) <= 64),
      fc.nat(0xffff_ffff),
      (name, number) => {
        const signed = signAgentCertificate(home.site, { number, name, agentKey })
        const read = verifyAgentCertificate(home.siteKey, signed)
        if (read.name !== name || read.number !== number || hex(read.agentKey) !== hex(agentKey)) {
          throw new Error('something else')
        }
      },
    ),
    { numRuns: 30 },
  )
  const marked = signAgentCertificate(home.site, { number: 1, name: '\uFEFFpump', agentKey })
  t.equal(
    verifyAgentCertificate(home.siteKey, marked).name,
    '\uFEFFpump',
    'a byte order mark is part of the name',
  )
  t.end()
})

void t.test('one bit turned round in a certificate or a record is noticed wherever it is', (t) => {
  for (let at = 0; at < certificate.length; at++) {
    t.throws(() => verifyAgentCertificate(home.siteKey, flipped(certificate, at)), { name: 'ProtocolError' })
  }
  for (let at = 0; at < home.gatewayCertificate.length; at += 3) {
    const altered = flipped(home.gatewayCertificate, at)
    t.throws(() => verifyGatewayCertificate(home.siteKey, altered), { name: 'ProtocolError' })
  }
  for (let at = 0; at < record.length; at += at > 1_200 || at < 60 ? 1 : 20) {
    t.throws(() => verifyRecord(flipped(record, at), home.fingerprint), { name: 'ProtocolError' })
  }
  t.end()
})

void t.test('certificates and records are refused at every other length', (t) => {
  for (let length = 0; length < certificate.length; length++) {
    t.throws(
      () => verifyAgentCertificate(home.siteKey, certificate.subarray(0, length)),
      refusal('FW_MALFORMED'),
    )
  }
  const longer = Buffer.concat([certificate, Uint8Array.of(0)])
  t.throws(() => verifyAgentCertificate(home.siteKey, longer), refusal('FW_MALFORMED'))
  for (const length of [0, 1, RECORD_BYTES - 1]) {
    t.throws(() => verifyRecord(record.subarray(0, length), home.fingerprint), refusal('FW_MALFORMED'))
  }
  t.throws(
    () => verifyRecord(Buffer.concat([record, Uint8Array.of(0)]), home.fingerprint),
    refusal('FW_MALFORMED'),
  )
  t.end()
})

void t.test('the certificate of an agent is none of a gateway, and the other way round', (t) => {
  t.throws(() => verifyGatewayCertificate(home.siteKey, certificate), refusal('FW_MALFORMED'))
  t.throws(() => verifyAgentCertificate(home.siteKey, home.gatewayCertificate), refusal('FW_MALFORMED'))
  // An agent whose name makes its certificate as long as a gateway's, with the role byte exchanged.
  const name = 'x'.repeat(31)
  const lookalike = new Uint8Array(signAgentCertificate(home.site, { number: 1, name, agentKey }))
  t.equal(lookalike.length, home.gatewayCertificate.length)
  t.throws(() => verifyGatewayCertificate(home.siteKey, lookalike), refusal('FW_MALFORMED'))
  lookalike[1] = 3
  t.throws(() => verifyGatewayCertificate(home.siteKey, lookalike), refusal('FW_SIGNATURE_INVALID'))
  t.end()
})

void t.test("another site's certificate has no signature here", (t) => {
  t.throws(() => verifyAgentCertificate(elsewhere.siteKey, certificate), refusal('FW_SIGNATURE_INVALID'))
  t.throws(
    () => verifyGatewayCertificate(elsewhere.siteKey, home.gatewayCertificate),
    refusal('FW_SIGNATURE_INVALID'),
  )
  t.end()
})

void t.test('what would be no proper certificate or record is not signed', (t) => {
  const refused = refusal('FW_MALFORMED')
  const sign = (name: string, key = agentKey) =>
    signAgentCertificate(home.site, { number: 1, name, agentKey: key })
  t.throws(() => sign(''), refused)
  t.throws(() => sign('x'.repeat(65)), refused)
  t.throws(() => sign('ä'.repeat(33)), refused, 'bytes count')
  t.throws(() => sign('\uD800'), refused, 'half a surrogate pair')
  t.throws(() => sign('pump', agentKey.subarray(1)), refused)
  t.doesNotThrow(() => sign('ä'.repeat(32)))
  const keys = { signingKey: agentKey, agreementKey: agentKey.subarray(1) }
  t.throws(() => signGatewayCertificate(home.site, { number: 1, ...keys }), refused)
  const parsed = parseRecord(record)
  t.throws(() => signRecord(home.gateway, { ...parsed, address: new Uint8Array(15) }), refused)
  t.end()
})

void t.test('a record of another site, of an uncertified gateway or of another version is refused', (t) => {
  t.throws(() => verifyRecord(record, elsewhere.fingerprint), refusal('FW_WRONG_SITE'))
  const { bytes: ours } = signRecord(elsewhere.gateway, parseRecord(record))
  t.throws(() => verifyRecord(ours, home.fingerprint), refusal('FW_SIGNATURE_INVALID'))
  const mixed = { ...parseRecord(record), gatewayCertificate: elsewhere.gatewayCertificate }
  const { bytes: foreign } = signRecord(elsewhere.gateway, mixed)
  t.throws(() => verifyRecord(foreign, home.fingerprint), refusal('FW_SIGNATURE_INVALID'))
  for (const version of [0, 2, 255]) {
    const other = new Uint8Array(record)
    other[0] = version
    t.throws(() => verifyRecord(other, home.fingerprint), refusal('FW_VERSION_UNKNOWN'))
  }
  for (const role of [0, 4, 7]) {
    const other = new Uint8Array(record)
    other[1] = role
    t.throws(() => verifyRecord(other, home.fingerprint), refusal('FW_MALFORMED'))
  }
  t.end()
})

void t.test('a verified record no longer depends on the frame it came in', (t) => {
  const frame = Buffer.concat([Buffer.from('head'), record])
  const verified = verifyRecord(frame.subarray(4), home.fingerprint)
  frame.fill(0)
  t.equal(hex(verified.bytes), hex(record))
  t.equal(hex(verified.address), hex(address))
  t.equal(verified.number, 3)
  t.end()
})

void t.test('an address proof holds for its key, nonce and relay name, and for nothing else', (t) => {
  const key = addressKeyFromSeed(random(32))
  const nonce = random(32)
  const proof = key.sign(nonce, 'relay.local')
  t.ok(verifyAddressProof(key.publicKey, proof, nonce, 'relay.local'))
  t.notOk(verifyAddressProof(key.publicKey, proof, nonce, 'relay.locai'))
  t.notOk(verifyAddressProof(key.publicKey, proof, nonce, 'relay.local.'))
  t.notOk(verifyAddressProof(key.publicKey, proof, flipped(nonce, 0), 'relay.local'))
  t.notOk(verifyAddressProof(addressKeyFromSeed(random(32)).publicKey, proof, nonce, 'relay.local'))
  for (let at = 0; at < 64; at++) {
    t.notOk(verifyAddressProof(key.publicKey, flipped(proof, at, at % 8), nonce, 'relay.local'))
  }
  t.notOk(verifyAddressProof(key.publicKey.subarray(1), proof, nonce, 'relay.local'))
  t.notOk(verifyAddressProof(key.publicKey, proof.subarray(1), nonce, 'relay.local'))
  t.notOk(verifyAddressProof(new Uint8Array(32), new Uint8Array(64), nonce, 'relay.local'))
  t.end()
})

void t.test('an address is the start of a hash of its key with its type and length', (t) => {
  const key = addressKeyFromSeed(random(32))
  t.equal(hex(key.address), hex(H('fw1 address', ['ed25519', key.publicKey]).subarray(0, 16)))
  t.end()
})

void t.test('what comes from one master secret is different for every use', (t) => {
  const { master } = home
  const made = [
    hex(deviceKey(master, agentKey)),
    hex(deviceKey(master, home.siteKey)),
    hex(directoryKey(master).publicKey),
    ...[0, 1, 2, 2 ** 31].map((epoch) => hex(doorbellSecret(master, epoch))),
    hex(deviceKey(elsewhere.master, agentKey)),
  ]
  t.equal(new Set(made).size, made.length)
  t.not(hex(siteFingerprint(home.siteKey)), hex(siteFingerprint(elsewhere.siteKey)))
  t.end()
})

const invite: Invite = {
  siteFingerprint: home.fingerprint,
  directorySlot: directoryKey(home.master).address,
  id: INVITE_ID_BIT + 5,
  secret: random(32),
  relays: [{ url: 'wss://relay.example:443', token: 'open-sesame', fingerprint: 'ab'.repeat(32) }],
}

void t.test('an invite comes back from its line, with spaces around it', (t) => {
  t.same(decodeInvite(encodeInvite(invite)), invite)
  t.same(decodeInvite(`  ${encodeInvite({ ...invite, relays: [] })}\n`), { ...invite, relays: [] })
  t.end()
})

void t.test('an invite with the most and longest relays comes back too', (t) => {
  const relays = Array.from({ length: 8 }, (_, i) => ({
    url: `wss://${i}`.padEnd(256, 'x'),
    token: 't'.repeat(128),
    fingerprint: 'f'.repeat(64),
  }))
  t.same(decodeInvite(encodeInvite({ ...invite, relays })), { ...invite, relays })
  t.end()
})

void t.test('one letter typed wrong or left out of an invite is noticed', (t) => {
  const line = encodeInvite(invite)
  for (let at = 4; at < line.length - 1; at++) {
    const other = line[at] === 'A' ? 'B' : 'A'
    t.throws(() => decodeInvite(line.slice(0, at) + other + line.slice(at + 1)), refusal('FW_INVITE_INVALID'))
    t.throws(() => decodeInvite(line.slice(0, at)), refusal('FW_INVITE_INVALID'))
  }
  for (const text of [
    '',
    'fw1-',
    'fw2-AAAA',
    'hello',
    `fw1-${'A'.repeat(9_000)}`,
    `${line} ${line}`,
    `${line}é`,
  ]) {
    t.throws(() => decodeInvite(text), refusal('FW_INVITE_INVALID'), text.slice(0, 20))
  }
  t.end()
})

void t.test('an invite whose checksum is right and whose fields are not is refused', (t) => {
  const fields = [1, invite.siteFingerprint, invite.directorySlot, invite.id, invite.secret, []] as const
  const line = (change: Record<number, unknown>) => {
    const body = encodeCbor(fields.map((field, i) => (i in change ? change[i] : field)) as never)
    const checksum = H('fw1 invite', ['bytes', body]).subarray(0, 4)
    return `fw1-${Buffer.concat([body, checksum]).toString('base64url')}`
  }
  t.doesNotThrow(() => decodeInvite(line({})))
  const relay = ['ws://x', '', '']
  const wrong: Record<number, unknown>[] = [
    { 0: 2 },
    { 1: new Uint8Array(15) },
    { 2: new Uint8Array(17) },
    { 3: INVITE_ID_BIT - 1 },
    { 3: 2 ** 32 },
    { 4: new Uint8Array(31) },
    { 5: Array.from({ length: 9 }, () => relay) },
    { 5: [['', '', '']] },
    { 5: [['x'.repeat(257), '', '']] },
    { 5: [['ws://x', 't'.repeat(129), '']] },
    { 5: [['ws://x', '', 'f'.repeat(65)]] },
    { 5: [['ws://x', '']] },
    { 5: null },
  ]
  for (const change of wrong) {
    t.throws(() => decodeInvite(line(change)), refusal('FW_INVITE_INVALID'), Object.keys(change).join())
  }
  t.throws(() => decodeInvite(line({ 0: 2 })), { message: /newer gateway/ })
  t.end()
})

void t.test('random lines are refused and nothing else happens', (t) => {
  fc.assert(
    fc.property(bytes(40), (body) => {
      const line = `fw1-${Buffer.from(body).toString('base64url')}`
      try {
        decodeInvite(line)
      } catch (error) {
        if ((error as { code?: string }).code === 'FW_INVITE_INVALID') return
        throw error
      }
      throw new Error('taken')
    }),
  )
  t.end()
})
