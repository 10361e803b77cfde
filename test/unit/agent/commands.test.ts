import { existsSync, mkdirSync, readFileSync, writeFileSync, chmodSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { encodeMessages, type Fields } from '@fieldwhisper/protocol'
import { MAX_VALUE_BYTES, OUTPUT_LIMIT_MS, READ_LIMIT_MS } from '../../../agent/src/commands/constants.js'
import { COMMAND_NAMES } from '../../../agent/src/commands/names.js'
import type { Output } from '../../../agent/src/commands/outputs.js'
import { CommandRunner, type RunnerParts } from '../../../agent/src/commands/runner.js'
import type { CommandReply } from '../../../agent/src/core/index.js'
import type { Latest } from '../../../agent/src/intake.js'
import type { Source, SourceStatus } from '../../../agent/src/sources/source.js'
import { systemTimers } from '../../../agent/src/sources/timers.js'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { Basket, HandClock, settle } from './fixtures/sources.js'

/** A source that does what a test says. */
class PaperSource implements Source {
  readonly name: string
  readonly done: string[] = []
  readNow?: () => Promise<void>
  setInterval?: (intervalMs: number) => void
  stopping: Promise<void> = Promise.resolve()

  constructor(name: string) {
    this.name = name
  }
  start(): void {
    this.done.push('start')
  }
  stop(): Promise<void> {
    this.done.push('stop')
    return this.stopping
  }
  status(): SourceStatus {
    throw new Error('nobody asks')
  }
}

interface Rig {
  readonly runner: CommandRunner
  readonly clock: HandClock
  readonly latest: Latest[]
  readonly basket: Basket
  readonly ask: (name: string, args?: Record<string, unknown>) => Promise<CommandReply>
}

function rig(t: Test, more: Partial<RunnerParts> = {}): Rig {
  const clock = new HandClock()
  const basket = new Basket()
  const latest: Latest[] = []
  const runner = new CommandRunner({
    allow: COMMAND_NAMES,
    outputs: new Map<string, Output>(),
    sources: () => [],
    sink: () => basket,
    latest: () => latest,
    acknowledge: (alarm) => alarm === 'hot',
    about: () => ({ version: '1.2.3', waiting: 4 }),
    monoMs: () => clock.clock.monoMs(),
    timers: clock.timers,
    reporter: basket,
    ...more,
  })
  t.teardown(() => runner.stop())
  const ask = (name: string, args: Record<string, unknown> = {}): Promise<CommandReply> =>
    runner.run({ id: 1, name, args: Object.entries(args) as unknown as Fields })
  return { runner, clock, latest, basket, ask }
}

void t.test('acknowledge notes that somebody has seen an alarm', async (t) => {
  const { ask } = rig(t)
  t.match(await ask('acknowledge', { alarm: 'hot' }), { status: 'done' })
})

void t.test('ping says which agent answers', async (t) => {
  const { ask } = rig(t)
  t.match(await ask('ping'), {
    status: 'done',
    code: 'FW_COMMAND_DONE',
    result: [
      ['version', '1.2.3'],
      ['readings_waiting', 4],
    ],
  })
})

void t.test(
  'what nobody knows, what is not allowed and wrong arguments are refused, each with its code',
  async (t) => {
    const source = new PaperSource('press')
    source.setInterval = () => source.done.push('interval')
    const outputs = new Map<string, Output>([['lamp', { type: 'file', path: '/proc/version' }]])
    const all = rig(t, { sources: () => [source], outputs })
    const none = rig(t, { allow: [], sources: () => [source], outputs })
    const refused = (code: string) => ({ status: 'refused', code, result: [] })
    t.match(await all.ask('reboot'), refused('FW_COMMAND_NOT_KNOWN'))
    t.match(await all.ask('constructor'), refused('FW_COMMAND_NOT_KNOWN'))
    for (const name of COMMAND_NAMES) t.match(await none.ask(name), refused('FW_COMMAND_NOT_ALLOWED'))
    const wrong: [string, Record<string, unknown>][] = [
      ['ping', { loud: true }],
      ['read_now', { source: 7 }],
      ['read_now', { source: 'drill' }],
      ['read_now', { source: 'press' }],
      ['read_now', {}],
      ['set_interval', { source: 'press' }],
      ['set_interval', { interval: '5s' }],
      ['set_interval', { source: 'press', interval: 5 }],
      ['set_interval', { source: 'press', interval: 'soon' }],
      ['set_interval', { source: 'press', interval: '999ms' }],
      ['set_interval', { source: 'press', interval: '3601s' }],
      ['set_interval', { source: 'drill', interval: '5s' }],
      ['restart_source', {}],
      ['restart_source', { source: 'drill' }],
      ['acknowledge', {}],
      ['acknowledge', { alarm: 'cold' }],
      ['write', { output: 'lamp' }],
      ['write', { output: 'lamp', value: null }],
      ['write', { output: 'toString', value: 1 }],
      ['write', { output: 'lamp', value: 'x'.repeat(MAX_VALUE_BYTES + 1) }],
      ['write', { output: 'lamp', value: 1, mode: 2 }],
    ]
    for (const [name, args] of wrong) {
      const said = await all.ask(name, args)
      t.match(said, refused('FW_COMMAND_ARGUMENTS'), `${name} ${JSON.stringify(args).slice(0, 60)}`)
      t.doesNotThrow(() => encodeMessages([{ kind: 'reply', id: 1, ...said }]))
    }
    t.same(source.done, [])
  },
)

void t.test(
  'read_now asks the sources that can be asked, and answers with what they measured since',
  async (t) => {
    const press = new PaperSource('press')
    const oven = new PaperSource('oven')
    const { ask, latest, clock } = rig(t, { sources: () => [press, oven, new PaperSource('line')] })
    latest.push({ name: 'old', unit: '', value: 1, agoMs: 5_000 })
    for (const source of [press, oven]) {
      source.readNow = () => {
        latest.push({ name: source.name, unit: 'Cel', value: 21.5, agoMs: 0 })
        return Promise.resolve()
      }
    }
    await clock.pass(100)
    const both = [
      ['press', 21.5],
      ['oven', 21.5],
    ]
    t.match(await ask('read_now'), { status: 'done', result: both })
    latest.length = 0
    t.same((await ask('read_now', { source: 'oven' })).result, [['oven', 21.5]])
    t.equal(clock.waiting, 0)
  },
)

void t.test('read_now answers with as many values as fit, and after 5 s with those that came', async (t) => {
  const slow = new PaperSource('slow')
  slow.readNow = () => new Promise(() => undefined)
  const { ask, latest, clock } = rig(t, { sources: () => [slow] })
  const first = ask('read_now')
  await clock.pass(READ_LIMIT_MS)
  t.match(await first, { status: 'failed', code: 'FW_COMMAND_TIMEOUT' })
  for (let i = 0; i < 100; i++)
    latest.push({ name: `${'n'.repeat(40)}${i}`, unit: '', value: i + 0.5, agoMs: 0 })
  const second = ask('read_now')
  await clock.pass(READ_LIMIT_MS)
  const said = await second
  t.equal(said.status, 'done')
  t.ok(said.result.length > 20 && said.result.length <= 64)
  t.doesNotThrow(() => encodeMessages([{ kind: 'reply', id: 1, ...said }]))
})

void t.test('set_interval and restart_source reach the source that they name', async (t) => {
  const press = new PaperSource('press')
  const given: number[] = []
  press.setInterval = (intervalMs) => void given.push(intervalMs)
  const { ask } = rig(t, { sources: () => [new PaperSource('oven'), press] })
  for (const interval of ['1s', '90s', '1h'])
    t.match(await ask('set_interval', { source: 'press', interval }), { status: 'done' })
  t.same(given, [1_000, 90_000, 3_600_000])
  t.match(await ask('restart_source', { source: 'press' }), { status: 'done' })
  t.same(press.done, ['stop', 'start'])
  t.match(await ask('set_interval', { source: 'oven', interval: '5s' }), { code: 'FW_COMMAND_ARGUMENTS' })
})

void t.test(
  'a source that is being restarted is not restarted by another command, nor by an agent that ends',
  async (t) => {
    const press = new PaperSource('press')
    let over: () => void = () => undefined
    press.stopping = new Promise((resolve) => (over = resolve))
    const { ask, runner } = rig(t, { sources: () => [press] })
    const first = ask('restart_source', { source: 'press' })
    t.match(await ask('restart_source', { source: 'press' }), { status: 'failed', code: 'FW_COMMAND_BUSY' })
    runner.stop()
    over()
    t.match(await first, { status: 'failed', code: 'FW_COMMAND_FAILED' })
    t.same(press.done, ['stop'])
  },
)

void t.test('an error in a source is its failure, and stands in the log', async (t) => {
  const press = new PaperSource('press')
  press.readNow = () => Promise.reject(new Error('a cable'))
  const { ask, basket } = rig(t, { sources: () => [press] })
  t.match(await ask('read_now'), { status: 'failed', code: 'FW_COMMAND_FAILED' })
  t.same(basket.codes(), ['FW_INTERNAL'])
})

void t.test('write puts a value as text into the file that the operator named', async (t) => {
  const folder = temporaryFolder(t)
  const path = join(folder, 'brightness')
  mkdirSync(join(folder, 'folder'))
  const { ask } = rig(t, {
    timers: systemTimers,
    outputs: new Map<string, Output>([
      ['lamp', { type: 'file', path }],
      ['wrong', { type: 'file', path: join(folder, 'folder') }],
    ]),
  })
  for (const [value, text] of [
    ['a longer text', 'a longer text'],
    [0.5, '0.5'],
    [true, 'true'],
    ['', ''],
    ['x'.repeat(MAX_VALUE_BYTES), 'x'.repeat(MAX_VALUE_BYTES)],
  ] as const) {
    t.match(await ask('write', { output: 'lamp', value }), { status: 'done' })
    t.equal(readFileSync(path, 'utf8'), text)
  }
  t.match(await ask('write', { output: 'wrong', value: 1 }), {
    status: 'failed',
    code: 'FW_COMMAND_FAILED',
    text: /EISDIR/,
  })
})

/** A shell script as an output. */
function script(t: Test, text: string): { output: Output; folder: string } {
  const folder = temporaryFolder(t)
  const program = join(folder, 'valve')
  writeFileSync(program, `#!/bin/sh\n${text}\n`)
  chmodSync(program, 0o755)
  return { output: { type: 'exec', program, args: [folder, '$(id)'] }, folder }
}

void t.test(
  'write runs a program with its own arguments, without a shell, the value on its input alone',
  async (t) => {
    const { output, folder } = script(
      t,
      'cat > "$1/value"; echo "$2" > "$1/arguments"; env > "$1/env"; pwd > "$1/cwd"',
    )
    const { ask } = rig(t, { timers: systemTimers, outputs: new Map([['valve', output]]) })
    const value = '$(touch /tmp/no); `id` | "quoted" \n line'
    t.match(await ask('write', { output: 'valve', value }), { status: 'done' })
    const read = (name: string): string => readFileSync(join(folder, name), 'utf8')
    t.equal(read('value'), value)
    t.equal(read('arguments'), '$(id)\n')
    t.equal(read('cwd'), '/\n')
    t.notMatch(read('env'), /touch|HOME=/)
  },
)

void t.test('a program that is not there, fails or does not read is told by its reply', async (t) => {
  const bad = script(t, 'exit 3').output
  const deaf = script(t, 'exec <&-; exit 0').output
  const gone: Output = { type: 'exec', program: '/no/such/program', args: [] }
  const outputs = new Map([
    ['bad', bad],
    ['deaf', deaf],
    ['gone', gone],
  ])
  const { ask } = rig(t, { timers: systemTimers, outputs })
  const value = 'v'.repeat(1_000)
  t.match(await ask('write', { output: 'bad', value }), { status: 'failed', text: /ended with 3/ })
  t.match(await ask('write', { output: 'deaf', value }), { status: 'done' })
  t.match(await ask('write', { output: 'gone', value }), { status: 'failed', text: /ENOENT/ })
})

void t.test(
  'a program that does not end is ended after 10 s, with all that it started; one at a time',
  async (t) => {
    const { output, folder } = script(t, 'sleep 600 & echo $! > "$1/child"; wait')
    const child = join(folder, 'child')
    const { ask, clock } = rig(t, { outputs: new Map([['valve', output]]) })
    const first = ask('write', { output: 'valve', value: 1 })
    await until(() => existsSync(child) && readFileSync(child, 'utf8').endsWith('\n'), {
      withinMs: 20_000,
      what: 'the program runs',
    })
    const pid = Number(readFileSync(child, 'utf8'))
    t.match(await ask('write', { output: 'valve', value: 2 }), { status: 'failed', code: 'FW_COMMAND_BUSY' })
    await clock.pass(OUTPUT_LIMIT_MS - 1)
    t.ok(existsSync(`/proc/${pid}`))
    await clock.pass(1)
    t.match(await first, { status: 'failed', code: 'FW_COMMAND_TIMEOUT' })
    await until(() => isGone(pid), { withinMs: 20_000, what: 'the end of what it started' })
    t.equal(clock.waiting, 0)
  },
)

void t.test('an agent that ends does not leave a program behind', async (t) => {
  const { output, folder } = script(t, 'echo $$ > "$1/child"; exec sleep 600')
  const child = join(folder, 'child')
  const { ask, runner } = rig(t, { outputs: new Map([['valve', output]]) })
  const first = ask('write', { output: 'valve', value: 1 })
  await until(() => existsSync(child) && readFileSync(child, 'utf8').endsWith('\n'), {
    withinMs: 20_000,
    what: 'the program runs',
  })
  runner.stop()
  t.match(await first, { status: 'failed', code: 'FW_COMMAND_FAILED' })
  await until(() => isGone(Number(readFileSync(child, 'utf8'))), { withinMs: 20_000, what: 'its end' })
  await settle()
})

/** Ended, also where nobody has fetched its exit code. */
function isGone(pid: number): boolean {
  try {
    return /^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return true
  }
}
