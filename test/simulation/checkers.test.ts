import { createMemoryStore } from '@fieldwhisper/host/testing'
import { encodeBatch, hex, type Reading } from '@fieldwhisper/protocol'
import t from 'tap'
import { outboxWrite } from '../../gateway/src/bridge/outbox-entry.js'
import { Spool, SPOOL_TABLES, type BatchPlace } from '../../agent/src/spool/index.js'
import { Conversation } from '../../relay/src/core/conversation.js'
import { gapsAgree, gapsText } from './audit.js'
import { Checkers } from './checkers.js'
import { Dice } from './dice.js'
import type { Factory } from './factory.js'
import { Interference } from './interference.js'
import { RelayNode } from './relay-node.js'
import { Tally } from './tally.js'
import { World } from './world.js'

/*
 * Each check, on what it is there for: one that cannot fail proves nothing.
 */

const STREAM = new Uint8Array(12).fill(3)
const reading: Reading = {
  name: 'sensor-1',
  unit: 'Cel',
  value: 1,
  quality: 'good',
  monoMs: 1_000,
  wallMs: 1_800_000_000_000,
  clock: 'synchronised',
}

function outbox(number: number, readings: readonly Reading[], name = 'agent-0') {
  const batch = encodeBatch({ bootId: new Uint8Array(8), readings })
  const entry = { agent: 'a', name, path: 'lan', stream: STREAM, number, historical: false } as const
  return [outboxWrite(number + 1, { ...entry, receivedWallMs: 1, batch })]
}

/** A packet of the gateway, told apart by one byte of its counter. */
function packet(counter: number, content = 0): Uint8Array {
  const bytes = new Uint8Array(64).fill(9)
  bytes[0] = 0x12
  bytes[21] = counter
  bytes[40] = content
  return bytes
}

function given(): Checkers {
  const checkers = new Checkers(new World())
  checkers.given('agent-0', reading)
  checkers.acceptedReading(1)
  return checkers
}

/** Holds batches of STREAM and nothing else. */
function spoolWith(...numbers: number[]): Spool {
  return {
    stream: (id: string) =>
      id === hex(STREAM) ? { stream: STREAM, floor: 0, end: 99, closed: false } : undefined,
    isHeld: ({ number }: BatchPlace) => numbers.includes(number),
    behind: () => numbers.map((number) => ({ stream: STREAM, number })),
    encoded: () => encodeBatch({ bootId: new Uint8Array(8), readings: [reading] }),
    counters: { held: 0, dropped: 0 },
  } as unknown as Spool
}

void t.test('a reading that changes, comes twice, as another agent or from nowhere is noticed', (t) => {
  t.doesNotThrow(() => given().flushed(outbox(0, [reading])))
  t.throws(() => given().flushed(outbox(0, [{ ...reading, unit: 'K' }])), /reading 1 changed/)
  t.throws(() => given().flushed(outbox(0, [reading], 'agent-1')), /published as agent-1's/)
  t.throws(() => given().flushed(outbox(0, [{ ...reading, value: 2 }])), /nobody took/)
  const published = (): Checkers => {
    const checkers = given()
    checkers.flushed(outbox(0, [reading]))
    return checkers
  }
  t.throws(() => published().flushed(outbox(1, [reading])), /in two batches/)
  t.throws(() => published().flushed(outbox(0, [reading])), /published twice/)
  const back = published()
  back.gatewayWentBack(false)
  t.doesNotThrow(() => back.flushed(outbox(0, [reading])), 'a gateway on an older disk publishes again, once')
  t.throws(() => back.flushed(outbox(0, [reading])), /published twice/)
  t.end()
})

void t.test('a leaf that seals two packets is noticed', (t) => {
  const checkers = given()
  checkers.sealed('agent-0', packet(1))
  t.doesNotThrow(() => checkers.sealed('agent-0', packet(1)), 'the same bytes may be sent again')
  t.throws(() => checkers.sealed('agent-0', packet(1, 5)), /one key and nonce/)
  const back = given()
  back.sealed('the gateway', packet(1))
  back.gatewayWentBack(true)
  const other = packet(1, 5)
  other[25] = 1
  back.sealed('the gateway', other)
  t.throws(() => back.sealed('the gateway', Uint8Array.from(other).fill(6, 50)), /one key and nonce/)
  t.end()
})

void t.test('an acknowledgement that was said before the flush is noticed', (t) => {
  const acks = [{ stream: STREAM, through: 1, ranges: [] }]
  const late = given()
  late.flushed(outbox(0, [reading]))
  late.saidByGateway(packet(1))
  t.doesNotThrow(() => late.acknowledged('agent-0', packet(1), spoolWith(0), acks))
  const early = given()
  early.saidByGateway(packet(1))
  early.flushed(outbox(0, [reading]))
  t.throws(() => early.acknowledged('agent-0', packet(1), spoolWith(0), acks), /before it would survive/)
  const declared = given()
  declared.saidByGateway(packet(1))
  declared.givenUp([
    { kind: 'gap', cause: 'full', readings: 1, what: { stream: STREAM, ranges: [{ from: 0, to: 1 }] } },
  ])
  t.doesNotThrow(
    () => declared.acknowledged('agent-0-copy', packet(1), spoolWith(0), acks),
    'its original dropped and counted it',
  )
  t.same(declared.missing(), [], 'then nobody waits for it')
  const passed = given()
  passed.saidByGateway(packet(1))
  passed.floorSaid({ stream: STREAM, floor: 1 })
  t.doesNotThrow(() => passed.acknowledged('agent-0-copy', packet(1), spoolWith(0), acks), 'or lost it')
  for (const unsaid of [packet(2), undefined])
    t.throws(() => given().acknowledged('agent-0', unsaid, spoolWith(), acks), /never said/)
  t.end()
})

void t.test(
  'an acknowledgement that says less than an earlier one is noticed, also when it overtook it',
  (t) => {
    for (const order of [
      [1, 2],
      [2, 1],
    ]) {
      const checkers = given()
      checkers.saidByGateway(packet(1))
      checkers.saidByGateway(packet(2))
      const take = (counter: number): void =>
        checkers.acknowledged('agent-0', packet(counter), spoolWith(), [
          { stream: STREAM, through: counter === 1 ? 5 : 4, ranges: [] },
        ])
      take(order[0]!)
      t.throws(() => take(order[1]!), /wrong way round/)
    }
    t.end()
  },
)

void t.test('a reading that is neither published, held nor counted is noticed', async (t) => {
  t.throws(() => given().conserved('agent-0', spoolWith()), /1 readings are not published, 0 held/)
  const spool = await Spool.open({
    store: createMemoryStore({ tables: SPOOL_TABLES }),
    mark: { load: () => undefined, save: () => undefined },
    clock: { monoMs: () => 0, bootId: new Uint8Array(8) },
    runningMs: () => 0,
    timers: { after: () => () => undefined },
    random: (n) => new Uint8Array(n),
    reporter: { event: () => undefined },
    limits: { maxBytes: 2 ** 20, maxAgeMs: 1e9, minFreeBytes: 0, alwaysBytes: 0, onFull: 'drop_oldest' },
    batch: { intervalMs: 1_000, maxReadings: 100 },
  })
  t.throws(() => given().recovered('agent-0', spool), /restarted without reading 1/)
  t.same(given().missing('agent-0'), [1])
  t.same(given().missing('agent-1'), [])
})

void t.test('losses that the gateway counts differently from the spool are noticed', (t) => {
  const site = (counts: { accepted: number; dropped: number }, published: number, lost: number): Factory =>
    ({
      agents: [{ name: 'agent-0', spool: { counters: counts } }],
      gateway: { core: { agents: { named: () => ({ lost }) } } },
      checkers: { publishedOf: () => published },
    }) as unknown as Factory
  const counts = { accepted: 10, dropped: 3 }
  t.ok(gapsAgree(site(counts, 7, 3)))
  t.notOk(gapsAgree(site(counts, 7, 2)), 'one was not declared')
  t.notOk(gapsAgree(site(counts, 7, 4)), 'one too many was declared')
  t.notOk(gapsAgree(site(counts, 6, 3)), 'one is neither published nor counted')
  t.ok(gapsAgree(site(counts, 8, 3)), 'one of the drops had arrived')
  t.notOk(gapsAgree(site(counts, 8, 0)), 'and two are lost without a word')
  t.match(gapsText(site(counts, 7, 2)), /agent-0 and the gateway count losses differently/)
  t.end()
})

void t.test('a stranger who empties a mailbox is noticed', async (t) => {
  const world = new World()
  const dice = new Dice(1)
  const relay = new RelayNode(world, dice, new Interference(world, dice, new Tally()), 0)
  relay.start()
  world.after(50, () => undefined)
  await world.until(100)
  t.ok(relay.conversations)
  t.doesNotThrow(() => relay.intrude(packet(1)))
  const receive = Object.getOwnPropertyDescriptor(Conversation.prototype, 'receive')!
  t.teardown(() => void Object.defineProperty(Conversation.prototype, 'receive', receive))
  // One that asks for no proof.
  Conversation.prototype.receive = function (frame) {
    const { mailboxes } = relay.conversations!
    if (frame.kind === 'delete') mailboxes.delete(frame.address, frame.hashes, 0)
  }
  t.throws(() => relay.intrude(packet(1)), /emptied without proof/)
})
