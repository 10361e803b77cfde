import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { HostError, runProgram, UsageError } from '@fieldwhisper/host'
import type { CliInput, CliProgram } from '@fieldwhisper/host'

const seen: CliInput[] = []
const program: CliProgram = {
  name: 'fieldwhisper-agent',
  summary: 'reads sensors and sends what they say',
  version: '0.1.0',
  commands: {
    run: {
      summary: 'run until stopped',
      example: 'fieldwhisper-agent run --state /var/lib/fieldwhisper',
      options: {
        state: { type: 'string', summary: 'state folder', value: 'DIR', default: './state' },
        peer: { type: 'list', summary: 'a peer to dial', value: 'HOST:PORT' },
        json: { type: 'boolean', summary: 'write JSON', short: 'j' },
      },
      run: (input) => void seen.push(input),
    },
    join: {
      summary: 'join a site',
      example: 'fieldwhisper-agent join fw1-...',
      positionals: ['INVITE'],
      run: (input) => {
        seen.push(input)
        return 1
      },
    },
    fail: {
      summary: 'fail',
      example: 'fieldwhisper-agent fail',
      run: () => Promise.reject(new HostError('FW_STATE_IN_USE', 'Another process runs.\u001b[31m')),
    },
    spool: {
      summary: 'look',
      example: 'fieldwhisper-agent spool stats',
      positionals: ['ACTION'],
      actions: { stats: 'how much there is', peek: 'what is next' },
      run: (input) => {
        if (input.positionals[0] === 'peek') throw new UsageError('peek needs a spool.')
        seen.push(input)
      },
    },
    break: {
      summary: 'break',
      example: 'x',
      run: () => Promise.reject(new TypeError('x is not a function')),
    },
  },
}

async function run(...args: string[]) {
  let out = ''
  let err = ''
  const code = await runProgram(program, { args, out: (text) => (out += text), err: (text) => (err += text) })
  return { code, out, err }
}

void t.test('a command gets its options, defaults and arguments', async (t) => {
  t.strictSame(await run('run', '--peer', 'a:1', '-j', '--peer=b:2'), { code: 0, out: '', err: '' })
  t.match(seen.pop(), { options: { state: './state', peer: ['a:1', 'b:2'], json: true }, positionals: [] })
  t.equal((await run('join', 'fw1-abc')).code, 1)
  t.strictSame(seen.pop()!.positionals, ['fw1-abc'])
})

void t.test('help of the program and of a command names what there is, with an example', async (t) => {
  const all = await run('--help')
  t.equal(all.code, 0)
  t.match(all.out, /Commands:\n {2}run {4}run until stopped\n {2}join {3}join a site\n/)
  t.match(all.out, /Example:\n {2}fieldwhisper-agent run --state/)
  const one = await run('run', '--help')
  t.match(
    one.out,
    /--state DIR {7}state folder \(default: \.\/state\)\n {2}--peer HOST:PORT {2}a peer to dial \(may be given several times\)\n {2}-j, --json {8}write JSON\n/,
  )
  t.equal((await run('help', 'run')).out, one.out)
  t.equal((await run('--version')).out, '0.1.0\n')
  const none = await run()
  t.equal(none.code, 2)
  t.equal(none.out, all.out)
})

for (const [args, message] of [
  [['rnu'], 'There is no command "rnu". Did you mean "run"?'],
  [['toString'], 'There is no command "toString".'],
  [['--state', 'x'], 'There is no option before the command "--state".'],
  [['run', '--sate', 'x'], 'There is no option "--sate". Did you mean "--state"?'],
  [['run', '-x'], 'There is no option "-x".'],
  [['run', '--state'], 'The option --state needs a value: --state DIR.'],
  [['run', '--state', '--json'], 'The option --state needs a value: --state DIR.'],
  [
    ['run', '--state', '-a'],
    'The option --state needs a value: --state DIR. A value that begins with - is written --state=DIR.',
  ],
  [['run', '--state', 'a', '--state', 'b'], 'The option --state is given twice.'],
  [['run', '--json=yes'], 'The option --json takes no value.'],
  [['run', 'extra'], 'The argument "extra" is one too many.'],
  [['join'], 'The argument INVITE is missing.'],
] as const) {
  void t.test(`"${args.join(' ')}" is used wrongly: exit code 2 and one line that helps`, async (t) => {
    const { code, out, err } = await run(...args)
    t.equal(code, 2)
    t.equal(out, '')
    t.equal(err.split('\n')[0], `error FW_USAGE: ${message}`)
    t.equal(seen.length, 0)
  })
}

void t.test('an error is one line with its code and no stack', async (t) => {
  t.strictSame(await run('fail'), {
    code: 1,
    out: '',
    err: 'error FW_STATE_IN_USE: Another process runs.\\u001b[31m\n',
  })
  t.strictSame(await run('break'), { code: 1, out: '', err: 'error FW_INTERNAL: x is not a function\n' })
})

void t.test('the first argument of a command with actions is one of them; its help says which', async (t) => {
  seen.length = 0
  const wrong = await run('spool', 'stast')
  t.equal(wrong.code, 2)
  t.match(wrong.err, /error FW_USAGE: "stast" is none of stats, peek\. Did you mean "stats"\?/)
  t.equal((await run('spool')).code, 2)
  t.equal((await run('spool', 'stats')).code, 0)
  t.same(seen[0]?.positionals, ['stats'])
  t.match((await run('spool', '--help')).out, /ACTION:\n  stats  how much there is\n  peek   what is next\n/)
})

void t.test('a command may find that it is used wrongly', async (t) => {
  const { code, err } = await run('spool', 'peek')
  t.equal(code, 2)
  t.match(err, 'error FW_USAGE: peek needs a spool.\nSee: fieldwhisper-agent spool --help')
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  void t.test(`${signal} asks the command to end, and it ends in order`, async (t) => {
    const path = fileURLToPath(new URL('programs/wait-for-signal.ts', import.meta.url))
    const child = spawn(process.execPath, ['--import=tsx', path, 'run'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    t.teardown(() => child.kill('SIGKILL'))
    let out = ''
    child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
    await once(child.stdout, 'data')
    child.kill(signal)
    const [code] = (await once(child, 'close')) as [number]
    t.equal(code, 0)
    t.equal(out, `ready\nended by ${signal}\n`)
  })
}

void t.test('a second signal ends a command that does not', async (t) => {
  const path = fileURLToPath(new URL('programs/wait-for-signal.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import=tsx', path, 'hang'], { stdio: ['ignore', 'pipe', 'pipe'] })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  child.kill('SIGTERM')
  await once(child.stdout, 'data')
  child.kill('SIGTERM')
  const [code] = (await once(child, 'close')) as [number]
  t.equal(code, 1)
})
