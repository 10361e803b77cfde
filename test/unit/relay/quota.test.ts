import t from 'tap'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { DEFAULT_LIMITS, relayConstants } from '@fieldwhisper/relay'
import { addressKey, depositOf, PACKET_OVERHEAD_BYTES, packetTo, rig } from './support.js'

const address = addressKey('a').address
const other = addressKey('b').address
const DAY_MS = 86_400_000

t.test('the defaults are those of the design', (t) => {
  t.match(DEFAULT_LIMITS, {
    mailboxPackets: 8_192,
    mailboxBytes: 32 * 1024 * 1024,
    mailboxHelloPackets: 1_024,
    mailboxHelloBytes: 4 * 1024 * 1024,
    packetTtlMs: 7 * DAY_MS,
    mailboxIdleMs: 90 * DAY_MS,
    creditPackets: 256,
    creditBytes: 1024 * 1024,
  })
  t.end()
})

t.test('a mailbox takes packets up to its number and refuses the next, naming the room', async (t) => {
  const { mailboxes } = rig({ mailboxPackets: 3, mailboxBytes: 10_000 })
  await mailboxes.create(address, true, 0)
  const answers = []
  for (const name of ['p', 'q', 'r', 's'])
    answers.push(await mailboxes.deposit(depositOf(packetTo(address, name)), 0))
  t.same(answers, [
    { status: STATUS.done, room: { packets: 2, bytes: 9_700 } },
    { status: STATUS.done, room: { packets: 1, bytes: 9_400 } },
    { status: STATUS.done, room: { packets: 0, bytes: 0 } },
    { status: STATUS.full, room: { packets: 0, bytes: 0 } },
  ])
  t.equal(mailboxes.counts.packets, 3, 'nothing was evicted')
  mailboxes.delete(address, [packetHash(packetTo(address, 'p'))], 0)
  t.match(
    await mailboxes.deposit(depositOf(packetTo(address, 's')), 0),
    { status: STATUS.done },
    'room comes by deleting',
  )
})

t.test('a mailbox takes bytes up to its size and refuses one more', async (t) => {
  const { mailboxes } = rig({ mailboxBytes: 1_000 })
  await mailboxes.create(address, true, 0)
  await mailboxes.deposit(depositOf(packetTo(address, 'p', { bytes: 600 })), 0)
  const over = await mailboxes.deposit(depositOf(packetTo(address, 'q', { bytes: 401 })), 0)
  t.same(over, { status: STATUS.full, room: { packets: 8_191, bytes: 400 } })
  const fits = await mailboxes.deposit(depositOf(packetTo(address, 'r', { bytes: 400 })), 0)
  t.equal(fits.status, STATUS.done)
})

t.test('hellos have a smaller share of a mailbox than it has room for data', async (t) => {
  const { mailboxes } = rig({ mailboxHelloPackets: 2, mailboxHelloBytes: 1_000 })
  await mailboxes.create(address, true, 0)
  const hello = (name: string, bytes: number): Promise<unknown> =>
    mailboxes.deposit(depositOf(packetTo(address, name, { bytes, hello: true })), 0)
  t.match(await hello('p', 600), { status: STATUS.done, room: { packets: 1, bytes: 400 } })
  t.match(await hello('q', 401), { status: STATUS.full }, 'bytes')
  t.match(await hello('r', 400), { status: STATUS.done })
  t.match(await hello('s', 100), { status: STATUS.full, room: { packets: 0, bytes: 0 } }, 'packets')
  t.match(
    await mailboxes.deposit(depositOf(packetTo(address, 'd')), 0),
    { status: STATUS.done },
    'data still fits',
  )
  mailboxes.delete(address, [packetHash(packetTo(address, 'p', { bytes: 600, hello: true }))], 0)
  t.match(await hello('s', 100), { status: STATUS.done })
})

t.test('strangerPart sets how much clients without the access token share', async (t) => {
  const { mailboxes } = rig({ mailboxes: 4, strangerPart: 2 })
  t.equal(await mailboxes.create(address, false, 0), STATUS.done)
  t.equal(await mailboxes.create(other, false, 0), STATUS.done, 'two of four')
  t.equal(await mailboxes.create(addressKey('c').address, false, 0), STATUS.full)
  const all = rig({ mailboxes: 1, strangerPart: 1 }).mailboxes
  t.equal(await all.create(address, false, 0), STATUS.done, 'one part of one is all')
})

t.test('all mailboxes share a total, overhead included', async (t) => {
  const each = 300 + PACKET_OVERHEAD_BYTES
  const { mailboxes } = rig({ totalBytes: 2 * each })
  await mailboxes.create(address, true, 0)
  await mailboxes.create(other, true, 0)
  t.match(await mailboxes.deposit(depositOf(packetTo(address, 'p')), 0), { status: STATUS.done })
  t.match(await mailboxes.deposit(depositOf(packetTo(other, 'q', { bytes: 301 })), 0), {
    status: STATUS.full,
  })
  t.match(await mailboxes.deposit(depositOf(packetTo(other, 'q')), 0), { status: STATUS.done })
  t.match(await mailboxes.deposit(depositOf(packetTo(address, 'r', { bytes: 46 })), 0), {
    status: STATUS.full,
  })
  t.equal(await mailboxes.remove(other), STATUS.done)
  t.match(await mailboxes.deposit(depositOf(packetTo(address, 'r')), 0), { status: STATUS.done })
})

t.test('clients without the access token share a tenth of the bytes and of the mailboxes', async (t) => {
  const each = 300 + PACKET_OVERHEAD_BYTES
  const { mailboxes, store } = rig({ totalBytes: 20 * each, mailboxes: 10 })
  t.equal(await mailboxes.create(address, false, 0), STATUS.done)
  t.equal(await mailboxes.create(other, false, 0), STATUS.full, 'one of ten')
  t.equal(await mailboxes.create(other, true, 0), STATUS.done)
  for (const name of ['p', 'q']) {
    t.match(await mailboxes.deposit(depositOf(packetTo(other, name), false), 0), { status: STATUS.done })
  }
  const stranger = depositOf(packetTo(other, 'r'), false)
  t.match(await mailboxes.deposit(stranger, 0), { status: STATUS.full, room: { packets: 0, bytes: 0 } })
  t.match(
    await mailboxes.deposit({ ...stranger, member: true }, 0),
    { status: STATUS.done },
    'others are not hurt',
  )
  const restarted = rig({ totalBytes: 20 * each, mailboxes: 10 }, { store }).mailboxes
  t.match(
    await restarted.deposit(depositOf(packetTo(other, 's'), false), 0),
    { status: STATUS.full },
    'after a restart too',
  )
  restarted.delete(other, [packetHash(packetTo(other, 'p'))], 0)
  t.match(await restarted.deposit(depositOf(packetTo(other, 's'), false), 0), { status: STATUS.done })
  t.equal(await restarted.remove(address), STATUS.done)
  t.equal(await restarted.create(address, false, 0), STATUS.done)
})

t.test('mailboxes are counted up to their number', async (t) => {
  const { mailboxes } = rig({ mailboxes: 2 })
  t.equal(await mailboxes.create(address, true, 0), STATUS.done)
  t.equal(await mailboxes.create(other, true, 0), STATUS.done)
  t.equal(await mailboxes.create(addressKey('c').address, true, 0), STATUS.full)
  t.equal(await mailboxes.create(other, true, 0), STATUS.done, 'what is there is there')
})

t.test(
  'while the disk does not keep up, deposits beyond a bound are put off instead of kept in memory',
  async (t) => {
    const { mailboxes, store } = rig()
    await mailboxes.create(address, true, 0)
    let release!: () => void
    const stuck = new Promise<void>((resolve) => (release = resolve))
    const commit = store.commit.bind(store)
    store.commit = async (writes) => {
      await stuck
      return commit(writes)
    }
    const { MAX_PENDING_BYTES } = relayConstants
    const bytes = 16_384
    const answers = Array.from({ length: MAX_PENDING_BYTES / bytes }, (_, i) =>
      mailboxes.deposit(depositOf(packetTo(address, `p${i}`, { bytes })), 0),
    )
    t.match(await mailboxes.deposit(depositOf(packetTo(address, 'over', { bytes: 100 })), 0), {
      status: STATUS.rate,
    })
    release()
    for (const answer of await Promise.all(answers)) t.equal(answer.status, STATUS.done)
    t.match(await mailboxes.deposit(depositOf(packetTo(address, 'over', { bytes: 100 })), 0), {
      status: STATUS.done,
    })
  },
)

t.test('a packet is dropped when its running time is over and not a moment before', async (t) => {
  const ttl = DEFAULT_LIMITS.packetTtlMs
  const { mailboxes, store } = rig({}, { now: 1_000 })
  await mailboxes.create(address, true, 1_000)
  await mailboxes.deposit(depositOf(packetTo(address, 'p')), 1_000)
  await mailboxes.deposit(depositOf(packetTo(address, 'q')), 2_000)
  t.same(mailboxes.sweep(1_000 + ttl - 1), { packets: 0, mailboxes: 0 })
  t.same(mailboxes.sweep(1_000 + ttl), { packets: 1, mailboxes: 0 })
  t.equal(mailboxes.counts.packets, 1)
  await mailboxes.close()
  const restarted = rig({}, { store, now: 2_000 + ttl }).mailboxes
  t.same(restarted.sweep(2_000 + ttl - 1), { packets: 0, mailboxes: 0 })
  t.same(restarted.sweep(2_000 + ttl), { packets: 1, mailboxes: 0 }, 'after a restart too')
  await restarted.close()
  t.equal(restarted.counts.packets, 0)
})

t.test('a long mailbox expires in bounded parts', async (t) => {
  const { mailboxes } = rig()
  await mailboxes.create(address, true, 0)
  const total = relayConstants.EXPIRE_PACKETS + 10
  await Promise.all(
    Array.from({ length: total }, (_, i) =>
      mailboxes.deposit(depositOf(packetTo(address, `p${i}`, { bytes: 46 })), 0),
    ),
  )
  const later = DEFAULT_LIMITS.packetTtlMs
  t.equal(mailboxes.sweep(later).packets, relayConstants.EXPIRE_PACKETS)
  await mailboxes.close()
  t.equal(mailboxes.sweep(later).packets, 10)
  t.equal(mailboxes.counts.packets, 0)
})

t.test(
  'an empty mailbox that nobody reads lapses after its idle time, one that is used does not',
  async (t) => {
    const idle = DEFAULT_LIMITS.mailboxIdleMs
    const { mailboxes, store } = rig()
    await mailboxes.create(address, true, 0)
    await mailboxes.create(other, true, 0)
    const reader = { ready: () => true, hand: () => undefined }
    mailboxes.subscribe(other, reader, 0)
    t.same(mailboxes.sweep(idle - 1), { packets: 0, mailboxes: 0 })
    t.same(mailboxes.sweep(idle), { packets: 0, mailboxes: 1 })
    await mailboxes.close()
    t.notOk(mailboxes.has(address))
    mailboxes.leave(reader, idle + 5)
    t.same(mailboxes.sweep(2 * idle + 4), { packets: 0, mailboxes: 0 }, 'counted from the last use')
    await mailboxes.close()
    const restarted = rig({}, { store, now: 2 * idle + 5 }).mailboxes
    t.ok(restarted.has(other))
    t.same(
      restarted.sweep(2 * idle + 5),
      { packets: 0, mailboxes: 1 },
      'the last use is known after a restart',
    )
  },
)
