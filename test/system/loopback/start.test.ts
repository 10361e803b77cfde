/** `npm start`, the real one: three programs on loopback, without a terminal and in one. */
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { read, root } from '../../support/repository.js'
import { until } from '../../support/until.js'
import { processes } from '../support/proc.js'
import { cli, here, runJson, untilStatus, type Program } from '../support/process.js'

const START = `${root}examples/dist/start.js`
/** The first start makes a site and joins, on a machine that may be busy. */
const READY_MS = 90_000
const STATUS =
  /up .*, \d+ sensors?, last copy (lan|relay), sealed [1-9]\d*, acknowledged [1-9]\d*, in the spool \d+, lost 0$/

function start(t: Test, folder: string): Program {
  const program = here.spawn(process.execPath, [START], { name: 'npm start', cwd: folder })
  t.teardown(() => program.kill())
  return program
}

/** Processes of this site, the one that was started aside. */
function ofSite(folder: string): string[] {
  return processes()
    .map(({ command }) => command)
    .filter((command) => command.includes(join(folder, '.fieldwhisper')))
}

async function ended(t: Test, program: Program, folder: string): Promise<void> {
  const done = await program.stop(20_000, 'SIGINT')
  t.equal(done.code, 0, 'Ctrl-C ends it with 0')
  t.match(done.stdout, /All have ended\. \.\/\.fieldwhisper keeps the site/)
  t.same(ofSite(folder), [], 'nothing is left running')
}

/** Why a test that needs another program cannot run here, or false. */
function without(command: string): string | false {
  const found = spawnSync('sh', ['-c', `command -v ${command}`]).status === 0
  return found ? false : `${command} is not installed`
}

const pidOf = (line: string): number => Number(/process (\d+)$/.exec(line)?.[1])

// Longer than tap allows a file: several starts of several programs each, on a machine that tests other things meanwhile.
t.setTimeout(600_000)

void t.test('the script of the manifest is what is tested here', (t) => {
  const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> }
  t.equal(scripts['start'], 'tsc -b && node examples/dist/start.js')
  t.ok(existsSync(START))
  t.end()
})

void t.test('a new site, shown in plain lines; the next start continues it', async (t) => {
  const folder = temporaryFolder(t)
  const first = start(t, folder)
  await first.line(/made the site "home" in \.\/\.fieldwhisper\/gateway$/, READY_MS)
  await first.line(/the agent joined as /, READY_MS)
  await first.line(STATUS, READY_MS)
  t.same(first.stderr, [])
  t.notMatch(first.output(), /\u001b/, 'no escape sequence without a terminal')
  t.same(readdirSync(join(folder, '.fieldwhisper', 'logs')).sort(), ['agent.log', 'gateway.log', 'relay.log'])

  const second = await here.run(process.execPath, [START], { cwd: folder })
  t.equal(second.code, 1)
  t.match(
    second.stderr,
    new RegExp(
      `Fieldwhisper already runs in \\./\\.fieldwhisper, as process ${first.pid}\\. Its readings are at mqtt://`,
    ),
  )
  t.equal(ofSite(folder).length, 3, 'and the first one goes on')

  const access = await first.line(/to see the readings: mosquitto_sub /, 0)
  const command = access.slice(access.indexOf('mosquitto_sub'))
  await t.test('the printed line works when it is copied', { skip: without('mosquitto_sub') }, async (t) => {
    const copied = await here.run('sh', ['-c', `${command} -C 3 -W 30`], { withinMs: 40_000 })
    t.equal(copied.code, 0)
    const lines = copied.stdout.split('\n').filter((line) => line !== '')
    t.equal(lines.length, 3)
    for (const line of lines)
      t.match(line, /^fieldwhisper\/home\/[^/]+\/[^/]+ \{"value":.*"path":"(lan|relay)"/)
    const wrong = await here.run('sh', ['-c', `${command.replace(/-P \S+/, '-P wrong')} -C 1 -W 5`])
    t.not(wrong.code, 0, 'but not with another password')
  })
  await ended(t, first, folder)

  const again = start(t, folder)
  t.equal(
    (await again.line(/to see the readings/, READY_MS)).split(': ')[1],
    access.split(': ')[1],
    'same password',
  )
  await again.line(STATUS, READY_MS)
  t.notMatch(again.output(), /made the site|joined as/)
  await ended(t, again, folder)
})

void t.test('a program that dies is started again; one that is killed takes nobody along', async (t) => {
  const folder = temporaryFolder(t)
  const program = start(t, folder)
  const relay = pidOf(await program.line(/relay started, process \d+$/, READY_MS))
  await program.line(STATUS, READY_MS)
  process.kill(relay, 'SIGKILL')
  await program.line(/relay: ended \(SIGKILL\), is started again in 0\.5 s$/, 10_000)
  await program.line((line) => /relay started/.test(line) && pidOf(line) !== relay, 10_000)
  const before = program.stdout.length
  await program.line((line) => STATUS.test(line) && program.stdout.indexOf(line) >= before, READY_MS)

  await program.kill()
  await until(() => ofSite(folder).length === 0, { withinMs: 15_000, what: 'the end of the three programs' })
  const next = start(t, folder)
  await next.line(STATUS, READY_MS)
  await ended(t, next, folder)
})

void t.test('ports that are taken are left alone, and the site moves', async (t) => {
  const folder = temporaryFolder(t)
  const first = start(t, folder)
  const relay = await first.line(/on 127\.0\.0\.1: relay port \d+$/, READY_MS)
  const others = await first.line(
    /on 127\.0\.0\.1: LAN link port \d+, LAN beacon port \d+, MQTT broker port \d+$/,
    READY_MS,
  )
  await first.line(STATUS, READY_MS)
  await ended(t, first, folder)

  const ports = [...`${relay}, ${others}`.matchAll(/(?:relay|broker) port (\d+)/g)].map(([, port]) =>
    Number(port),
  )
  t.equal(ports.length, 2)
  for (const port of ports) {
    const squatter = createServer()
    t.teardown(() => squatter.close())
    // If another test was faster, so much the better.
    await new Promise((taken) =>
      squatter.once('listening', taken).once('error', taken).listen(port, '127.0.0.1'),
    )
  }
  const second = start(t, folder)
  await second.line(
    new RegExp(`port ${ports[0]} is taken by another program: the relay uses \\d+$`),
    READY_MS,
  )
  await second.line(
    new RegExp(`port ${ports[1]} is taken by another program: the MQTT broker uses \\d+$`),
    READY_MS,
  )
  await second.line(STATUS, READY_MS)
  const [node, program] = cli('relay')
  const ask = ['status', '--json', '--state', join(folder, '.fieldwhisper', 'relay')]
  const status = await untilStatus<{ connections: number; listen: string }>(
    () => runJson(here, node, [program, ...ask]),
    ({ connections }) => connections >= 2,
    { withinMs: 30_000, what: 'agent and gateway at the relay that moved' },
  )
  t.not(status.listen, `127.0.0.1:${ports[0]}`)
  await ended(t, second, folder)
})

void t.test(
  'in a terminal the picture is redrawn in place, and Ctrl-C gives the cursor back',
  { skip: without('script') },
  async (t) => {
    const folder = temporaryFolder(t)
    const script = ['-qfec', `stty cols 100 rows 40; exec ${process.execPath} ${START}`, '/dev/null']
    const program = here.spawn('script', script, {
      name: 'script',
      cwd: folder,
      env: { TERM: 'xterm-256color' },
    })
    t.teardown(() => program.kill())
    await program.line(
      /sealed [1-9]\d* +acknowledged [1-9]\d* +in the spool \d+ +lost 0 +last copy/,
      READY_MS,
    )
    await program.line(/^ {2}uptime .*(lan|relay)/, READY_MS)
    await program.line(/MQTT mqtt:\/\/127\.0\.0\.1:\d+ +user fieldwhisper +password \S{32}/, READY_MS)
    t.match(program.output(), /\u001b\[\d+A/, 'the cursor goes up to draw over the last picture')
    program.endInput('\u0003')
    const done = await program.exited(20_000)
    t.equal(done.code, 0)
    t.match(done.stdout, /\u001b\[\?25h[^]*All have ended/)
    t.same(ofSite(folder), [])
  },
)
