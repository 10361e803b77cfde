import t from 'tap'
import { durationText, shellWord, valueText } from '@fieldwhisper/examples/dist/start/format.js'
import { subscribeCommand } from '@fieldwhisper/examples/dist/start/mqtt-line.js'

void t.test('values are shown with the units that people know', (t) => {
  const cases: [number | string | boolean | null, string | undefined, string][] = [
    [41.5, 'Cel', '41.5 °C'],
    [12.345678, '/100', '12.346 %'],
    [0.5, '/', '50 %'],
    [0, 'B', '0 B'],
    [1_023, 'B', '1023 B'],
    [1_024, 'B', '1.0 KiB'],
    [8_123_456_789, 'B', '7.6 GiB'],
    [150_000_000_000, 'B', '140 GiB'],
    [1_234_567, 'B/s', '1.2 MB/s'],
    [90, 's', '90 s'],
    [86_401, 's', '1 d'],
    [1.25, 'l/s', '1.25 l/s'],
    [1450, undefined, '1450'],
    [0.1 + 0.2, undefined, '0.3'],
    [123_456.789, undefined, '123456.8'],
    [1.5e-9, 'A', '1.50e-9 A'],
    [3e15, undefined, '3.00e+15'],
    ['RUN', undefined, 'RUN'],
    ['bad\u001b[2Jtext', undefined, 'bad\\u001b[2Jtext'],
    [true, undefined, 'true'],
    [null, 'Cel', 'none'],
  ]
  for (const [value, unit, text] of cases) t.equal(valueText(value, unit), text)
  t.equal(valueText('x'.repeat(500)).length, 41, 'a long text is cut')
  t.end()
})

void t.test('durations have their two largest parts', (t) => {
  const cases: [number, string][] = [
    [0, '0 s'],
    [-5, '0 s'],
    [999, '0 s'],
    [4_000, '4 s'],
    [125_000, '2 min 5 s'],
    [120_000, '2 min'],
    [11_520_000, '3 h 12 min'],
    [3_600_000 + 5_000, '1 h'],
    [86_400_000 * 12 + 3 * 3_600_000, '12 d 3 h'],
  ]
  for (const [ms, text] of cases) t.equal(durationText(ms), text)
  t.end()
})

void t.test('what a shell would take apart is quoted in the subscribe command', (t) => {
  t.equal(shellWord('fieldwhisper/+/+'), 'fieldwhisper/+/+')
  t.equal(shellWord("it's $HOME"), `'it'\\''s $HOME'`)
  t.equal(shellWord(''), "''")
  const access = {
    host: '::1',
    port: 1_884,
    user: 'plant a',
    password: '$x`y',
    topic: 'fieldwhisper/halle#/+/+',
    connected: true,
  }
  t.equal(
    subscribeCommand(access),
    "mosquitto_sub -h ::1 -p 1884 -u 'plant a' -P '$x`y' -t 'fieldwhisper/halle#/+/+' -v",
  )
  t.end()
})
