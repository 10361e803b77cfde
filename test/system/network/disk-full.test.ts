import { closeSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { BROKER_PORT, joinAgent, layFloor, runGateway, startRelay } from '../support/floor.js'
import { startMosquitto, subscribe } from '../support/mosquitto.js'
import { createNet, noNetworks } from '../support/net.js'
import { here } from '../support/process.js'
import { Agent, counterSource, Gateway, missingCounts, readSeen, type AgentState } from '../support/site.js'

// Each waits most of its time, on disks and networks of its own.
t.jobs = 3

/** Takes every byte that is left. */
function fill(path: string): void {
  const file = openSync(path, 'w')
  const some = Buffer.alloc(64 * 1024, 1)
  try {
    for (let left = 10_000; left > 0; left--) writeSync(file, some)
    throw new Error('the disk has no end')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    closeSync(file)
  }
}

async function mountDisk(t: Test, path: string, size: string): Promise<void> {
  mkdirSync(path, { mode: 0o700 })
  const { code, stderr } = await here.run('mount', [
    '-t',
    'tmpfs',
    '-o',
    `size=${size},mode=700`,
    'tmpfs',
    path,
  ])
  t.equal(code, 0, stderr)
  t.teardown(() => here.run('umount', ['-l', path]))
}

void t.test(
  "the gateway's disk is full: readings wait with their agents, a device can still join, and all arrives when there is room",
  { skip: noNetworks(), timeout: 240_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const disk = join(folder, 'gateway')
    await mountDisk(t, disk, '64m')

    const net = createNet(t, ['lan'])
    const floor = net.host('gateway', ['lan'])
    await startMosquitto(floor, { folder, port: BROKER_PORT })
    const subscription = await subscribe(floor, { port: BROKER_PORT, topic: 'fieldwhisper/#' })
    const gateway = new Gateway(floor, { folder }, { mqtt: { url: `mqtt://127.0.0.1:${BROKER_PORT}` } })
    await gateway.command('init', '--site', 'test')
    const program = await runGateway(gateway)

    const press = new Agent(
      net.host('press', ['lan']),
      'press',
      { folder },
      { sources: [counterSource(1_000)] },
    )
    await joinAgent(gateway, press)
    const pressProgram = press.spawn('run')
    const seenOf = (name: string) => readSeen(subscription.messages).filter(({ agent }) => agent === name)
    await until(() => seenOf('press').length > 2_000, { withinMs: 30_000, what: 'readings before' })

    fill(join(disk, 'filler'))
    const full = await gateway.untilStatus<{ hold: string | null; problems: string[] }>(
      ({ hold }) => hold === 'disk',
      { withinMs: 60_000, what: 'the gateway to hold readings back' },
    )
    t.match(full.problems.join(), /disk/)
    t.ok(statfsSync(disk).bavail > 0, 'it gave up its ballast')
    const oven = new Agent(
      net.host('oven', ['lan']),
      'oven',
      { folder },
      { sources: [counterSource(20, { count: 200 })] },
    )
    await joinAgent(gateway, oven)
    const ovenProgram = oven.spawn('run')
    await oven.untilStatus<AgentState>(({ spool }) => spool.accepted === 200, {
      withinMs: 30_000,
      what: 'the readings of the new device in its spool',
    })
    await new Promise((resolve) => setTimeout(resolve, 5_000))
    t.equal((await gateway.status<{ hold: string }>()).hold, 'disk')
    t.same(seenOf('oven'), [])

    rmSync(join(disk, 'filler'))
    const latest = (await press.status<AgentState>()).spool.accepted
    await until(
      () => seenOf('oven').length >= 200 && Math.max(...seenOf('press').map(({ value }) => value)) > latest,
      { withinMs: 60_000, everyMs: 200, what: 'what had to wait' },
    )
    t.same(missingCounts(seenOf('oven'), 'oven'), [])
    t.same(missingCounts(seenOf('press'), 'press'), [])
    t.equal((await gateway.status<{ hold: string | null }>()).hold, null)
    t.notMatch(program.output(), /Write error/, 'the engine never met the full disk itself')
    for (const one of [pressProgram, ovenProgram, program]) t.equal((await one.stop()).code, 0)
  },
)

void t.test(
  "the agent's disk is full: readings go on, also over ten seconds without the gateway, and nothing is lost",
  { skip: noNetworks(), timeout: 240_000 },
  async (t) => {
    const net = createNet(t, ['lan'])
    const { gateway, subscription, folder } = await layFloor(t, net.host('gateway', ['lan']), {})
    const program = await runGateway(gateway)
    const host = net.host('press', ['lan'])
    const disk = join(folder, 'press')
    await mountDisk(t, disk, '128m')
    const agent = new Agent(
      host,
      'press',
      { folder },
      { spool: { min_free_disk: '100MiB' }, sources: [counterSource(100)] },
    )
    await joinAgent(gateway, agent)
    const agentProgram = agent.spawn('run')
    const seen = (): number => readSeen(subscription.messages).length
    await until(() => seen() > 200, { withinMs: 30_000, what: 'readings before' })

    fill(join(disk, 'filler'))
    const before = seen()
    await until(() => seen() > before + 1_000, { withinMs: 60_000, what: '1,000 readings on a full disk' })
    t.same(missingCounts(readSeen(subscription.messages), 'press'), [])
    t.equal((await agent.status<AgentState>()).spool.dropped, 0)

    host.unplug('lan')
    const { spool } = await agent.status<AgentState>()
    await agent.untilStatus<AgentState>(({ spool: { accepted } }) => accepted > spool.accepted + 1_000, {
      withinMs: 60_000,
      what: '1,000 readings on a full disk without a gateway',
    })
    host.plug('lan')
    const accepted = (): Promise<number> =>
      agent.status<AgentState>().then(({ spool: { accepted, dropped } }) => (t.equal(dropped, 0), accepted))
    const waited = await accepted()
    await until(() => seen() >= waited, { withinMs: 90_000, everyMs: 200, what: 'what had to wait' })
    t.same(missingCounts(readSeen(subscription.messages), 'press'), [])
    t.notMatch(agentProgram.output(), /Write error/, 'the engine never met the full disk itself')
    for (const one of [agentProgram, program]) t.equal((await one.stop()).code, 0)
  },
)

void t.test(
  "the relay's disk is full: what it cannot keep waits with the agents, and all arrives when there is room",
  { skip: noNetworks(), timeout: 240_000 },
  async (t) => {
    const net = createNet(t, ['uplink'])
    const relayFolder = temporaryFolder(t)
    const disk = join(relayFolder, 'relay')
    await mountDisk(t, disk, '32m')
    const relayHost = net.host('relay', ['uplink'])
    const { relay, program: relayProgram, reach } = await startRelay(t, relayHost, 'uplink', relayFolder)
    const { gateway, subscription, folder } = await layFloor(t, net.host('gateway', ['uplink']), {
      lan: { enabled: false },
      relays: [reach],
    })
    let gatewayProgram = await runGateway(gateway)
    const host = net.host('press', ['uplink'])
    const agent = new Agent(
      host,
      'press',
      { folder },
      { lan: { enabled: false }, sources: [counterSource(20)] },
    )
    await joinAgent(gateway, agent)
    const agentProgram = agent.spawn('run')
    const seen = (): number => readSeen(subscription.messages).length
    await until(() => seen() > 100, { withinMs: 30_000, what: 'readings before' })

    fill(join(disk, 'filler'))
    const before = seen()
    await until(() => seen() > before + 100, {
      withinMs: 60_000,
      what: 'readings handed over without a disk',
    })

    await gatewayProgram.stop()
    const { spool } = await agent.status<AgentState>()
    await agent.untilStatus<AgentState>(({ spool: { accepted } }) => accepted > spool.accepted + 100, {
      withinMs: 60_000,
      what: '100 readings that nobody can keep but the agent',
    })
    rmSync(join(disk, 'filler'))
    gatewayProgram = await runGateway(gateway)
    const waited = (await agent.status<AgentState>()).spool.accepted
    const missing = (): number[] => missingCounts(readSeen(subscription.messages), 'press')
    await until(() => seen() >= waited && missing().length === 0, {
      withinMs: 100_000,
      everyMs: 200,
      what: 'what had to wait, offered again within 72 s',
    })
    await relay.untilStatus<{ ok: boolean }>(({ ok }) => ok, { withinMs: 70_000, what: 'a healthy relay' })
    t.notMatch(relayProgram.output(), /Write error/, 'the engine never met the full disk itself')
    for (const one of [agentProgram, gatewayProgram, relayProgram]) t.equal((await one.stop()).code, 0)
  },
)
