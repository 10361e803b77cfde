import t from 'tap'
import {
  DISCARD_REPORT_INTERVAL_MS,
  HEALTHY_AFTER_MS,
  MAX_NAMES_PER_PORT,
  MAX_SAMPLES_PENDING,
  MID_LINE_MS,
  PORT_CLOSE_LIMIT_MS,
  PORT_OPEN_LIMIT_MS,
  PORT_RETRY_MOST_MS,
  PORT_WATCH_INTERVAL_MS,
} from '../../../agent/src/sources/constants.js'
import { jsonFormat } from '../../../agent/src/sources/lines/json.js'
import { LineReader } from '../../../agent/src/sources/lines/reader.js'
import { pairsFormat } from '../../../agent/src/sources/lines/pairs.js'
import { openFault } from '../../../agent/src/sources/serial-fault.js'
import { SerialSource, type SerialOptions } from '../../../agent/src/sources/serial.js'
import { PaperPorts } from './fixtures/serial.js'
import { Basket, HandClock, settle } from './fixtures/sources.js'

const path = '/dev/ttyTEST'
const missing = new Error(`Error: No such file or directory, cannot open ${path}`)

function serial(ports: PaperPorts, options: Partial<SerialOptions> = {}) {
  const clock = new HandClock()
  const basket = new Basket()
  const source = new SerialSource(
    {
      name: 'serial',
      port: { path, baudRate: 9_600, dataBits: 8, parity: 'none', stopBits: 1, flowControl: 'none' },
      lineEnd: '\n',
      encoding: 'utf8',
      maxLineBytes: 40,
      format: pairsFormat({ decimalComma: false }),
      prefix: '',
      readings: new Map(),
      onlyListed: false,
      ...options,
    },
    clock,
    ports,
  )
  return { source, clock, basket }
}

/** A source with an open port in the quiet after opening, so that the next byte begins a line. */
async function open(ports = new PaperPorts(null), options: Partial<SerialOptions> = {}) {
  const all = serial(ports, options)
  all.source.start(all.basket)
  await all.clock.pass(MID_LINE_MS)
  return { ...all, ports }
}

void t.test('a line becomes samples with the time at which it was complete', async (t) => {
  const { source, clock, basket, ports } = await open()
  ports.last.type('flow=1.5 st')
  await clock.pass(1_000)
  t.same(basket.samples, [])
  ports.last.type('ate=RUN\r\n')
  await clock.pass(0)
  t.same(basket.samples, [
    { name: 'flow', value: 1.5, at: 2_100 },
    { name: 'state', value: 'RUN', at: 2_100 },
  ])
  t.equal(ports.last.flushed, 1, 'what the driver kept from before is thrown away')
  t.match(source.status(), {
    type: 'serial',
    state: 'running',
    quality: 'good',
    accepted: 2,
    lastSampleMs: 2_100,
  })
  await source.stop()
  t.equal(ports.last.closings, 1)
  t.equal(clock.waiting, 0)
})

void t.test('names, units and the prefix come from the configuration', async (t) => {
  const readings = new Map([
    ['T1', { name: 'inlet', unit: 'Cel' }],
    ['p', { unit: 'bar' }],
  ])
  const all = await open(new PaperPorts(null), { prefix: 'skid_', readings })
  all.ports.last.type('T1=20,p=2,n=3\n')
  await all.clock.pass(0)
  t.same(
    all.basket.samples.map(({ name, unit }) => [name, unit]),
    [
      ['inlet', 'Cel'],
      ['skid_p', 'bar'],
      ['skid_n', undefined],
    ],
  )
  await all.source.stop()

  const listed = await open(new PaperPorts(null), { readings, onlyListed: true })
  listed.ports.last.type('T1=20,p=2,n=3\n')
  await listed.clock.pass(0)
  t.same(
    listed.basket.samples.map(({ name }) => name),
    ['inlet', 'p'],
  )
  t.equal(listed.source.status().discarded, 0, 'what is not wanted is no fault')
  await listed.source.stop()
})

void t.test('a line that was under way when the port opened is skipped: its front is missing', async (t) => {
  const ports = new PaperPorts(null)
  const { source, clock, basket } = serial(ports)
  source.start(basket)
  await clock.pass(MID_LINE_MS - 1)
  ports.last.type('w=5\nflow=7')
  await clock.pass(1_000)
  ports.last.type('0\n')
  await clock.pass(0)
  t.same(basket.values('w'), [])
  t.same(basket.values('flow'), [70])
  t.equal(source.status().discarded, 0)
  await source.stop()
})

void t.test('a line that the unplugged cable cut off is no reading', async (t) => {
  const { source, clock, basket, ports } = await open()
  ports.last.type('flow=1')
  await clock.pass(0)
  ports.last.pullOut()
  await clock.pass(1_000 + MID_LINE_MS)
  ports.last.type('20\nflow=3\n')
  await clock.pass(0)
  t.same(basket.values('flow'), [3])
  await source.stop()
})

void t.test('the end of the stream counts as unplugged, and its unfinished line is no reading', async (t) => {
  const { source, clock, basket, ports } = await open()
  ports.last.type('flow=12')
  ports.last.push(null)
  await clock.pass(0)
  t.same(basket.samples, [])
  t.same(basket.codes(), ['FW_SERIAL_PORT_LOST'])
  t.equal(ports.last.closings, 1)
  await source.stop()
})

void t.test(
  'an unplugged device is one event, and is back by itself when it is plugged in again',
  async (t) => {
    const { source, clock, basket, ports } = await open(new PaperPorts(null, missing, missing, missing, null))
    await clock.pass(HEALTHY_AFTER_MS)
    ports.last.pullOut()
    t.match(source.status(), {
      state: 'failing',
      quality: 'bad',
      problems: [{ code: 'FW_SERIAL_PORT_LOST' }],
    })
    await clock.pass(14_000)
    t.equal(ports.made.length, 4, 'asked after 1, 3 and 7 s')
    t.same(basket.codes(), ['FW_SERIAL_PORT_LOST'])
    await clock.pass(1_000 + MID_LINE_MS)
    t.same(basket.codes(), ['FW_SERIAL_PORT_LOST', 'FW_SOURCE_RECOVERED'])
    t.match(source.status(), { state: 'running', quality: 'uncertain', problems: [] }, 'nothing has come yet')
    ports.last.type('a=1\n')
    await clock.pass(0)
    t.match(source.status(), { quality: 'good' })
    await source.stop()
  },
)

void t.test('a port that never comes is asked for with pauses that stay short, and said once', async (t) => {
  const ports = new PaperPorts(missing)
  const { source, clock, basket } = serial(ports)
  source.start(basket)
  await clock.pass(3_600_000)
  t.same(basket.codes(), ['FW_SERIAL_PORT_MISSING'])
  t.ok(ports.made.length >= 3_600_000 / PORT_RETRY_MOST_MS, `${ports.made.length}`)
  t.ok(ports.made.length <= 3_600_000 / PORT_RETRY_MOST_MS + 5, `${ports.made.length}`)
  t.match(source.status(), { state: 'failing', quality: 'bad' })
  await source.stop()
  t.equal(clock.waiting, 0)
})

void t.test('every way in which a port does not open has its code and says what to do', (t) => {
  for (const [text, code, advice] of [
    ['Error: No such file or directory, cannot open /dev/x', 'FW_SERIAL_PORT_MISSING', /plug the device in/],
    ['Error: Permission denied, cannot open /dev/x', 'FW_SERIAL_PORT_DENIED', /dialout/],
    ['Error Resource temporarily unavailable Cannot lock port', 'FW_SERIAL_PORT_BUSY', /fuser/],
    ['Error: Device or resource busy, cannot open /dev/x', 'FW_SERIAL_PORT_BUSY', /fuser/],
    ['Error: Inappropriate ioctl for device, cannot open /dev/x', 'FW_SERIAL_PORT_FAILED', /baud_rate/],
    ['No native build was found for platform=linux arch=riscv64', 'FW_SERIAL_UNSUPPORTED', /no driver/],
  ] as const) {
    const fault = openFault('/dev/x', new Error(text))
    t.equal(fault.code, code, text)
    t.match(fault.message, advice)
  }
  t.equal(openFault('/dev/x', 'thrown text').code, 'FW_SERIAL_PORT_FAILED')
  t.end()
})

void t.test(
  'a device that is swapped or gone without the driver noticing is noticed by its path',
  async (t) => {
    for (const present of [undefined, 'device 2']) {
      const { source, clock, basket, ports } = await open(new PaperPorts(null))
      ports.present = present
      await clock.pass(PORT_WATCH_INTERVAL_MS)
      t.same(basket.codes(), ['FW_SERIAL_PORT_LOST'])
      t.equal(ports.made[0]?.closings, 1)
      await clock.pass(1_000)
      t.equal(ports.made.length, 2)
      await source.stop()
    }
  },
)

void t.test('a port without a path in the file system is simply not watched', async (t) => {
  const ports = new PaperPorts(null)
  ports.present = undefined
  const { source, clock, basket } = await open(ports)
  await clock.pass(60_000)
  t.same(basket.codes(), [])
  await source.stop()
})

void t.test('noise is counted and reported once a minute, by kind, without its content', async (t) => {
  const { source, clock, basket, ports } = await open()
  const secret = 'hunter2'
  ports.last.type(Buffer.from([0xff, 0xfe, 0x0a]))
  ports.last.type(`${secret}\u0000\n${secret} ${secret}\n${'x'.repeat(41)}\n`)
  ports.last.type('y'.repeat(100))
  await clock.pass(0)
  ports.last.type('y'.repeat(100) + '=1\nok=1\n')
  await clock.pass(0)
  t.same(basket.codes(), ['FW_SERIAL_LINES_REFUSED'], 'the first at once')
  t.same(basket.events[0]?.fields, { source: 'serial', not_text: 1 })
  t.same(basket.values('ok'), [1], 'and the next good line is read')
  await clock.pass(DISCARD_REPORT_INTERVAL_MS)
  t.same(basket.events[1]?.fields, { source: 'serial', not_text: 1, not_understood: 1, too_long: 2 })
  t.equal(source.status().discarded, 5)
  t.notMatch(JSON.stringify(basket.events), secret)
  for (let i = 0; i < 100; i++) ports.last.type('noise\n')
  await clock.pass(10 * DISCARD_REPORT_INTERVAL_MS)
  t.equal(basket.events.length, 3)
  await source.stop()
})

void t.test('a line may have the highest length and not one byte more', async (t) => {
  const { source, clock, basket, ports } = await open()
  ports.last.type(`a="${'x'.repeat(36)}"\n`)
  ports.last.type(`b="${'x'.repeat(37)}"\n`)
  await clock.pass(0)
  t.same(
    basket.samples.map(({ name }) => name),
    ['a'],
  )
  await source.stop()
})

void t.test('garbled lines cannot invent names without end', async (t) => {
  const { source, clock, basket, ports } = await open()
  for (let i = 0; i < MAX_NAMES_PER_PORT + 10; i++) ports.last.type(`n${i}=1\n`)
  ports.last.type('n0=2\n')
  await clock.pass(0)
  t.equal(new Set(basket.samples.map(({ name }) => name)).size, MAX_NAMES_PER_PORT)
  t.same(basket.values('n0'), [1, 2], 'known names go on')
  t.equal(source.status().discarded, 10)
  t.match(basket.events[0]?.fields, { too_many_names: 1 })
  await source.stop()
})

void t.test('what the spool cannot take in time is counted and said, and the port is read on', async (t) => {
  const { source, clock, basket, ports } = await open(new PaperPorts(null), { format: jsonFormat() })
  const release: (() => void)[] = []
  basket.answer = () => new Promise((resolve) => release.push(resolve))
  for (let i = 0; i < MAX_SAMPLES_PENDING + 5; i++) ports.last.type('{"a":1}\n')
  await clock.pass(0)
  t.equal(basket.samples.length, MAX_SAMPLES_PENDING)
  t.same(basket.codes(), ['FW_SOURCE_NOT_ACCEPTED'])
  t.equal(source.status().discarded, 5)
  for (const done of release) done()
  await clock.pass(0)
  ports.last.type('{"a":2}\n')
  await clock.pass(0)
  t.equal(basket.samples.length, MAX_SAMPLES_PENDING + 1)
  await source.stop()
})

void t.test(
  'a damaged character does not leak into the next line, and latin1 is read where it is configured',
  async (t) => {
    const utf8 = await open()
    utf8.ports.last.type(Buffer.from([0x61, 0x3d, 0x31, 0xc3, 0x0a]))
    utf8.ports.last.type(Buffer.from([0xa9, 0x3d, 0x31, 0x0a]))
    utf8.ports.last.type('b=2\n')
    await utf8.clock.pass(0)
    t.same(
      utf8.basket.samples.map(({ name }) => name),
      ['b'],
    )
    await utf8.source.stop()

    const latin1 = await open(new PaperPorts(null), { encoding: 'latin1' })
    latin1.ports.last.type(Buffer.from('t°=3\n', 'latin1'))
    await latin1.clock.pass(0)
    t.same(latin1.basket.values('t°'), [3])
    await latin1.source.stop()
  },
)

void t.test('lines may end with a carriage return alone', async (t) => {
  const { source, clock, basket, ports } = await open(new PaperPorts(null), { lineEnd: '\r' })
  ports.last.type('a=1\ra=2\r')
  await clock.pass(0)
  t.same(basket.values('a'), [1, 2])
  await source.stop()
})

void t.test('a port that hangs while opening is reported, and closed when it opens after stop', async (t) => {
  const ports = new PaperPorts(undefined)
  const { source, clock, basket } = serial(ports)
  source.start(basket)
  await clock.pass(PORT_OPEN_LIMIT_MS)
  t.same(basket.codes(), ['FW_SERIAL_PORT_SLOW'])
  t.equal(ports.made.length, 1, 'no second attempt beside the first')
  const stopped = source.stop()
  await clock.pass(PORT_CLOSE_LIMIT_MS)
  await stopped
  t.equal(clock.waiting, 0)
})

void t.test('stopped while a port hangs in opening, nothing is left to wait for', async (t) => {
  const { source, clock, basket } = serial(new PaperPorts(undefined))
  source.start(basket)
  await clock.pass(1)
  const stopped = source.stop()
  await clock.pass(PORT_CLOSE_LIMIT_MS)
  await stopped
  t.equal(clock.waiting, 0)
  t.same(basket.codes(), [])
})

void t.test('a line without an end costs no more memory than the limit', async (t) => {
  const reader = new LineReader({ maxBytes: 100, lineEnd: '\n' })
  const lines: string[] = []
  let overlong = 0
  reader.on('data', (line: string) => lines.push(line)).on('overlong', () => overlong++)
  let most = 0
  for (let i = 0; i < 1_000; i++) {
    reader.write('x'.repeat(33))
    most = Math.max(most, reader.buffer.length)
  }
  reader.write('\ngood\n\n')
  await settle()
  t.ok(most <= 100, `${most} bytes kept`)
  t.equal(overlong, 1, 'one line, one fault')
  t.same(lines, ['good', ''])
})

void t.test('a port that opens after stop is closed at once', async (t) => {
  const ports = new PaperPorts(null)
  const { source, clock, basket } = serial(ports)
  source.start(basket)
  const stopped = source.stop()
  await clock.pass(0)
  await stopped
  t.equal(ports.last.isOpen, false)
  t.equal(ports.last.closings, 1)
  t.equal(clock.waiting, 0)
})

void t.test('a port whose driver does not finish closing does not hold up the end', async (t) => {
  const { source, clock, ports } = await open()
  ports.last.close = () => undefined
  const stopped = source.stop()
  await clock.pass(PORT_CLOSE_LIMIT_MS)
  await stopped
  t.equal(source.status().state, 'stopped')
})
