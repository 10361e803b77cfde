import { TokenBucket } from '@fieldwhisper/host'
import t from 'tap'
import { createMemoryStore } from '@fieldwhisper/host/testing'
import { CLOSING, decodeRelayFrames, STATUS } from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame, RelayFrame } from '@fieldwhisper/mesh/relay-frames'
import type { AddressKey } from '@fieldwhisper/protocol/address'
import { packetHash } from '@fieldwhisper/protocol/packet'
import { Conversation, DEFAULT_LIMITS, Directory, Mailboxes, relayConstants } from '@fieldwhisper/relay'
import type { RelayLimits, Shared } from '@fieldwhisper/relay'
import { addressKey, from, packetTo, settled, TABLES } from './support.js'

const NAME = 'relay.test'

interface World {
  readonly shared: Shared
  now: number
}

function world(
  options: { limits?: Partial<RelayLimits>; names?: string[]; proofs?: TokenBucket } = {},
): World {
  const store = createMemoryStore({ tables: TABLES })
  const limits = { ...DEFAULT_LIMITS, ...options.limits }
  const made: World = {
    now: 0,
    shared: {
      mailboxes: new Mailboxes({ store, limits, alarm: () => undefined }, 0),
      directory: new Directory(store, limits),
      names: () => options.names ?? ['other.test', NAME],
      runningMs: () => made.now,
      memberProofs: options.proofs ?? new TokenBucket({ perSecond: 2_000, burst: 2_000 }, 0),
      strangerProofs: new TokenBucket({ perSecond: 500, burst: 500 }, 0),
    },
  }
  return made
}

/** One connection whose frames are looked at instead of sent. */
class Talk {
  readonly sent: RelayFrame[] = []
  ended: { code: number; text: string } | undefined
  readonly nonce: Uint8Array
  readonly #world: World
  readonly #conversation: Conversation
  #request = 0

  constructor(made: World, id: string, member = true) {
    this.#world = made
    this.nonce = from(`nonce ${id}`, 32)
    const link = {
      send: (frame: Uint8Array) => void this.sent.push(...decodeRelayFrames(Uint8Array.from(frame))),
      ready: () => true,
      end: (code: number, text: string) => (this.ended = { code, text }),
    }
    this.#conversation = new Conversation(made.shared, link, { member, nonce: this.nonce }, made.now)
    this.#conversation.open()
  }

  receive(frame: ClientFrame): void {
    this.#conversation.receive(frame, this.#world.now)
  }

  close(): void {
    this.#conversation.closed()
  }

  async #answered(request: number): Promise<number> {
    for (let turn = 0; turn < 20; turn++) {
      const answer = this.sent.find((frame) => 'request' in frame && frame.request === request)
      if (answer) return (answer as { status: number }).status
      await settled()
    }
    throw new Error(`no answer to request ${request}`)
  }

  prove(
    key: AddressKey,
    wish: { create?: boolean; subscribe?: boolean; signature?: Uint8Array; name?: string } = {},
  ): Promise<number> {
    const request = ++this.#request
    const signature = wish.signature ?? key.sign(this.nonce, wish.name ?? NAME)
    const { create = false, subscribe = false } = wish
    this.receive({ kind: 'prove', request, create, subscribe, publicKey: key.publicKey, signature })
    return this.#answered(request)
  }

  deposit(packet: Uint8Array): Promise<number> {
    this.receive({ kind: 'deposit', request: ++this.#request, packet })
    return this.#answered(this.#request)
  }

  remove(address: Uint8Array): Promise<number> {
    this.receive({ kind: 'remove', request: ++this.#request, address })
    return this.#answered(this.#request)
  }

  publish(slot: Uint8Array, record: Uint8Array): Promise<number> {
    this.receive({ kind: 'publish', request: ++this.#request, slot, record })
    return this.#answered(this.#request)
  }

  packets(): Uint8Array[] {
    return this.sent.flatMap((frame) => (frame.kind === 'packet' ? [frame.packet] : []))
  }
}

const key = addressKey('a')
const thief = addressKey('thief')

t.test('a connection begins with its challenge', (t) => {
  t.same(new Talk(world(), '1').sent, [{ kind: 'challenge', nonce: from('nonce 1', 32) }])
  t.end()
})

t.test('the holder of the key makes, reads, deletes and ends a mailbox', async (t) => {
  const made = world()
  const talk = new Talk(made, '1')
  t.equal(await talk.prove(key, { create: true, subscribe: true }), STATUS.done)
  const packet = packetTo(key.address, 'p')
  const stored = new Talk(made, '2').deposit(packet)
  t.same(talk.packets(), [packet])
  talk.receive({ kind: 'delete', address: key.address, hashes: [packetHash(packet)] })
  t.equal(await stored, STATUS.done)
  t.equal(made.shared.mailboxes.counts.packets, 0)
  t.equal(await talk.remove(key.address), STATUS.done)
  t.equal(made.shared.mailboxes.counts.mailboxes, 0)
})

t.test('a proof by another key makes the mailbox of that other key at most', async (t) => {
  const made = world()
  const talk = new Talk(made, '1')
  t.equal(
    await talk.prove(key, { create: true, signature: thief.sign(talk.nonce, NAME) }),
    STATUS.proofInvalid,
  )
  t.equal(made.shared.mailboxes.counts.mailboxes, 0)
  t.equal(await talk.prove(thief, { create: true }), STATUS.done)
  t.ok(made.shared.mailboxes.has(thief.address))
  t.notOk(made.shared.mailboxes.has(key.address))
})

t.test('a proof for another relay name is refused, one for any of its own names is taken', async (t) => {
  const made = world()
  t.equal(await new Talk(made, '1').prove(key, { name: 'elsewhere.test', create: true }), STATUS.proofInvalid)
  t.equal(made.shared.mailboxes.counts.mailboxes, 0)
  t.equal(await new Talk(made, '2').prove(key, { name: 'other.test' }), STATUS.done)
  const talk = new Talk(made, '3')
  t.equal(await talk.prove(key), STATUS.done)
  t.equal(
    await talk.prove(key, { name: 'other.test' }),
    STATUS.proofInvalid,
    'but one connection dialled one name',
  )
})

t.test('a proof replayed on another connection is refused', async (t) => {
  const made = world()
  const victim = new Talk(made, '1')
  const signature = key.sign(victim.nonce, NAME)
  t.equal(await victim.prove(key, { create: true, subscribe: true, signature }), STATUS.done)
  const replay = new Talk(made, '2')
  t.equal(await replay.prove(key, { subscribe: true, signature }), STATUS.proofInvalid)
  await Promise.all([
    new Talk(made, '3').deposit(packetTo(key.address, 'p')),
    Promise.resolve(made.shared.mailboxes.close()),
  ])
  t.same([victim.packets().length, replay.packets().length], [1, 0])
})

t.test('wrong proofs end the connection after a small number', async (t) => {
  const made = world()
  const talk = new Talk(made, '1')
  for (let i = 0; i < relayConstants.BAD_PROOFS; i++) {
    t.equal(await talk.prove(key, { signature: new Uint8Array(64) }), STATUS.proofInvalid)
  }
  t.equal(talk.ended, undefined)
  void talk.prove(key, { signature: new Uint8Array(64) }).catch(() => undefined)
  t.match(talk.ended, { code: CLOSING.proofs })
})

t.test('proofs beyond the rate are put off, not judged', async (t) => {
  const made = world({ names: [NAME], proofs: new TokenBucket({ perSecond: 10, burst: 2 }, 0) })
  const talk = new Talk(made, '1')
  t.same(
    [await talk.prove(key), await talk.prove(key), await talk.prove(key)],
    [STATUS.done, STATUS.done, STATUS.rate],
  )
  made.now += 100
  t.equal(await talk.prove(key), STATUS.done)
})

t.test('one connection proves a bounded number of addresses', async (t) => {
  const made = world({ names: [NAME] })
  const stranger = new Talk(made, '1', false)
  for (let i = 0; i < relayConstants.STRANGER_ADDRESSES; i++) {
    t.equal(await stranger.prove(addressKey(`n${i}`)), STATUS.done)
  }
  t.equal(await stranger.prove(addressKey('one more')), STATUS.full)
  t.equal(await stranger.prove(addressKey('n0')), STATUS.done, 'one it has proven costs nothing more')
})

t.test('without a mailbox there is nothing to subscribe', async (t) => {
  t.equal(await new Talk(world(), '1').prove(key, { subscribe: true }), STATUS.noMailbox)
})

t.test('without a proof on this connection nothing is deleted, ended or published', async (t) => {
  const made = world()
  const owner = new Talk(made, '1')
  await owner.prove(key, { create: true })
  const packet = packetTo(key.address, 'p')
  await owner.deposit(packet)
  await owner.publish(key.address, from('record', 100))
  const other = new Talk(made, '2')
  await other.prove(thief, { create: true })
  other.receive({ kind: 'delete', address: key.address, hashes: [packetHash(packet)] })
  t.equal(await other.remove(key.address), STATUS.notProven)
  t.equal(await other.publish(key.address, from('forged', 100)), STATUS.notProven)
  t.match(made.shared.mailboxes.counts, { mailboxes: 2, packets: 1 })
  t.same(made.shared.directory.lookup(key.address), Buffer.from(from('record', 100)))
})

t.test('a deposit that is no packet is refused as malformed and keeps the connection', async (t) => {
  const made = world()
  const talk = new Talk(made, '1')
  await talk.prove(key, { create: true })
  const good = packetTo(key.address, 'p')
  const wrong = (change: (packet: Uint8Array) => void): Uint8Array => {
    const packet = Uint8Array.from(good)
    change(packet)
    return packet
  }
  t.equal(await talk.deposit(wrong((p) => (p[0] = 0x22))), STATUS.malformed, 'version 2')
  t.equal(await talk.deposit(wrong((p) => (p[0] = 0x13))), STATUS.malformed, 'type 3')
  t.equal(await talk.deposit(good.subarray(0, 45)), STATUS.malformed, 'too short for a tag')
  t.equal(
    await talk.deposit(packetTo(key.address, 'h', { hello: true, bytes: 8_193 })),
    STATUS.malformed,
    'long hello',
  )
  t.equal(await talk.deposit(packetTo(key.address, 'h', { hello: true, bytes: 8_192 })), STATUS.done)
  t.equal(made.shared.mailboxes.counts.packets, 1)
  t.equal(talk.ended, undefined)
})

t.test('one connection brings 16 hellos at once and then ten a minute', async (t) => {
  t.same(relayConstants.HELLO_BUDGET, { burst: 16, perSecond: 10 / 60 })
  const made = world()
  const talk = new Talk(made, '1')
  await talk.prove(key, { create: true })
  const hello = (i: number): Promise<number> => talk.deposit(packetTo(key.address, `h${i}`, { hello: true }))
  for (let i = 0; i < 16; i++) t.equal(await hello(i), STATUS.done)
  t.equal(await hello(16), STATUS.rate)
  t.equal(await talk.deposit(packetTo(key.address, 'data')), STATUS.done, 'data is not concerned')
  t.equal(
    await new Talk(made, '2').deposit(packetTo(key.address, 'h16', { hello: true })),
    STATUS.done,
    'nor another connection',
  )
  made.now += 6_000
  t.equal(await hello(17), STATUS.done)
})

t.test('a record is published by whoever proves the slot, and told to whoever knows it', async (t) => {
  const made = world({ limits: { records: 20 } })
  const talk = new Talk(made, '1')
  await talk.prove(key)
  t.equal(await talk.publish(key.address, from('old', 4_096)), STATUS.done)
  t.equal(await talk.publish(key.address, from('new', 10)), STATUS.done, 'replaced')
  const asker = new Talk(made, '2', false)
  asker.receive({ kind: 'lookup', slot: key.address })
  asker.receive({ kind: 'lookup', slot: thief.address })
  t.same(
    asker.sent
      .slice(1)
      .map((frame) =>
        [(frame as any).slot, (frame as any).record].map((b) => Buffer.from(b).toString('hex')),
      ),
    [
      [Buffer.from(key.address).toString('hex'), Buffer.from(from('new', 10)).toString('hex')],
      [Buffer.from(thief.address).toString('hex'), ''],
    ],
  )
  const strangers = [addressKey('s1'), addressKey('s2'), addressKey('s3')]
  for (const slot of strangers) await asker.prove(slot)
  const published = []
  for (const slot of strangers) published.push(await asker.publish(slot.address, from('r', 10)))
  t.same(published, [STATUS.done, STATUS.done, STATUS.full], 'strangers share a tenth')
  t.equal(made.shared.directory.size, 3)
})

t.test('one connection publishes 16 records at once and then one a second', async (t) => {
  t.same(relayConstants.PUBLISH_BUDGET, { burst: 16, perSecond: 1 })
  const made = world()
  const talk = new Talk(made, '1')
  await talk.prove(key)
  for (let i = 0; i < 16; i++) t.equal(await talk.publish(key.address, from(`r${i}`, 10)), STATUS.done)
  t.equal(await talk.publish(key.address, from('late', 10)), STATUS.rate)
  t.same(made.shared.directory.lookup(key.address), Buffer.from(from('r15', 10)))
})

t.test('a connection that ends while its mailbox is being made does not become its reader', async (t) => {
  const made = world()
  const gone = new Talk(made, '1')
  void gone.prove(key, { create: true, subscribe: true }).catch(() => undefined)
  gone.close()
  await settled()
  t.ok(made.shared.mailboxes.has(key.address))
  const answer = new Talk(made, '2').deposit(packetTo(key.address, 'p'))
  t.equal(await answer, STATUS.done, 'written at once: nobody reads')
  t.same(gone.packets(), [])
})
