import t from 'tap'
import { until, within } from '../../support/until.js'
import { livingChildren } from '../support/proc.js'
import { here, runJson, untilStatus } from '../support/process.js'

const node = (script: string): [string, string[]] => [process.execPath, ['-e', script]]
const onLinux = process.platform === 'linux'

void t.test('a line is found whether it came before or after the question, on either stream', async (t) => {
  const program = here.spawn(
    ...node(
      "console.log('first'); setTimeout(() => console.error('second'), 100); setInterval(() => {}, 1000)",
    ),
  )
  t.equal(await program.line(/sec/, 10_000), 'second')
  t.equal(await program.line((line) => line === 'first', 0), 'first')
  await t.rejects(program.line(/third/, 50), { message: /gave up after 50 ms.*third[^]*\| first/ })
  t.equal(program.running, true)
  await program.kill()
  t.equal(program.running, false)
  t.match(await program.exited(0), { code: null, signal: 'SIGKILL' })
})

void t.test('waiting for a line ends with the program, and shows what it said', async (t) => {
  const program = here.spawn(...node("console.error('no such file'); process.exit(3)"), { name: 'agent' })
  await t.rejects(program.line(/ready/, 10_000), { message: /agent ended \(exit code 3\)[^]*! no such file/ })
})

void t.test('a program that is not there is an error, not a hang', async (t) => {
  const done = await here.run('no-such-program-here', [])
  t.not(done.code, 0)
})

void t.test('a run has a deadline and an input', async (t) => {
  const echo = await here.run(...node('process.stdin.pipe(process.stdout)'), { input: 'one\ntwo' })
  t.match(echo, { code: 0, stdout: 'one\ntwo' })
  await t.rejects(here.run(...node('setInterval(() => {}, 1000)'), { withinMs: 200 }), {
    message: /gave up after 200 ms/,
  })
  if (onLinux) t.same(livingChildren(), [], 'and what was too slow is dead')
})

void t.test('nothing of the test runner reaches a program', async (t) => {
  const { json } = await runJson(here, ...node('console.log(JSON.stringify(process.env))'), {
    env: { FW: 'x' },
  })
  const names = Object.keys(json as object)
  t.same(
    names.filter((name) => /^(TAP|_TAPJS|TSX|NODE_OPTIONS|npm_)/.test(name)),
    [],
  )
  t.match(json, { FW: 'x' })
})

void t.test(
  'what a program leaves behind is found',
  { skip: onLinux ? false : 'read from /proc' },
  async (t) => {
    const program = here.spawn(
      ...node("console.log(require('node:child_process').spawn('sleep', ['60'], { stdio: 'ignore' }).pid)"),
    )
    const pid = Number(await program.line(/^\d+$/, 10_000))
    program.signal('SIGKILL')
    await program.exited(10_000)
    t.match(program.survivors(), [new RegExp(`^${pid} sleep 60`)])
    process.kill(pid, 'SIGKILL')
    await until(() => program.survivors().length === 0, { withinMs: 5_000, what: 'the end of sleep' })
  },
)

void t.test(
  'a status is asked for until it satisfies, and the last one is shown when it never does',
  async (t) => {
    let asked = 0
    const ask = async (): Promise<{ json: unknown }> => {
      asked += 1
      if (asked === 1) throw new Error('not running yet')
      return { json: { sessions: asked } }
    }
    const wait = { withinMs: 5_000, what: 'three sessions' }
    t.same(await untilStatus<{ sessions: number }>(ask, (status) => status.sessions === 3, wait), {
      sessions: 3,
    })
    await t.rejects(
      untilStatus(ask, () => false, { withinMs: 150, what: 'never' }),
      { message: /waiting for never; last status: \{"sessions":\d+\}/ },
    )
    await t.rejects(within(new Promise(() => undefined), { withinMs: 10, what: 'a sign' }), {
      message: /for a sign/,
    })
  },
)
