import { createMemoryStore } from '@fieldwhisper/host/testing'
import type { Range } from '@fieldwhisper/protocol'
import fc from 'fast-check'
import t from 'tap'
import {
  FAILURE_BUDGET,
  FAILURES_IN_ALL,
  MAX_PARKED_BYTES,
  PARKED_BYTES,
  PARKED_MS,
  PARKED_PACKETS,
} from '../../../gateway/src/core/constants.js'
import { Failures } from '../../../gateway/src/core/failures.js'
import { Ledger } from '../../../gateway/src/core/ledger.js'
import { Line } from '../../../gateway/src/core/line.js'
import { Parking } from '../../../gateway/src/core/parking.js'
import { SetAside } from '../../../gateway/src/core/set-aside.js'
import { CORE_TABLES } from '../../../gateway/src/core/tables.js'
import { Turn } from '../../../gateway/src/core/turn.js'

/*
 * The small parts of the core against simple models of them.
 */

const silent = { report: () => undefined }
const AGENT = new Uint8Array(32).fill(1)

function streamName(start: number): Uint8Array {
  return new Uint8Array([0, 0, 0, start, 1, 1, 1, 1, 1, 1, 1, 1])
}

/** A ledger as sets of numbers, nothing more. */
class Model {
  readonly settled = new Set<number>()
  end = 0

  add(from: number, to: number): number {
    let fresh = 0
    for (let number = from; number < to; number++) {
      if (!this.settled.has(number)) fresh++
      this.settled.add(number)
    }
    this.end = Math.max(this.end, to)
    return fresh
  }

  get through(): number {
    let through = 0
    while (this.settled.has(through)) through++
    return through
  }

  get ranges(): Range[] {
    const ranges: Range[] = []
    for (const number of [...this.settled].filter((one) => one > this.through).sort((a, b) => a - b)) {
      const last = ranges.at(-1)
      if (last?.to === number) ranges[ranges.length - 1] = { from: last.from, to: number + 1 }
      else ranges.push({ from: number, to: number + 1 })
    }
    return ranges
  }

  get missing(): number {
    let missing = 0
    for (let number = 0; number < this.end; number++) if (!this.settled.has(number)) missing++
    return missing
  }
}

type Step =
  | { readonly kind: 'receive'; readonly stream: number; readonly number: number }
  | { readonly kind: 'gap'; readonly stream: number; readonly from: number; readonly length: number }
  | {
      readonly kind: 'declare'
      readonly stream: number
      readonly floor: number
      readonly more: number
      readonly closed: boolean
    }
  | { readonly kind: 'before'; readonly start: number }
  | { readonly kind: 'restart' }

const number = fc.nat({ max: 120 })
const stream = fc.nat({ max: 3 })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('receive' as const), stream, number }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('gap' as const),
      stream,
      from: number,
      length: fc.integer({ min: 1, max: 40 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('declare' as const),
      stream,
      floor: number,
      more: number,
      closed: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('before' as const), start: fc.nat({ max: 4 }) }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'restart' as const }) },
)

void t.test('a ledger knows what sets of numbers know, over any steps and restarts', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const store = createMemoryStore({ tables: CORE_TABLES })
      let ledger = new Ledger(store, silent)
      const models = new Map<number, Model>()
      const model = (name: number): Model => {
        const known = models.get(name) ?? new Model()
        models.set(name, known)
        return known
      }
      for (const one of steps) {
        const turn = new Turn(0, 0)
        switch (one.kind) {
          case 'receive': {
            const fresh = model(one.stream).add(one.number, one.number + 1)
            t.equal(ledger.has(AGENT, streamName(one.stream), one.number), fresh === 0)
            const receipt = ledger.receive(turn, AGENT, streamName(one.stream), one.number)
            t.equal(receipt, fresh > 0 ? 'new' : 'seen')
            break
          }
          case 'gap': {
            const to = one.from + one.length
            const fresh = model(one.stream).add(one.from, to)
            t.equal(ledger.gap(turn, AGENT, streamName(one.stream), [{ from: one.from, to }]), fresh)
            break
          }
          case 'declare': {
            const { floor, closed } = one
            const end = floor + one.more
            const fresh = model(one.stream).add(0, floor)
            model(one.stream).end = Math.max(model(one.stream).end, end)
            const state = { stream: streamName(one.stream), floor, end, closed }
            t.equal(ledger.declare(turn, AGENT, state), fresh)
            break
          }
          case 'before': {
            let fresh = 0
            for (const [start, known] of models) if (start < one.start) fresh += known.add(0, known.end)
            t.equal(ledger.gapBefore(turn, AGENT, one.start), fresh)
            break
          }
          case 'restart':
            ledger = new Ledger(store, silent)
        }
        if (turn.size > 0) await store.commit(turn.writes)
        for (const [name, known] of models) {
          const { through, ranges } = ledger.ack(AGENT, streamName(name), 1_024)
          t.same({ through, ranges }, { through: known.through, ranges: known.ranges })
        }
        t.equal(
          ledger.missing(AGENT),
          [...models.values()].reduce((sum, { missing }) => sum + missing, 0),
        )
      }
    }),
    { numRuns: 60 },
  )
})

void t.test('one agent never sees the numbers of another', (t) => {
  const ledger = new Ledger(createMemoryStore({ tables: CORE_TABLES }), silent)
  const turn = new Turn(0, 0)
  ledger.receive(turn, AGENT, streamName(1), 0)
  const other = new Uint8Array(32).fill(2)
  t.equal(ledger.has(other, streamName(1), 0), false)
  t.same(ledger.ack(other, streamName(1), 64), { stream: streamName(1), through: 0, ranges: [] })
  t.same(ledger.recent(other, 8), [])
  t.end()
})

void t.test(
  'complete streams that ended are forgotten after 90 days, those with something missing never',
  async (t) => {
    const store = createMemoryStore({ tables: CORE_TABLES })
    const ledger = new Ledger(store, silent)
    const turn = new Turn(0, 0)
    ledger.receive(turn, AGENT, streamName(1), 0)
    ledger.declare(turn, AGENT, { stream: streamName(1), floor: 0, end: 1, closed: true })
    ledger.receive(turn, AGENT, streamName(2), 3)
    ledger.declare(turn, AGENT, { stream: streamName(2), floor: 0, end: 4, closed: true })
    ledger.receive(turn, AGENT, streamName(3), 0)
    await store.commit(turn.writes)
    const later = new Turn(0, 90 * 86_400_000)
    ledger.expire(later)
    await store.commit(later.writes)
    t.equal([...store.range('ledger')].length, 2)
    t.equal(ledger.missing(AGENT), 3)
    t.end()
  },
)

void t.test('a turn writes once what it wrote twice, as it is at the end', (t) => {
  const turn = new Turn(0, 0)
  let value = 1
  const key = Uint8Array.of(1)
  turn.put('ledger', key, () => Uint8Array.of(value))
  turn.put('agents', key, Uint8Array.of(7))
  turn.erase('agents', key)
  value = 2
  t.equal(turn.size, 2)
  t.same(turn.writes, [
    { table: 'ledger', key, value: Uint8Array.of(2) },
    { table: 'agents', key, value: null },
  ])
  value = 3
  t.equal(turn.writes[0]?.value?.[0], 2, 'also when it is tried again')
  t.end()
})

void t.test('a line gives back in order what was put in, like an array', (t) => {
  fc.assert(
    fc.property(fc.array(fc.option(fc.nat(), { nil: undefined }), { maxLength: 200 }), (steps) => {
      const line = new Line<number>()
      const array: number[] = []
      for (const one of steps) {
        if (one === undefined) t.equal(line.shift(), array.shift())
        else array.push((line.push(one), one))
        t.equal(line.length, array.length)
      }
    }),
  )
  const line = new Line<number>()
  for (let i = 0; i < 50_000; i++) line.push(i)
  for (let i = 0; i < 50_000; i++) if (line.shift() !== i) t.fail(`at ${i}`)
  t.equal(line.length, 0)
  t.end()
})

void t.test('parking: 64 packets and 128 KiB a link, 4 MiB in all, five seconds', (t) => {
  fc.assert(
    fc.property(
      fc.array(
        fc.record({
          link: fc.nat({ max: 4 }),
          bytes: fc.integer({ min: 31, max: 16_384 }),
          take: fc.boolean(),
          ms: fc.nat({ max: 2_000 }),
        }),
        { maxLength: 150 },
      ),
      (steps) => {
        const parking = new Parking()
        const model = new Map<number, { bytes: number; until: number }[]>()
        let now = 0
        for (const { link, bytes, take, ms } of steps) {
          now += ms
          const held = model.get(link) ?? []
          if (take) {
            const due = held.filter(({ until }) => until > now).map((one) => one.bytes)
            t.same(
              parking.take(link, now).map(({ length }) => length),
              due,
            )
            model.delete(link)
          } else {
            const sum = held.reduce((total, one) => total + one.bytes, 0)
            const fits = held.length < PARKED_PACKETS && sum + bytes <= PARKED_BYTES
            t.equal(parking.park(link, new Uint8Array(bytes), now), fits)
            if (fits) model.set(link, [...held, { bytes, until: now + PARKED_MS }])
          }
          t.equal(
            parking.bytes,
            [...model.values()].flat().reduce((total, one) => total + one.bytes, 0),
          )
        }
      },
    ),
    { numRuns: 40 },
  )
  const parking = new Parking()
  let parked = 0
  for (let link = 0; link < 100; link++)
    for (let i = 0; i < 8; i++) if (parking.park(link, new Uint8Array(16_384), 0)) parked++
  t.equal(parked, MAX_PARKED_BYTES / 16_384, '4 MiB of 16 KiB each')
  parking.forget(0)
  t.ok(parking.park(99, new Uint8Array(1), 0))
  t.end()
})

void t.test(
  'failures cost who brought them, and above a thousand a second everybody who brought some',
  (t) => {
    const failures = new Failures(0)
    for (let i = 1; i < FAILURE_BUDGET.burst; i++) failures.note('one', 0)
    t.equal(failures.mayTry('one', 0), true, 'one below its budget')
    failures.note('one', 0)
    t.equal(failures.mayTry('one', 0), false)
    t.same(FAILURES_IN_ALL, { perSecond: 1_000, burst: 2_000 })
    t.equal(failures.mayTry('two', 0), true)
    failures.note('two', 0)
    for (let who = 0; who < 16; who++) for (let i = 0; i < 100; i++) failures.note(`link ${who}`, 0)
    t.equal(failures.mayTry('two', 0), false, 'one failure, while too many fail')
    t.equal(failures.mayTry('three', 0), true, 'none')
    t.equal(failures.mayTry('two', 1_000), true)
    t.end()
  },
)

void t.test(
  'what is set aside comes back in order, and what did not fit is asked for again once it is calm',
  (t) => {
    const renewed: number[] = []
    const aside = new SetAside({ renew: (relay) => void renewed.push(relay) })
    const packet = (i: number): Uint8Array => new Uint8Array(16_384).fill(i)
    const arrival = (i: number) => ({ route: { via: 'relay', id: 5 } as const, packet: packet(i) })
    let kept = 0
    while (aside.add(arrival(kept))) kept++
    t.equal(kept, 512, '8 MiB')
    aside.missed(5)
    const back: number[] = []
    aside.tick(0, ({ packet }) => back.push(packet[0]!), false)
    t.same(
      back,
      Array.from({ length: 64 }, (_, i) => i),
      '64 a tick',
    )
    t.same(renewed, [])
    aside.tick(50, () => undefined, true)
    t.same(renewed, [5])
    aside.missed(5)
    aside.tick(1_000, () => undefined, true)
    t.same(renewed, [5], 'at most once a minute')
    aside.tick(61_000, () => undefined, true)
    t.same(renewed, [5, 5])
    aside.heldBack(6)
    aside.tick(200_000, () => undefined, true)
    t.same(renewed, [5, 5])
    aside.decided()
    aside.tick(300_000, () => undefined, true)
    t.same(renewed, [5, 5, 6])
    t.end()
  },
)
