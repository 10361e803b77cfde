import { cpSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { freePort } from '../../support/ports.js'
import { until } from '../../support/until.js'
import { here, type Program } from '../support/process.js'
import { Agent, counterSource, Gateway, Relay, type AgentState } from '../support/site.js'

const NO_LAN = { lan: { enabled: false } }

void t.test(
  'the card of a device is copied and both run: one is held back, the operator decides, nothing is lost',
  { timeout: 120_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const relay = new Relay(here, { folder })
    const relayProgram = relay.spawn('run', '--listen', '127.0.0.1:0')
    t.teardown(() => relayProgram.kill())
    const relayState = (): Promise<{ listen: string; packets: number }> => relay.status()
    const runs = { withinMs: 30_000, what: 'the relay' }
    const { listen } = await relay.untilStatus<{ listen: string; ok: boolean }>(({ ok }) => ok, runs)
    const token = readFileSync(join(relay.stateDir, 'access-token'), 'utf8').trim()
    const mqttPort = await freePort()
    const gateway = new Gateway(
      here,
      { folder },
      { ...NO_LAN, mqtt: { embedded: { port: mqttPort } }, relays: [{ url: `ws://${listen}`, token }] },
    )
    await gateway.command('init', '--site', 'test')
    const program = gateway.spawn('run')
    t.teardown(() => program.kill())
    await gateway.untilStatus<{ healthy: boolean }>(({ healthy }) => healthy, {
      withinMs: 30_000,
      what: 'the gateway at its relay',
    })

    const ids = new Set<string>()
    const events: string[] = []
    const mqtt = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
      username: 'fieldwhisper',
      password: readFileSync(join(gateway.stateDir, 'mqtt-password'), 'utf8').trim(),
    })
    t.teardown(() => mqtt.endAsync(true))
    mqtt.on('message', (topic, payload) => {
      const message = JSON.parse(payload.toString()) as { id?: string; code?: string }
      if (topic.includes('$events')) events.push(message.code!)
      else if (topic.endsWith('/counter') && topic.includes('/press/')) ids.add(message.id!)
    })
    await mqtt.subscribeAsync('fieldwhisper/#', { qos: 1 })

    const config = { ...NO_LAN, sources: [counterSource(5)] }
    const press = new Agent(here, 'press', { folder }, config)
    await press.command('join', await gateway.enroll('press'))
    const before = press.spawn('run')
    await until(() => ids.size > 5, { withinMs: 40_000, what: 'readings of the press' })
    await before.stop()

    const copied = new Agent(here, 'copy', { folder }, config)
    cpSync(press.stateDir, copied.stateDir, { recursive: true })
    const both = [press, copied]
    // Both come back by the successor of one session. The gateway finds both hellos, and hears that the first is ready before the
    // second: any other order is noticed too, but by an hour of silence of one of them.
    program.signal('SIGSTOP')
    const start = async (agent: Agent): Promise<Program> => {
      const started = agent.spawn('run')
      t.teardown(() => started.kill())
      const connected = ({ paths }: AgentState): boolean => paths.relays.some((one) => one.connected)
      await agent.untilStatus(connected, { withinMs: 30_000, what: 'the device at the relay' })
      const { packets } = await relayState()
      const what = 'a hello at the relay and seconds of readings behind it'
      await until(async () => (await relayState()).packets >= packets + 10, { withinMs: 30_000, what })
      return started
    }
    const programs = [await start(press), await start(copied)]
    programs[1]!.signal('SIGSTOP')
    const { accepted } = (await press.status<AgentState>()).spool
    program.signal('SIGCONT')
    // With each batch it says that it is ready.
    await press.untilStatus<AgentState>(({ spool }) => spool.acked > accepted + 20, {
      withinMs: 30_000,
      what: 'newer readings of the first device at the gateway',
    })
    programs[1]!.signal('SIGCONT')
    await until(() => events.includes('FW_CLONE_SUSPECTED'), {
      withinMs: 60_000,
      what: 'the suspicion on an MQTT topic',
    })
    t.match(await gateway.status(), { healthy: false, problems: [/two devices use the identity of press/] })
    t.match(await gateway.command('agents'), /press +copied\?/)
    t.match(await gateway.command('events', '--level', 'warn'), /FW_CLONE_SUSPECTED/)

    const isHeld = ({ hold }: AgentState & { hold?: string }): boolean => hold === 'clone'
    const states = await until(
      async () => {
        const found = await Promise.all(both.map((agent) => agent.status<AgentState>()))
        return found.some(isHeld) ? found : undefined
      },
      { withinMs: 40_000, everyMs: 250, what: 'one of both is told that it is held' },
    )
    t.equal(states.filter(isHeld).length, 1, 'the other one is not')
    const held = states.findIndex(isHeld)
    const [later, first] = [both[held]!, both[1 - held]!]

    await t.rejects(gateway.command('clone', 'press', 'whichever'), /keep/)
    t.match(await gateway.command('clone', 'press', 'replace'), /The later device goes on as press/)
    await t.rejects(gateway.command('clone', 'press', 'keep'), /FW_CLONE_NONE/)
    const atDecision = (await first.status<AgentState>()).spool.acked
    // What was held back came over a relay, which is asked for it again after a minute at the latest.
    const drained = await later.untilStatus<AgentState>(
      ({ spool }) => spool.held < 10 && spool.acked > states[held]!.spool.accepted,
      { withinMs: 90_000, what: 'everything of the later device at the gateway' },
    )
    t.equal(drained.spool.dropped, 0)
    const shutOut = await first.status<AgentState>()
    t.ok(shutOut.spool.held > 0, 'the first keeps its readings')
    t.equal(shutOut.spool.dropped, 0)
    t.ok(shutOut.spool.acked - atDecision < 10, 'and nothing more of it is taken')
    t.ok(
      ids.size >= drained.spool.acked,
      'all that was acknowledged was published, under an id of its own each',
    )
    for (const one of programs) await one.stop()
    await program.stop()
    await relayProgram.stop()
  },
)
