import assert from 'node:assert/strict'
import fc from 'fast-check'
import t from 'tap'
import { STATUS } from '@fieldwhisper/mesh/relay-frames'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { addressKey, depositOf, packetTo, Reader, rig, settled, type Rig } from './support.js'

/*
 * Any order of deposits, deletions, readers that come, stop reading and go, full disks, waits and power cuts: what was
 * called stored and not deleted afterwards is handed to the next reader, in order; a reader gets nothing twice; the counts
 * are those of the store.
 */

const addresses = ['a', 'b'].map((name) => addressKey(name).address)
const PACKETS = 12
const packets = addresses.flatMap((address, m) =>
  Array.from({ length: PACKETS }, (_, i) =>
    packetTo(address, `${m}-${i}`, { bytes: 100 + 10 * i, hello: i % 4 === 3 }),
  ),
)
const hashes = packets.map(packetHash)
const idOf = new Map(packets.map((packet, id) => [Buffer.from(packet).toString('hex'), id]))
const limits = { creditPackets: 3, creditBytes: 500, mailboxPackets: 9, mailboxHelloPackets: 2 }

type Step =
  | { readonly do: 'deposit' | 'delete'; readonly packet: number }
  | { readonly do: 'read' | 'leave' | 'stall' | 'drain'; readonly mailbox: number }
  | { readonly do: 'end'; readonly mailbox: number }
  | { readonly do: 'wait'; readonly ms: number }
  | { readonly do: 'turn' | 'full' | 'room' | 'cut' | 'restart' }

const mailbox = fc.nat(1)
const packet = fc.nat(2 * PACKETS - 1)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ do: fc.constant('deposit' as const), packet }) },
  { weight: 6, arbitrary: fc.record({ do: fc.constant('delete' as const), packet }) },
  { weight: 4, arbitrary: fc.record({ do: fc.constantFrom('read', 'leave', 'stall', 'drain'), mailbox }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), mailbox }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('wait' as const), ms: fc.nat(800) }) },
  {
    weight: 4,
    arbitrary: fc.record({ do: fc.constantFrom('turn', 'turn', 'full', 'room', 'cut', 'restart') }),
  },
)

class World {
  rig: Rig
  now = 0
  readers: Reader[] = [new Reader(), new Reader()]
  /** Called stored, and neither deleted nor ended since its deposit. */
  readonly owed = new Set<number>()
  /** Counts deletions, so that an answer that comes late does not owe what is gone. */
  readonly gone = packets.map(() => 0)
  cuts = 0

  constructor() {
    this.rig = rig(limits, { slow: true })
  }

  async start(): Promise<void> {
    for (const address of addresses) await this.rig.mailboxes.create(address, true, this.now)
  }

  async run(step: Step): Promise<void> {
    const { mailboxes } = this.rig
    switch (step.do) {
      case 'deposit': {
        const id = step.packet
        const before = this.gone[id]
        const cuts = this.cuts
        void mailboxes.deposit(depositOf(packets[id]!), this.now).then(({ status }) => {
          if (status === STATUS.done && this.gone[id] === before && this.cuts === cuts) this.owed.add(id)
        })
        return
      }
      case 'delete':
        this.#forget(step.packet)
        return mailboxes.delete(
          addresses[Math.floor(step.packet / PACKETS)]!,
          [hashes[step.packet]!],
          this.now,
        )
      case 'read':
        mailboxes.leave(this.readers[step.mailbox]!, this.now)
        this.readers[step.mailbox] = new Reader()
        mailboxes.subscribe(addresses[step.mailbox]!, this.readers[step.mailbox]!, this.now)
        return
      case 'leave':
        return mailboxes.leave(this.readers[step.mailbox]!, this.now)
      case 'stall':
        this.readers[step.mailbox]!.open = false
        return
      case 'drain':
        this.readers[step.mailbox]!.open = true
        return mailboxes.resume(this.readers[step.mailbox]!)
      case 'end':
        for (let id = step.mailbox * PACKETS; id < (step.mailbox + 1) * PACKETS; id++) this.#forget(id)
        void mailboxes.remove(addresses[step.mailbox]!)
        await mailboxes.create(addresses[step.mailbox]!, true, this.now)
        return
      case 'wait':
        this.now += step.ms
        return mailboxes.tick(this.now)
      case 'turn':
        return settled()
      case 'full':
        this.rig.full = true
        return
      case 'room':
        this.rig.full = false
        return
      case 'cut':
        return this.reopen()
      case 'restart':
        await mailboxes.close()
        await settled()
        return this.reopen()
    }
  }

  /** A new relay on what the disk had. Deletions that were not flushed come back, stored packets are there. */
  async reopen(): Promise<void> {
    this.checkReaders()
    this.cuts++
    this.rig = rig(limits, { store: this.rig.store, now: this.now, slow: true })
    this.readers = [new Reader(), new Reader()]
    for (const address of addresses) await this.rig.mailboxes.create(address, true, this.now)
  }

  checkReaders(): void {
    for (const reader of this.readers) {
      const ids = reader.got.map((got) => Buffer.from(got).toString('hex'))
      assert.ok(
        ids.every((id) => idOf.has(id)),
        'only what was deposited is handed over',
      )
    }
  }

  /** What the next readers get, all of it, deleting as they go. */
  async harvest(): Promise<Set<number>> {
    const { mailboxes } = this.rig
    const got: number[] = []
    for (const address of addresses) {
      const reader = new Reader()
      mailboxes.subscribe(address, reader, this.now)
      for (let seen = 0; seen < reader.got.length; seen++) {
        const id = idOf.get(Buffer.from(reader.got[seen]!).toString('hex'))!
        got.push(id)
        mailboxes.delete(address, [hashes[id]!], this.now)
      }
      mailboxes.leave(reader, this.now)
    }
    await mailboxes.close()
    assert.equal(new Set(got).size, got.length, 'nothing is handed to one reader twice')
    await settled()
    return new Set(got)
  }

  #forget(id: number): void {
    this.owed.delete(id)
    this.gone[id]!++
  }
}

t.test('what was called stored and not deleted is there, after any history', async (t) => {
  const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 120 }), async (steps) => {
    const world = new World()
    await world.start()
    for (const each of steps) await world.run(each)
    world.rig.full = false
    await world.rig.mailboxes.close()
    await settled()
    world.checkReaders()
    const { counts } = world.rig.mailboxes
    const got = await world.harvest()
    for (const id of world.owed) assert.ok(got.has(id), `packet ${id} was called stored`)
    assert.equal(got.size, counts.packets, 'what was counted is what was there')
    const bytes = [...got].reduce((sum, id) => sum + packets[id]!.length, 0)
    assert.equal(bytes, counts.bytes)
    await world.rig.mailboxes.close()
    await settled()
    assert.deepEqual(
      world.rig.mailboxes.counts,
      { mailboxes: 2, packets: 0, bytes: 0 },
      'and all of it could be deleted',
    )
  })
  await t.resolves(fc.assert(property, { numRuns: 400 }))
})
