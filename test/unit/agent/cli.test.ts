import { spawn, type ChildProcess } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { askControl } from '@fieldwhisper/host'
import { encodeInvite } from '@fieldwhisper/protocol'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'

const PROGRAM = resolve('agent/dist/cli.js')
const INVITE = encodeInvite({
  siteFingerprint: new Uint8Array(16),
  directorySlot: new Uint8Array(16),
  id: 0x8000_0007,
  secret: new Uint8Array(32),
  relays: [],
})
const CONFIG = `lan: { enabled: false }
relays: []
sources: [{ type: simulate, rate: 50 }]
batch: { interval: 100ms }
`

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

function start(...args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const ended = new Promise<Ended>((done) => child.on('close', (code) => done({ code, out, err })))
  return { child, ended }
}

function run(...args: string[]): Promise<Ended> {
  return start(...args).ended
}

/** Asks the running agent until its status is as wanted. */
function statusOf(state: string, wanted: (status: any) => boolean): Promise<any> {
  const ask = async (): Promise<any> => {
    const reply: any = existsSync(state) ? await askControl(state, 'status') : undefined
    return reply?.ok && wanted(reply.ok) ? reply.ok : undefined
  }
  return until(ask, { withinMs: 60_000, what: 'the status of the agent' })
}

function place(t: { teardown(handler: () => void): void }): { state: string; config: string } {
  const dir = temporaryFolder(t)
  writeFileSync(join(dir, 'agent.yaml'), CONFIG)
  return { state: join(dir, 'state'), config: join(dir, 'agent.yaml') }
}

void t.test('every command has help with an example', async (t) => {
  for (const command of ['join', 'run', 'status', 'spool', 'leave']) {
    const { code, out } = await run(command, '--help')
    t.equal(code, 0)
    t.match(out, `fieldwhisper-agent ${command}`)
  }
})

void t.test('an invite that is none is refused and makes nothing', async (t) => {
  const { state } = place(t)
  const { code, err } = await run('join', 'fw1-nonsense', '--state', state)
  t.equal(code, 1)
  t.match(err, 'FW_INVITE_INVALID')
  t.notOk(existsSync(join(state, 'identity.json')))
})

void t.test('a join that nobody answers is kept, says so, and never hangs mute', async (t) => {
  const { state, config } = place(t)
  const { code, out } = await run('join', INVITE, '--state', state, '--config', config, '--timeout', '1s')
  t.equal(code, 1)
  t.match(out, /prekey record was not found/)
  t.match(out, /The join is kept/)
  const again = await run('join', INVITE, '--state', state, '--detach')
  t.equal(again.code, 0)
})

void t.test('run without a site keeps readings, tells its status, and is alone on its state', async (t) => {
  const { state, config } = place(t)
  const { child, ended } = start('run', '--state', state, '--config', config)
  const status = await statusOf(state, ({ spool }) => spool.held > 0)
  t.match(status, { ok: false, joined: false, session: { state: 'none' }, lost: 0, paths: { relays: [] } })
  t.match(status.sources, [{ type: 'simulate', state: 'running' }])
  t.match(status.latest, [{ name: 'counter' }])
  t.equal((await run('status', '--state', state)).code, 1)
  const second = await run('run', '--state', state, '--config', config)
  t.equal(second.code, 1)
  t.match(second.err, 'FW_STATE_IN_USE')
  const joining = await run('join', INVITE, '--state', state)
  t.match(joining.err, 'FW_AGENT_RUNNING')
  child.kill('SIGTERM')
  const { code, err } = await ended
  t.equal(code, 0)
  t.match(err, 'FW_AGENT_IDENTITY_MISSING')
})

void t.test('a corrupt identity or key stops nothing: readings are kept and it is said', async (t) => {
  const { state, config } = place(t)
  await run('join', INVITE, '--state', state, '--config', config, '--detach')
  writeFileSync(join(state, 'key.json'), 'rubbish')
  writeFileSync(join(state, 'session.json'), 'rubbish')
  const { child, ended } = start('run', '--state', state, '--config', config)
  await statusOf(state, ({ spool }) => spool.held > 0)
  child.kill('SIGKILL')
  await ended
  writeFileSync(join(state, 'identity.json'), 'rubbish')
  const next = start('run', '--state', state, '--config', config)
  const status = await statusOf(state, ({ spool }) => spool.accepted > 50)
  t.equal(status.spool.accepted, status.spool.held)
  next.child.kill('SIGTERM')
  const { code, err } = await next.ended
  t.equal(code, 0)
  t.match(err, /FW_FILE_SET_ASIDE.*identity.json/)
  t.match(err, 'FW_AGENT_IDENTITY_MISSING')
})

void t.test('leave says what it does and does it only with --yes; the spool stays', async (t) => {
  const { state, config } = place(t)
  await run('join', INVITE, '--state', state, '--config', config, '--timeout', '1s')
  const asked = await run('leave', '--state', state)
  t.equal(asked.code, 1)
  t.match(asked.out, /Nothing was removed/)
  t.ok(existsSync(join(state, 'identity.json')))
  const done = await run('leave', '--state', state, '--yes')
  t.equal(done.code, 0)
  t.notOk(existsSync(join(state, 'identity.json')))
  t.notOk(existsSync(join(state, 'invite.json')))
  t.ok(existsSync(join(state, 'spool')))
  t.equal((await run('leave', '--state', join(state, 'nowhere'))).code, 1)
})
