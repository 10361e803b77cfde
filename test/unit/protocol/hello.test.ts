import {
  addressKeyFromSeed,
  beginHello,
  checkKnock,
  crypto,
  finishHello,
  helloHash,
  hex,
  MAX_HELLO_CONTENT_BYTES,
  openHello,
  parseHello,
  signAgentCertificate,
  signRecord,
  verifyRecord,
  type HelloRequest,
  type PrekeySecrets,
} from '@fieldwhisper/protocol'
import { MAX_HELLO_BYTES } from '@fieldwhisper/protocol/packet'
import fc from 'fast-check'
import t from 'tap'
import { knock } from '../../../protocol/dist/handshake/layout.js'
import { sealHello, type Hello } from '../../vectors/reference/hello.js'
import { flipped, makeSite, makeWorld, refusal, ZEROS } from './support.js'

const world = makeWorld()
const { random, home, agent, requests, prekeys } = world
const KINDS = ['join', 'continue', 'lost'] as const

/** Regions of a hello; box2 and the knock follow to the end. */
const AT = { address: 2, nonce: 18, ephemeral: 30, ciphertext: 62, box1: 1_150, box2: 1_550 }

function begin(kind: HelloRequest['kind'], change: Partial<HelloRequest> = {}) {
  const request = { ...requests[kind], ...change }
  return { request, ...beginHello(request, random) }
}

/** What an insider can do who knows the knock key: alter a byte and knock again. */
function reknocked(packet: Uint8Array, at: number, bit: number, key: Uint8Array, id: number): Uint8Array {
  return knock(flipped(packet, at, bit).subarray(0, -20), id, key)
}

/** A hello that no honest agent makes, by the reference. */
function forged(kind: HelloRequest['kind'], change: Partial<Hello>): Uint8Array {
  const { record, agent: _, knock, ...request } = requests[kind]
  return sealHello({
    ...request,
    record: record.bytes,
    agentSeed: world.agentSeed,
    knockId: knock.id,
    knockKey: knock.key,
    nonce: random(12),
    ephemeralSecret: random(32),
    coins: random(32),
    ...change,
  }).packet
}

for (const kind of KINDS) {
  void t.test(`${kind}: both ends come to the same session and the content arrives`, (t) => {
    const { packet, session, request } = begin(kind)
    t.ok(checkKnock(parseHello(packet), request.knock.key))
    const opened = openHello(packet, prekeys[kind])
    if (!opened) throw new Error('the hello does not open')
    t.equal(opened.kind, kind)
    t.equal(hex(opened.agentKey), hex(agent.publicKey))
    t.equal(opened.certificate?.name, kind === 'join' ? undefined : 'pump-7')
    t.equal(hex(opened.continuity), hex(request.continuity))
    t.equal(opened.siteRevision, request.siteRevision)
    const finished = finishHello(packet, opened, request.k, request.r)
    t.same(finished?.session, session)
    t.equal(Buffer.from(finished?.content ?? []).toString(), 'first messages of a join')
    t.end()
  })

  void t.test(`${kind}: another K or another r opens box1 and not box2`, (t) => {
    const { packet, request } = begin(kind)
    const opened = openHello(packet, prekeys[kind])!
    t.equal(finishHello(packet, opened, flipped(request.k, 0), request.r), undefined)
    t.equal(finishHello(packet, opened, request.k, flipped(request.r, 31)), undefined)
    t.equal(finishHello(packet, opened, request.r, request.k), undefined, 'exchanged')
    t.ok(finishHello(packet, opened, request.k, request.r), 'and nothing was spoilt by trying')
    t.end()
  })

  void t.test(`${kind}: another prekey, another gateway or another site opens nothing`, (t) => {
    const { packet } = begin(kind)
    const right = prekeys[kind]
    const { address } = requests[kind].record
    const role = requests[kind].record.role
    const wrong: Record<string, PrekeySecrets> = {
      'another prekey with this address': home.prekey(role, 99, address),
      'another site with this address': makeSite('elsewhere').prekey(role, 10, address),
      'another gateway key': { ...right, gatewaySecret: random(32) },
      'another X25519 prekey': { ...right, prekeySecret: random(32) },
      'another KEM seed': { ...right, kemSeed: random(64) },
      'another record for the same keys': { ...right, record: flipped(right.record, 5) },
    }
    for (const [what, secrets] of Object.entries(wrong)) t.equal(openHello(packet, secrets), undefined, what)
    t.ok(openHello(packet, right))
    t.end()
  })

  void t.test(`${kind}: whoever cannot knock alters nothing but hops`, (t) => {
    const { packet, request } = begin(kind)
    const step = 13
    for (let at = 0; at < packet.length; at += at < 64 || at > packet.length - 24 ? 1 : step) {
      if (at === 1) continue
      let passed = false
      try {
        passed = checkKnock(parseHello(flipped(packet, at, at % 8)), request.knock.key)
      } catch (error) {
        t.match(error, { name: 'ProtocolError' })
      }
      if (passed) t.fail(`byte ${at}`)
    }
    t.notOk(checkKnock(parseHello(packet), flipped(request.knock.key, 3)))
    t.end()
  })

  void t.test(`${kind}: whoever can knock gets no further with any other altered byte`, (t) => {
    const { packet, request } = begin(kind)
    const { key, id } = request.knock
    const places = [0, AT.address, AT.nonce, AT.nonce + 11, AT.ephemeral, AT.ephemeral + 31, AT.ciphertext]
    for (const at of [...places, AT.box1 - 1, AT.box1, AT.box1 + 200, AT.box2 - 1]) {
      const altered = reknocked(packet, at, at === 0 ? 5 : 1, key, id)
      t.equal(openHello(altered, prekeys[kind]), undefined, `byte ${at}`)
    }
    for (const at of [AT.box2, AT.box2 + 100, packet.length - 21]) {
      const altered = reknocked(packet, at, 1, key, id)
      t.ok(checkKnock(parseHello(altered), key))
      const opened = openHello(altered, prekeys[kind])!
      t.equal(finishHello(altered, opened, request.k, request.r), undefined, `byte ${at}`)
    }
    t.end()
  })

  void t.test(`${kind}: hops do not matter, for the knock, for opening or for recognising a copy`, (t) => {
    const { packet, request } = begin(kind)
    const carried = new Uint8Array(packet)
    carried[1] = 9
    t.ok(checkKnock(parseHello(carried), request.knock.key))
    t.ok(openHello(carried, prekeys[kind]))
    const { record } = prekeys[kind]
    t.equal(hex(helloHash(parseHello(carried), record)), hex(helloHash(parseHello(packet), record)))
    t.end()
  })
}

void t.test('a copy is recognised whatever its knock and box2, and another hello is none', (t) => {
  const { packet, request } = begin('lost')
  const { record } = prekeys.lost
  const name = (of: Uint8Array) => hex(helloHash(parseHello(of), record))
  t.equal(name(knock(packet.subarray(0, -20), 77, random(32))), name(packet))
  t.equal(name(reknocked(packet, AT.box2 + 5, 0, request.knock.key, 1)), name(packet))
  t.not(name(reknocked(packet, AT.box1 + 5, 0, request.knock.key, 1)), name(packet))
  t.not(name(begin('lost').packet), name(packet))
  t.end()
})

void t.test('a hello cut off at any byte is refused and no error but ours comes out', (t) => {
  const { packet } = begin('join')
  for (let length = 0; length < packet.length; length += length > 1_500 ? 1 : 7) {
    const cut = packet.subarray(0, length)
    if (openHello(cut, prekeys.join) !== undefined) t.fail(`${length} bytes opened`)
  }
  t.throws(() => parseHello(packet.subarray(0, 1_841)), refusal('FW_MALFORMED'))
  t.throws(() => parseHello(Uint8Array.from(packet, (b, i) => (i === 0 ? 0x12 : b))), refusal('FW_MALFORMED'))
  t.end()
})

void t.test('random bytes of any size open nothing and throw nothing', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 2_200 }), fc.boolean(), (body, plausible) => {
      if (plausible && body.length > 18) {
        body[0] = 0x11
        body.set(requests.join.record.address, 2)
      }
      if (openHello(body, prekeys.join) !== undefined) throw new Error('opened')
    }),
    { numRuns: 60 },
  )
  t.end()
})

void t.test('the largest content makes a hello that fits, one byte more is refused', (t) => {
  const { packet, request } = begin('join', { content: new Uint8Array(MAX_HELLO_CONTENT_BYTES).fill(7) })
  t.ok(packet.length <= MAX_HELLO_BYTES)
  t.ok(packet.length + 256 > MAX_HELLO_BYTES, 'the next size would not fit')
  const opened = openHello(packet, prekeys.join)!
  t.equal(finishHello(packet, opened, request.k, request.r)?.content.length, MAX_HELLO_CONTENT_BYTES)
  const content = new Uint8Array(MAX_HELLO_CONTENT_BYTES + 1)
  t.throws(() => begin('join', { content }), refusal('FW_TOO_LARGE'))
  t.end()
})

void t.test('all hellos without content have one size, whatever their kind and name', (t) => {
  const content = new Uint8Array(0)
  const identity = signAgentCertificate(home.site, {
    number: 1,
    name: 'x'.repeat(64),
    agentKey: agent.publicKey,
  })
  const sizes = [
    begin('join', { content }),
    begin('continue', { content }),
    begin('lost', { content, identity }),
  ].map(({ packet }) => packet.length)
  t.same(sizes, [1_842, 1_842, 1_842])
  t.end()
})

void t.test('a kind that does not fit the role of its record is refused at both ends', (t) => {
  const { record: signed } = requests.join
  const { record: oneTime } = requests.continue
  t.throws(() => begin('join', { record: oneTime }), refusal('FW_MALFORMED'))
  t.throws(() => begin('lost', { record: oneTime }), refusal('FW_MALFORMED'))
  t.throws(() => begin('continue', { record: signed }), refusal('FW_MALFORMED'))
  t.equal(openHello(forged('join', { record: oneTime.bytes }), prekeys.continue), undefined)
  t.equal(openHello(forged('lost', { record: oneTime.bytes }), prekeys.continue), undefined)
  t.equal(openHello(forged('continue', { record: signed.bytes }), prekeys.join), undefined)
  t.ok(openHello(forged('continue', {}), prekeys.continue), 'the forgery works where the kind fits')
  t.end()
})

void t.test('a record whose role byte is exchanged is no record of the gateway', (t) => {
  for (const kind of ['join', 'continue'] as const) {
    const exchanged = new Uint8Array(prekeys[kind].record)
    exchanged[1] = exchanged[1] === 5 ? 6 : 5
    t.throws(() => verifyRecord(exchanged, home.fingerprint), refusal('FW_SIGNATURE_INVALID'))
    t.equal(openHello(begin(kind).packet, { ...prekeys[kind], record: exchanged }), undefined)
  }
  t.end()
})

void t.test('somebody with the certificate and not the key cannot begin a session', (t) => {
  const thief = random(32)
  t.equal(openHello(forged('lost', { agentSeed: thief }), prekeys.lost), undefined)
  t.equal(openHello(forged('join', { agentSeed: thief }), prekeys.join), undefined)
  t.ok(openHello(forged('lost', {}), prekeys.lost))
  t.end()
})

void t.test('an identity that is no certificate of an agent of this site is refused', (t) => {
  const elsewhere = makeSite('elsewhere')
  const own = { number: 1, name: 'pump-7', agentKey: agent.publicKey }
  const identities = {
    "another site's certificate": signAgentCertificate(elsewhere.site, own),
    "the gateway's certificate": home.gatewayCertificate,
    'a bare key': agent.publicKey,
    nothing: new Uint8Array(0),
    'an altered certificate': flipped(world.certificate, 40),
    'a certificate cut off': world.certificate.subarray(0, -1),
  }
  for (const [what, identity] of Object.entries(identities)) {
    t.equal(openHello(forged('lost', { identity }), prekeys.lost), undefined, what)
  }
  for (const identity of [world.certificate, new Uint8Array(0), agent.publicKey.subarray(1)]) {
    t.equal(
      openHello(forged('join', { identity }), prekeys.join),
      undefined,
      `join with ${identity.length} bytes`,
    )
  }
  t.end()
})

void t.test('a box1 that no agent makes is refused although its key is right', (t) => {
  const change = (at: number, value: number) => (box1: Uint8Array) => {
    const changed = new Uint8Array(box1)
    changed[at] = value
    return changed
  }
  const forgeries = {
    'kind 0': change(0, 0),
    'kind 4, which is reserved': change(0, 4),
    'kind 255': change(0, 255),
    'another revision than was signed': change(12, 0xff),
    'another continuity than was signed': change(1, 0xff),
    'a shorter identity': change(14, 31),
    'an identity longer than any': change(13, 0xff),
    'a signature of another': change(15 + 32, 0),
    'a filling that is not zero': change(383, 1),
    'a filling that is not zero right behind the signature': change(15 + 32 + 64, 1),
  }
  for (const [what, forge] of Object.entries(forgeries)) {
    t.equal(openHello(forged('join', { forge }), prekeys.join), undefined, what)
  }
  t.ok(openHello(forged('join', { forge: (box1) => box1 }), prekeys.join))
  t.end()
})

void t.test('an X25519 key of small order is refused at both ends', (t) => {
  const { packet, request } = begin('join')
  for (const point of [ZEROS, Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 1 : 0))]) {
    const altered = new Uint8Array(packet)
    altered.set(point, AT.ephemeral)
    const again = knock(altered.subarray(0, -20), request.knock.id, request.knock.key)
    t.equal(openHello(again, prekeys.join), undefined)
    const record = verifyRecord(recordWith({ agreementKey: point }), home.fingerprint)
    t.throws(() => begin('join', { record }), refusal('FW_KEY_INVALID'))
  }
  t.end()
})

void t.test('a record with a KEM key that fails the modulus check begins nothing', (t) => {
  const kemKey = new Uint8Array(1_184).fill(0xff)
  const record = verifyRecord(recordWith({ kemKey }), home.fingerprint)
  t.throws(() => begin('join', { record }), refusal('FW_KEY_INVALID'))
  t.end()
})

void t.test('a hello made for one address is not opened at another', (t) => {
  const { packet, request } = begin('join')
  const moved = new Uint8Array(packet)
  moved.set(random(16), AT.address)
  const again = knock(moved.subarray(0, -20), request.knock.id, request.knock.key)
  t.ok(checkKnock(parseHello(again), request.knock.key))
  t.equal(openHello(again, prekeys.join), undefined)
  t.equal(openHello(forged('join', { address: random(16) }), prekeys.join), undefined, 'by its maker')
  t.end()
})

void t.test('unusable secrets are an error of their holder and not a bad hello', (t) => {
  const { packet, request } = begin('join')
  const right = prekeys.join
  t.throws(() => openHello(packet, { ...right, gatewaySecret: new Uint8Array(31) }), Error)
  t.throws(() => openHello(packet, { ...right, kemSeed: new Uint8Array(32) }), refusal('FW_MALFORMED'))
  t.throws(() => openHello(packet, { ...right, record: new Uint8Array(5) }), refusal('FW_MALFORMED'))
  const opened = openHello(packet, right)!
  t.throws(() => finishHello(packet, opened, new Uint8Array(31), ZEROS), refusal('FW_MALFORMED'))
  t.throws(() => finishHello(packet, opened, request.k, new Uint8Array(0)), refusal('FW_MALFORMED'))
  t.throws(() => begin('join', { k: new Uint8Array(33) }), refusal('FW_MALFORMED'))
  t.throws(() => begin('join', { continuity: new Uint8Array(7) }), refusal('FW_MALFORMED'))
  t.throws(() => begin('join', { identity: new Uint8Array(168) }), refusal('FW_MALFORMED'))
  t.end()
})

void t.test('every secret of a session differs from every other, and two sessions share none', (t) => {
  const all = [begin('lost'), begin('lost')].flatMap(({ session }) => [
    hex(session.box2Key),
    hex(session.resumption),
    hex(session.up.addressSeed),
    hex(session.up.treeRoot),
    hex(session.down.addressSeed),
    hex(session.down.treeRoot),
    hex(session.id),
  ])
  t.equal(new Set(all).size, 14)
  t.end()
})

function recordWith(change: { agreementKey?: Uint8Array; kemKey?: Uint8Array }): Uint8Array {
  return signRecord(home.gateway, {
    role: 'signed',
    number: 50,
    agreementKey: crypto.agreementKey(random(32)).publicKey,
    kemKey: crypto.kem.publicKey(random(64)),
    address: addressKeyFromSeed(random(32)).address,
    gatewayCertificate: home.gatewayCertificate,
    siteKey: home.siteKey,
    ...change,
  }).bytes
}
