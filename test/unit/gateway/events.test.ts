import { writeFileSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import t, { type Test } from 'tap'
import { freePort } from '../../support/ports.js'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { here, type Program } from '../../system/support/process.js'
import { Gateway } from '../../system/support/site.js'

/*
 * `fieldwhisper-gateway events` with the real program: while it runs, after it ended, and on MQTT.
 */

interface Line {
  readonly code: string
  readonly level: string
}

async function site(test: Test): Promise<{ gateway: Gateway; port: number; run: () => Promise<Program> }> {
  const port = await freePort()
  const gateway = new Gateway(
    here,
    { folder: temporaryFolder(test) },
    { lan: { enabled: false }, mqtt: { embedded: { port } } },
  )
  await gateway.command('init', '--site', 'bakery')
  const run = async (): Promise<Program> => {
    const program = gateway.spawn('run')
    test.teardown(() => program.kill())
    await program.line(/FW_GATEWAY_RUNNING/, 20_000)
    return program
  }
  return { gateway, port, run }
}

async function codes(gateway: Gateway, ...args: readonly string[]): Promise<string[]> {
  return (JSON.parse(await gateway.command('events', '--json', ...args)) as Line[]).map(({ code }) => code)
}

void t.test(
  'what happened is shown while the gateway runs and when it does not',
  { timeout: 90_000 },
  async (t) => {
    const { gateway, run } = await site(t)
    t.match(await gateway.command('events'), /Nothing happened/)
    writeFileSync(join(gateway.stateDir, 'relays.json'), 'garbled')
    const program = await run()
    t.same(await codes(gateway), ['FW_FILE_SET_ASIDE', 'FW_GATEWAY_RUNNING'])
    t.same(await codes(gateway, '--level', 'warn'), ['FW_FILE_SET_ASIDE'])
    t.same(await codes(gateway, '--count', '1'), ['FW_GATEWAY_RUNNING'])
    t.match(
      await gateway.command('events'),
      /error {2}FW_FILE_SET_ASIDE {2}A state file could not be used.*relays\.json/,
    )
    await program.stop()
    t.same(await codes(gateway, '--since', '1h'), ['FW_FILE_SET_ASIDE', 'FW_GATEWAY_RUNNING'])
    const again = await run()
    t.same(await codes(gateway), ['FW_FILE_SET_ASIDE', 'FW_GATEWAY_RUNNING', 'FW_GATEWAY_RUNNING'])
    t.equal((await again.stop()).code, 0)
  },
)

void t.test('an event is published under $events too', { timeout: 60_000 }, async (t) => {
  const { gateway, port, run } = await site(t)
  const program = await run()
  const heard: Record<string, unknown>[] = []
  const mqtt = await connectAsync(`mqtt://127.0.0.1:${port}`, {
    clientId: 'judge',
    username: 'fieldwhisper',
    password: readFileSync(join(gateway.stateDir, 'mqtt-password'), 'utf8').trim(),
  })
  t.teardown(() => mqtt.endAsync(true))
  mqtt.on(
    'message',
    (_topic, payload) => void heard.push(JSON.parse(payload.toString()) as Record<string, unknown>),
  )
  await mqtt.subscribeAsync('fieldwhisper/bakery/$events', { qos: 1 })
  const stranger = connectAsync(`mqtt://127.0.0.1:${port}`, {
    username: 'x',
    password: 'y',
    reconnectPeriod: 0,
  })
  await t.rejects(stranger, /Not authorized|Bad user/i)
  const refused = await until(() => heard.find(({ code }) => code === 'FW_BROKER_CLIENT_REFUSED'), {
    withinMs: 20_000,
    what: 'the refusal on MQTT',
  })
  t.match(refused, { level: 'warn', code: 'FW_BROKER_CLIENT_REFUSED', message: String, time: /^\d{4}-/ })
  t.ok((await codes(gateway)).includes('FW_BROKER_CLIENT_REFUSED'))
  await program.stop()
})

void t.test('what is used wrongly, and a folder that is none, say so', { timeout: 60_000 }, async (t) => {
  const { gateway } = await site(t)
  await t.rejects(gateway.command('events', '--since', 'yesterday'), /ended with 2: .*--since is a time/)
  await t.rejects(gateway.command('events', '--level', 'bad'), /ended with 2: .*info, warn or error/)
  await t.rejects(gateway.command('events', '--count', '10001'), /ended with 2: .*1 to 10000/)
  const nowhere = new Gateway(here, { folder: temporaryFolder(t) })
  await t.rejects(nowhere.command('events'), /FW_NO_GATEWAY_STATE/)
})
