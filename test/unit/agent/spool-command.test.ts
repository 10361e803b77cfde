import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { openStore, serveControl } from '@fieldwhisper/host'
import t, { type Test } from 'tap'
import { csv, senml } from '../../../agent/src/look/formats.js'
import { rowOf } from '../../../agent/src/look/rows.js'
import { spoolHandlers } from '../../../agent/src/look/source.js'
import { SPOOL_TABLES } from '../../../agent/src/spool/index.js'
import { temporaryFolder } from '../../support/folder.js'
import { cli, here, type Finished, type Program } from '../../system/support/process.js'
import { Agent, type AgentState } from '../../system/support/site.js'
import { openRig } from './spool-rig.js'

/*
 * `fieldwhisper-agent spool` with the real program, beside an agent and without one.
 */

const silent = { event: () => undefined }
const [node, program] = cli('agent')

function spool(state: string, ...args: readonly string[]): Promise<Finished> {
  return here.run(node, [program, 'spool', ...args, '--state', state])
}

function refusedWith(test: Test, done: Finished, code: string): void {
  test.equal(done.code, 1)
  test.match(done.stderr, new RegExp(`^error ${code}: `, 'm'))
  test.equal(done.stdout, '')
}

/** The spool of an agent that is gone, with 35 readings: three batches and five readings in none. */
async function leftBehind(test: Test): Promise<string> {
  const state = join(temporaryFolder(test), 'agent')
  mkdirSync(state, { mode: 0o700 })
  const store = await openStore({ dir: join(state, 'spool'), tables: SPOOL_TABLES, reporter: silent })
  const rig = await openRig({ store, maxReadings: 10, intervalMs: 1e9 })
  rig.feed(35)
  const deadline = performance.now() + 10_000
  while (rig.spool.counters.held < 35) {
    if (performance.now() > deadline) throw new Error('the readings did not come to disk')
    await rig.timers.turn(100)
  }
  await rig.spool.close()
  await store.close()
  return state
}

async function running(test: Test): Promise<{ agent: Agent; process: Program }> {
  const sources = [{ type: 'simulate', rate: 20, readings: [{ name: 'counter', waveform: 'counter' }] }]
  const folder = temporaryFolder(test)
  const agent = new Agent(here, 'press', { folder }, { lan: { enabled: false }, relays: [], sources })
  const process = agent.spawn('run')
  test.teardown(() => process.kill())
  const what = { withinMs: 30_000, what: 'twenty readings in the spool' }
  await agent.untilStatus<AgentState>(({ spool }) => spool.held >= 20, what)
  return { agent, process }
}

void t.test(
  'without an agent: numbers, the next readings and all of them, and the spool is as before',
  async (t) => {
    const state = await leftBehind(t)
    const disk = (): string[] =>
      readdirSync(join(state, 'spool')).map((name) => {
        const { size, mtimeMs } = statSync(join(state, 'spool', name))
        return name === 'lock.mdb' ? name : `${name} ${size} ${mtimeMs}`
      })
    const before = disk()
    const stats = await spool(state, 'stats', '--json')
    t.match(JSON.parse(stats.stdout), {
      readings: 35,
      batches: 3,
      openReadings: 5,
      accepted: 35,
      agent: null,
      gapCount: 0,
    })
    const shown = await spool(state, 'stats')
    t.match(shown.stdout, /35 readings for the gateway: 3 batches/)
    t.match(shown.stdout, /no agent runs here/)
    const peek = await spool(state, 'peek', '--json', '--count', '3')
    t.match(JSON.parse(peek.stdout), [
      { value: 0 },
      { value: 1 },
      { value: 2, name: 'counter', unit: 'Cel', quality: 'good' },
    ])
    const table = await spool(state, 'peek')
    t.equal(table.stdout.trim().split('\n').length, 11, 'ten by default, and the titles')
    const file = join(state, 'out.json')
    const exported = await spool(state, 'export', file)
    t.match(exported.stderr, /35 readings written to/)
    t.equal(statSync(file).mode & 0o777, 0o600)
    const pack = JSON.parse(readFileSync(file, 'utf8')) as { n: string; v: number; t: number; bn?: string }[]
    t.same(
      pack.map(({ v }) => v),
      Array.from({ length: 35 }, (_, i) => i),
    )
    t.match(pack[0], { n: 'counter', u: 'Cel', bn: /\/$/, t: Number, id: /^[0-9a-f]{24}-0-0$/ })
    t.same(disk(), before)
  },
)

void t.test('beside a running agent: the same, by its control socket, and it goes on', async (t) => {
  const { agent } = await running(t)
  const stats = JSON.parse((await spool(agent.stateDir, 'stats', '--json')).stdout) as Record<string, number>
  t.match(stats, { agent: { joined: false, inFlight: 0 } })
  t.equal(stats['accepted'], stats['readings']! + stats['acknowledged']! + stats['dropped']!)
  const lines = (await spool(agent.stateDir, 'export', '-', '--format', 'csv')).stdout.trim().split(/\r?\n/)
  t.equal(lines[0], 'id,time,name,unit,type,value,quality,clock')
  t.ok(lines.length > stats['readings']!, `${lines.length} lines for ${stats['readings']} readings and more`)
  t.same(
    lines.slice(1).map((line) => line.split(',')[5]),
    lines.slice(1).map((_, i) => String(i)),
  )
  const held = stats['readings']!
  await agent.untilStatus<AgentState>(({ spool }) => spool.held > held + 20, {
    withinMs: 20_000,
    what: 'more readings',
  })
})

void t.test('an agent that hangs is named, and its spool is not opened', { timeout: 60_000 }, async (t) => {
  const { agent, process } = await running(t)
  process.signal('SIGSTOP')
  const hung = await spool(agent.stateDir, 'stats')
  process.signal('SIGCONT')
  refusedWith(t, hung, 'FW_AGENT_NO_ANSWER')
  t.match(hung.stderr, /does not answer/)
})

void t.test('an agent that knows no spool command is no reason to open its spool', async (t) => {
  const state = await leftBehind(t)
  const control = await serveControl(state, { status: () => null }, silent)
  t.teardown(() => control.close())
  refusedWith(t, await spool(state, 'stats'), 'FW_AGENT_NO_ANSWER')
  await control.close()
  const starting = await serveControl(
    state,
    spoolHandlers(
      () => undefined,
      () => t.fail('asked for news') as never,
    ),
    silent,
  )
  t.teardown(() => starting.close())
  refusedWith(t, await spool(state, 'peek'), 'FW_AGENT_STARTING')
})

void t.test('a file is never overwritten, and one that cannot be written is not left half', async (t) => {
  const state = await leftBehind(t)
  const file = join(state, 'mine')
  writeFileSync(file, 'mine')
  refusedWith(t, await spool(state, 'export', file), 'FW_EXPORT_FILE_EXISTS')
  t.equal(readFileSync(file, 'utf8'), 'mine')
  refusedWith(t, await spool(state, 'export', join(state, 'no', 'folder')), 'FW_EXPORT_FAILED')
  refusedWith(t, await spool(join(state, 'elsewhere'), 'export', join(state, 'new')), 'FW_SPOOL_NONE')
  t.notOk(existsSync(join(state, 'new')))
  t.notOk(existsSync(join(state, 'elsewhere')), 'and no folder was made')
})

void t.test('a damaged spool is named and left for the agent', async (t) => {
  const state = await leftBehind(t)
  writeFileSync(join(state, 'spool', 'damaged'), '')
  refusedWith(t, await spool(state, 'export', join(state, 'new')), 'FW_STORE_DAMAGED')
  t.notOk(existsSync(join(state, 'new')))
  t.same(readdirSync(state).sort(), ['spool'])
})

void t.test('what is used wrongly says how it is used', async (t) => {
  const state = await leftBehind(t)
  for (const [args, text] of [
    [['stat'], /Did you mean "stats"\?/],
    [['peek', 'file'], /takes no FILE/],
    [['peek', '--count', '1001'], /1 to 1000/],
    [['peek', '--count', '0'], /1 to 1000/],
    [['export'], /needs a FILE/],
    [['export', '-', '--format', 'xml'], /senml or csv/],
  ] as const) {
    const done = await spool(state, ...args)
    t.equal(done.code, 2, args.join(' '))
    t.match(done.stderr, text)
  }
  t.equal((await spool(state, 'peek', '--count', '1000')).code, 0)
})

void t.test('values of every kind and names that SenML does not take', (t) => {
  const reading = { name: 'Öl °C', quality: 'bad', clock: 'unset', monoMs: 0, wallMs: 5_000 } as const
  const bytes = rowOf({ id: 'a-0-0', reading: { ...reading, value: Uint8Array.of(251, 255) } })
  t.same(
    JSON.parse(senml('pump 7').line(bytes, true)),
    {
      bn: 'pump_7/',
      n: 'x_l__C',
      vd: '-_8',
      id: 'a-0-0',
      quality: 'bad',
      clock: 'unset',
      name: 'Öl °C',
    },
    'a time before 1978 would be one relative to now and is left out',
  )
  const text = rowOf({ reading: { ...reading, name: 'door', value: 'a "b",\nc', wallMs: 1_800_000_000_500 } })
  t.same(JSON.parse(senml('x').line(text, false)), {
    n: 'door',
    t: 1_800_000_000.5,
    vs: 'a "b",\nc',
    quality: 'bad',
    clock: 'unset',
  })
  t.equal(csv.line(text, false), ',2027-01-15T08:00:00.500Z,door,,text,"a ""b"",\nc",bad,unset\r\n')
  t.same(JSON.parse(senml('x').line(rowOf({ reading: { ...reading, name: 'n', value: false } }), false)), {
    n: 'n',
    vb: false,
    quality: 'bad',
    clock: 'unset',
  })
  t.end()
})
