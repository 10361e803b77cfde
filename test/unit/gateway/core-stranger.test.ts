import { hex, packetHash, parseRecord, RECORD_BYTES, signRecord, crypto } from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import { CoreHarness, testIdentity } from './core-harness.js'
import { disk, enrolled, join, joined, published, reported, settled } from './core-scenes.js'
import { seededRandom } from '../../support/seeded-random.js'

/*
 * What somebody without any secret can send to the gateway: it changes nothing, is answered with nothing, and costs little.
 */

/** A packet with the header of another and noise behind it. */
function noise(packet: Uint8Array, seed: number): Uint8Array {
  const random = seededRandom(seed)
  const made = new Uint8Array(packet)
  made.set(random(packet.length - 30), 30)
  return made
}

void t.test('packets of every kind, cut off or too long, change nothing and are not answered', async (t) => {
  const { gateway, agent, session } = await settled()
  const packets = {
    'data for a session': agent.seal(session, agent.reading(2)),
    'a hello to a doorbell': agent.lost(gateway.record!).hello,
    'a hello to a successor': agent.continue(session, agent.prekey!.oneTime).hello,
  }
  gateway.answers()
  for (const [what, packet] of Object.entries(packets)) {
    const before = disk(gateway)
    const hello = packet[0] === 0x11
    const lengths = [0, 1, 29, 30, 45, 46, 47, packet.length - 17, packet.length - 1].filter(
      (length) => length < packet.length,
    )
    for (const length of lengths) await gateway.link(2, packet.slice(0, length))
    for (const length of [packet.length + 1, hello ? 8_192 : 16_384, hello ? 8_193 : 16_385, 20_000]) {
      const longer = new Uint8Array(length)
      longer.set(packet)
      await gateway.link(2, longer)
    }
    for (const first of [0x00, 0x01, 0x10, 0x13, 0x1f, 0x21, 0x22, 0xf1]) {
      await gateway.link(2, Uint8Array.of(first, ...packet.subarray(1)))
    }
    await gateway.tick(3_000)
    t.same(disk(gateway), before, `${what}: nothing is stored`)
    t.same(gateway.answers(), [], `${what}: nothing is said`)
  }
  t.equal(published(gateway).length, 1)
  t.ok(gateway.core.desk.counts.malformed > 0)
  await gateway.link(1, ...Object.values(packets))
  t.equal(published(gateway).length, 2, 'the true ones are taken afterwards')
})

void t.test('any bytes are taken without an error', async (t) => {
  const { gateway, agent, session } = await settled()
  const known = [session.up.addressKey.address, parseRecord(gateway.record!).address, new Uint8Array(16)]
  const before = disk(gateway)
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 3_000 }),
      fc.constantFrom(0x11, 0x12, 0x13, 0x21),
      fc.constantFrom(...known),
      async (bytes, first, address) => {
        const packet = new Uint8Array(bytes)
        if (packet.length > 18) {
          packet[0] = first
          packet.set(address, 2)
        }
        await gateway.link(3, packet)
        await gateway.relay(packet)
      },
    ),
    { numRuns: 60 },
  )
  t.same(disk(gateway), before)
  t.ok(agent)
})

void t.test('a wrong knock costs no public-key work, whatever else is right', async (t) => {
  const { gateway, agent, session } = await settled()
  gateway.workAtOnce = false
  for (const hello of [
    agent.lost(gateway.record!).hello,
    agent.continue(session, agent.prekey!.oneTime).hello,
  ]) {
    for (const at of [hello.length - 1, hello.length - 20, 31, 700, 1_200, 1_600, 19]) {
      const flipped = new Uint8Array(hello)
      flipped[at]! ^= 1
      await gateway.relay(flipped)
    }
  }
  t.equal(gateway.jobs.length, 0)
  const other = await enrolled(gateway, 'other', 11)
  const foreign = new CoreHarness(testIdentity(5))
  foreign.restart(9)
  await foreign.tick(0)
  const away = await join(foreign, 'away', 12)
  await gateway.relay(away.session.hello)
  t.equal(gateway.jobs.length, 0, 'a hello of another site is for nobody here')
  await gateway.relay(other.join(gateway.record!).hello)
  t.equal(gateway.jobs.length, 1, 'a right one is worked on')
})

void t.test(
  'an accepted hello is recognised before any budget is asked and before any public-key work',
  async (t) => {
    const { gateway, session } = await joined()
    gateway.workAtOnce = false
    const sessions = gateway.core.sessions.size
    for (let i = 0; i < 40; i++) await gateway.link(9, session.hello)
    await gateway.tick(10 * 60_000)
    gateway.restart()
    await gateway.tick(0)
    await gateway.link(9, session.hello)
    t.equal(gateway.jobs.length, 0)
    t.equal(gateway.core.sessions.size, sessions)
  },
)

void t.test('a replayed packet is a second copy, also after a restart', async (t) => {
  const { gateway, agent, session } = await settled()
  const packet = agent.seal(session, agent.reading(2))
  await gateway.link(1, packet)
  gateway.restart()
  await gateway.tick(0)
  await gateway.link(9, packet)
  await gateway.relay(packet)
  t.equal(gateway.core.desk.counts.duplicate, 2)
  t.equal(published(gateway).length, 2)
})

void t.test(
  'hellos with right knocks from one link come to the worker at its rate, the rest is dropped',
  async (t) => {
    const { gateway, agent } = await settled()
    gateway.workAtOnce = false
    for (let i = 0; i < 30; i++) await gateway.link(3, agent.lost(gateway.record!).hello)
    t.equal(gateway.jobs.length, 8)
    await gateway.tick(1_000)
    for (let i = 0; i < 30; i++) await gateway.link(3, agent.lost(gateway.record!).hello)
    t.equal(gateway.jobs.length, 10)
  },
)

void t.test('hellos of a relay above the budget wait and are worked on later, none is lost', async (t) => {
  const { gateway, agent } = await settled()
  gateway.workAtOnce = false
  const hellos = Array.from({ length: 60 }, () => agent.lost(gateway.record!).hello)
  await gateway.relay(...hellos)
  t.ok(gateway.jobs.length <= 40)
  const done = new Set<string>()
  for (let second = 0; second < 4; second++) {
    for (const { packet } of gateway.jobs) done.add(hex(packetHash(packet)))
    gateway.work()
    await gateway.tick(1_000)
    await gateway.settle()
  }
  for (const { packet } of gateway.jobs) done.add(hex(packetHash(packet)))
  t.equal(done.size, 60)
})

void t.test('a hello that waits for one budget uses up no other', async (t) => {
  const { gateway, agent, session } = await settled()
  const others: Uint8Array[] = []
  for (let i = 0; i < 9; i++) {
    const scene = await join(gateway, `other-${i}`, 50 + i)
    for (let j = 0; j < 30; j++) {
      others.push(scene.agent.continue(scene.session, scene.agent.prekey!.oneTime).hello)
    }
    await gateway.tick(5_000)
  }
  gateway.workAtOnce = false
  await gateway.relay(...others, agent.continue(session, agent.prekey!.oneTime).hello)
  t.ok(gateway.jobs.length <= 200)
  for (let i = 0; i < 60; i++) {
    gateway.work()
    await gateway.tick(50)
  }
  gateway.work()
  await gateway.settle()
  const made = gateway.core.sessions.of(agent.key.publicKey)
  t.equal(made.length, 2, 'after all the others, within seconds')
})

void t.test('hellos of a link use up its failures, right or wrong, and slow that link alone', async (t) => {
  const { gateway, agent } = await settled()
  gateway.workAtOnce = false
  const bad = new Uint8Array(agent.lost(gateway.record!).hello)
  bad[bad.length - 1]! ^= 1
  await gateway.link(40, ...Array.from({ length: 401 }, () => bad))
  await gateway.link(40, agent.lost(gateway.record!).hello)
  t.equal(gateway.jobs.length, 0)
  await gateway.link(41, agent.lost(gateway.record!).hello)
  t.equal(gateway.jobs.length, 1, 'another link does not pay for it')
  await gateway.tick(1_000)
  await gateway.link(40, agent.lost(gateway.record!).hello)
  t.equal(gateway.jobs.length, 2, 'and it is slowed, not closed')
})

void t.test('failures over many links are bounded in all, and cost nobody who brought none', async (t) => {
  const { gateway, agent, session } = await settled()
  const genuine = agent.seal(session, agent.reading(2))
  const { counts } = gateway.core.desk
  await gateway.tick(50)
  for (let link = 100; link < 120; link++) {
    await gateway.link(link, ...Array.from({ length: 200 }, (_, i) => noise(genuine, i)))
  }
  t.ok(counts.failed >= 2_000 && counts.failed <= 2_100, `${counts.failed} of 4,000 were tried`)
  await gateway.link(1, genuine)
  t.equal(published(gateway).length, 2)
})

void t.test(
  'noise deposited for a session slows that address alone and loses none of its packets',
  async (t) => {
    const { gateway, agent, session } = await settled()
    const other = await join(gateway, 'pump-8', 8)
    const genuine = agent.seal(session, agent.reading(2))
    await gateway.relay(...Array.from({ length: 500 }, (_, i) => noise(genuine, i)), genuine)
    await gateway.relay(other.agent.seal(other.session, other.agent.reading(2)))
    t.ok(published(gateway).includes(`${hex(other.agent.stream)} 1`))
    for (let i = 0; i < 60; i++) await gateway.tick(50)
    t.ok(published(gateway).includes(`${hex(agent.stream)} 1`))
    t.ok(gateway.discarded.includes(hex(packetHash(genuine))))
    t.equal(new Set(gateway.discarded).size >= 501, true, 'and the relay may forget all of it')
  },
)

void t.test('packets for nobody are dropped, parked only behind a hello of the same link', async (t) => {
  const { gateway, agent, session } = await settled()
  gateway.workAtOnce = false
  const next = agent.continue(session, agent.prekey!.oneTime)
  const early = agent.seal(next, agent.reading(2))
  await gateway.link(5, early)
  t.equal(gateway.core.desk.counts.unknown, 1)
  await gateway.link(6, next.hello)
  await gateway.link(5, early)
  t.equal(gateway.core.desk.counts.unknown, 2)
  await gateway.link(6, ...Array.from({ length: 70 }, (_, i) => noise(early, i)))
  t.equal(gateway.core.desk.counts.parked, 64)
  gateway.core.linkClosed(6)
  gateway.work()
  await gateway.settle()
  t.equal(published(gateway).length, 1)
})

void t.test('copies of one hello over a thousand links cost sixteen entries', async (t) => {
  const { gateway, agent } = await settled()
  gateway.workAtOnce = false
  const { hello } = agent.lost(gateway.record!)
  for (let link = 1_000; link < 2_000; link++) gateway.core.packet({ via: 'link', id: link }, hello)
  await gateway.settle()
  gateway.answers()
  gateway.work()
  await gateway.settle()
  t.ok(gateway.sent.length <= 16 + 8, `${gateway.sent.length} answers`)
})

void t.test(
  'records of its own slot are verified once a second a link, and ten a second over links',
  async (t) => {
    const { gateway } = await settled()
    const signer = crypto.signingKey(new Uint8Array(32).fill(1))
    const record = parseRecord(gateway.record!)
    const forged = (number: number): Uint8Array => signRecord(signer, { ...record, number }).bytes
    let verified = 0
    const verify = crypto.verify.bind(crypto)
    const counted = (...args: Parameters<typeof verify>): boolean => {
      verified++
      return verify(...args)
    }
    Object.assign(crypto, { verify: counted })
    t.teardown(() => Object.assign(crypto, { verify }))
    for (let i = 0; i < 100; i++) await gateway.core.ownRecord({ via: 'link', id: 1 }, forged(1_000 + i))
    t.ok(verified <= 2 * 4, `${verified} signatures for one link`)
    verified = 0
    for (let i = 0; i < 500; i++) await gateway.core.ownRecord({ via: 'link', id: 10 + i }, forged(1_000 + i))
    t.ok(verified <= 2 * 64, `${verified} signatures for five hundred links`)
    verified = 0
    await gateway.core.ownRecord({ via: 'relay', id: 0 }, forged(1_000))
    t.ok(verified > 0, 'a relay is still listened to')
    t.equal(reported(gateway, 'FW_GATEWAY_RESTORED'), 0)
  },
)

void t.test('records that are old, of another role, cut off or of another site are no news', async (t) => {
  const { gateway, agent } = await settled()
  const before = disk(gateway)
  const signer = crypto.signingKey(testIdentity().signingSeed)
  const record = parseRecord(gateway.record!)
  const oneTime = signRecord(signer, { ...record, role: 'one-time', number: 5_000 }).bytes
  const foreign = new CoreHarness(testIdentity(5))
  await foreign.tick(0)
  const later = signRecord(crypto.signingKey(testIdentity(5).signingSeed), {
    ...parseRecord(foreign.record!),
    number: 5_000,
  }).bytes
  const shown = [
    gateway.record!,
    agent.prekey!.oneTime,
    oneTime,
    later,
    new Uint8Array(0),
    new Uint8Array(RECORD_BYTES),
  ]
  for (const bytes of [...shown, gateway.record!.subarray(0, 100)]) {
    await gateway.core.ownRecord({ via: 'relay', id: 0 }, bytes)
    await gateway.tick(2_000)
  }
  t.same(disk(gateway), before)
  t.equal(gateway.core.blocked, false)
})

void t.test('what waits unopened is bounded, small packets by what they cost in memory', async (t) => {
  const { gateway } = await settled()
  gateway.outboxFull = true
  const small = new Uint8Array(46)
  small[0] = 0x12
  for (let i = 0; i < 250_000; i++) gateway.core.packet({ via: 'relay', id: 3 }, small)
  t.ok(gateway.core.waitingBytes <= 64 * 1024 * 1024)
  t.ok(gateway.core.desk.counts.dropped > 0)
  await gateway.settle()
  gateway.outboxFull = false
  for (let i = 0; i < 400 && gateway.core.waitingBytes > 0; i++) await gateway.tick(50)
  t.equal(gateway.core.waitingBytes, 0)
  await gateway.tick(50)
  t.same(gateway.renewed, [3], 'the relay is asked for what was dropped, once')
})
