import { createServer, connect, type AddressInfo } from 'node:net'
import { once } from 'node:events'
import t from 'tap'
import { Gate } from '@fieldwhisper/examples/dist/relay-kill/gate.js'
import { schedule, totalSeconds } from '@fieldwhisper/examples/dist/relay-kill/schedule.js'
import { readArrival } from '@fieldwhisper/examples/dist/relay-kill/subscriber.js'
import { resultTable } from '@fieldwhisper/examples/dist/relay-kill/table.js'
import { Tally, type Row } from '@fieldwhisper/examples/dist/relay-kill/tally.js'
import { within } from '../../support/until.js'

/** One reading every 100 ms, made 10 ms before it arrives. */
function stream(
  tally: Tally,
  agent: string,
  numbers: readonly number[],
  path: 'lan' | 'relay' = 'lan',
  delayMs = 10,
): void {
  for (const number of numbers) {
    const madeMs = 1_000 + number * 100
    tally.arrived({ agent, number, id: `${agent}-${number}`, path, madeMs, atMs: madeMs + delayMs })
  }
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, number) => number)

void t.test('what was sent is received or lost, in the phase in which it was made', (t) => {
  const tally = new Tally(['a', 'b'])
  tally.begin('well', 1_000)
  tally.begin('killed', 2_000)
  stream(tally, 'a', upTo(20))
  stream(
    tally,
    'b',
    upTo(20).filter((number) => number !== 12 && number !== 19),
    'relay',
  )
  stream(tally, 'stranger', upTo(5))
  const rows = tally.rows(
    new Map([
      ['a', 20],
      ['b', 20],
    ]),
    3_000,
  )
  t.match(rows, [
    { title: 'well', seconds: 1, sent: 20, received: 20, lost: 0, byLan: 10, byRelay: 10 },
    { title: 'killed', seconds: 1, sent: 20, received: 18, lost: 2, byLan: 10, byRelay: 8 },
    { title: 'in all', seconds: 2, sent: 40, received: 38, lost: 2, byLan: 20, byRelay: 18 },
  ])
  t.equal(tally.received(), 38)
  t.equal(tally.received('b'), 18)
  t.equal(
    tally.missing(
      new Map([
        ['a', 20],
        ['b', 20],
      ]),
    ),
    2,
  )
  t.equal(tally.missing(new Map([['b', 12]])), 0, 'what is sent later is not missed')
  t.equal(tally.lastMs('b'), 2_810)
  t.end()
})

void t.test('readings of an agent of which nothing arrived are lost', (t) => {
  const tally = new Tally(['a'])
  tally.begin('well', 1_000)
  t.match(tally.rows(new Map([['a', 7]]), 2_000).at(-1), { sent: 7, received: 0, lost: 7, silenceMs: 0 })
  t.end()
})

void t.test('a repeat counts once more as repeated, never as received; another id is told', (t) => {
  const tally = new Tally(['a'])
  tally.begin('well', 1_000)
  stream(tally, 'a', [0, 1, 2, 1])
  t.equal(tally.renamed, 0)
  tally.arrived({ agent: 'a', number: 2, id: 'other', path: 'lan', madeMs: 1_200, atMs: 1_300 })
  t.equal(tally.renamed, 1)
  t.match(tally.rows(new Map([['a', 3]]), 2_000).at(-1), { sent: 3, received: 3, lost: 0, repeated: 2 })
  t.end()
})

void t.test('a silence counts whole where most of it lay, and in other phases with what lay there', (t) => {
  const tally = new Tally(['a', 'b'])
  tally.begin('well', 1_000)
  tally.begin('killed', 2_000)
  tally.begin('back', 3_000)
  stream(
    tally,
    'a',
    upTo(30).filter((number) => number < 9 || number > 21),
  )
  stream(tally, 'b', upTo(30))
  const rows = tally.rows(
    new Map([
      ['a', 30],
      ['b', 30],
    ]),
    4_000,
  )
  const silence = Object.fromEntries(rows.map(({ title, silenceMs }) => [title, silenceMs]))
  t.same(silence, { well: 190, killed: 1_400, back: 210, 'in all': 1_400 })
  t.equal(tally.silenceMs(2_000, 3_000), 1_400)
  t.equal(tally.silenceMs(3_500, 5_000), 5_000 - 3_910, 'one that is still going on counts')
  t.end()
})

void t.test('the table has a line for each phase and the sum set off', (t) => {
  const row: Row = {
    title: 'relay killed',
    seconds: 10.02,
    sent: 1_000,
    received: 1_000,
    lost: 0,
    repeated: 2,
    byLan: 1_000,
    byRelay: 0,
    silenceMs: 312.4,
  }
  const lines = resultTable([row, { ...row, title: 'in all', sent: 12_345 }])
  t.match(lines[0], /^phase +time +sent +received +lost +repeated +by LAN +by relay +longest silence$/)
  t.match(lines[1], /^-+$/)
  t.match(lines[2], /^relay killed +10 s +1000 +1000 +0 +2 +1000 +0 +0\.31 s$/)
  t.match(lines[3], /^-+$/)
  t.match(lines[4], /^in all +10 s +12345 /)
  t.equal(new Set(lines.map((line) => line.length)).size, 1, 'columns stand below each other')
  t.end()
})

void t.test('the schedule lasts about a minute, and about twenty seconds when it is short', (t) => {
  const full = schedule(false)
  t.ok(full[0]?.seconds === 10 && full[0].act === 'well' && full[1]?.act === 'relay-killed')
  t.ok(totalSeconds(full) >= 50 && totalSeconds(full) <= 65)
  t.ok(totalSeconds(schedule(true)) <= 22)
  t.same(
    schedule(true).map(({ act }) => act),
    full.map(({ act }) => act),
  )
  t.end()
})

void t.test('a message that is no numbered reading is not counted', (t) => {
  const topic = 'fieldwhisper/demo/pump-3/counter'
  const good = { value: 7, id: 'x-1-0', path: 'lan', time: '2026-03-01T12:00:00.250Z' }
  const read = (payload: unknown): unknown => readArrival(topic, Buffer.from(JSON.stringify(payload)), 5)
  t.match(read(good), {
    agent: 'pump-3',
    number: 7,
    id: 'x-1-0',
    path: 'lan',
    madeMs: 1_772_366_400_250,
    atMs: 5,
  })
  for (const bad of [
    null,
    7,
    [],
    { ...good, value: 'x' },
    { ...good, path: 'air' },
    { ...good, time: 'soon' },
    { ...good, id: 1 },
  ]) {
    t.equal(read(bad), undefined, JSON.stringify(bad))
  }
  t.equal(readArrival(topic, Buffer.from('{'), 5), undefined)
  t.end()
})

void t.test('the gate passes, cuts what passes, refuses, and passes again on the same port', async (t) => {
  const echo = createServer((socket) => socket.on('error', () => undefined).pipe(socket))
  t.teardown(() => echo.close())
  echo.listen(0, '127.0.0.1')
  await once(echo, 'listening')
  const gate = new Gate((echo.address() as AddressInfo).port)
  await gate.mend()
  t.teardown(() => gate.cut())
  const through = async (): Promise<string> => {
    const socket = connect(gate.port, '127.0.0.1')
    socket.write('hello')
    const [answer] = (await within(once(socket, 'data'), { withinMs: 5_000, what: 'the echo' })) as [Buffer]
    const closed = once(socket, 'close')
    if (answer.toString() === 'hello') await gate.cut()
    await within(closed, { withinMs: 5_000, what: 'the cut' })
    return answer.toString()
  }
  t.equal(await through(), 'hello')
  const refused = connect(gate.port, '127.0.0.1')
  const [error] = (await within(once(refused, 'error'), { withinMs: 5_000, what: 'a refusal' })) as [
    NodeJS.ErrnoException,
  ]
  t.equal(error.code, 'ECONNREFUSED')
  const { port } = gate
  await gate.mend()
  t.equal(gate.port, port)
  t.equal(await through(), 'hello')
})
