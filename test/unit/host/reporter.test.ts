import t from 'tap'
import { createReporter, printable } from '@fieldwhisper/host'

const at = Date.UTC(2026, 10, 23, 3, 46, 12, 345)

function reporter(options: { format?: 'text' | 'json'; level?: 'debug' | 'error' } = {}) {
  const lines: string[] = []
  const clock = { mono: 0, wallMs: () => at, monoMs: () => clock.mono }
  return { lines, clock, made: createReporter({ ...options, clock, write: (line) => lines.push(line) }) }
}

void t.test('an event is one line with time, level, code, message and fields', (t) => {
  const { lines, made } = reporter()
  made.event('warn', 'FW_SPOOL_FULL', 'The spool is full.', {
    bytes: 12,
    name: 'pump 7',
    ok: false,
    path: '/var/x',
  })
  t.strictSame(lines, [
    '2026-11-23T03:46:12.345Z warn FW_SPOOL_FULL The spool is full. bytes=12 name="pump 7" ok=false path=/var/x\n',
  ])
  t.end()
})

void t.test('as JSON it is one object a line', (t) => {
  const { lines, made } = reporter({ format: 'json' })
  made.event('error', 'FW_X', 'text', { a: 'b c' })
  t.strictSame(JSON.parse(lines[0]!), {
    time: '2026-11-23T03:46:12.345Z',
    level: 'error',
    code: 'FW_X',
    message: 'text',
    fields: { a: 'b c' },
  })
  t.end()
})

void t.test('text from outside cannot make a line, a colour, a field or reverse what is read', (t) => {
  const { lines, made } = reporter()
  made.event('info', 'FW_X', 'a\nb', { name: 'x\r\n2026 error FW_FAKE \u001b[31m\u202e" z=1', other: 'a=b' })
  t.equal(lines.length, 1)
  t.equal(
    lines[0],
    '2026-11-23T03:46:12.345Z info FW_X a\\nb name="x\\u000d\\n2026 error FW_FAKE \\u001b[31m\\u202e\\" z=1" other="a=b"\n',
  )
  t.end()
})

void t.test('long text is cut', (t) => {
  t.equal(printable('abcdef', 3), 'abc…')
  t.equal(printable('abc', 3), 'abc')
  const { lines, made } = reporter()
  made.event('info', 'FW_X', 'm'.repeat(5_000), { f: 'v'.repeat(5_000) })
  t.ok(lines[0]!.length < 2_100)
  t.end()
})

void t.test('a code that floods is cut off after twenty; how many were left out is told', (t) => {
  const { lines, clock, made } = reporter()
  for (let i = 0; i < 120; i++) made.event('warn', 'FW_FLOOD', 'again', { i })
  made.event('warn', 'FW_OTHER', 'is heard')
  t.equal(lines.length, 21)
  t.match(lines.at(-1), /FW_OTHER/)
  clock.mono = 60_000
  made.event('warn', 'FW_FLOOD', 'later')
  t.match(lines.slice(21), [
    /warn FW_FLOOD More of these came and were not written\. suppressed=100\n/,
    /later/,
  ])
  t.equal(made.counts()['FW_FLOOD'], 121)
  t.end()
})

void t.test('five hundred codes are told apart; further ones are not written', (t) => {
  const { lines, made } = reporter()
  for (let i = 0; i < 501; i++) made.event('warn', `FW_${i}`, 'x')
  t.equal(lines.length, 500)
  t.end()
})

void t.test('the newest two hundred events are kept for status', (t) => {
  const { made } = reporter()
  for (let i = 0; i < 201; i++) made.event('info', `FW_${i}`, 'x')
  t.equal(made.recent().length, 200)
  t.match(made.recent().at(-1), { wallMs: at, level: 'info', code: 'FW_200', message: 'x', fields: {} })
  t.equal(made.recent()[0]!.code, 'FW_1')
  t.end()
})

void t.test('events below the level are neither written nor kept', (t) => {
  const usual = reporter()
  usual.made.event('debug', 'FW_X', 'x')
  t.equal(usual.lines.length + usual.made.recent().length, 0)
  const all = reporter({ level: 'debug' })
  all.made.event('debug', 'FW_X', 'x')
  t.equal(all.lines.length, 1)
  const few = reporter({ level: 'error' })
  few.made.event('warn', 'FW_X', 'x')
  t.equal(few.lines.length, 0)
  t.end()
})

void t.test('a listener hears what is too low to be written, and no more of a flood than a log does', (t) => {
  const { lines, made } = reporter({ level: 'error' })
  const heard: string[] = []
  made.event('info', 'FW_EARLY', 'before anybody listened')
  made.listen(({ level, code, fields }) => void heard.push(`${level} ${code} ${String(fields['n'])}`))
  made.event('info', 'FW_A', 'text', { n: 1 })
  for (let n = 0; n < 100; n++) made.event('warn', 'FW_B', 'text', { n })
  made.event('error', 'FW_C', 'text', { n: 2 })
  t.same(heard.slice(0, 2), ['info FW_A 1', 'warn FW_B 0'])
  t.equal(heard.length, 22)
  t.equal(heard.at(-1), 'error FW_C 2')
  t.equal(lines.length, 1)
  t.same(
    made.recent().map(({ code }) => code),
    ['FW_C'],
  )
  t.end()
})
