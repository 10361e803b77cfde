import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeJsonFile } from '@fieldwhisper/host'
import { connectAsync } from 'mqtt'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { here, type Program } from '../support/process.js'
import { Agent, counterSource, Gateway, readSeen, Relay, type AgentState } from '../support/site.js'

const NO_LAN = { lan: { enabled: false } }

void t.test(
  'backup beside a running gateway, its disk gone, restored: the device comes back and nothing is lost',
  { timeout: 240_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const mqttPort = await freePort()
    const relay = new Relay(here, { folder })
    const relayProgram = relay.spawn('run', '--listen', '127.0.0.1:0')
    t.teardown(() => relayProgram.kill())
    const { listen } = await relay.untilStatus<{ listen: string; ok: boolean }>(({ ok }) => ok, {
      withinMs: 20_000,
      what: 'the relay runs',
    })
    const token = readFileSync(join(relay.stateDir, 'access-token'), 'utf8').trim()
    const gateway = new Gateway(here, { folder }, { ...NO_LAN, mqtt: { embedded: { port: mqttPort } } })
    await gateway.command('init', '--site', 'test')
    await gateway.command('relays', '--add', `ws://${listen}`, '--token', token)
    const run = async (): Promise<Program> => {
      const program = gateway.spawn('run')
      t.teardown(() => program.kill())
      await gateway.untilStatus<{ relays: { connected: boolean }[] }>(
        ({ relays }) => relays.length > 0 && relays.every(({ connected }) => connected),
        { withinMs: 30_000, what: 'the gateway at its relay' },
      )
      return program
    }
    let program = await run()
    const messages: { topic: string; payload: string; atMs: number; retained: boolean }[] = []
    const published = (): number => new Set(readSeen(messages).map(({ id }) => id)).size
    const password = readFileSync(join(gateway.stateDir, 'mqtt-password'), 'utf8').trim()
    const mqtt = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
      clientId: 'judge',
      username: 'fieldwhisper',
      password,
      reconnectPeriod: 200,
    })
    t.teardown(() => mqtt.endAsync(true))
    mqtt.on('message', (topic, payload, { retain }) => {
      messages.push({ topic, payload: payload.toString(), atMs: Date.now(), retained: retain })
    })
    await mqtt.subscribeAsync('fieldwhisper/#', { qos: 1 })

    const agent = new Agent(here, 'press', { folder }, { ...NO_LAN, sources: [counterSource(10)] })
    await agent.command('join', await gateway.enroll('press'))
    const stats = async (): Promise<Record<'accepted' | 'acknowledged' | 'readings' | 'dropped', number>> =>
      JSON.parse(await agent.command('spool', 'stats', '--json')) as never
    let device = agent.spawn('run')
    t.teardown(() => device.kill())
    await until(() => published() >= 20, { withinMs: 40_000, what: '20 readings' })

    const file = join(folder, 'site.fwbackup')
    const passphrase = join(folder, 'passphrase')
    writeFileSync(passphrase, 'four words will do\n')
    t.match(
      await gateway.command('backup', file, '--passphrase-file', passphrase),
      /1 devices, with the configuration/,
    )
    const atBackup = published()
    await until(() => published() >= atBackup + 20, { withinMs: 30_000, what: 'readings after the backup' })
    await device.stop()
    const before = await stats()
    await until(() => published() >= before.acknowledged, { withinMs: 20_000, what: 'what was acknowledged' })
    await program.kill()
    rmSync(gateway.stateDir, { recursive: true })

    device = agent.spawn('run')
    t.teardown(() => device.kill())
    await agent.untilStatus<AgentState>(({ spool }) => spool.held >= 20, {
      withinMs: 30_000,
      what: 'readings kept',
    })
    await device.stop()

    const told = await gateway.command('restore', file, '--passphrase-file', passphrase)
    t.match(told, /Repeat every revocation made after/)
    const reconnected = until(() => mqtt.connected, { withinMs: 30_000, what: 'the subscriber is back' })
    program = await run()
    await reconnected
    t.match(
      await gateway.command('events', '--level', 'warn'),
      /FW_GATEWAY_RESTORED .*repeat the revocations/,
    )
    t.notMatch(await gateway.command('events'), /FW_SECOND_GATEWAY/)

    // Ten minutes of silence, which nobody waits for here: with a newer prekey record in sight five are enough.
    const session = join(agent.stateDir, 'session.json')
    const { crc32: _, ...stored } = JSON.parse(readFileSync(session, 'utf8')) as Record<string, unknown>
    writeJsonFile(session, { ...stored, silence: { silentMs: 600_000, nextMs: 0, step: 'none' } })
    device = agent.spawn('run')
    t.teardown(() => device.kill())
    await agent.untilStatus<AgentState & { session: { kind: string; answered: boolean } }>(
      ({ session, spool }) => session.answered && spool.acked > before.accepted + 20,
      { withinMs: 90_000, what: 'the device is answered by the restored gateway' },
    )
    await device.stop()
    const after = await stats()
    t.equal(after.dropped, 0)
    t.equal(after.accepted, after.acknowledged + after.readings)
    await until(() => published() >= after.acknowledged, {
      withinMs: 30_000,
      what: `${after.acknowledged} different readings on MQTT`,
    })
    t.match(await gateway.command('agents', '--json'), /"name": "press",\s+"status": "active"[^}]*"lost": 0/)
    t.equal((await program.stop()).code, 0)
  },
)
