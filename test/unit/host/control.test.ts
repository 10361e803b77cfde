import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { HostError, askControl, serveControl } from '@fieldwhisper/host'
import type { ControlHandler } from '@fieldwhisper/host'
import { folder, listen, until } from './support.js'

async function serve(
  t: { teardown(fn: () => unknown): void },
  dir: string,
  handlers: Readonly<Record<string, ControlHandler>> = { status: () => ({ healthy: true }) },
) {
  const reporter = listen()
  const server = await serveControl(dir, handlers, reporter)
  t.teardown(() => server.close())
  return { server, reporter }
}

/** One raw exchange: what comes back until the server ends. */
async function raw(dir: string, text: string): Promise<string> {
  const socket = connect(join(dir, 'control.sock'))
  let reply = ''
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => (reply += chunk.toString()))
  socket.write(text)
  await once(socket, 'close')
  return reply
}

void t.test('a command is answered by the running program', async (t) => {
  const dir = folder(t)
  await serve(t, dir, {
    status: () => ({ healthy: true }),
    add: async (args) => (args as { a: number; b: number }).a + (args as { b: number }).b,
    nothing: () => undefined,
  })
  t.strictSame(await askControl(dir, 'status'), { ok: { healthy: true } })
  t.strictSame(await askControl(dir, 'add', { a: 1, b: 2 }), { ok: 3 })
  t.strictSame(await askControl(dir, 'nothing'), { ok: null })
  t.equal(statSync(join(dir, 'control.sock')).mode & 0o777, 0o600)
})

void t.test('where nobody runs there is no answer and no error', async (t) => {
  const dir = folder(t)
  t.equal(await askControl(dir, 'status'), undefined)
  const { server } = await serve(t, dir)
  await server.close()
  t.equal(await askControl(dir, 'status'), undefined)
  t.strictSame(readdirSync(dir), [])
  writeFileSync(join(dir, 'control.sock'), '')
  t.equal(await askControl(dir, 'status'), undefined)
})

void t.test('a second program on the same state folder is refused and the first goes on', async (t) => {
  const dir = folder(t)
  await serve(t, dir)
  const second = serveControl(dir, { status: () => 'second' }, listen())
  await t.rejects(second, { name: 'HostError', code: 'FW_STATE_IN_USE' })
  t.strictSame(await askControl(dir, 'status'), { ok: { healthy: true } })
  t.strictSame(readdirSync(dir), ['control.sock'])
})

void t.test('of many that start at once on a leftover socket exactly one wins', async (t) => {
  const dir = folder(t)
  const holder = fileURLToPath(new URL('programs/hold-control.ts', import.meta.url))
  const child = spawn(process.execPath, ['--import=tsx', holder, dir], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  t.teardown(() => child.kill('SIGKILL'))
  await once(child.stdout, 'data')
  t.strictSame(await askControl(dir, 'status'), { ok: 'child' })
  await t.rejects(serveControl(dir, {}, listen()), { code: 'FW_STATE_IN_USE' })
  child.kill('SIGKILL')
  await once(child, 'close')
  t.ok(existsSync(join(dir, 'control.sock')), 'a killed process leaves its socket')
  t.equal(await askControl(dir, 'status'), undefined)

  const all = await Promise.allSettled(
    Array.from({ length: 20 }, (_, i) => serveControl(dir, { who: () => i }, listen())),
  )
  const winners = all.flatMap((one, i) => (one.status === 'fulfilled' ? [{ i, server: one.value }] : []))
  t.equal(winners.length, 1)
  t.ok(all.every((one) => one.status === 'fulfilled' || (one.reason as HostError).code === 'FW_STATE_IN_USE'))
  t.strictSame(await askControl(dir, 'who'), { ok: winners[0]!.i })
  await winners[0]!.server.close()
  t.strictSame(readdirSync(dir), [])
})

void t.test('a state path too long for a socket gets a short one, of this user alone', async (t) => {
  const dir = join(folder(t), 'x'.repeat(120))
  mkdirSync(dir)
  await serve(t, dir)
  t.strictSame(await askControl(dir, 'status'), { ok: { healthy: true } })
  t.strictSame(readdirSync(dir), [])
  const short = join(tmpdir(), `fieldwhisper-${process.getuid!()}`)
  t.equal(statSync(short).mode & 0o777, 0o700)
  t.equal(await askControl(`${dir}y`, 'status'), undefined, 'another state folder has another socket')
  chmodSync(short, 0o777)
  t.teardown(() => chmodSync(short, 0o700))
  await t.rejects(askControl(dir, 'status'), { name: 'HostError', code: 'FW_STATE_DIR' })
})

void t.test('errors of a command reach the client: ours with code and text, others without', async (t) => {
  const dir = folder(t)
  const { reporter } = await serve(t, dir, {
    status: () => 1,
    ours: () => {
      throw new HostError('FW_STORE_FULL', 'full')
    },
    other: () => Promise.reject(new Error('secret detail')),
  })
  t.strictSame(await askControl(dir, 'ours'), { error: { code: 'FW_STORE_FULL', message: 'full' } })
  t.match(await askControl(dir, 'other'), { error: { code: 'FW_INTERNAL', message: /^The command failed/ } })
  t.match(reporter.told, [{ level: 'error', code: 'FW_INTERNAL', fields: { reason: 'secret detail' } }])
  t.match(await askControl(dir, 'statu'), {
    error: { code: 'FW_CONTROL_UNKNOWN_COMMAND', message: /Did you mean "status"\?/ },
  })
  t.match(await askControl(dir, 'constructor'), { error: { code: 'FW_CONTROL_UNKNOWN_COMMAND' } })
})

void t.test('a request that is no JSON, no command or cut short is refused', async (t) => {
  const dir = folder(t)
  await serve(t, dir)
  const malformed = /^\{"error":\{"code":"FW_CONTROL_MALFORMED",.*\}\}\n$/
  t.match(await raw(dir, 'hello\n'), malformed)
  t.match(await raw(dir, '[]\n'), malformed)
  t.match(await raw(dir, '{"command":7}\n'), malformed)
  const socket = connect({ path: join(dir, 'control.sock'), allowHalfOpen: true })
  socket.end('{"command"')
  const [chunk] = (await once(socket, 'data')) as [Buffer]
  t.match(chunk.toString(), malformed)
})

void t.test('a request of 64 KiB is taken, one byte more is refused', async (t) => {
  const dir = folder(t)
  await serve(t, dir, { length: (args) => (args as string).length })
  const frame = '{"command":"length","args":""}'.length
  const request = (total: number) => `{"command":"length","args":"${'a'.repeat(total - frame)}"}\n`
  t.equal(await raw(dir, request(65_536)), `{"ok":${65_536 - frame}}\n`)
  t.match(await raw(dir, request(65_537)), /FW_CONTROL_MALFORMED/)
})

void t.test('an answer beyond 16 MiB becomes an error', async (t) => {
  const dir = folder(t)
  await serve(t, dir, { much: () => 'a'.repeat(16 * 1024 * 1024), fits: () => 'a'.repeat(1024 * 1024) })
  t.match(await askControl(dir, 'much'), { error: { code: 'FW_CONTROL_REPLY_TOO_LARGE' } })
  t.match(await askControl(dir, 'fits'), { ok: /^a+$/ })
})

void t.test('a program that does not answer in time is an error, not "nobody runs"', async (t) => {
  const dir = folder(t)
  let aborted = false
  const { server } = await serve(t, dir, {
    hang: (_args, signal) =>
      new Promise(() => {
        signal.addEventListener('abort', () => (aborted = true))
      }),
  })
  await t.rejects(askControl(dir, 'hang', {}, { timeoutMs: 50 }), {
    name: 'HostError',
    code: 'FW_CONTROL_NO_ANSWER',
  })
  await server.close()
  await until(() => aborted)
})

void t.test('a folder that is not there cannot be served', async (t) => {
  const missing = join(folder(t), 'missing')
  await t.rejects(serveControl(missing, {}, listen()), { name: 'HostError', code: 'FW_CONTROL_FAILED' })
})
