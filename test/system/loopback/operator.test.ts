import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { here, type Program } from '../support/process.js'
import {
  Agent,
  counterSource,
  Gateway,
  missingCounts,
  readSeen,
  Relay,
  type AgentState,
} from '../support/site.js'

const NO_LAN = { lan: { enabled: false } }

void t.test(
  'one device at the hands of its operator: renamed, its relay moved, away and back as a new one',
  { timeout: 180_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const mqttPort = await freePort()
    const relayPort = await freePort()
    const embedded = `ws://127.0.0.1:${relayPort}`
    const site = { ...NO_LAN, mqtt: { embedded: { port: mqttPort } } }
    const gateway = new Gateway(
      here,
      { folder },
      { ...site, relay: { enabled: true, listen: `127.0.0.1:${relayPort}`, urls: [embedded] } },
    )
    await gateway.command('init', '--site', 'test')

    const messages: { topic: string; payload: string; atMs: number; retained: boolean }[] = []
    const seenOf = (name: string) => readSeen(messages).filter(({ agent }) => agent === name)
    const arrive = (name: string, count: number): Promise<unknown> =>
      until(() => seenOf(name).length >= count, { withinMs: 40_000, what: `${count} readings of ${name}` })

    async function run(): Promise<Program> {
      const program = gateway.spawn('run')
      t.teardown(() => program.kill())
      await gateway.untilStatus<{ relays: { connected: boolean }[] }>(
        ({ relays }) => relays.length > 0 && relays.every(({ connected }) => connected),
        { withinMs: 30_000, what: 'the gateway at its relays' },
      )
      return program
    }

    let program = await run()
    const mqtt = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
      clientId: 'judge',
      clean: false,
      username: 'fieldwhisper',
      password: readFileSync(join(gateway.stateDir, 'mqtt-password'), 'utf8').trim(),
      reconnectPeriod: 200,
    })
    t.teardown(() => mqtt.endAsync(true))
    mqtt.on('message', (topic, payload, { retain }) => {
      messages.push({ topic, payload: payload.toString(), atMs: Date.now(), retained: retain })
    })
    await mqtt.subscribeAsync('fieldwhisper/#', { qos: 1 })

    const agent = new Agent(here, 'press', { folder }, { ...NO_LAN, sources: [counterSource(10)] })
    await agent.command('join', await gateway.enroll('press'))
    let device = agent.spawn('run')
    t.teardown(() => device.kill())
    await arrive('press', 20)
    t.ok(
      seenOf('press').every(({ path }) => path === 'relay'),
      'by the relay inside the gateway',
    )

    await t.test('rename: the next readings have the new name, none is lost', async (t) => {
      await gateway.command('rename', 'press', 'lathe')
      await arrive('lathe', 20)
      const under = [...seenOf('press'), ...seenOf('lathe')].map((one) => ({ ...one, agent: 'either' }))
      t.same(missingCounts(under, 'either'), [])
      t.match(await gateway.command('agents'), /lathe/)
      t.notMatch(await gateway.command('agents'), /press/)
      await t.rejects(gateway.command('rename', 'press', 'drill'), /press/, 'nobody is called that any more')
    })

    await t.test(
      'relays: the agent hears of another relay and uses it when the first has gone',
      async (t) => {
        const relay = new Relay(here, { folder })
        const relayProgram = relay.spawn('run', '--listen', '127.0.0.1:0')
        t.teardown(() => relayProgram.kill())
        const { listen } = await relay.untilStatus<{ listen: string; ok: boolean }>(({ ok }) => ok, {
          withinMs: 20_000,
          what: 'the second relay runs',
        })
        const token = readFileSync(join(relay.stateDir, 'access-token'), 'utf8').trim()
        await gateway.command('relays', '--add', `ws://${listen}`, '--token', token)
        await agent.untilStatus<AgentState>(
          ({ paths }) => paths.relays.length === 2 && paths.relays.every(({ connected }) => connected),
          { withinMs: 60_000, what: 'the agent at both relays' },
        )
        await program.stop()
        gateway.configure(site)
        program = await run()
        const before = seenOf('lathe').length
        await arrive('lathe', before + 30)
        t.same(missingCounts(seenOf('lathe'), 'lathe'), [])
        t.notMatch(await gateway.command('relays'), new RegExp(String(relayPort)))
        await agent.untilStatus<AgentState>(({ paths }) => paths.relays.length === 1, {
          withinMs: 60_000,
          what: 'the agent without the relay that is gone',
        })

        await t.test(
          'leave: nothing of the device is left but its readings; it joins again as a new one',
          async (t) => {
            await device.stop()
            const hesitant = agent.command('leave')
            await t.rejects(hesitant, 'not without --yes')
            t.match(await agent.command('leave', '--yes'), /Done/)
            const again = await gateway.enroll('lathe', '--replace')
            await agent.command('join', again)
            const count = seenOf('lathe').length
            device = agent.spawn('run')
            t.teardown(() => device.stop())
            await arrive('lathe', count + 20)
            await agent.untilStatus<AgentState>(({ joined, name }) => joined && name === 'lathe', {
              withinMs: 20_000,
              what: 'the device in its site again',
            })
          },
        )
        await device.stop()
      },
    )
    t.equal((await program.stop()).code, 0)
  },
)
