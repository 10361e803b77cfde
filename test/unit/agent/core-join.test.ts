import { MAX_HELLO_CONTENT_BYTES } from '@fieldwhisper/protocol'
import t from 'tap'
import { CoreRig, joinedRig, MINUTE, HOUR, startRig } from './core-rig.js'
import { ScriptedGateway } from './scripted-gateway.js'

void t.test('an agent without invite and key seals nothing, keeps its readings and says so', async (t) => {
  const rig = new CoreRig()
  rig.standing = { state: 'stranger' }
  await rig.start()
  rig.record()
  await rig.read(3)
  t.same(rig.sent, [])
  t.same(rig.events, ['FW_AGENT_NOT_JOINED'])
  t.equal(rig.spool.spool.counters.held, 3)
})

void t.test(
  'joining waits for a record, asking for it, and then needs no answer to send readings',
  async (t) => {
    const rig = await startRig()
    await rig.read(2)
    t.same(rig.sent, [])
    t.equal(rig.core.needsRecord, true)
    await rig.turn(20_000)
    t.ok(rig.lookUps >= 2)
    rig.up = false
    rig.record()
    t.equal(rig.sent[0]?.kind, 'hello')
    await rig.read(2)
    rig.up = true
    rig.offerAgain()
    t.same(rig.gateway.values(), [0, 1, 2, 3])
  },
)

void t.test('the first batch rides along in the hello', async (t) => {
  const rig = await startRig()
  await rig.read(3)
  rig.down = false
  rig.record()
  t.equal(rig.sent.length, 1)
  t.same(rig.gateway.values(), [0, 1, 2])
})

void t.test('a batch that does not fit the hello follows it', async (t) => {
  const rig = await startRig()
  const value = 'x'.repeat(MAX_HELLO_CONTENT_BYTES)
  void rig.spool.spool.append({ ...rig.spool.reading(), value })
  await rig.turn(1_300)
  rig.up = false
  rig.record()
  await rig.turn(100)
  t.match(
    rig.sent.map(({ kind }) => kind),
    ['hello', 'data'],
  )
  rig.up = true
  rig.offerAgain()
  t.same(rig.gateway.values(), [value])
})

void t.test(
  'joined: K is kept, the session is replaced at the first answer, and the gateway is told',
  async (t) => {
    const rig = await joinedRig()
    t.equal(rig.joined, 'pump-7')
    t.equal(rig.standing.state, 'member')
    t.same(rig.gateway.hellos, ['join', 'continue'])
    const [join, next] = rig.gateway.sessions
    t.equal(next!.confirmed, true)
    t.equal(next!.continuity, Buffer.from(join!.secrets.id).toString('hex'))
    t.match(rig.core.status(rig.now), { standing: 'member', session: { answered: true, ready: true } })
    await rig.read(5)
    t.same(rig.gateway.values(), [0, 1, 2, 3, 4])
    t.match(rig.spool.spool.counters, { held: 0, acked: 5 })
    t.equal(rig.gateway.hellos.length, 2, 'a session on a one-time prekey is kept')
  },
)

void t.test('everything a lost answer would have said comes again: the same join, once', async (t) => {
  const rig = await startRig()
  rig.down = false
  rig.record()
  await rig.read(2)
  rig.down = true
  await rig.turn(10_000)
  t.equal(rig.joined, 'pump-7')
  t.same(rig.gateway.hellos, ['join', 'continue'])
  t.same(rig.gateway.values(), [0, 1])
})

void t.test('a restart before the first answer joins again as the same device', async (t) => {
  const rig = await startRig()
  rig.down = false
  rig.record()
  await rig.read(2)
  await rig.restart()
  rig.down = true
  await rig.turn(5_000)
  t.equal(rig.joined, 'pump-7')
  t.same(rig.gateway.hellos, ['join', 'join', 'continue'])
  t.same(rig.gateway.values(), [0, 1])
})

void t.test('a sealed refusal is told once, ends the try and leaves the readings', async (t) => {
  const rig = await startRig()
  rig.gateway.refuse = 'invite-used'
  rig.record()
  await rig.read(2)
  t.same(
    rig.events.filter((code) => code === 'FW_AGENT_REFUSED'),
    ['FW_AGENT_REFUSED'],
  )
  t.equal(rig.core.status(rig.now).refused, 'invite-used')
  t.equal(rig.spool.spool.counters.held, 2)
  const hellos = rig.gateway.hellos.length
  await rig.turn(4 * HOUR, 10_000)
  t.equal(rig.gateway.hellos.length, hellos)
  rig.gateway.refuse = undefined
  await rig.turn(4 * HOUR, 10_000)
  t.equal(rig.joined, 'pump-7')
  t.same(rig.gateway.values(), [0, 1])
})

void t.test('a record of another site, an unsigned and a lower one are not used', async (t) => {
  const rig = await startRig()
  rig.record(new ScriptedGateway().signed.record.bytes, 'a')
  t.same(rig.events, ['FW_AGENT_RECORD_WRONG_SITE'])
  const forged = new Uint8Array(rig.gateway.signed.record.bytes)
  forged[40]! ^= 1
  rig.record(forged, 'b')
  t.same(rig.events, ['FW_AGENT_RECORD_WRONG_SITE', 'FW_AGENT_RECORD_INVALID'])
  t.same(rig.sent, [])
  const old = rig.gateway.signed
  const newer = rig.gateway.newSigned()
  rig.record(newer.record.bytes, 'c')
  rig.record(old.record.bytes, 'd')
  t.match(rig.core.status(rig.now), { record: newer.record.number, olderRecordsIgnored: 1 })
  t.same(rig.core.recordFor(rig.gateway.directorySlot), newer.record.bytes)
  t.equal(rig.core.recordFor(new Uint8Array(16)), undefined)
})

void t.test('one sender is verified at most once a second', async (t) => {
  const rig = await startRig()
  const forged = new Uint8Array(rig.gateway.signed.record.bytes)
  forged[40]! ^= 1
  for (let i = 0; i < 50; i++) rig.record(forged, 'noisy')
  t.equal(rig.events.length, 1)
  rig.record(undefined, 'honest')
  t.equal(rig.core.needsRecord, false)
})

void t.test('a certificate for another device is not taken', async (t) => {
  const rig = await startRig()
  rig.down = false
  rig.record()
  rig.gateway.agentKey = new Uint8Array(32).fill(9)
  rig.down = true
  rig.answerWith(rig.gateway.answer(rig.gateway.sessions[0]!))
  t.ok(rig.events.includes('FW_AGENT_CERTIFICATE_INVALID'))
  t.equal(rig.standing.state, 'joining')
})

void t.test('K that could not be written is not confirmed before it is on disk', async (t) => {
  const rig = await startRig()
  rig.refuseSave.add('key')
  rig.record()
  await rig.turn(3_000)
  t.equal(rig.gateway.sessions[0]!.confirmed, false)
  t.equal(rig.core.status(rig.now).session?.ready, false)
  rig.refuseSave.clear()
  await rig.turn(15_000)
  t.equal(rig.standing.state, 'member')
  t.equal(rig.gateway.sessions.at(-1)!.confirmed, true)
})

void t.test(
  'mailboxes: the down address is read, the up address made, that of the successor made before its hello',
  async (t) => {
    const rig = await startRig()
    rig.down = false
    rig.record()
    t.same([...rig.proved.values()].sort(), [false, true])
    t.equal(rig.sent[0]!.proves, false, "a doorbell is the gateway's")
    rig.down = true
    await rig.turn(5_000)
    const hello = rig.sent.filter(({ kind }) => kind === 'hello')[1]!
    t.equal(hello.proves, true)
    await rig.turn(2 * MINUTE, 1_000)
    t.same([...rig.proved.values()].sort(), [false, true], 'those of the first session are gone')
    t.equal(rig.session.mailboxes.length, 1)
  },
)
