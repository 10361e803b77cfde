import t from 'tap'
import { Rig } from './courier-rig.js'

const HOUR = 3_600_000

function connected(answer?: 'stored' | 'refused' | 'unsent'): Rig {
  const rig = new Rig()
  if (answer) rig.answers.set('r', answer)
  rig.send({ type: 'relayConnected', relay: 'r' })
  return rig
}

void t.test('a packet is deposited at every connected relay at once', (t) => {
  const rig = connected()
  rig.send({ type: 'relayConnected', relay: 's' })
  rig.send({ type: 'relayDisconnected', relay: 's' })
  rig.send({ type: 'relayConnected', relay: 'q' })
  rig.add(1)
  t.same(rig.deposited(), ['r:1', 'q:1'])
  t.end()
})

void t.test(
  '"stored" settles nothing: the packet is deposited again after 6 h and on every new connection',
  (t) => {
    const rig = connected('stored')
    rig.add(1)
    t.same(rig.deposited(), ['r:1'])
    rig.now += 6 * HOUR - 1_000
    rig.send({ type: 'tick' })
    t.same(rig.deposited(), [])
    rig.wait(2_000)
    t.same(rig.deposited(), ['r:1'])
    rig.send({ type: 'relayDisconnected', relay: 'r' })
    rig.send({ type: 'relayConnected', relay: 'r' })
    t.same(rig.deposited(), ['r:1'])
    t.equal(rig.courier.status(rig.now).outstanding, 1)
    t.end()
  },
)

void t.test('what a relay refused is deposited again after 60 s, give or take a fifth', (t) => {
  const rig = connected('refused')
  rig.add(1)
  rig.deposited()
  rig.wait(47_000)
  t.same(rig.deposited(), [])
  rig.wait(25_500)
  t.same(rig.deposited(), ['r:1'])
  t.end()
})

void t.test('what was not sent goes out first when the socket drains', (t) => {
  const rig = connected()
  rig.add(1)
  rig.add(2)
  t.same(rig.deposited(), ['r:1', 'r:2'])
  rig.send({ type: 'deposited', relay: 'r', id: 1, result: 'unsent' })
  rig.add(3)
  t.same(rig.deposited(), [])
  rig.send({ type: 'relayDrained', relay: 'r' })
  t.same(rig.deposited(), ['r:1', 'r:3'])
  t.end()
})

void t.test('what was not sent goes out a second later if nobody says that the socket drained', (t) => {
  const rig = connected()
  rig.add(1)
  rig.deposited()
  rig.send({ type: 'deposited', relay: 'r', id: 1, result: 'unsent' })
  rig.wait(1_100)
  t.same(rig.deposited(), ['r:1'])
  t.end()
})

void t.test(
  'nothing is deposited in a mailbox of ours before its proof was answered on this connection',
  (t) => {
    const rig = connected()
    rig.add(1, { proves: true })
    t.same(rig.deposited(), [])
    rig.send({ type: 'mailboxProved', relay: 'r', mailbox: 'up', accepted: true })
    t.same(rig.deposited(), ['r:1'])
    rig.send({ type: 'relayDisconnected', relay: 'r' })
    rig.send({ type: 'relayConnected', relay: 'r' })
    t.same(rig.deposited(), [])
    rig.send({ type: 'mailboxProved', relay: 'r', mailbox: 'up', accepted: true })
    t.same(rig.deposited(), ['r:1'])
    t.end()
  },
)

void t.test('a refused proof counts as a refusal of every packet that waited for it', (t) => {
  const rig = connected('stored')
  rig.add(1, { proves: true })
  rig.send({ type: 'mailboxProved', relay: 'r', mailbox: 'up', accepted: false })
  rig.wait(40_000)
  t.same(rig.deposited(), [])
  rig.send({ type: 'mailboxProved', relay: 'r', mailbox: 'up', accepted: true })
  rig.wait(33_000)
  t.same(rig.deposited(), ['r:1'])
  t.end()
})

void t.test(
  'the hello is deposited before the packets of its session, also when its mailbox is proved last',
  (t) => {
    const rig = connected()
    rig.add(1, { kind: 'hello', mailbox: 'successor', proves: true })
    rig.add(2, { after: 1, proves: true })
    rig.send({ type: 'mailboxProved', relay: 'r', mailbox: 'up', accepted: true })
    t.same(rig.deposited(), [])
    rig.send({ type: 'mailboxProved', relay: 'r', mailbox: 'successor', accepted: true })
    t.same(rig.deposited(), ['r:1', 'r:2'])
    t.end()
  },
)

void t.test('a relay that comes back gets hellos first, then live packets, then backlog', (t) => {
  const rig = new Rig()
  rig.add(1, { priority: 'backlog' })
  rig.add(2)
  rig.add(3, { kind: 'hello' })
  rig.send({ type: 'relayConnected', relay: 'r' })
  t.same(rig.deposited(), ['r:3', 'r:2', 'r:1'])
  t.end()
})

void t.test('at most 256 deposits are on their way to one relay', (t) => {
  const rig = connected()
  for (let id = 1; id <= 300; id++) rig.add(id)
  t.equal(rig.deposited().length, 256)
  rig.send({ type: 'deposited', relay: 'r', id: 1, result: 'stored' })
  t.same(rig.deposited(), ['r:257'])
  rig.send({ type: 'settled', ids: [2, 3] })
  t.same(rig.deposited(), ['r:258', 'r:259'])
  t.end()
})

void t.test('path health tells what each relay stored, refused and acknowledged', (t) => {
  const rig = connected('stored')
  rig.add(1)
  rig.answers.set('r', 'refused')
  rig.add(2)
  rig.send({ type: 'acked', path: { relay: 'r' }, packets: 2 })
  t.same(rig.courier.status(rig.now).relays, [
    { relay: 'r', connected: true, stored: 1, refused: 1, acked: 2, lastAckAt: 1_000 },
  ])
  rig.send({ type: 'relayRemoved', relay: 'r' })
  t.same(rig.courier.status(rig.now).relays, [])
  t.end()
})
