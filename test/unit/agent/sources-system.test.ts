import { hostname } from 'node:os'
import t from 'tap'
import {
  MAX_INTERFACES,
  MAX_POLLS_HANGING,
  POLL_LIMIT_MS,
  POLL_RETRY_FIRST_MS,
} from '../../../agent/src/sources/constants.js'
import type { Machine } from '../../../agent/src/sources/system-machine.js'
import { SYSTEM_READINGS, type SystemReading } from '../../../agent/src/sources/system-probes.js'
import { SystemSource } from '../../../agent/src/sources/system.js'
import { systemTimers } from '../../../agent/src/sources/timers.js'
import { Basket, HandClock } from './fixtures/sources.js'

const never = (): Promise<never> => new Promise(() => undefined)

/** A machine made of numbers; a test changes them. */
class PaperMachine implements Machine {
  busyMs = 0
  idleMs = 0
  cores = 2
  celsius: number | undefined = 48.3
  counters = new Map([['eth0', { received: 1_000, sent: 500 }]])
  names = ['eth0']
  polls = 0
  fileSystems = new Map([['/', 1]])
  memory = (): Promise<{ totalBytes: number; availableBytes: number }> => {
    this.polls++
    return Promise.resolve({ totalBytes: 8_000, availableBytes: 5_000 })
  }

  processorTimes() {
    return { cores: this.cores, totalMs: this.busyMs + this.idleMs, idleMs: this.idleMs }
  }
  temperature() {
    return Promise.resolve(this.celsius)
  }
  disk(path: string) {
    return Promise.resolve({ usedBytes: path.length * 100, availableBytes: 50 })
  }
  fileSystem(path: string) {
    return Promise.resolve(this.fileSystems.get(path) ?? 2)
  }
  interfaces() {
    return this.names
  }
  interfaceCounters(name: string) {
    return Promise.resolve(this.counters.get(name))
  }
  loadAverage() {
    return [0.123, 0.5, 1]
  }
  uptimeSeconds() {
    return 77.9
  }
}

function source(
  readings: readonly SystemReading[],
  machine = new PaperMachine(),
  extra: { prefix?: string; interfaces?: readonly string[]; stateFolder?: string } = {},
) {
  const clock = new HandClock()
  const basket = new Basket()
  const { prefix = '', ...rest } = extra
  const made = new SystemSource(
    { name: 'system', prefix, intervalMs: 5_000, readings, ...rest },
    clock,
    machine,
  )
  return { source: made, clock, basket, machine }
}

void t.test(
  'every reading of a host has its name, its SenML unit and the time it was measured',
  async (t) => {
    const {
      source: system,
      clock,
      basket,
      machine,
    } = source(SYSTEM_READINGS, new PaperMachine(), { prefix: 'pi_' })
    system.start(basket)
    await clock.pass(0)
    machine.busyMs = 1_250
    machine.idleMs = 3_750
    machine.counters.set('eth0', { received: 11_000, sent: 1_500 })
    basket.samples.length = 0
    await clock.pass(5_000)
    t.same(
      basket.samples.map(({ name, value, unit }) => [name, value, unit]).sort(),
      [
        ['pi_cpu_load', 25, '/100'],
        ['pi_load_1min', 0.12, undefined],
        ['pi_load_5min', 0.5, undefined],
        ['pi_load_15min', 1, undefined],
        ['pi_uptime', 77, 's'],
        ['pi_cpu_temperature', 48.3, 'Cel'],
        ['pi_memory_used', 3_000, 'B'],
        ['pi_memory_available', 5_000, 'B'],
        ['pi_disk_root_used', 100, 'B'],
        ['pi_disk_root_available', 50, 'B'],
        ['pi_network_eth0_received', 2_000, 'B/s'],
        ['pi_network_eth0_sent', 200, 'B/s'],
      ].sort(),
    )
    t.ok(basket.samples.every(({ at }) => at === 6_000))
    t.match(system.status(), {
      type: 'system',
      state: 'running',
      quality: 'good',
      lastSampleMs: 6_000,
      problems: [],
    })
    await system.stop()
  },
)

void t.test(
  'the first look at a counter gives no rate, and neither does a counter that was reset',
  async (t) => {
    const { source: system, clock, basket, machine } = source(['cpu', 'network'])
    system.start(basket)
    await clock.pass(0)
    t.same(basket.samples, [])

    machine.counters.set('eth0', { received: 10, sent: 0 })
    machine.busyMs = -1
    await clock.pass(5_000)
    t.same(basket.samples, [], 'both went back')

    machine.counters.set('eth0', { received: 510, sent: 0 })
    machine.idleMs = 5_000
    await clock.pass(5_000)
    t.same(basket.values('network_eth0_received'), [100])
    t.same(basket.values('cpu_load'), [0])

    machine.counters.delete('eth0')
    await clock.pass(5_000)
    machine.counters.set('eth0', { received: 1_000_000, sent: 1_000_000 })
    await clock.pass(300_000)
    t.ok(
      basket.values('network_eth0_received').every((rate) => rate === 100 || rate === 0),
      'an interface that came back starts anew',
    )
    await system.stop()
  },
)

void t.test('a machine without a sensor says so once and the source is well', async (t) => {
  const machine = new PaperMachine()
  machine.celsius = undefined
  const { source: system, clock, basket } = source(['temperature', 'uptime'], machine)
  system.start(basket)
  await clock.pass(60_000)
  t.same(basket.codes(), ['FW_SYSTEM_ABSENT'])
  t.equal(basket.events[0]?.level, 'info')
  t.same(basket.values('cpu_temperature'), [])
  t.match(system.status(), { state: 'running', quality: 'good', problems: [{ code: 'FW_SYSTEM_ABSENT' }] })

  machine.celsius = 40
  await clock.pass(300_000)
  t.ok(basket.values('cpu_temperature').length > 0, 'a sensor that appears is read')
  t.same(basket.codes(), ['FW_SYSTEM_ABSENT'])
  t.same(system.status().problems, [])
  await system.stop()
})

void t.test(
  'a part that fails says so once, is asked less often, costs the others nothing, and recovers',
  async (t) => {
    const machine = new PaperMachine()
    let failing = true
    const memory = machine.memory
    machine.memory = () => (failing ? (machine.polls++, Promise.reject(new Error('no /proc'))) : memory())
    const { source: system, clock, basket } = source(['memory', 'uptime'], machine)
    system.start(basket)
    await clock.pass(60_000)
    t.same(basket.codes(), ['FW_SYSTEM_POLL_FAILED'])
    t.match(basket.events[0], { level: 'warn', fields: { source: 'system' } })
    t.match(basket.events[0]?.message, /memory.*no \/proc/)
    t.ok(machine.polls <= 5, `asked ${machine.polls} times in a minute`)
    t.equal(basket.values('uptime').length, 13)
    t.match(system.status(), { state: 'failing', quality: 'uncertain' })

    failing = false
    await clock.pass(300_000)
    t.same(basket.codes(), ['FW_SYSTEM_POLL_FAILED', 'FW_SOURCE_RECOVERED'])
    t.match(system.status(), { state: 'running', quality: 'good', problems: [] })
    await system.stop()
  },
)

void t.test('a source all of whose parts fail is bad', async (t) => {
  const machine = new PaperMachine()
  machine.memory = () => Promise.reject(new Error('no'))
  const { source: system, clock, basket } = source(['memory'], machine)
  t.match(system.status(), { state: 'stopped', quality: 'uncertain' })
  system.start(basket)
  await clock.pass(0)
  t.match(system.status(), { state: 'failing', quality: 'bad', sinceMs: 1_000 })
  await system.stop()
  t.match(system.status(), { state: 'stopped', quality: 'uncertain', problems: [] })
})

void t.test(
  'a poll that hangs is given up, never overlapped, and its late answer never becomes a reading',
  async (t) => {
    const machine = new PaperMachine()
    const answers: ((memory: { totalBytes: number; availableBytes: number }) => void)[] = []
    machine.memory = () => new Promise((resolve) => answers.push(resolve))
    const { source: system, clock, basket } = source(['memory', 'uptime'], machine)
    system.start(basket)
    await clock.pass(POLL_LIMIT_MS - 1)
    t.same(basket.codes(), [])
    await clock.pass(1)
    t.same(basket.codes(), ['FW_SYSTEM_POLL_TIMEOUT'])
    t.equal(answers.length, 1)

    answers[0]?.({ totalBytes: 2, availableBytes: 1 })
    await clock.pass(0)
    t.same(basket.values('memory_used'), [], 'the answer came too late')

    await clock.pass(POLL_RETRY_FIRST_MS + 1_000)
    t.equal(answers.length, 2, 'asked again')
    answers[1]?.({ totalBytes: 9, availableBytes: 4 })
    await clock.pass(0)
    t.same(basket.values('memory_used'), [5])
    t.same(basket.codes(), ['FW_SYSTEM_POLL_TIMEOUT', 'FW_SOURCE_RECOVERED'])
    t.equal(basket.values('uptime').length, 3, 'the other part went on')
    await system.stop()
  },
)

void t.test('polls that hang for ever do not pile up', async (t) => {
  const machine = new PaperMachine()
  machine.memory = () => {
    machine.polls++
    return never()
  }
  const { source: system, clock, basket } = source(['memory'], machine)
  system.start(basket)
  await clock.pass(24 * 3_600_000)
  t.equal(machine.polls, MAX_POLLS_HANGING)
  t.same(basket.codes(), ['FW_SYSTEM_POLL_TIMEOUT'])
  await system.stop()
})

void t.test('rounds that a sleeping machine missed are not made up for', async (t) => {
  const { source: system, clock, basket } = source(['uptime'])
  system.start(basket)
  await clock.pass(0)
  clock.jump(3_600_000)
  await clock.pass(0)
  t.equal(basket.samples.length, 2)
  await clock.pass(5_000)
  t.equal(basket.samples.length, 3)
  await system.stop()
})

void t.test('the state folder is reported where it is on another file system, and only there', async (t) => {
  const machine = new PaperMachine()
  machine.fileSystems.set('/same', 1)
  for (const [stateFolder, names] of [
    ['/same', ['disk_root_used', 'disk_root_available']],
    ['/other', ['disk_root_used', 'disk_root_available', 'disk_state_used', 'disk_state_available']],
  ] as const) {
    const { source: system, clock, basket } = source(['disk'], machine, { stateFolder })
    system.start(basket)
    await clock.pass(0)
    t.same(
      basket.samples.map(({ name }) => name),
      names,
    )
    await system.stop()
  }
})

void t.test(
  'interfaces of containers are left out, the number is bounded, chosen ones are exact',
  async (t) => {
    const machine = new PaperMachine()
    machine.names = [
      'docker0',
      'veth12ab',
      'br-77aa',
      ...Array.from({ length: MAX_INTERFACES + 3 }, (_, n) => `eth${n}`),
    ]
    for (const name of machine.names) machine.counters.set(name, { received: 0, sent: 0 })
    const all = source(['network'], machine)
    all.source.start(all.basket)
    await all.clock.pass(10_000)
    const seen = new Set(all.basket.samples.map(({ name }) => name.split('_')[1]))
    t.same([...seen].sort(), Array.from({ length: MAX_INTERFACES }, (_, n) => `eth${n}`).sort())
    t.same(all.basket.codes(), ['FW_SYSTEM_TOO_MANY_INTERFACES'])
    await all.source.stop()

    const chosen = source(['network'], machine, { interfaces: ['docker0', 'wlan9'] })
    chosen.source.start(chosen.basket)
    await chosen.clock.pass(5_000)
    t.same(
      chosen.basket.samples.map(({ name }) => name),
      ['network_docker0_received', 'network_docker0_sent'],
    )
    await chosen.source.stop()
  },
)

void t.test(
  'a sink that refuses or throws is counted, reported at a bounded rate, and stops nothing',
  async (t) => {
    const { source: system, clock, basket } = source(['uptime', 'load'])
    let calls = 0
    basket.answer = () => {
      calls++
      if (calls % 2 === 0) throw new Error('refused')
      return Promise.reject(new Error('refused later'))
    }
    system.start(basket)
    await clock.pass(50_000)
    t.equal(calls, 44)
    t.match(system.status(), { accepted: 0, refused: 44 })
    t.same(basket.codes(), ['FW_SOURCE_NOT_ACCEPTED'])
    await clock.pass(60_000)
    t.equal(basket.codes().length, 2)
    await system.stop()
  },
)

void t.test('a refusal that comes after the end is counted and starts no timer', async (t) => {
  const { source: system, clock, basket } = source(['uptime'])
  let refuse = (): void => undefined
  basket.answer = () => new Promise((_, reject) => (refuse = () => reject(new Error('closed'))))
  system.start(basket)
  await clock.pass(0)
  t.equal(system.status().accepted, 1)
  await system.stop()
  refuse()
  await clock.pass(0)
  t.match(system.status(), { accepted: 0, refused: 1 })
  t.equal(clock.waiting, 0)
})

void t.test('a machine that tells nothing about its processor says so once', async (t) => {
  const machine = new PaperMachine()
  machine.cores = 0
  const { source: system, clock, basket } = source(['cpu'], machine)
  system.start(basket)
  await clock.pass(20_000)
  t.same(basket.codes(), ['FW_SYSTEM_ABSENT'])
  t.same(basket.samples, [])
  await system.stop()
})

void t.test('a stopped source hands over nothing, leaves no timer, and can be started again', async (t) => {
  const machine = new PaperMachine()
  let answer: ((memory: { totalBytes: number; availableBytes: number }) => void) | undefined
  machine.memory = () => new Promise((resolve) => (answer = resolve))
  const { source: system, clock, basket } = source(['memory', 'uptime'], machine)
  system.start(basket)
  system.start(basket)
  await clock.pass(0)
  t.equal(basket.samples.length, 1, 'a second start changes nothing')
  await system.stop()
  answer?.({ totalBytes: 2, availableBytes: 1 })
  t.equal(clock.waiting, 0)
  await clock.pass(60_000)
  t.equal(basket.samples.length, 1)
  system.start(basket)
  await clock.pass(0)
  t.equal(basket.values('uptime').length, 2)
  await system.stop()
})

void t.test('this machine tells about itself', async (t) => {
  const basket = new Basket()
  const monoMs = (): number => Math.round(performance.now())
  const system = new SystemSource(
    { name: hostname(), prefix: '', intervalMs: 1_000, readings: SYSTEM_READINGS, stateFolder: t.testdir() },
    { clock: { monoMs }, timers: systemTimers },
  )
  const complete = new Promise<void>((resolve, reject) => {
    const deadline = setTimeout(() => reject(new Error(`only ${JSON.stringify(basket.samples)}`)), 30_000)
    basket.answer = ({ name }) => {
      const seen = new Set([...basket.samples.map((sample) => sample.name), name])
      if (['cpu_load', 'memory_used', 'disk_root_used', 'uptime'].every((wanted) => seen.has(wanted))) {
        clearTimeout(deadline)
        resolve()
      }
    }
  })
  system.start(basket)
  await complete
  await system.stop()

  const value = (name: string): number => Number(basket.values(name).at(-1))
  t.ok(value('cpu_load') >= 0 && value('cpu_load') <= 100, `cpu_load ${value('cpu_load')}`)
  t.ok(value('memory_used') > 1_000_000 && value('memory_available') > 1_000_000)
  t.ok(value('disk_root_used') > 1_000_000)
  t.ok(value('uptime') > 0)
  const temperature = basket.values('cpu_temperature').at(-1)
  if (temperature === undefined) t.match(basket.codes(), ['FW_SYSTEM_ABSENT'])
  else t.ok(Number(temperature) > -40 && Number(temperature) < 130)
})

void t.test('it measures now when it is asked, and goes on at its interval', async (t) => {
  const { source: system, clock, basket } = source(['uptime', 'load'])
  system.start(basket)
  await clock.pass(2_000)
  basket.samples.length = 0
  await system.readNow()
  t.same(
    basket.samples.map(({ name, at }) => [name, at]),
    [
      ['uptime', 3_000],
      ['load_1min', 3_000],
      ['load_5min', 3_000],
      ['load_15min', 3_000],
    ],
  )
  basket.samples.length = 0
  await clock.pass(3_000)
  t.equal(basket.values('uptime').length, 1, 'when it was due')
  await system.stop()
  await system.readNow()
  t.equal(basket.values('uptime').length, 1, 'nothing after its end')
})

void t.test('asked now, it waits for the poll under way, and not for one that hangs', async (t) => {
  const machine = new PaperMachine()
  machine.memory = never
  const { source: system, clock, basket } = source(['memory'], machine)
  system.start(basket)
  let over = false
  void system.readNow().then(() => (over = true))
  await clock.pass(POLL_LIMIT_MS - 1)
  t.equal(over, false)
  await clock.pass(1)
  t.equal(over, true)
  await system.stop()
})

void t.test('another interval holds until it is started again', async (t) => {
  const { source: system, clock, basket } = source(['uptime'])
  const count = (): number => basket.values('uptime').length
  system.setInterval(1_000)
  t.equal(clock.waiting, 0, 'not before the start')
  system.start(basket)
  await clock.pass(0)
  t.equal(count(), 1)
  system.setInterval(1_000)
  await clock.pass(10_000)
  t.equal(count(), 11)
  await system.stop()
  system.start(basket)
  await clock.pass(10_000)
  t.equal(count(), 14)
  await system.stop()
})
