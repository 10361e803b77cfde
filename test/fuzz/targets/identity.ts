import assert from 'node:assert/strict'
import {
  concat,
  decodeInvite,
  encodeInvite,
  parseRecord,
  ProtocolError,
  u32,
  verifyAgentCertificate,
  verifyGatewayCertificate,
  verifyRecord,
} from '@fieldwhisper/protocol'
import { LABEL } from '../../../protocol/dist/constants.js'
import { encodeItems, ROLE, TYPE } from '../../../protocol/dist/items.js'
import { sha256 } from '../sha256.js'
import { bounded, sameBytes, valueOrRefusal } from '../engine/contract.js'
import type { Target } from '../engine/target.js'
import { golden, goldenTexts, utf8 } from '../support.js'
import { makeWorld } from '../../unit/protocol/support.js'

const world = makeWorld()
const { home } = world
const records = [world.prekeys.join.record, world.prekeys.continue.record]
const certificates = [world.certificate, home.gatewayCertificate]

function known(bytes: Uint8Array, all: readonly Uint8Array[]): boolean {
  return all.some((one) => Buffer.compare(one, bytes) === 0)
}

export const record: Target = {
  name: 'prekey-record',
  contract:
    'Parsed, its fields in order giving the same bytes, or ProtocolError; verified only where the site made it.',
  maxBytes: 2_048,
  testInputs: 4_000,
  seeds: () => [...records, ...golden('records', 'record')],
  run(input) {
    const value = valueOrRefusal([ProtocolError], () => parseRecord(input))
    if (value === undefined) return
    const { role, number, agreementKey, kemKey, address, gatewayCertificate, siteKey } = value
    const head = Uint8Array.of(1, role === 'signed' ? ROLE.signedPrekey : ROLE.oneTimePrekey)
    const fields = concat(head, u32(number), agreementKey, kemKey, address, gatewayCertificate, siteKey)
    sameBytes(fields, input.subarray(0, fields.length), 'the fields')
    assert.equal(fields.length + 64, input.length)
    const verified = valueOrRefusal([ProtocolError], () => verifyRecord(input, home.fingerprint))
    assert.ok(!verified || known(input, records), 'a record that the site did not make')
  },
}

export const certificate: Target = {
  name: 'certificate',
  contract: 'Verified where the site made it for this role, else ProtocolError.',
  maxBytes: 512,
  testInputs: 3_000,
  seeds: () => [...certificates, ...golden('certificates', 'certificate')],
  run(input) {
    for (const verify of [verifyAgentCertificate, verifyGatewayCertificate]) {
      const value = valueOrRefusal([ProtocolError], () => verify(home.siteKey, input))
      assert.ok(!value || known(input, certificates), 'a certificate that the site did not make')
    }
  },
}

/** With its proper checksum, so that what is below it is reached too. */
function lineOf(body: Uint8Array): string {
  const sum = sha256(encodeItems(LABEL.inviteChecksum, [TYPE.bytes, ROLE.none, body])).subarray(0, 4)
  return `fw1-${Buffer.from(concat(body, sum)).toString('base64url')}`
}

export const invite: Target = {
  name: 'invite',
  contract:
    'An invite that encodes and decodes to itself, or ProtocolError; the line as typed and its body with a proper checksum.',
  maxBytes: 8_300,
  testInputs: 4_000,
  seeds: () =>
    goldenTexts('invites', 'line').flatMap((line) => [
      utf8(line),
      new Uint8Array(Buffer.from(line.slice(4), 'base64url').subarray(0, -4)),
    ]),
  run(input) {
    for (const line of [Buffer.from(input).toString(), lineOf(input)]) {
      const value = valueOrRefusal([ProtocolError], () => decodeInvite(line))
      if (value === undefined) continue
      bounded(value, input.length, 48)
      const once = encodeInvite(value)
      assert.deepEqual(decodeInvite(once), value)
      assert.equal(encodeInvite(decodeInvite(once)), once)
    }
  },
}
