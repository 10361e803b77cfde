/** `npm run demo:relay-kill`, the real one, in its short form. */
import { existsSync } from 'node:fs'
import t from 'tap'
import { read, root } from '../../support/repository.js'
import { temporaryFolder } from '../../support/folder.js'
import { processes } from '../support/proc.js'
import { here } from '../support/process.js'

const DEMO = `${root}examples/dist/relay-kill.js`
const PHASES = [
  'all well',
  'relay killed',
  'relay back',
  'LAN cut',
  'LAN back',
  'gateway killed',
  'gateway back',
  'in all',
]
/** Twenty seconds of readings, the joining of five agents, and a machine that does other things too. */
const DEMO_MS = 180_000

/** Programs of the demonstration are known by their folders, which go where the test says. */
function leftBehind(folder: string): string[] {
  return processes()
    .map(({ command }) => command)
    .filter((command) => command.includes(folder))
}

// Longer than tap allows a file: several starts of several programs each, on a machine that tests other things meanwhile.
t.setTimeout(600_000)

void t.test('the script of the manifest is what is tested here', (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  t.equal(scripts['demo:relay-kill'], 'tsc -b && node examples/dist/relay-kill.js')
  t.end()
})

void t.test('relay, LAN and gateway fail one after another, and nothing is lost', async (t) => {
  const folder = temporaryFolder(t)
  const demo = here.spawn(process.execPath, [DEMO, '--short'], { name: 'demo', env: { TMPDIR: folder } })
  t.teardown(() => demo.kill())
  const done = await demo.exited(DEMO_MS)
  t.equal(done.code, 0, demo.output())
  t.equal(done.stderr, '')

  const rows = new Map(
    PHASES.map((phase) => {
      const line = demo.stdout.find((one) => one.startsWith(`${phase}  `)) ?? ''
      const [
        seconds = 0,
        sent = 0,
        received = 0,
        lost = 0,
        repeated = 0,
        byLan = 0,
        byRelay = 0,
        silence = 0,
      ] = line
        .slice(phase.length)
        .trim()
        .split(/\s{2,}/)
        .map(Number.parseFloat)
      return [phase, { seconds, sent, received, lost, repeated, byLan, byRelay, silence }]
    }),
  )
  for (const phase of PHASES)
    t.ok(Number(rows.get(phase)?.sent) > 0, `readings were made in the phase "${phase}"`)
  const all = rows.get('in all')
  t.ok(all && all.sent >= 2_000, 'five agents, twenty a second, twenty seconds')
  t.match(all, { received: all?.sent, lost: 0 })
  const killed = rows.get('relay killed')
  t.ok(killed && killed.byLan > 0.9 * killed.received, 'without the relay the LAN carries')
  const cut = rows.get('LAN cut')
  t.ok(cut && cut.byRelay > 0.9 * cut.received, 'without the LAN the relay carries')
  t.ok(demo.stdout.some((line) => line.startsWith('Nothing was lost.')))
  t.same(leftBehind(folder), [], 'no process is left')
})

void t.test('Ctrl-C ends the demonstration, its programs and its files', async (t) => {
  const folder = temporaryFolder(t)
  const demo = here.spawn(process.execPath, [DEMO, '--short'], { name: 'demo', env: { TMPDIR: folder } })
  t.teardown(() => demo.kill())
  await demo.line(/All is well/, DEMO_MS)
  const running = processes().filter(({ parent }) => parent === demo.pid)
  t.equal(running.length, 8, 'broker, relay, gateway and five agents run')
  const state = running.map(({ command }) => / --state (\S+)/.exec(command)?.[1] ?? '')
  const done = await demo.stop(20_000, 'SIGINT')
  t.equal(done.code, 130)
  t.match(done.stdout, /Ended before it was over\.$/)
  const pids = new Set(running.map(({ pid }) => pid))
  t.same(
    processes().filter(({ pid }) => pids.has(pid)),
    [],
    'none of them is left',
  )
  t.same(state.filter(existsSync), [], 'its folder is gone')
})
