import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { temporaryFolder } from '../../support/folder.js'
import { until } from '../../support/until.js'
import { startBroker } from '../../upgrades/broker.js'
import { filesIn, loadState, type StateDump } from '../../upgrades/state.js'
import { here } from '../support/process.js'
import { Agent, counterSource, Gateway, Relay, type AgentState } from '../support/site.js'

/*
 * Real programs on damaged state. Every file and damage: damaged-state.test.ts.
 */

const NO_LAN = { lan: { enabled: false } }

function kept<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../upgrades/0.1.0/${name}.json`, import.meta.url), 'utf8')) as T
}

function flipMiddle(path: string): void {
  const bytes = readFileSync(path)
  bytes[bytes.length >> 1]! ^= 4
  writeFileSync(path, bytes)
}

void t.test(
  'session, mark, relay list and the whole of the mailboxes damaged: every reading arrives all the same',
  { timeout: 120_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const broker = await startBroker(t)
    const relayState = kept<StateDump>('relay')
    const relay = new Relay(here, { folder })
    await loadState(relay.stateDir, relayState)
    const store = join(relay.stateDir, 'store', 'data.mdb')
    writeFileSync(store, readFileSync(store).fill(0xa5))
    const relayProgram = relay.spawn('run', '--listen', '127.0.0.1:0')
    t.teardown(() => relayProgram.kill())
    const { listen } = await relay.untilStatus<{ listen: string; ok: boolean }>(({ ok }) => ok, {
      withinMs: 30_000,
      what: 'the relay runs',
    })
    t.match(relayProgram.output(), /error FW_STORE_SET_ASIDE/)

    const relays = [{ url: `ws://${listen}`, token: relayState.files['access-token']!.trim() }]
    const mqtt = { url: `mqtt://127.0.0.1:${broker.port}` }
    const gateway = new Gateway(here, { folder }, { ...NO_LAN, relays, mqtt })
    await loadState(gateway.stateDir, kept('gateway'))
    flipMiddle(join(gateway.stateDir, 'relays.json'))
    const gatewayProgram = gateway.spawn('run')
    t.teardown(() => gatewayProgram.kill())
    await gatewayProgram.line(/FW_GATEWAY_RUNNING/, 30_000)
    t.match(gatewayProgram.output(), /error FW_FILE_SET_ASIDE .*relays\.json/)

    const { agent: name, atLeast } = kept<{ agent: string; atLeast: number }>('site')
    const agent = new Agent(here, name, { folder }, { ...NO_LAN, relays, sources: [] })
    await loadState(agent.stateDir, kept('agent'))
    flipMiddle(join(agent.stateDir, 'session.json'))
    writeFileSync(join(agent.stateDir, 'spool.json'), '')
    const device = agent.spawn('run')
    t.teardown(() => device.kill())
    const { spool } = await agent.untilStatus<AgentState>(
      ({ spool }) => spool.held === 0 && spool.accepted >= atLeast,
      {
        withinMs: 60_000,
        what: 'the spool is empty',
      },
    )
    t.match(device.output(), /error FW_FILE_SET_ASIDE .*session\.json/)
    t.match(device.output(), /error FW_FILE_SET_ASIDE .*spool\.json/)
    await until(() => broker.seen.size >= spool.accepted || undefined, {
      withinMs: 30_000,
      what: 'every reading is published',
    })
    t.equal(broker.seen.size, spool.accepted)
    t.match(spool, { dropped: 0 })
    for (const [id, values] of broker.seen) t.equal(values.size, 1, `${id} has one value`)
    for (const program of [device, gatewayProgram, relayProgram]) t.equal((await program.stop()).code, 0)
  },
)

void t.test(
  'without identities a gateway publishes what it has and makes no site, and an agent goes on reading',
  { timeout: 120_000 },
  async (t) => {
    const folder = temporaryFolder(t)
    const broker = await startBroker(t)
    const mqtt = { url: `mqtt://127.0.0.1:${broker.port}` }
    const gateway = new Gateway(here, { folder }, { ...NO_LAN, mqtt })
    await loadState(gateway.stateDir, kept('gateway'))
    flipMiddle(join(gateway.stateDir, 'identity.json'))
    const gatewayProgram = gateway.spawn('run')
    t.teardown(() => gatewayProgram.kill())
    await gatewayProgram.line(/FW_GATEWAY_RUNNING/, 30_000)
    t.match(gatewayProgram.output(), /error FW_IDENTITY_MISSING .*backup/)
    await until(() => broker.seen.size >= 20 || undefined, {
      withinMs: 30_000,
      what: 'the outbox is published',
    })
    t.match(await gateway.status(), { healthy: false })
    t.notOk(filesIn(gateway.stateDir).includes('identity.json'))

    const agent = new Agent(here, 'pump-7', { folder }, { ...NO_LAN, sources: [counterSource(20)] })
    await loadState(agent.stateDir, kept('agent'))
    flipMiddle(join(agent.stateDir, 'identity.json'))
    const device = agent.spawn('run')
    t.teardown(() => device.kill())
    await device.line(/error FW_AGENT_IDENTITY_MISSING .*Join with a new invite/, 30_000)
    const first = await agent.untilStatus<AgentState>(() => true, { withinMs: 30_000, what: 'a status' })
    await agent.untilStatus<AgentState>(({ spool }) => spool.held >= first.spool.held + 10, {
      withinMs: 30_000,
      what: 'readings are kept',
    })
    for (const program of [device, gatewayProgram]) t.equal((await program.stop()).code, 0)
  },
)
