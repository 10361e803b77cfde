/** A serial device made of two pseudo-terminals that `socat` joins: killing it is pulling the plug. */
import { existsSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { pairsFormat } from '../../../agent/src/sources/lines/pairs.js'
import { SerialSource } from '../../../agent/src/sources/serial.js'
import { systemTimers } from '../../../agent/src/sources/timers.js'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { Basket } from '../../unit/agent/fixtures/sources.js'
import { livingChildren } from '../support/proc.js'
import { here, type Program } from '../support/process.js'

const socat = ['/usr/bin/socat', '/usr/local/bin/socat', '/opt/homebrew/bin/socat'].find(existsSync)
const skip = socat === undefined ? 'socat is not installed (apt-get install socat)' : false

class Device {
  readonly path: string
  readonly #far: string
  #program: Program | undefined
  #handle: FileHandle | undefined

  constructor(folder: string) {
    this.path = join(folder, 'ttyTEST')
    this.#far = join(folder, 'device')
  }

  async plugIn(): Promise<void> {
    const pty = 'pty,raw,echo=0'
    this.#program = here.spawn(socat ?? '', [
      '-d',
      '-d',
      `${pty},link=${this.#far}`,
      `${pty},link=${this.path}`,
    ])
    await this.#program.line(/starting data transfer loop/, 10_000)
    this.#handle = await open(this.#far, 'r+')
  }

  async type(text: string): Promise<void> {
    await this.#handle?.write(text)
  }

  async pullOut(): Promise<void> {
    await this.#handle?.close()
    this.#handle = undefined
    await this.#program?.kill()
  }
}

function source(path: string): { source: SerialSource; basket: Basket } {
  const made = new SerialSource(
    {
      name: 'skid',
      port: { path, baudRate: 9_600, dataBits: 8, parity: 'none', stopBits: 1, flowControl: 'none' },
      lineEnd: '\n',
      encoding: 'utf8',
      maxLineBytes: 4_096,
      format: pairsFormat({ decimalComma: false }),
      prefix: '',
      readings: new Map([['t', { unit: 'Cel' }]]),
      onlyListed: false,
    },
    { clock: { monoMs: () => Math.round(performance.now()) }, timers: systemTimers },
  )
  return { source: made, basket: new Basket() }
}

/** A device sends its value again and again; the first line may fall into the moment of opening. */
async function arrives(device: Device, basket: Basket, value: number): Promise<void> {
  await until(
    async () => {
      await device.type(`t=${value}\r\n`)
      return basket.values('t').includes(value)
    },
    { withinMs: 20_000, everyMs: 50, what: `the reading ${value}` },
  )
}

const heard = (basket: Basket, code: string) =>
  until(() => basket.codes().includes(code), { withinMs: 20_000, what: code })

void t.test('a serial device is read, pulled out, plugged in again and read on', { skip }, async (t) => {
  const device = new Device(temporaryFolder(t))
  t.teardown(() => device.pullOut())
  const { source: serial, basket } = source(device.path)

  serial.start(basket)
  await heard(basket, 'FW_SERIAL_PORT_MISSING')
  t.equal(serial.status().quality, 'bad', 'started before its device')

  await device.plugIn()
  await arrives(device, basket, 21.5)
  t.match(serial.status(), { state: 'running', quality: 'good' })
  t.match(basket.samples.at(-1), { name: 't', unit: 'Cel', value: 21.5 })

  for (const value of [22, 23]) {
    await device.pullOut()
    await until(() => serial.status().quality === 'bad', { withinMs: 20_000, what: 'the loss to be noticed' })
    t.match(serial.status(), { problems: [{ code: 'FW_SERIAL_PORT_LOST' }] })
    const taken = basket.samples.length
    await device.plugIn()
    await arrives(device, basket, value)
    t.ok(
      basket.samples.slice(taken).every((sample) => sample.value === value),
      'no old value is repeated',
    )
  }
  t.same(basket.codes(), [
    'FW_SERIAL_PORT_MISSING',
    'FW_SOURCE_RECOVERED',
    'FW_SERIAL_PORT_LOST',
    'FW_SOURCE_RECOVERED',
    'FW_SERIAL_PORT_LOST',
    'FW_SOURCE_RECOVERED',
  ])
  await serial.stop()
})

void t.test('a burst of lines, noise among them, loses no whole line', { skip }, async (t) => {
  const device = new Device(temporaryFolder(t))
  await device.plugIn()
  t.teardown(() => device.pullOut())
  const { source: serial, basket } = source(device.path)
  serial.start(basket)
  await arrives(device, basket, -1)

  const count = 2_000
  for (let n = 0; n < count; n += 50) {
    let lines = ''
    for (let i = n; i < n + 50; i++)
      lines += `n=${i};state=RUN\n${i % 10 === 0 ? `\u0001garbage ${i}\n` : ''}`
    await device.type(lines)
    await until(() => basket.values('n').length >= n, { withinMs: 20_000, everyMs: 1, what: `line ${n}` })
  }
  await until(() => basket.values('n').length >= count, { withinMs: 20_000, what: 'the last line' })
  t.same(
    basket.values('n'),
    Array.from({ length: count }, (_, n) => n),
  )
  t.equal(serial.status().discarded, count / 10)
  t.same(basket.codes(), ['FW_SERIAL_LINES_REFUSED'])
  await serial.stop()
})

void t.test(
  'a port that another program holds is reported as busy and taken when it is free',
  { skip },
  async (t) => {
    const device = new Device(temporaryFolder(t))
    await device.plugIn()
    t.teardown(() => device.pullOut())
    const first = source(device.path)
    first.source.start(first.basket)
    await arrives(device, first.basket, 1)

    const second = source(device.path)
    second.source.start(second.basket)
    await heard(second.basket, 'FW_SERIAL_PORT_BUSY')
    t.match(second.basket.events[0]?.message, /sudo fuser/)
    await second.source.stop()
    await first.source.stop()
  },
)

void t.test('a file that is no serial port says what is wrong', async (t) => {
  const { source: serial, basket } = source('/dev/null')
  serial.start(basket)
  await heard(basket, 'FW_SERIAL_PORT_FAILED')
  t.match(basket.events[0]?.message, /\/dev\/null.*check that path is a serial port/)
  await serial.stop()
})

void t.test('nothing is left running', { skip }, (t) => {
  t.same(
    livingChildren().filter((child) => child.includes('socat')),
    [],
  )
  t.end()
})
