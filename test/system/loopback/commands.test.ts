import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connectAsync } from 'mqtt'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { cli, here, type Finished } from '../support/process.js'
import { Agent, type AgentState } from '../support/site.js'
import { WireSite } from '../support/wire-site.js'

void t.test(
  'an operator has a device do things: over relay and LAN, refused, too late, and while nothing runs',
  { timeout: 150_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const lamp = join(folder, 'lamp')
    const site = await WireSite.start(t, { name: 'uptime' })
    const { stateDir } = site.gateway
    const [node, program] = cli('gateway')
    const command = (...args: readonly string[]): Promise<Finished> =>
      here.run(node, [program, 'command', ...args, '--state', stateDir], { withinMs: 60_000 })
    const agent = new Agent(
      here,
      'press',
      { folder },
      {
        lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
        // Only a command brings a second reading within this test.
        sources: [{ type: 'system', interval: '1h', readings: ['uptime'] }],
        commands: { allow: ['ping', 'read_now', 'write'], outputs: { lamp: { type: 'file', path: lamp } } },
      },
    )
    await agent.command('join', await site.gateway.enroll('press'))
    const device = agent.spawn('run')
    t.teardown(() => device.kill())
    await site.values(1)

    const ping = await command('press', 'ping')
    t.equal(ping.code, 0, ping.stderr)
    t.match(ping.stdout, /^press {2}ping: done\n {2}the agent is there\n {2}version {2,}\S+/)

    const read = await command('press', 'read_now', '{"source":"system"}', '--json')
    t.equal(read.code, 0, read.stderr)
    const { result } = JSON.parse(read.stdout) as { result: { uptime: number } }
    t.ok(result.uptime > 0)
    t.equal((await site.values(2))[1], result.uptime, 'the same reading in MQTT')

    const write = await command('press', 'write', '{"output":"lamp","value":"on"}')
    t.equal(write.code, 0, write.stderr)
    t.equal(readFileSync(lamp, 'utf8'), 'on')

    const passwordFile = join(folder, 'flows-password')
    writeFileSync(passwordFile, 'what the flows say\n')
    const rights = ['--write', 'fieldwhisper/+/$agents/+/command', '--password-file', passwordFile]
    const user = await here.run(
      node,
      [program, 'broker', 'user', 'add', 'flows', ...rights, '--state', stateDir],
      {
        withinMs: 30_000,
      },
    )
    t.equal(user.code, 0, user.stderr)
    const flows = await connectAsync((await site.status()).mqtt.broker.address, {
      username: 'flows',
      password: 'what the flows say',
      reconnectPeriod: 0,
    })
    t.teardown(() => flows.endAsync(true))
    const heard = new Map<string, any>()
    flows.on('message', (topic, payload) => heard.set(topic.split('/').at(-1)!, JSON.parse(String(payload))))
    await flows.subscribeAsync('fieldwhisper/test/$agents/#', { qos: 1 })
    const request = { command: 'write', args: { output: 'lamp', value: 'by MQTT' }, correlation: 'a1' }
    await flows.publishAsync('fieldwhisper/test/$agents/press/command', JSON.stringify(request), { qos: 1 })
    await until(() => heard.has('reply') && heard.has('status'), {
      withinMs: 30_000,
      what: 'the reply by MQTT',
    })
    t.match(heard.get('reply'), {
      command: 'write',
      correlation: 'a1',
      status: 'done',
      code: 'FW_COMMAND_DONE',
    })
    t.match(heard.get('status'), { state: 'online', path: 'lan', lost: 0 })
    t.equal(readFileSync(lamp, 'utf8'), 'by MQTT')
    await command('press', 'write', '{"output":"lamp","value":"on"}')

    const forbidden = await command('press', 'restart_source', '{"source":"system"}')
    t.equal(forbidden.code, 1)
    t.match(forbidden.stdout, /REFUSED, not carried out\n.*commands\.allow.*\(FW_COMMAND_NOT_ALLOWED\)/)
    t.ok(
      device.stderr.some((line) => line.includes('FW_COMMAND_NOT_ALLOWED')),
      'an event in the log of the agent',
    )
    t.notOk(
      device.stderr.some((line) => line.includes('"on"') || line.includes('lamp')),
      'which never shows arguments',
    )

    t.equal((await command('press', 'ping', '{no json')).code, 2)
    t.match((await command('press', 'ping', '[1]')).stderr, /FW_COMMAND_INVALID/)
    t.match((await command('press', 'ping', '--ttl', '11m')).stderr, /FW_COMMAND_INVALID/)
    t.match((await command('nobody', 'ping')).stderr, /FW_AGENT_UNKNOWN/)

    // A device that stands still takes it too late, by its own clock, and does not carry it out.
    device.signal('SIGSTOP')
    const late = await command('press', 'write', '{"output":"lamp","value":"late"}', '--ttl', '1s')
    t.equal(late.code, 1)
    t.match(late.stdout, /EXPIRED, not carried out\n.*\(FW_COMMAND_EXPIRED\)/)
    device.signal('SIGCONT')
    await until(() => device.stderr.some((line) => line.includes('FW_COMMAND_EXPIRED')), {
      withinMs: 30_000,
      what: 'the device has taken the late command',
    })
    t.equal(readFileSync(lamp, 'utf8'), 'on')
    t.equal((await command('press', 'ping')).code, 0, 'and goes on')

    await agent.untilStatus<AgentState>(({ spool }) => spool.held === 0, {
      withinMs: 20_000,
      what: 'an empty spool',
    })
    t.equal((await device.stop()).code, 0)
    const gone = await command('press', 'ping', '--ttl', '1s')
    t.match(gone.stdout, /EXPIRED/)
    t.equal((await site.program.stop()).code, 0)
    const nobody = await command('press', 'ping')
    t.equal(nobody.code, 1)
    t.match(nobody.stderr, /FW_GATEWAY_NOT_RUNNING/)
  },
)
