import {
  beginHello,
  crypto,
  decodeBatch,
  decodeCbor,
  decodeDown,
  decodeInvite,
  decodeUp,
  encodeBatch,
  encodeCbor,
  encodeMessages,
  finishHello,
  hex,
  KeyTree,
  OpeningDirection,
  openHello,
  parseHeader,
  SealingDirection,
  verifyAddressProof,
  verifyAgentCertificate,
  verifyRecord,
  type CborValue,
  type Message,
  type Reading,
} from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import * as batch from './reference/batch.js'
import * as cbor from './reference/cbor.js'
import * as hello from './reference/hello.js'
import * as identity from './reference/identity.js'
import { BODIES, readMessages, writeMessages } from './reference/messages.js'
import * as packet from './reference/packet.js'
import { ed25519Public } from './reference/primitives.js'
import { scripted } from './support/inputs.js'
import { toJson } from './support/json.js'
import * as world from './support/world.js'

const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const content = fc.uint8Array({ maxLength: 2_000 })
const ZEROS = new Uint8Array(32)

void t.test('each side opens the hellos of the other and comes to the same session', (t) => {
  const kinds = {
    join: { hello: world.joinHello, prekey: world.signed },
    continue: { hello: world.continueHello, prekey: world.oneTime },
    lost: { hello: world.lostHello, prekey: world.signed },
  }
  fc.assert(
    fc.property(
      fc.constantFrom(...Object.values(kinds)),
      bytes(12),
      bytes(32),
      bytes(32),
      content,
      fc.nat(0xffff_ffff),
      ({ hello: base, prekey }, nonce, ephemeralSecret, coins, content, siteRevision) => {
        const request = { ...base, nonce, ephemeralSecret, coins, content, siteRevision }
        const secrets = { k: request.k, r: request.r }
        const theirs = hello.sealHello(request)
        const ours = beginHello(
          {
            ...request,
            record: verifyRecord(request.record, world.fingerprint),
            agent: crypto.signingKey(request.agentSeed),
            knock: { id: request.knockId, key: request.knockKey },
          },
          scripted(nonce, ephemeralSecret, coins),
        )
        same(ours.packet, theirs.packet)
        same(ours.session.up.treeRoot, theirs.session.treeRootUp)

        const opened = openHello(theirs.packet, prekey)!
        const finished = finishHello(theirs.packet, opened, secrets.k, secrets.r)!
        same(opened.agentKey, world.agentKey)
        same(finished.content, content)
        same(finished.session.down.addressSeed, theirs.session.addressSeedDown)

        const read = hello.openHello(ours.packet, request.knockKey, prekey, () => secrets)
        same(read.agentKey, world.agentKey)
        same(read.content, content)
        same(read.session.r, ours.session.resumption)
      },
    ),
    { numRuns: 12 },
  )
  t.end()
})

void t.test('the reference refuses a hello under another K, r, knock or prekey', (t) => {
  const { packet: sealed } = hello.sealHello(world.continueHello)
  const { k, r, knockKey } = world.continueHello
  const open = (key = knockKey, prekey = world.oneTime, secrets = { k, r }) =>
    hello.openHello(sealed, key, prekey, () => secrets)
  t.doesNotThrow(() => open())
  t.throws(() => open(ZEROS), Error)
  t.throws(() => open(knockKey, world.signed), Error)
  t.throws(() => open(knockKey, world.oneTime, { k: ZEROS, r }), Error)
  t.throws(() => open(knockKey, world.oneTime, { k, r: ZEROS }), Error)
  t.end()
})

void t.test('each side opens the data packets of the other, in any order', (t) => {
  fc.assert(
    fc.property(
      bytes(32),
      bytes(32),
      fc.uniqueArray(fc.nat(0xffff), { minLength: 1, maxLength: 12 }),
      content,
      bytes(8),
      (root, seed, counters, content, random) => {
        const opening = new OpeningDirection(seed, KeyTree.fromRoot(root))
        for (const counter of counters) {
          const theirs = packet.sealData(root, identity.addressOfSeed(seed), counter, random, content)
          const opened = opening.open(parseHeader(theirs), theirs)
          if (opened.outcome !== 'opened') throw new Error(opened.outcome)
          same(opened.content, content)
          const ours = new SealingDirection(seed, KeyTree.fromRoot(root), counter).seal(content, () => random)
          same(packet.openData(root, ours.packet).content, content)
        }
      },
    ),
    { numRuns: 20 },
  )
  t.end()
})

const leaf: fc.Arbitrary<CborValue> = fc.oneof(
  fc.integer(),
  fc.maxSafeInteger(),
  fc.double().map((value) => (Object.is(value, -0) ? 0 : value)),
  fc.string({ unit: 'grapheme', maxLength: 80 }),
  fc.boolean(),
  fc.constant(null),
  fc.uint8Array({ maxLength: 300 }),
)
const tree = fc.letrec<{ value: CborValue }>((tie) => ({
  value: fc.oneof({ maxDepth: 5 }, leaf, fc.array(tie('value'), { maxLength: 30 })),
})).value

void t.test('both write the same CBOR and read what the other wrote', (t) => {
  fc.assert(
    fc.property(tree, (value) => {
      const ours = encodeCbor(value)
      same(ours, cbor.write(value))
      alike(decodeCbor(ours), value)
      alike(cbor.read(ours), value)
    }),
    { numRuns: 500 },
  )
  t.end()
})

void t.test('both read or refuse the same bytes as CBOR', (t) => {
  const altered = fc.tuple(tree, fc.nat(), fc.nat(255)).map(([value, at, byte]) => {
    const encoded = new Uint8Array(encodeCbor(value))
    encoded[at % encoded.length] = byte
    return encoded
  })
  const heads = fc.uint8Array({ maxLength: 40 })
  fc.assert(
    fc.property(fc.oneof(altered, heads), (input) => {
      alike(
        attempt(() => decodeCbor(input)),
        attempt(() => cbor.read(input)),
      )
    }),
    { numRuns: 3_000 },
  )
  t.end()
})

void t.test('both read every 16-bit float alike', (t) => {
  for (let bits = 0; bits < 0x1_0000; bits++) {
    const input = Uint8Array.of(0xf9, bits >> 8, bits & 255)
    if (!Object.is(decodeCbor(input), cbor.read(input))) t.fail(`float ${bits}`)
  }
  t.equal(decodeCbor(Uint8Array.of(0xf9, 0x3c, 0x00)), 1)
  t.equal(decodeCbor(Uint8Array.of(0xf9, 0x7b, 0xff)), 65_504)
  t.equal(decodeCbor(Uint8Array.of(0xf9, 0x00, 0x01)), 5.960464477539063e-8)
  t.end()
})

const name = fc
  .string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
  .filter((text) => !text.includes('\0'))
const reading: fc.Arbitrary<Reading> = fc
  .record({
    name,
    unit: fc.constantFrom('Cel', 'V', ''),
    value: fc.oneof(
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
      fc.integer(),
      fc.string({ unit: 'grapheme' }),
      fc.boolean(),
      fc.uint8Array({ maxLength: 50 }),
    ),
    quality: fc.constantFrom('good' as const, 'uncertain' as const, 'bad' as const),
    monoMs: fc.nat(1e9),
    clock: fc.constantFrom('unset' as const, 'unknown' as const, 'synchronised' as const),
    offset: fc.constantFrom(0, 1_760_000_000_000, -5),
  })
  .map(({ unit, offset, ...rest }) => ({ ...rest, ...(unit && { unit }), wallMs: rest.monoMs + offset }))

void t.test('both write the same batches and read what the other wrote', (t) => {
  fc.assert(
    fc.property(bytes(8), fc.array(reading, { maxLength: 30 }), (bootId, readings) => {
      const ours = encodeBatch({ bootId, readings })
      same(ours, batch.writeBatch(bootId, readings))
      alike(decodeBatch(ours), { bootId, readings })
      alike(batch.readBatch(ours), { bootId, readings })
    }),
  )
  t.end()
})

void t.test('each side reads the messages of the other', (t) => {
  const messages: readonly Message[] = [
    world.data,
    { kind: 'gap', cause: 'corrupt', readings: 4, what: { startsBefore: 2 } },
    { kind: 'reply', id: 7, status: 'failed', code: 'FW_COMMAND_FAILED', text: 'no', result: [['a', null]] },
  ]
  const theirs = writeMessages(
    messages.map((message) => ({ kind: message.kind, body: BODIES[message.kind](message as never) })),
  )
  alike(decodeUp(theirs), messages)
  t.same(
    readMessages(encodeMessages(messages)).map(({ kind }) => kind),
    ['data', 'gap', 'reply'],
  )
  const refused = writeMessages([{ kind: 'refused', body: BODIES.refused({ code: 'revoked' }) }])
  t.same(decodeDown(refused), [{ kind: 'refused', code: 'revoked' }])
  const args = [['output', 'valve'] as const, ['value', 1] as const]
  const command = { kind: 'command', id: 8, stampMs: 1.5, ttlMs: 30_000, name: 'write', args } as const
  alike(decodeDown(writeMessages([{ kind: 'command', body: BODIES.command(command) }])), [command])
  t.end()
})

void t.test('each side accepts the certificates, records, proofs and invites of the other', (t) => {
  t.match(verifyAgentCertificate(world.siteKey, world.agentCert), { name: 'pump-7', number: 7 })
  t.match(identity.readAgentCertificate(world.siteKey, world.agentCert), { name: 'pump-7' })
  const record = verifyRecord(world.oneTime.record, world.fingerprint)
  t.match(record, { role: 'one-time', number: 42 })
  t.match(identity.verifyRecord(record.bytes, world.fingerprint), { role: 'oneTimePrekey', number: 42 })
  const proof = identity.relayProof(world.master, ZEROS, 'relay.local')
  t.ok(verifyAddressProof(ed25519Public(world.master), proof, ZEROS, 'relay.local'))
  const line = identity.writeInvite({
    siteFingerprint: world.fingerprint,
    directorySlot: ZEROS.subarray(16),
    id: world.inviteId,
    secret: world.inviteSecret,
    relays: [['wss://relay.example', 'token', '']],
  })
  t.match(decodeInvite(line), {
    id: world.inviteId,
    relays: [{ url: 'wss://relay.example', token: 'token' }],
  })
  t.match(identity.readInvite(line), [1, world.fingerprint, ZEROS.subarray(16), world.inviteId])
  t.end()
})

function same(a: Uint8Array, b: Uint8Array): void {
  if (hex(a) !== hex(b)) throw new Error(`${hex(a)} is not ${hex(b)}`)
}

function alike(a: unknown, b: unknown): void {
  if (show(a) !== show(b)) throw new Error(`${show(a)} is not ${show(b)}`)
}

/** JSON knows no NaN and no infinity. */
function show(value: unknown): string {
  return typeof value === 'object' &&
    value !== null &&
    !(value instanceof Uint8Array) &&
    !Array.isArray(value)
    ? toJson(sorted(value))
    : toJson(special(value))
}

function sorted(value: unknown): unknown {
  if (value instanceof Uint8Array || typeof value !== 'object' || value === null) return special(value)
  if (Array.isArray(value)) return value.map(sorted)
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, entry]) => [key, sorted(entry)]))
}

function special(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(special)
  return typeof value === 'number' && !Number.isFinite(value) ? `number ${value}` : value
}

function attempt(read: () => unknown): unknown {
  try {
    return read()
  } catch {
    return 'refused'
  }
}
