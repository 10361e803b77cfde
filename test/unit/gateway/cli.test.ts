import { decodeInvite } from '@fieldwhisper/protocol'
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { cli, here, type Finished, type Program } from '../../system/support/process.js'

/*
 * The real program, command by command: what it prints, its exit code, and what is on disk afterwards.
 */

const [node, program] = cli('gateway')

function gateway(state: string, ...args: readonly string[]): Promise<Finished> {
  const [command = '', ...rest] = args
  return here.run(node, [program, command, '--state', state, ...rest], { withinMs: 60_000 })
}

async function site(t: Test): Promise<string> {
  const state = join(temporaryFolder(t), 'gateway')
  const made = await gateway(state, 'init', '--site', 'bakery')
  if (made.code !== 0) throw new Error(made.stderr)
  return state
}

function refused(t: Test, { code, stdout, stderr }: Finished, reason: string): void {
  t.equal(code, 1)
  t.match(stderr, new RegExp(`^error ${reason}: `, 'm'))
  t.equal(stdout, '')
}

/** A gateway without network and with a broker on a port of the system's choice. */
async function running(t: Test, state: string): Promise<Program> {
  const config = join(state, 'gateway.yaml')
  writeFileSync(config, 'lan: { enabled: false }\nmqtt: { url: "mqtt://127.0.0.1:9" }\n')
  const started = here.spawn(node, [program, 'run', '--state', state, '--config', config])
  t.teardown(() => started.kill())
  await started.line(/FW_GATEWAY_RUNNING/, 60_000)
  return started
}

void t.test(
  'every command has help with an example, and what is wrong is said with exit code 2',
  async (t) => {
    const help = await here.run(node, [program, '--help'])
    t.equal(help.code, 0)
    const commands = ['init', 'enroll', 'agents', 'revoke', 'rename', 'confirm', 'relays', 'run', 'status']
    for (const command of commands) t.match(help.stdout, new RegExp(`^ +${command}\\b`, 'm'))
    const each = await Promise.all(commands.map((command) => here.run(node, [program, command, '--help'])))
    for (const [i, command] of commands.entries()) {
      t.equal(each[i]!.code, 0)
      t.match(each[i]!.stdout, new RegExp(`fieldwhisper-gateway ${command}`))
    }
    const wrong = [[], ['enrol', 'x'], ['enroll'], ['rename', 'a'], ['status', '--jsn'], ['run', 'extra']]
    for (const args of wrong) t.equal((await here.run(node, [program, ...args])).code, 2, args.join(' '))
  },
)

void t.test('init makes a folder for its owner alone and prints no secret', async (t) => {
  const state = join(temporaryFolder(t), 'gateway')
  const made = await gateway(state, 'init', '--site', 'bakery')
  t.equal(made.code, 0)
  t.match(made.stdout, /Site "bakery" is made in/)
  t.equal(statSync(state).mode & 0o777, 0o700)
  const identity = readFileSync(join(state, 'identity.json'), 'utf8')
  for (const secret of Object.values(JSON.parse(identity) as Record<string, unknown>)) {
    if (typeof secret === 'string' && secret.length > 40) t.notOk(made.stdout.includes(secret))
  }
  for (const name of readdirSync(state, { recursive: true, withFileTypes: true })) {
    const mode = statSync(join(name.parentPath, name.name)).mode & 0o077
    t.equal(mode, 0, `${name.name} is closed to others`)
  }
  refused(t, await gateway(state, 'init', '--site', 'other'), 'FW_SITE_EXISTS')
  t.equal(readFileSync(join(state, 'identity.json'), 'utf8'), identity)
})

void t.test('init makes nothing of a bad name, and nothing over a site that lost its identity', async (t) => {
  const folder = join(temporaryFolder(t), 'gateway')
  refused(t, await gateway(folder, 'init', '--site', 'x'.repeat(65)), 'FW_NAME_INVALID')
  t.same(readdirSync(folder), [])
  const state = await site(t)
  rmSync(join(state, 'identity.json'))
  refused(t, await gateway(state, 'init'), 'FW_SITE_EXISTS')
  refused(t, await gateway(state, 'agents'), 'FW_IDENTITY_MISSING')
})

void t.test('an invite is printed for people and for scripts, and names the relays', async (t) => {
  const state = await site(t)
  t.equal((await gateway(state, 'relays', '--add', 'ws://relay.lan:24780', '--token', 'abc')).code, 0)
  const plain = await gateway(state, 'enroll', 'pump-7', '--plain')
  t.match(plain.stdout, /^fw1-[\w-]+$/)
  t.same(decodeInvite(plain.stdout).relays, [{ url: 'ws://relay.lan:24780', token: 'abc' }])
  const shown = await gateway(state, 'enroll', 'pump-8')
  t.match(shown.stdout, /Invite for pump-8/)
  t.match(shown.stdout, /█/)
  const agents = await gateway(state, 'agents')
  t.match(agents.stdout, /No device is enrolled yet/)
  t.same(JSON.parse((await gateway(state, 'agents', '--json')).stdout), [])
})

void t.test('commands about a device that nobody knows are refused', async (t) => {
  const state = await site(t)
  refused(t, await gateway(state, 'revoke', 'pump-7'), 'FW_AGENT_UNKNOWN')
  refused(t, await gateway(state, 'rename', 'pump-7', 'pump-8'), 'FW_AGENT_UNKNOWN')
  refused(t, await gateway(state, 'confirm', 'pump-7'), 'FW_AGENT_UNKNOWN')
})

void t.test('a relay that cannot be dialled is not kept, and the fingerprint may have colons', async (t) => {
  const state = await site(t)
  const fingerprint = Array.from({ length: 32 }, () => 'AB').join(':')
  refused(
    t,
    await gateway(state, 'relays', '--add', 'ws://relay.lan', '--fingerprint', fingerprint),
    'FW_RELAY_URL_INVALID',
  )
  const added = await gateway(
    state,
    'relays',
    '--add',
    'wss://relay.lan',
    '--fingerprint',
    fingerprint,
    '--json',
  )
  t.same(JSON.parse(added.stdout), [{ url: 'wss://relay.lan', fingerprint: 'ab'.repeat(32) }])
  t.equal(statSync(join(state, 'relays.json')).mode & 0o777, 0o600)
  refused(t, await gateway(state, 'relays', '--remove', 'wss://other'), 'FW_RELAY_UNKNOWN')
  t.match((await gateway(state, 'relays', '--remove', 'wss://relay.lan')).stdout, /LAN only/)
})

void t.test('a gateway that does not run is not healthy', async (t) => {
  const state = await site(t)
  const text = await gateway(state, 'status')
  t.equal(text.code, 1)
  t.match(text.stdout, /No gateway runs/)
  const json = await gateway(state, 'status', '--json')
  t.equal(json.code, 1)
  t.match(JSON.parse(json.stdout), { running: false, healthy: false })
})

void t.test('a running gateway carries out commands itself, and its folder is its own', async (t) => {
  const state = await site(t)
  const started = await running(t, state)
  const line = (await gateway(state, 'enroll', 'pump-7', '--plain')).stdout
  t.ok(decodeInvite(line))
  refused(t, await gateway(state, 'revoke', 'pump-7'), 'FW_AGENT_UNKNOWN')
  t.match((await gateway(state, 'relays', '--add', 'ws://127.0.0.1:9')).stdout, /ws:\/\/127\.0\.0\.1:9/)
  const status = await gateway(state, 'status', '--json')
  t.equal(status.code, 1, 'neither broker nor relay is there')
  const { problems, relays } = JSON.parse(status.stdout) as { problems: string[]; relays: unknown[] }
  t.equal(problems.length, 2)
  t.match(relays, [{ connected: false }])
  refused(t, await gateway(state, 'run'), 'FW_STATE_IN_USE')
  await started.stop()
  t.same(started.survivors(), [])
  t.equal((await gateway(state, 'agents', '--json')).code, 0)
})

void t.test(
  'a gateway without identity runs, says so, takes no command about devices, and makes no site',
  async (t) => {
    const state = await site(t)
    writeFileSync(join(state, 'identity.json'), '{"version":1')
    const started = await running(t, state)
    t.ok(started.stderr.some((line) => line.includes('FW_IDENTITY_MISSING')))
    const { problems } = JSON.parse((await gateway(state, 'status', '--json')).stdout) as {
      problems: string[]
    }
    t.match(problems[0], /identity is missing/)
    refused(t, await gateway(state, 'enroll', 'pump-7'), 'FW_IDENTITY_MISSING')
    await started.stop()
    t.notOk(readdirSync(state).includes('identity.json'))
    t.ok(readdirSync(state).some((name) => name.startsWith('identity.json.corrupt-')))
  },
)

void t.test('a list of relays that nobody can use does not stop a start', async (t) => {
  const state = await site(t)
  writeFileSync(join(state, 'relays.json'), JSON.stringify([{ url: 'nonsense' }]), { mode: 0o600 })
  const started = await running(t, state)
  t.ok(started.stderr.some((line) => line.includes('FW_RELAY_UNUSABLE')))
  await started.stop()
})
