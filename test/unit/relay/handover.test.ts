import t from 'tap'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import { packetHash } from '@fieldwhisper/protocol/packet'
import {
  addressKey,
  depositOf,
  isPending,
  LIVE_LINGER_MS,
  packetTo,
  Reader,
  rig,
  settled,
} from './support.js'

const address = addressKey('a').address
const other = addressKey('b').address

t.test(
  'a packet for a connected reader is handed over at once and written only when it is not deleted soon',
  async (t) => {
    const { mailboxes, commits, alarms } = rig()
    await mailboxes.create(address, true, 0)
    const reader = new Reader()
    mailboxes.subscribe(address, reader, 1_000)
    const packet = packetTo(address, 'p')
    const answer = mailboxes.deposit(depositOf(packet), 1_000)
    t.same(reader.got, [packet])
    t.ok(await isPending(answer), 'not stored, not taken')
    t.equal(alarms.at(-1), 1_000 + LIVE_LINGER_MS)
    mailboxes.tick(1_000 + LIVE_LINGER_MS - 1)
    t.ok(await isPending(answer), 'one millisecond before its time')
    t.equal(commits.length, 1)
    mailboxes.tick(1_000 + LIVE_LINGER_MS)
    t.match(await answer, { status: STATUS.done })
    t.equal(commits.length, 2, 'the mailbox and the packet')
  },
)

t.test(
  'a packet that its reader deletes before it is written was taken: stored is said and the disk never sees it',
  async (t) => {
    const { mailboxes, commits } = rig()
    await mailboxes.create(address, true, 0)
    mailboxes.subscribe(address, new Reader(), 0)
    const packet = packetTo(address, 'p')
    const answer = mailboxes.deposit(depositOf(packet), 0)
    mailboxes.delete(address, [packetHash(packet)], 1)
    t.match(await answer, { status: STATUS.done })
    mailboxes.tick(60_000)
    await mailboxes.close()
    t.equal(commits.filter((writes) => writes.length > 0).length, 1, 'only the mailbox was written')
    t.same(mailboxes.counts, { mailboxes: 1, packets: 0, bytes: 0 })
  },
)

t.test('a packet that its reader deletes while it is being written is deleted behind it', async (t) => {
  const { mailboxes, store } = rig()
  await mailboxes.create(address, true, 0)
  const packet = packetTo(address, 'p')
  const answer = mailboxes.deposit(depositOf(packet), 0)
  mailboxes.delete(address, [packetHash(packet)], 0)
  t.match(await answer, { status: STATUS.done })
  await mailboxes.close()
  t.same([...store.range('packets')], [])
  t.same([...store.range('held')], [])
  t.equal(mailboxes.counts.packets, 0)
})

t.test('a reader that goes away before it deleted finds everything again', async (t) => {
  const { mailboxes } = rig()
  await mailboxes.create(address, true, 0)
  const first = new Reader()
  mailboxes.subscribe(address, first, 0)
  const packets = ['p', 'q', 'r'].map((name) => packetTo(address, name))
  const answers = packets.map((packet) => mailboxes.deposit(depositOf(packet), 0))
  mailboxes.delete(address, [packetHash(packets[1]!)], 0)
  mailboxes.leave(first, 0)
  t.match(
    await Promise.all(answers),
    packets.map(() => ({ status: STATUS.done })),
    'written at once',
  )
  const second = new Reader()
  mailboxes.subscribe(address, second, 0)
  t.same(second.got, [packets[0], packets[2]])
})

t.test('the newest reader of a mailbox is the only one', async (t) => {
  const { mailboxes } = rig()
  await mailboxes.create(address, true, 0)
  const [old, young] = [new Reader(), new Reader()]
  mailboxes.subscribe(address, old, 0)
  void mailboxes.deposit(depositOf(packetTo(address, 'p')), 0)
  mailboxes.subscribe(address, young, 0)
  void mailboxes.deposit(depositOf(packetTo(address, 'q')), 0)
  t.equal(old.got.length, 1)
  t.same(
    young.got,
    ['p', 'q'].map((name) => packetTo(address, name)),
    'from the oldest packet on',
  )
  mailboxes.leave(old, 0)
  void mailboxes.deposit(depositOf(packetTo(address, 'r')), 0)
  t.equal(young.got.length, 3, 'the old one leaves without harm')
  t.equal(mailboxes.subscribe(address, young, 0), STATUS.done)
  t.equal(young.got.length, 3, 'subscribing twice hands nothing over twice')
  await mailboxes.close()
})

t.test('a mailbox without a record is not to be subscribed', (t) => {
  const reader = new Reader()
  t.equal(rig().mailboxes.subscribe(address, reader, 0), STATUS.noMailbox)
  t.end()
})

t.test(
  'no more than the credit of packets is handed over before some are deleted, then as many as were',
  async (t) => {
    const { mailboxes } = rig({ creditPackets: 4 })
    await mailboxes.create(address, true, 0)
    const reader = new Reader()
    mailboxes.subscribe(address, reader, 0)
    const packets = Array.from({ length: 10 }, (_, i) => packetTo(address, `p${i}`))
    const answers = packets.map((packet) => mailboxes.deposit(depositOf(packet), 0))
    t.same(reader.got, packets.slice(0, 4), 'at the credit')
    await settled()
    t.match(await answers[9], { status: STATUS.done }, 'what waits for credit is stored and not slow')
    mailboxes.delete(address, [packetHash(packets[2]!)], 0)
    t.same(reader.got, packets.slice(0, 5))
    mailboxes.delete(address, packets.slice(0, 4).map(packetHash), 0)
    t.same(reader.got, packets.slice(0, 8))
    mailboxes.delete(address, packets.slice(4).map(packetHash), 0)
    await Promise.all(answers)
    t.same(reader.got, packets.slice(0, 8), 'what was deleted unseen is not handed over')
    t.equal(mailboxes.counts.packets, 0)
    void mailboxes.deposit(depositOf(packetTo(address, 'next')), 0)
    t.equal(reader.got.length, 9, 'and new ones come at once again')
  },
)

t.test('no more than the credit of bytes is handed over, but always one packet', async (t) => {
  const { mailboxes } = rig({ creditBytes: 1_000 })
  await mailboxes.create(address, true, 0)
  const big = packetTo(address, 'big', { bytes: 1_001 })
  const half = ['h', 'i', 'j'].map((name) => packetTo(address, name, { bytes: 500 }))
  for (const packet of [big, ...half]) await mailboxes.deposit(depositOf(packet), 0)
  const reader = new Reader()
  mailboxes.subscribe(address, reader, 0)
  t.same(reader.got, [big])
  mailboxes.delete(address, [packetHash(big)], 0)
  t.same(reader.got, [big, half[0], half[1]], 'exactly the credit')
})

t.test('a socket that has enough gets no more until it drained, and mailboxes take turns', async (t) => {
  const { mailboxes } = rig()
  const reader = new Reader()
  const packets = [address, other].flatMap((to, m) =>
    Array.from({ length: 100 }, (_, i) => packetTo(to, `${m}-${i}`)),
  )
  for (const to of [address, other]) await mailboxes.create(to, true, 0)
  for (const packet of packets) await mailboxes.deposit(depositOf(packet), 0)
  reader.open = false
  for (const to of [address, other]) mailboxes.subscribe(to, reader, 0)
  t.equal(reader.got.length, 0)
  reader.open = true
  const handed = reader.hand.bind(reader)
  reader.hand = (packet) => {
    handed(packet)
    if (reader.got.length === 64) reader.open = false
  }
  mailboxes.resume(reader)
  t.equal(reader.got.length, 64)
  const seen = new Set(reader.got.map((packet) => packet[2]))
  t.equal(seen.size, 2, 'both mailboxes had their turn')
  reader.open = true
  mailboxes.resume(reader)
  const order = (to: Uint8Array): Uint8Array[] =>
    reader.got.filter((packet) => Buffer.from(packet.subarray(2, 18)).equals(Buffer.from(to)))
  t.same(order(address), packets.slice(0, 100), 'each in its order, none missing, none twice')
  t.same(order(other), packets.slice(100))
})

t.test('a packet that comes while the reader is behind keeps its place', async (t) => {
  const { mailboxes } = rig()
  await mailboxes.create(address, true, 0)
  const reader = new Reader()
  mailboxes.subscribe(address, reader, 0)
  reader.open = false
  const packets = ['p', 'q', 'r'].map((name) => packetTo(address, name))
  void mailboxes.deposit(depositOf(packets[0]!), 0)
  await settled()
  void mailboxes.deposit(depositOf(packets[1]!), 0)
  reader.open = true
  void mailboxes.deposit(depositOf(packets[2]!), 0)
  mailboxes.resume(reader)
  t.same(reader.got, packets, 'from the disk and from memory, in order')
  await mailboxes.close()
})
