import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import t from 'tap'
import { GUARD } from '@fieldwhisper/examples/dist/programs/bins.js'
import { eachLine, parseLogLine } from '@fieldwhisper/examples/dist/programs/lines.js'
import { LogFile } from '@fieldwhisper/examples/dist/programs/log-file.js'
import { freeBeaconPort, freeTcpPort } from '@fieldwhisper/examples/dist/programs/ports.js'
import { Program, runToEnd } from '@fieldwhisper/examples/dist/programs/program.js'
import { Supervisor, restartDelayMs } from '@fieldwhisper/examples/dist/programs/supervisor.js'
import { temporaryFolder } from '../../support/folder.js'
import { until, within } from '../../support/until.js'
import { processes } from '../../system/support/proc.js'
import { here } from '../../system/support/process.js'

function script(t: Parameters<typeof temporaryFolder>[0], text: string): string {
  const file = join(temporaryFolder(t), 'program.mjs')
  writeFileSync(file, text)
  return file
}

/** Ended and not yet collected by its parent counts as ended. */
const alive = (pid: number | undefined): boolean => processes().some((one) => one.pid === pid)

void t.test('lines of a log are read as the programs write them', (t) => {
  t.same(parseLogLine('2026-11-23T04:59:50.342Z warn FW_BROKER_PORT_TAKEN Port 1883 is taken. port=1884'), {
    level: 'warn',
    code: 'FW_BROKER_PORT_TAKEN',
    text: 'Port 1883 is taken. port=1884',
  })
  t.same(parseLogLine('error FW_STATE_IN_USE: Another one runs.'), {
    level: 'error',
    code: 'FW_STATE_IN_USE',
    text: 'Another one runs.',
  })
  for (const other of ['', '    at file:1:2', 'Node.js v20.20.2']) t.equal(parseLogLine(other), undefined)
  t.end()
})

void t.test('lines come whole, and one without end is cut', async (t) => {
  const stream = new PassThrough()
  const lines: string[] = []
  eachLine(stream, (line) => lines.push(line))
  stream.write('one\ntw')
  stream.write('o\r\n')
  stream.write('x'.repeat(200_000))
  stream.end('\nlast')
  await once(stream, 'end')
  t.same(lines.slice(0, 2), ['one', 'two'])
  t.equal(lines[2]?.length, 65_536)
  t.equal(lines[3], 'last')
})

void t.test('a log file is bounded, also over restarts, and private', (t) => {
  const path = join(temporaryFolder(t), 'logs', 'agent.log')
  new LogFile(path, 100).line('a'.repeat(59))
  t.equal(statSync(path).mode & 0o777, 0o600)
  const log = new LogFile(path, 100)
  log.line('b'.repeat(39))
  t.notOk(existsSync(`${path}.1`), 'exactly full')
  log.line('c')
  t.equal(readFileSync(path, 'utf8'), 'c\n')
  t.equal(statSync(`${path}.1`).size, 100)
  log.line('d'.repeat(500))
  log.line('e')
  t.equal(readFileSync(path, 'utf8'), 'e\n', 'a line over the limit is written and then goes')
  t.end()
})

void t.test('a port that is taken is left to whoever has it', async (t) => {
  const server = createServer()
  t.teardown(() => server.close())
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const taken = (server.address() as { port: number }).port
  const free = await freeTcpPort(taken)
  t.not(free, taken)
  t.equal(await freeTcpPort(free), free, 'the free one is still free')

  const alone = createSocket({ type: 'udp4', reuseAddr: false })
  t.teardown(() => alone.close())
  alone.bind({ port: 0, exclusive: true })
  await once(alone, 'listening')
  t.not(await freeBeaconPort(alone.address().port), alone.address().port)

  const shared = createSocket({ type: 'udp4', reuseAddr: true })
  t.teardown(() => shared.close())
  shared.bind({ port: 0 })
  await once(shared, 'listening')
  t.equal(await freeBeaconPort(shared.address().port), shared.address().port, 'a beacon port is shared')
})

void t.test('a program that is asked to end ends, and one that does not listen is killed', async (t) => {
  const polite = new Program(
    script(t, "process.on('SIGTERM', () => process.exit(3)); console.log('up'); setInterval(() => {}, 1000)"),
    [],
    {
      onLine: () => void polite.stop(),
    },
  )
  t.match(await within(polite.ended, { withinMs: 10_000, what: 'its end' }), { code: 3, signal: null })

  const deaf = new Program(
    script(t, "process.on('SIGTERM', () => {}); console.log('up'); setInterval(() => {}, 1000)"),
    [],
    {
      onLine: () => void deaf.stop(100),
    },
  )
  t.match(await within(deaf.ended, { withinMs: 10_000, what: 'its end' }), { code: null, signal: 'SIGKILL' })
  t.notOk(alive(deaf.pid))
})

void t.test('a command is run to its end with its output', async (t) => {
  const file = script(t, "console.log('out ' + process.argv[2]); console.error('err'); process.exitCode = 4")
  t.match(await runToEnd(file, ['x']), { code: 4, stdout: 'out x', stderr: 'err' })
  const endless = script(t, 'setInterval(() => {}, 1000)')
  const stopped = await runToEnd(endless, [], { signal: AbortSignal.timeout(300) })
  t.equal(stopped.signal, 'SIGTERM')
})

void t.test('a program ends when the one that started it is killed', async (t) => {
  const inner = script(t, "process.on('SIGTERM', () => process.exit(0)); setInterval(() => {}, 1000)")
  const outer = script(
    t,
    `import { spawn } from 'node:child_process'
     const child = spawn(process.execPath, [${GUARD.map((arg) => JSON.stringify(arg)).join()}, ${JSON.stringify(inner)}], { detached: true, stdio: ['ignore', 'ignore', 'ignore', 'ipc'] })
     console.log(child.pid)`,
  )
  const program = here.spawn(process.execPath, [outer])
  const pid = Number(await program.line(/^\d+$/, 10_000))
  t.ok(alive(pid))
  await program.kill()
  await until(() => !alive(pid), { withinMs: 10_000, what: 'the end of the inner program' })
})

void t.test('a program that dies is started again, with growing waits, until it is stopped', async (t) => {
  const waits: number[] = []
  const pids: number[] = []
  const supervisor = new Supervisor({
    file: script(t, 'process.exit(1)'),
    args: [],
    onLine: () => undefined,
    onStart: (pid) => pids.push(pid),
    onDeath: (ending, nextMs) => {
      t.equal(ending.code, 1)
      waits.push(nextMs)
    },
  })
  supervisor.start()
  await until(() => waits.length === 2, { withinMs: 10_000, what: 'two deaths' })
  t.equal(supervisor.state, 'restarting')
  await supervisor.stop()
  t.equal(supervisor.state, 'stopped')
  t.same(waits, [500, 1_000])
  t.equal(new Set(pids).size, 2)
  t.same([0, 1, 4, 5, 50].map(restartDelayMs), [500, 1_000, 8_000, 15_000, 15_000])
})
