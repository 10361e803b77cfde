import t from 'tap'
import { Screen } from '@fieldwhisper/examples/dist/start/screen.js'
import { COLOURED, PLAIN, canRedraw, styleFor } from '@fieldwhisper/examples/dist/start/style.js'
import { clip, padEnd, padStart, width } from '@fieldwhisper/examples/dist/start/width.js'

class Recorder {
  readonly writes: string[] = []
  columns = 40
  rows = 10
  write(text: string): void {
    this.writes.push(text)
  }
  take(): string {
    return this.writes.splice(0).join('')
  }
}

void t.test('a picture is drawn in one write, over the last one', (t) => {
  const out = new Recorder()
  const screen = new Screen(out)
  screen.draw(['one', 'two', 'three'])
  t.same(out.writes.splice(0), ['\x1b[?25lone\x1b[K\r\ntwo\x1b[K\r\nthree\x1b[K\x1b[J'], 'the cursor hides')
  screen.draw(['1', '2'])
  t.same(out.writes.splice(0), ['\r\x1b[2A1\x1b[K\r\n2\x1b[K\x1b[J'], 'back up over three lines')
  screen.draw(['only'])
  t.same(out.writes.splice(0), ['\r\x1b[1Aonly\x1b[K\x1b[J'])
  screen.end()
  screen.end()
  t.same(out.writes, ['\x1b[?25h\r\n'], 'the cursor comes back once')
  t.end()
})

void t.test('nothing is written when nothing changed', (t) => {
  const out = new Recorder()
  const screen = new Screen(out)
  screen.draw(['same'])
  out.take()
  screen.draw(['same'])
  t.same(out.writes, [])
  t.end()
})

void t.test('a line that folds counts as the rows it takes, and its last column is not erased', (t) => {
  const out = new Recorder()
  const screen = new Screen(out)
  screen.draw(['x'.repeat(81), 'y'.repeat(40)])
  t.notMatch(out.take(), /y\x1b\[K/)
  screen.draw(['short'])
  t.match(out.take(), /^\r\x1b\[3A/, 'three rows and one row, the cursor in the last of four')
  t.end()
})

void t.test('a terminal that changes its width is drawn anew', (t) => {
  const out = new Recorder()
  const screen = new Screen(out)
  screen.draw(['same'])
  out.take()
  out.columns = 20
  screen.draw(['same'])
  t.match(out.take(), /^\x1b\[H\x1b\[2Jsame/)
  t.end()
})

void t.test('a terminal that is never drawn on keeps its cursor', (t) => {
  const out = new Recorder()
  new Screen(out).end()
  t.same(out.writes, [])
  t.end()
})

void t.test('colours need a terminal that has them and nobody who forbids them', (t) => {
  const terminal = { isTTY: true, hasColors: () => true }
  t.equal(styleFor(terminal, { TERM: 'xterm-256color' }), COLOURED)
  t.equal(styleFor(terminal, { TERM: 'xterm', NO_COLOR: '1' }), PLAIN)
  t.equal(styleFor(terminal, { TERM: 'xterm', NO_COLOR: '' }), COLOURED, 'an empty NO_COLOR says nothing')
  t.equal(styleFor(terminal, { TERM: 'dumb' }), PLAIN)
  t.equal(styleFor({ isTTY: true, hasColors: () => false }, { TERM: 'vt100' }), PLAIN)
  t.equal(styleFor({ hasColors: () => true }, { TERM: 'xterm' }), PLAIN)
  t.equal(canRedraw(terminal, { TERM: 'xterm' }), true)
  t.equal(canRedraw(terminal, { TERM: 'dumb' }), false)
  t.equal(canRedraw({}, { TERM: 'xterm' }), false)
  t.end()
})

void t.test('text is measured in columns of the terminal', (t) => {
  t.equal(width('pump-7'), 6)
  t.equal(width('温度'), 4)
  t.equal(width('e\u0301'), 1)
  t.equal(width('\x1b[31mred\x1b[39m'), 3)
  t.equal(clip('temperature', 5), 'temp…')
  t.equal(clip('温度计', 5), '温度…')
  t.equal(clip('温度计', 4), '温…', 'never half a character')
  t.equal(clip('abc', 3), 'abc')
  t.equal(clip('abc', 0), '')
  t.equal(padEnd('温', 4), '温  ')
  t.equal(padStart('7', 3), '  7')
  t.end()
})
