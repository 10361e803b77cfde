import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { cli, here, type Finished } from '../../system/support/process.js'

/*
 * The operator's commands on a gateway that does not run, with the real program.
 */

const [node, program] = cli('gateway')

function gateway(state: string, command: string, ...args: readonly string[]): Promise<Finished> {
  return here.run(node, [program, command, ...args, '--state', state])
}

async function site(test: Test): Promise<string> {
  const state = join(temporaryFolder(test), 'gateway')
  const made = await gateway(state, 'init', '--site', 'bakery')
  if (made.code !== 0) throw new Error(made.stderr)
  return state
}

function refusedWith(test: Test, done: Finished, code: string): void {
  test.equal(done.code, 1)
  test.match(done.stderr, new RegExp(`^error ${code}: `, 'm'))
  test.equal(done.stdout, '')
}

void t.test('a site is made once and never replaced', async (t) => {
  const state = await site(t)
  refusedWith(t, await gateway(state, 'init'), 'FW_SITE_EXISTS')
  const again = await gateway(state, 'agents', '--json')
  t.equal(again.code, 0, 'the first one is still there')
})

void t.test('without a site there is nothing to enrol at', async (t) => {
  const state = join(temporaryFolder(t), 'gateway')
  refusedWith(t, await gateway(state, 'enroll', 'pump-7'), 'FW_IDENTITY_MISSING')
})

void t.test('a name that is no level of a topic is refused and makes no invite', async (t) => {
  const state = await site(t)
  for (const name of ['pump 7', 'pump/7', 'x'.repeat(65)]) {
    refusedWith(t, await gateway(state, 'enroll', name), 'FW_NAME_INVALID')
  }
  const longest = await gateway(state, 'enroll', 'x'.repeat(64), '--plain')
  t.match(longest.stdout, /^fw1-[\w-]+$/)
})

void t.test('relays are added up to eight, and only those that were added are removed', async (t) => {
  const state = await site(t)
  refusedWith(t, await gateway(state, 'relays', '--add', 'http://10.0.0.1:24780'), 'FW_RELAY_URL_INVALID')
  const eight = Array.from({ length: 8 }, (_, i) => ({ url: `ws://10.0.0.${i + 1}:24780` }))
  writeFileSync(join(state, 'relays.json'), JSON.stringify(eight))
  refusedWith(t, await gateway(state, 'relays', '--add', 'ws://10.0.0.9:24780'), 'FW_RELAYS_FULL')
  refusedWith(t, await gateway(state, 'relays', '--remove', 'ws://10.0.0.9:24780'), 'FW_RELAY_UNKNOWN')
  const removed = await gateway(state, 'relays', '--remove', 'ws://10.0.0.8:24780', '--json')
  t.same(JSON.parse(removed.stdout), eight.slice(0, 7))
})

void t.test('a gateway says that it runs, answers as healthy, and ends in order', async (t) => {
  const state = await site(t)
  const config = join(state, 'gateway.yaml')
  writeFileSync(config, 'lan: { enabled: false }\nmqtt: { embedded: { port: 21883 } }\n')
  const running = here.spawn(node, [program, 'run', '--state', state, '--config', config])
  t.teardown(() => running.kill())
  await running.line(/FW_GATEWAY_RUNNING the gateway of site bakery runs/, 20_000)
  const status = await gateway(state, 'status', '--json')
  t.equal(status.code, 0)
  t.match(JSON.parse(status.stdout), { healthy: true, site: 'bakery', problems: [] })
  await running.stop()
  t.same(running.survivors(), [])
  t.equal((await gateway(state, 'status', '--json')).code, 1, 'and is not healthy when it does not run')
})
