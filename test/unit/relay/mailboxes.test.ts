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

t.test('a deposit for an address without a mailbox is refused and leaves nothing', async (t) => {
  const { mailboxes, commits } = rig()
  const answer = await mailboxes.deposit(depositOf(packetTo(address, 'p')), 0)
  t.same(answer, { status: STATUS.noMailbox, room: { packets: 0, bytes: 0 } })
  t.same(commits, [])
  t.same(mailboxes.counts, { mailboxes: 0, packets: 0, bytes: 0 })
})

t.test('a mailbox is made once and is durable when that is said', async (t) => {
  const { mailboxes, commits, store } = rig()
  t.equal(await mailboxes.create(address, true, 0), STATUS.done)
  t.equal(await mailboxes.create(address, true, 0), STATUS.done)
  t.equal(commits.length, 1, 'the second time it is there')
  t.ok(rig({}, { store }).mailboxes.has(address), 'a restart finds it')
})

t.test('a packet without a reader is called stored when it is flushed, and not before', async (t) => {
  let flushed!: () => void
  const gate = new Promise<void>((resolve) => (flushed = resolve))
  const { mailboxes, store, commits } = rig()
  await mailboxes.create(address, true, 0)
  const commit = store.commit.bind(store)
  store.commit = async (writes) => {
    await gate
    return commit(writes)
  }
  const answer = mailboxes.deposit(depositOf(packetTo(address, 'p')), 0)
  t.ok(await isPending(answer))
  t.equal(commits.length, 1, 'only the mailbox is on the disk')
  flushed()
  t.match(await answer, { status: STATUS.done, room: { packets: 8_191 } })
  t.equal(rig({}, { store }).mailboxes.counts.packets, 1, 'a restart finds it')
})

t.test(
  'an identical packet that is held is stored once and answered again, whatever its hops say',
  async (t) => {
    const { mailboxes } = rig()
    await mailboxes.create(address, true, 0)
    const packet = packetTo(address, 'p')
    const travelled = Uint8Array.from(packet)
    travelled[1] = 3
    const both = [mailboxes.deposit(depositOf(packet), 0), mailboxes.deposit(depositOf(travelled), 0)]
    t.match(
      await Promise.all(both),
      [{ status: STATUS.done }, { status: STATUS.done }],
      'while it is being written',
    )
    t.match(await mailboxes.deposit(depositOf(travelled), 1), { status: STATUS.done }, 'and after it')
    t.same(mailboxes.counts, { mailboxes: 1, packets: 1, bytes: 300 })
  },
)

t.test('what was deleted is not remembered: the same packet is taken again', async (t) => {
  const { mailboxes, commits } = rig()
  await mailboxes.create(address, true, 0)
  const packet = packetTo(address, 'p')
  await mailboxes.deposit(depositOf(packet), 0)
  mailboxes.delete(address, [packetHash(packet)], 0)
  t.equal(mailboxes.counts.packets, 0, 'counted out at once')
  const again = await mailboxes.deposit(depositOf(packet), 0)
  t.equal(again.status, STATUS.done)
  t.equal(mailboxes.counts.packets, 1)
  await settled()
  const last = commits.at(-1)!
  t.ok(
    last.every(({ value }) => value !== null),
    'deletion and new copy were written in this order',
  )
  const reader = new Reader()
  mailboxes.subscribe(address, reader, 1)
  t.same(reader.got, [packet], 'and the copy is there')
})

t.test('a delete names hashes; what is not held or belongs to another mailbox is passed over', async (t) => {
  const { mailboxes } = rig()
  await mailboxes.create(address, true, 0)
  await mailboxes.create(other, true, 0)
  const packet = packetTo(address, 'p')
  await mailboxes.deposit(depositOf(packet), 0)
  mailboxes.delete(other, [packetHash(packet)], 0)
  mailboxes.delete(address, [new Uint8Array(32)], 0)
  t.equal(mailboxes.counts.packets, 1)
  mailboxes.delete(address, [packetHash(packet), packetHash(packet)], 0)
  t.equal(mailboxes.counts.packets, 0, 'twice in one frame counts once')
})

t.test('a deletion reaches the disk after a while, or with the next packet', async (t) => {
  const { mailboxes, store, alarms } = rig()
  await mailboxes.create(address, true, 0)
  const packets = ['p', 'q', 'r'].map((name) => packetTo(address, name))
  for (const packet of packets) await mailboxes.deposit(depositOf(packet), 0)
  mailboxes.delete(address, [packetHash(packets[0]!)], 100)
  t.equal(rig({}, { store }).mailboxes.counts.packets, 3, 'not yet')
  mailboxes.tick(alarms.at(-1)!)
  await settled()
  t.equal(rig({}, { store }).mailboxes.counts.packets, 2, 'when the alarm rings')
  mailboxes.delete(address, [packetHash(packets[1]!)], 200)
  await mailboxes.deposit(depositOf(packetTo(address, 's')), 200)
  t.equal(rig({}, { store }).mailboxes.counts.packets, 2, 'one went and one came in the same flush')
})

t.test('what a disk refuses is not called stored and not counted, and can be sent again', async (t) => {
  const made = rig()
  const { mailboxes } = made
  await mailboxes.create(address, true, 0)
  made.full = true
  const packet = packetTo(address, 'p')
  t.match(await mailboxes.deposit(depositOf(packet), 0), { status: STATUS.disk })
  t.equal(mailboxes.counts.packets, 0)
  t.equal(await mailboxes.create(other, true, 0), STATUS.disk)
  made.full = false
  t.equal(await mailboxes.create(other, true, 0), STATUS.done, 'the mailbox is made durable by the next try')
  t.match(await mailboxes.deposit(depositOf(packet), 0), { status: STATUS.done })
  made.full = true
  mailboxes.delete(address, [packetHash(packet)], 0)
  await mailboxes.close()
  t.equal(mailboxes.counts.packets, 1, 'a deletion that was refused did not happen')
  made.full = false
  mailboxes.delete(address, [packetHash(packet)], 0)
  await mailboxes.close()
  t.equal(mailboxes.counts.packets, 0)
})

t.test('the end of a mailbox takes what it holds, and is durable when that is said', async (t) => {
  const { mailboxes, store } = rig()
  await mailboxes.create(address, true, 0)
  await mailboxes.create(other, true, 0)
  for (const name of ['p', 'q']) await mailboxes.deposit(depositOf(packetTo(address, name)), 0)
  await mailboxes.deposit(depositOf(packetTo(other, 'r')), 0)
  const ending = mailboxes.remove(address)
  t.notOk(mailboxes.has(address), 'takes nothing more from the first moment')
  t.match(await mailboxes.deposit(depositOf(packetTo(address, 's')), 0), { status: STATUS.noMailbox })
  t.equal(await ending, STATUS.done)
  t.equal(await mailboxes.remove(address), STATUS.noMailbox)
  t.same(mailboxes.counts, { mailboxes: 1, packets: 1, bytes: 300 })
  t.same(rig({}, { store }).mailboxes.counts, { mailboxes: 1, packets: 1, bytes: 300 })
  t.same([...store.range('packets')].length, 1)
})

t.test('a mailbox made anew while the old one ends holds nothing of it', async (t) => {
  const { mailboxes, store } = rig()
  await mailboxes.create(address, true, 0)
  const late = mailboxes.deposit(depositOf(packetTo(address, 'p')), 0)
  const ending = mailboxes.remove(address)
  const anew = mailboxes.create(address, true, 0)
  t.same(await Promise.all([ending, anew]), [STATUS.done, STATUS.done])
  t.match(await late, { status: STATUS.noMailbox }, 'what was on its way is not called stored')
  t.same(mailboxes.counts, { mailboxes: 1, packets: 0, bytes: 0 })
  t.same(rig({}, { store }).mailboxes.counts, { mailboxes: 1, packets: 0, bytes: 0 })
})

t.test('a mailbox whose end the disk refuses goes on', async (t) => {
  const made = rig()
  const { mailboxes } = made
  await mailboxes.create(address, true, 0)
  await mailboxes.deposit(depositOf(packetTo(address, 'p')), 0)
  made.full = true
  t.equal(await mailboxes.remove(address), STATUS.disk)
  t.ok(mailboxes.has(address))
  t.equal(mailboxes.counts.packets, 1)
  made.full = false
  t.equal(await mailboxes.remove(address), STATUS.done)
})

t.test('a restart hands over what was stored, in the order in which it came', async (t) => {
  const first = rig()
  await first.mailboxes.create(address, true, 0)
  const packets = Array.from({ length: 100 }, (_, i) => packetTo(address, `p${i}`))
  for (const packet of packets) await first.mailboxes.deposit(depositOf(packet), 0)
  const second = rig({}, { store: first.store })
  const reader = new Reader()
  t.equal(second.mailboxes.subscribe(address, reader, 0), STATUS.done)
  t.same(reader.got, packets)
  const later = packetTo(address, 'later')
  void second.mailboxes.deposit(depositOf(later), 0)
  await second.mailboxes.close()
  const again = new Reader()
  rig({}, { store: second.store }).mailboxes.subscribe(address, again, 0)
  t.same(again.got, [...packets, later], 'numbers went on behind the old ones')
})

t.test('a mailbox whose own record is gone lives on with what it holds', async (t) => {
  const first = rig()
  await first.mailboxes.create(address, true, 0)
  await first.mailboxes.deposit(depositOf(packetTo(address, 'p')), 0)
  await first.store.commit([{ table: 'mailboxes', key: address, value: null }])
  const second = rig({}, { store: first.store })
  t.ok(second.mailboxes.has(address))
  t.equal(await second.mailboxes.create(address, true, 5), STATUS.done)
  t.ok(
    first.store.get('mailboxes', address) === undefined &&
      second.store.get('mailboxes', address) !== undefined,
  )
})

t.test('a packet whose record is gone is not called stored: its copy is taken', async (t) => {
  const first = rig()
  await first.mailboxes.create(address, true, 0)
  const packet = packetTo(address, 'p')
  await first.mailboxes.deposit(depositOf(packet), 0)
  const { key } = [...first.store.range('packets')][0]!
  await first.store.commit([{ table: 'packets', key, value: null }])
  const second = rig({}, { store: first.store })
  t.match(await second.mailboxes.deposit(depositOf(packet), 0), { status: STATUS.done })
  t.equal(second.mailboxes.counts.packets, 1)
  const reader = new Reader()
  second.mailboxes.subscribe(address, reader, 0)
  t.same(reader.got, [packet])
})

t.test('closing writes what lingers', async (t) => {
  const { mailboxes, store } = rig()
  await mailboxes.create(address, true, 0)
  mailboxes.subscribe(address, new Reader(), 0)
  const answer = mailboxes.deposit(depositOf(packetTo(address, 'p')), 0)
  t.ok(await isPending(answer), `for up to ${LIVE_LINGER_MS} ms`)
  await mailboxes.close()
  t.match(await answer, { status: STATUS.done })
  t.equal(rig({}, { store }).mailboxes.counts.packets, 1)
})
