import { hex, type DownMessage } from '@fieldwhisper/protocol'
import t from 'tap'
import { joinedRig, MINUTE, startRig, type CoreRig } from './core-rig.js'

function live(rig: CoreRig): ReturnType<CoreRig['gateway']['sessions']['at']> & object {
  return rig.gateway.sessions.at(-1)!
}

function say(rig: CoreRig, message: DownMessage): void {
  rig.answerWith(rig.gateway.answer(live(rig), [message]))
}

void t.test('each batch is sealed once in a session, and its bytes stay the same', async (t) => {
  const rig = await joinedRig()
  rig.up = false
  await rig.read(2)
  const sealed = rig.sent.filter(({ kind, once }) => kind === 'data' && !once).length
  await rig.turn(10 * MINUTE, 5_000)
  t.equal(rig.sent.filter(({ kind, once }) => kind === 'data' && !once).length, sealed)
  rig.up = true
  rig.offerAgain()
  t.same(rig.gateway.values(), [0, 1])
})

void t.test('an acknowledgement that was forged or replayed frees nothing', async (t) => {
  const rig = await joinedRig()
  const session = live(rig)
  rig.down = false
  await rig.read(1)
  const [answer] = rig.gateway.answer(session)
  const forged = new Uint8Array(answer!)
  forged[60]! ^= 1
  rig.answerWith([forged])
  t.equal(rig.spool.spool.counters.held, 1)
  t.equal(rig.core.status(rig.now).failedPackets, 1)
  rig.answerWith([answer!])
  await rig.turn(300)
  t.equal(rig.spool.spool.counters.held, 0)
  // An answer from before says nothing new, and one for another session is not heard at all.
  await rig.read(1)
  rig.answerWith([answer!, forged])
  await rig.turn(300)
  t.equal(rig.spool.spool.counters.held, 1)
})

void t.test('a duplicated answer is dropped and its relay may forget it', async (t) => {
  const rig = await joinedRig()
  const [packet] = rig.gateway.answer(live(rig))
  for (let i = 0; i < 3; i++) rig.feed({ type: 'packet', path: { relay: 'ws://r' }, packet: packet! })
  t.equal(rig.discarded, 3)
})

void t.test(
  'the early copy: data that overtakes its hello is delivered once both are there, in either order',
  async (t) => {
    for (const first of ['hello', 'data']) {
      const rig = await startRig()
      rig.up = false
      rig.record()
      await rig.read(1)
      rig.spool.feed(1)
      await rig.turn(1_300)
      const packets = [...rig.outstanding.values()]
      const hello = packets.filter(({ kind }) => kind === 'hello')
      const data = packets.filter(({ kind }) => kind === 'data')
      t.equal(data[0]!.after, hello[0]!.id)
      const order = first === 'hello' ? [...hello, ...data] : [...data, ...hello, ...data]
      for (const { bytes } of order) rig.answerWith(rig.gateway.take(bytes))
      rig.up = true
      await rig.turn(3_000)
      t.same(rig.gateway.values().sort(), [0, 1])
      t.equal(rig.spool.spool.counters.held, 0)
    }
  },
)

void t.test('leaves that the gateway gave up are sealed again under new ones', async (t) => {
  const rig = await joinedRig()
  rig.gateway.hold = 'confirm'
  await rig.read(1)
  const before = [...rig.outstanding.keys()]
  t.equal(before.length, 1)
  rig.gateway.givenUpBelow = 60_000
  const answer = rig.gateway.answer(live(rig))
  rig.gateway.givenUpBelow = 0
  rig.answerWith(answer)
  t.notSame([...rig.outstanding.keys()], before)
  t.equal(rig.outstanding.size, 1)
})

void t.test('the reason why readings are held back is shown until it is over', async (t) => {
  const rig = await joinedRig()
  rig.gateway.hold = 'confirm'
  await rig.read(1)
  t.equal(rig.core.status(rig.now).hold, 'confirm')
  t.equal(rig.spool.spool.counters.held, 1)
  rig.gateway.hold = undefined
  await rig.turn(3_000)
  t.equal(rig.core.status(rig.now).hold, undefined)
  t.equal(rig.spool.spool.counters.held, 0)
})

void t.test(
  'a backlog drains at a bounded rate, live readings first, and old ones are flagged',
  async (t) => {
    const rig = await joinedRig({ maxReadings: 1 })
    rig.up = false
    rig.window = 0
    rig.spool.feed(1_500)
    await rig.turn(2 * MINUTE, 1_000)
    rig.up = true
    rig.window = 4_096
    rig.spool.runningMs = 10 * MINUTE
    rig.spool.feed(1)
    await rig.turn(1_300)
    const first = rig.gateway.readings.length
    t.ok(first < 1_000, `${first} in the first second`)
    t.ok(rig.gateway.values().includes(1_500), 'the live one is not behind the backlog')
    await rig.turn(8_000)
    t.equal(rig.gateway.readings.length, 1_501)
    const batches = live(rig).said.flatMap((message) =>
      message.kind === 'data' ? (message.batch ?? []) : [],
    )
    t.equal(batches.find(({ number }) => number === 0)?.historical, true)
    t.equal(batches.find(({ number }) => number === 1_500)?.historical, false)
  },
)

void t.test('in order: a new reading waits for the backlog before it', async (t) => {
  const rig = await joinedRig({ maxReadings: 1 })
  rig.order = 'in_order'
  await rig.restart()
  rig.up = false
  rig.window = 0
  rig.spool.feed(500)
  await rig.turn(2 * MINUTE, 1_000)
  rig.up = true
  rig.window = 4_096
  rig.spool.feed(10)
  await rig.turn(10_000)
  t.same(
    rig.gateway.values(),
    Array.from({ length: 510 }, (_, value) => value),
  )
})

void t.test('backlogPerSecond is the rate of a backlog, a second of it at once', async (t) => {
  const rig = await joinedRig({ maxReadings: 1, backlogPerSecond: 10 })
  rig.up = false
  rig.window = 0
  rig.spool.feed(100)
  await rig.turn(2 * MINUTE, 1_000)
  rig.up = true
  rig.window = 4_096
  await rig.turn(100)
  t.equal(rig.gateway.readings.length, 10)
  await rig.turn(1_000)
  t.equal(rig.gateway.readings.length, 20)
})

void t.test('nothing more is sealed than the window takes', async (t) => {
  const rig = await joinedRig({ maxReadings: 1 })
  rig.up = false
  rig.window = 10
  rig.spool.feed(100)
  await rig.turn(5_000)
  t.equal(rig.outstanding.size, 10)
  rig.up = true
  rig.window = 4_096
  await rig.turn(5_000)
  t.equal(rig.gateway.readings.length, 100)
})

void t.test('a batch that the spool dropped is no longer sent', async (t) => {
  const rig = await joinedRig({ maxReadings: 1, limits: { maxAgeMs: 1_000 } })
  rig.up = false
  await rig.read(1)
  t.equal(rig.outstanding.size, 1)
  rig.spool.runningMs = 10_000
  await rig.turn(6_000)
  t.equal(rig.outstanding.size, 0)
  rig.up = true
  await rig.turn(10_000)
  t.match(rig.gateway.gaps, [{ cause: 'age', readings: 1 }])
  const said = rig.gateway.gaps.length
  await rig.turn(MINUTE, 1_000)
  t.equal(rig.gateway.gaps.length, said, 'an acknowledged gap is not said again')
})

void t.test('a hello goes on when the spool drops the batch in it', async (t) => {
  const rig = await joinedRig({ maxReadings: 1, limits: { maxAgeMs: 1_000 } })
  await rig.turn(MINUTE, 1_000)
  rig.up = false
  await rig.read(1)
  await rig.restart()
  t.equal(rig.outstanding.size, 1, 'the hello with the batch')
  rig.spool.runningMs = 10_000
  await rig.turn(6_000)
  t.equal(rig.outstanding.size, 1, 'the hello')
  rig.up = true
  await rig.turn(10_000)
  t.equal(rig.outstanding.size, 0)
  await rig.read(1)
  await rig.turn(1_000)
  t.ok(rig.gateway.readings.length > 0)
})

void t.test('an agent whose spool was lost says so until it is acknowledged', async (t) => {
  const rig = await joinedRig()
  await rig.read(1)
  const { mark } = rig.spool
  const fresh = await joinedRig()
  fresh.spool.mark = mark
  const { createMemoryStore } = await import('@fieldwhisper/host/testing')
  const { SPOOL_TABLES } = await import('../../../agent/src/spool/index.js')
  fresh.spool.timers.clear()
  fresh.spool.store = createMemoryStore({ tables: SPOOL_TABLES })
  await fresh.spool.open()
  await fresh.start()
  await fresh.turn(5_000)
  t.same(fresh.gateway.gaps.at(-1), { kind: 'gap', cause: 'lost', what: { startsBefore: 2 } })
  const said = fresh.gateway.gaps.length
  await fresh.turn(MINUTE, 1_000)
  t.equal(fresh.gateway.gaps.length, said)
})

void t.test('the ends of streams of dead processes are told, then forgotten', async (t) => {
  const rig = await joinedRig()
  await rig.read(1)
  await rig.restart()
  await rig.turn(10_000)
  t.same([...rig.spool.spool.streams()], [])
  const closed = rig.gateway.sessions
    .flatMap(({ said }) => said)
    .some((message) => message.kind === 'data' && message.streams.some(({ closed }) => closed))
  t.equal(closed, true)
})

void t.test("the gateway's time comes from an echo of a short round trip, and from no other", async (t) => {
  const rig = await joinedRig()
  const ack = (stampMs: number, wallMs: number): DownMessage => ({
    kind: 'ack',
    streams: [],
    startsBefore: 0,
    givenUpBelow: 0,
    echo: { stampMs, delayMs: 10 },
    wallMs,
  })
  say(rig, ack(rig.now - 60_000, 5e12))
  await rig.read(1)
  const reports = (): unknown[] =>
    live(rig).said.flatMap((message) => (message.kind === 'data' ? (message.clock ?? []) : []))
  t.same(reports(), [])
  say(rig, ack(rig.now - 110, 1_900_000_000_000))
  const heardAt = rig.now
  await rig.read(1)
  t.match(reports().at(-1), { offsetMs: 1_900_000_000_000 + 50 - heardAt, errorMs: 50 })
})

void t.test('batches stay open for longer while nothing is acknowledged, and shorter again', async (t) => {
  const rig = await joinedRig()
  rig.up = false
  await rig.read(1)
  t.equal(rig.intervalMs, 0)
  await rig.turn(5 * MINUTE, 5_000)
  t.equal(rig.intervalMs, 30_000)
  await rig.turn(20 * MINUTE, 5_000)
  t.equal(rig.intervalMs, 60_000)
  rig.up = true
  await rig.turn(70_000, 1_000)
  t.equal(rig.intervalMs, 0)
})

void t.test('something that opens and does not read is told and changes nothing', async (t) => {
  const rig = await joinedRig()
  const session = live(rig)
  const { packet } = session.down.seal(Uint8Array.of(16, 0, 9, 1), (n) => new Uint8Array(n))
  rig.answerWith([packet])
  t.ok(rig.events.includes('FW_AGENT_CONTENT_MALFORMED'))
  t.equal(rig.core.status(rig.now).session?.id, hex(session.secrets.id))
})

void t.test(
  'a session file that cannot be written is tried again, and ready is not said before',
  async (t) => {
    const rig = await startRig()
    rig.refuseSave.add('session')
    rig.record()
    await rig.turn(3_000)
    t.equal(rig.gateway.sessions[0]!.confirmed, false)
    rig.refuseSave.clear()
    await rig.turn(20_000)
    t.equal(live(rig).confirmed, true)
  },
)

void t.test('failed packets of one link are read no faster than 200 a second', async (t) => {
  const rig = await joinedRig()
  const [answer] = rig.gateway.answer(live(rig))
  const forged = new Uint8Array(answer!)
  forged[60]! ^= 1
  for (let i = 0; i < 1_000; i++) rig.answerWith([forged])
  t.ok(rig.core.status(rig.now).failedPackets <= 400)
  const told = (): number => rig.events.filter((code) => code === 'FW_AGENT_PACKETS_FAILED').length
  t.equal(told(), 1)
  await rig.turn(9 * MINUTE, 1_000)
  rig.answerWith([forged])
  t.equal(told(), 1, 'said again only when ten minutes have passed')
  await rig.turn(2 * MINUTE, 1_000)
  t.equal(told(), 2)
})
