import t from 'tap'
import { Rig } from './courier-rig.js'

const MINUTE = 60_000

function found(links = 2, offerAll = false): Rig {
  const rig = new Rig(offerAll)
  for (let link = 1; link <= links; link++) rig.send({ type: 'linkOpened', link })
  rig.acked(1)
  rig.offered()
  return rig
}

void t.test('once found, a new packet goes to the link that brought the last ACK and to one other', (t) => {
  const rig = found(4)
  rig.acked(3)
  rig.add(1)
  t.same(rig.offered(), ['1:1', '3:1'])
  t.end()
})

void t.test('with offer: all a new packet goes to every link', (t) => {
  const rig = found(4, true)
  rig.add(1)
  t.same(rig.offered(), ['1:1', '2:1', '3:1', '4:1'])
  t.end()
})

void t.test('backlog goes only to the link that brought the last ACK', (t) => {
  const rig = found(3)
  rig.add(1, { priority: 'backlog' })
  t.same(rig.offered(), ['1:1'])
  t.end()
})

void t.test('repeats go to the leading link after 2 s, then twice as late each time up to 60 s', (t) => {
  const rig = found()
  rig.add(1)
  rig.offered()
  const at: number[] = []
  const start = rig.now
  for (let i = 0; i < 2_500; i++) {
    rig.wait(100)
    if (i % 100 === 0) rig.acked(1)
    for (const offer of rig.offered()) {
      t.equal(offer, '1:1')
      at.push(Math.round((rig.now - start) / 1_000))
    }
  }
  const expected = [2, 6, 14, 30, 62, 122, 182, 242]
  t.ok(
    at.length === expected.length && at.every((seconds, i) => Math.abs(seconds - expected[i]!) <= 2),
    `offered again after ${at.join(', ')} s`,
  )
  t.end()
})

void t.test('a settled packet is never offered again', (t) => {
  const rig = found()
  rig.add(1)
  rig.offered()
  rig.send({ type: 'settled', ids: [1] })
  rig.wait(2 * MINUTE)
  t.same(rig.offered(), [])
  t.equal(rig.courier.status(rig.now).outstanding, 0)
  t.end()
})

void t.test(
  'without an ACK for 60 s it searches: each new packet once on every link, the oldest again every 60 s',
  (t) => {
    const rig = found(3)
    rig.add(1)
    rig.wait(MINUTE + 1_000)
    rig.offered()
    t.equal(rig.courier.status(rig.now).searching, true)
    rig.add(2)
    t.same(rig.offered(), ['1:2', '2:2', '3:2'])
    rig.wait(MINUTE + 300)
    t.same(rig.offered().sort(), ['1:1', '2:1', '3:1'])
    t.end()
  },
)

void t.test(
  'while searching, the unanswered hello goes first on every link that opens and again every 60 s',
  (t) => {
    const rig = new Rig()
    rig.add(1, { kind: 'hello' })
    rig.add(2, { after: 1 })
    rig.send({ type: 'linkOpened', link: 7 })
    t.same(rig.offered(), ['7:1'])
    rig.add(3, { after: 1 })
    t.same(rig.offered(), ['7:3'])
    rig.wait(MINUTE + 300)
    t.same(rig.offered(), ['7:1'])
    t.end()
  },
)

void t.test('a link that opens while searching without a hello gets the oldest packet', (t) => {
  const rig = new Rig()
  rig.add(1)
  rig.add(2)
  rig.send({ type: 'linkOpened', link: 7 })
  t.same(rig.offered(), ['7:1'])
  t.end()
})

void t.test('no packet of a session goes over a link before its unanswered hello', (t) => {
  const rig = found(2)
  rig.add(1, { kind: 'hello' })
  t.same(rig.offered(), ['1:1', '2:1'])
  // The link took nothing: the hello did not go over it.
  rig.send({ type: 'linkBusy', link: 2, ids: [1] })
  rig.add(2, { after: 1 })
  t.same(rig.offered(), ['1:2'])
  rig.wait(100)
  t.same(rig.offered(), ['2:1', '2:2'])
  t.end()
})

void t.test(
  'an ACK ends the search and offers everything outstanding to its link, live before backlog',
  (t) => {
    const rig = new Rig()
    rig.send({ type: 'linkOpened', link: 1 })
    rig.send({ type: 'linkOpened', link: 2 })
    rig.add(1, { priority: 'backlog' })
    rig.add(2, { priority: 'backlog' })
    rig.add(3)
    rig.offered()
    rig.wait(3_000)
    rig.offered()
    rig.acked(2)
    t.same(rig.offered().sort(), ['2:1', '2:2', '2:3'])
    t.equal(rig.courier.status(rig.now).searching, false)
    t.end()
  },
)

void t.test('when the leading link closes, the other link that brought ACKs takes over at once', (t) => {
  const rig = found(2)
  rig.acked(2)
  rig.acked(1)
  rig.add(1)
  rig.add(2, { priority: 'backlog' })
  rig.offered()
  rig.wait(500)
  rig.send({ type: 'linkClosed', link: 1 })
  rig.wait(300)
  t.ok(rig.offered().includes('2:2'))
  t.end()
})

void t.test('what a busy link did not take is offered again in order, and nothing else meanwhile', (t) => {
  const rig = found(1)
  rig.add(1)
  rig.add(2)
  rig.add(3)
  rig.offered()
  rig.send({ type: 'linkBusy', link: 1, ids: [2, 3] })
  rig.add(4)
  t.same(rig.offered(), [])
  rig.wait(100)
  t.same(rig.offered(), ['1:2', '1:3', '1:4'])
  t.end()
})

void t.test('one step offers a bounded number and says that there is more', (t) => {
  const rig = found(1)
  for (let id = 1; id <= 1_000; id++) {
    rig.courier.step(
      {
        type: 'added',
        packet: {
          id,
          bytes: new Uint8Array(300),
          mailbox: 'up',
          proves: false,
          kind: 'data',
          priority: 'live',
        },
      },
      rig.now,
    )
  }
  rig.send({ type: 'linkClosed', link: 1 })
  rig.send({ type: 'linkOpened', link: 2 })
  const step = rig.courier.step({ type: 'acked', path: { link: 2 }, packets: 1 }, rig.now)
  t.equal(step.effects.length, 256)
  t.equal(step.more, true)
  t.end()
})

void t.test('the window keeps a share for live packets and ends at 4,096 packets and at 16 MiB', (t) => {
  const rig = new Rig()
  for (let id = 1; id <= 3_840; id++) rig.add(id, { priority: 'backlog' })
  t.equal(rig.courier.hasRoom('backlog', 300), false)
  t.equal(rig.courier.hasRoom('live', 300), true)
  for (let id = 3_841; id <= 4_096; id++) rig.add(id)
  t.equal(rig.courier.hasRoom('live', 300), false)
  const heavy = new Rig()
  for (let id = 1; id <= 1_023; id++) heavy.add(id, { bytes: new Uint8Array(16_384) })
  t.equal(heavy.courier.hasRoom('live', 16_384), true)
  t.equal(heavy.courier.hasRoom('live', 16_385), false)
  t.equal(heavy.courier.hasRoom('backlog', 16_384), false)
  t.end()
})

void t.test('a packet that nobody waits for is offered once and forgotten', (t) => {
  const rig = found(2)
  rig.add(1, { once: true })
  t.same(rig.offered(), ['1:1', '2:1'])
  rig.wait(30_000)
  t.same(rig.offered(), [])
  t.equal(rig.courier.status(rig.now).outstanding, 0)
  t.end()
})

void t.test('nothing outstanding is no search, however long the links are silent', (t) => {
  const rig = found(1)
  rig.wait(10 * MINUTE)
  t.equal(rig.courier.status(rig.now).searching, false)
  t.same(rig.offered(), [])
  t.end()
})
