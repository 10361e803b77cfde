import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { cli, here, type Finished } from '../../system/support/process.js'

/*
 * `fieldwhisper-gateway broker user`, as a person types it: beside a running gateway and without one.
 */

const [node, program] = cli('gateway')

async function site(t: Test) {
  const folder = temporaryFolder(t)
  const [state, config] = [join(folder, 'gateway'), join(folder, 'gateway.yaml')]
  const port = await freePort()
  writeFileSync(config, `lan: { enabled: false }\nmqtt: { embedded: { port: ${port} } }\n`)
  const run = (...args: readonly string[]): Promise<Finished> =>
    here.run(node, [program, ...args, '--state', state, '--config', config], { withinMs: 60_000 })
  await here.run(node, [program, 'init', '--state', state])
  const user = (...args: readonly string[]): Promise<Finished> => run('broker', 'user', ...args)
  return { folder, state, config, port, run, user }
}

const passwordIn = ({ stdout }: Finished): string => stdout.trim().split('\n').at(-1)!

void t.test('without a running gateway users are added, listed and removed on disk', async (t) => {
  const { folder, state, user } = await site(t)
  t.match((await user('list')).stdout, /Only the user fieldwhisper/)
  const made = await user('add', 'dashboard')
  t.equal(made.code, 0)
  t.match(made.stdout, /dashboard may read fieldwhisper\/# and write nothing/)
  t.match(passwordIn(made), /^[\w-]{32}$/)
  t.notMatch(readFileSync(join(state, 'broker-users.json'), 'utf8'), passwordIn(made))
  const file = join(folder, 'secret')
  writeFileSync(file, 'a password of mine\n')
  const command = 'fieldwhisper/+/$agents/+/command'
  const more = await user(
    'add',
    'red',
    '--read',
    'a/#',
    '--read',
    'b/+',
    '--write',
    command,
    '--password-file',
    file,
  )
  t.equal(more.code, 0)
  t.notMatch(more.stdout, /password/)
  t.same(JSON.parse((await user('list', '--json')).stdout), [
    { name: 'dashboard', read: ['fieldwhisper/#'], write: [] },
    { name: 'red', read: ['a/#', 'b/+'], write: [command] },
  ])
  t.match((await user('list')).stdout, /^USER +READ +WRITE\ndashboard +fieldwhisper\/# +-\nred +a\/# b\/\+ /)
  t.equal((await user('remove', 'dashboard')).code, 0)
  t.match(JSON.parse((await user('list', '--json')).stdout), [{ name: 'red' }])
})

void t.test('what cannot be is refused with its code', async (t) => {
  const { user } = await site(t)
  await user('add', 'red')
  const refused: [string[], number, string][] = [
    [['add', 'red'], 1, 'FW_BROKER_USER_EXISTS'],
    [['add', 'blue', '--read', 'a#'], 1, 'FW_BROKER_USER_INVALID'],
    [['remove', 'blue'], 1, 'FW_BROKER_USER_UNKNOWN'],
    [['add'], 2, 'FW_USAGE'],
  ]
  for (const [args, code, name] of refused) {
    const done = await user(...args)
    t.equal(done.code, code, args.join(' '))
    t.match(done.stderr, new RegExp(`^error ${name}: `, 'm'), args.join(' '))
  }
  const place = temporaryFolder(t)
  const nowhere = await here.run(node, [program, 'broker', 'user', 'list', '--state', place])
  t.match(nowhere.stderr, /FW_NO_GATEWAY_STATE/)
  const config = join(place, 'gateway.yaml')
  writeFileSync(config, 'mqtt: { url: "mqtt://broker.example" }\n')
  const external = await here.run(node, [
    program,
    'broker',
    'user',
    'add',
    'x',
    '--state',
    place,
    '--config',
    config,
  ])
  t.match(external.stderr, /error FW_BROKER_EXTERNAL: .*mqtt:\/\/broker\.example/)
  const env = join(place, 'env.yaml')
  writeFileSync(env, 'mqtt: { url: "mqtt://127.0.0.1:9", user: u, password_env: FIELDWHISPER_NO_SUCH }\n')
  const without = await here.run(node, [program, 'run', '--state', join(place, 'state'), '--config', env])
  t.match(without.stderr, /error FW_MQTT_PASSWORD_MISSING: .*FIELDWHISPER_NO_SUCH/)
})

void t.test('a running gateway takes users up at once, and cuts who is removed', async (t) => {
  const { port, user, run, state, config } = await site(t)
  const gateway = here.spawn(node, [program, 'run', '--state', state, '--config', config])
  t.teardown(() => gateway.kill())
  await gateway.line(/FW_GATEWAY_RUNNING/, 60_000)
  const password = passwordIn(await user('add', 'dashboard'))
  const client = await connectAsync(`mqtt://127.0.0.1:${port}`, {
    username: 'dashboard',
    password,
    reconnectPeriod: 0,
  })
  t.teardown(() => client.endAsync(true))
  const seen: string[] = []
  client.on('message', (topic) => seen.push(topic))
  await client.subscribeAsync('fieldwhisper/#', { qos: 1 })
  await until(() => seen.length > 0, { withinMs: 10_000, what: 'the state of the gateway' })
  t.match(JSON.parse((await run('status', '--json')).stdout), { mqtt: { broker: { users: 1, clients: 1 } } })
  const closed = new Promise((resolve) => client.once('close', () => resolve(true)))
  t.equal((await user('remove', 'dashboard')).code, 0)
  t.ok(await closed)
  await gateway.line(/FW_BROKER_USER_CUT/, 10_000)
  await t.rejects(
    connectAsync(`mqtt://127.0.0.1:${port}`, { username: 'dashboard', password, reconnectPeriod: 0 }, false),
    { message: /Bad username or password/ },
  )
  t.equal((await gateway.stop()).code, 0)
})
