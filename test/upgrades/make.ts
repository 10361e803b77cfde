/**
 * `npm run upgrades:make -- 0.1.0`: runs a throw-away site of this release and keeps what its programs have on disk, and what was
 * said on the wire, in test/upgrades/VERSION. Done once a release, before its tag.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { freePort } from '../support/ports.js'
import { here, type Program } from '../system/support/process.js'
import { Agent, counterSource, Gateway, Relay, type AgentState } from '../system/support/site.js'
import { makeFrames } from './frames.js'
import { dumpState, forgetClock } from './state.js'

const version = process.argv[2]
if (version === undefined || !/^\d+\.\d+\.\d+$/.test(version))
  throw new Error('which release? upgrades:make -- 1.2.3')
const target = new URL(`./${version}/`, import.meta.url)
const folder = mkdtempSync(join(tmpdir(), 'fw-'))
const NO_LAN = { lan: { enabled: false } }
const programs: Program[] = []

function started(program: Program): Program {
  programs.push(program)
  return program
}

try {
  const relay = new Relay(here, { folder })
  const relayProgram = started(relay.spawn('run', '--listen', '127.0.0.1:0'))
  const { listen } = await relay.untilStatus<{ listen: string; ok: boolean }>(({ ok }) => ok, {
    withinMs: 20_000,
    what: 'the relay',
  })
  const relays = [
    { url: `ws://${listen}`, token: (await dumpState(relay.stateDir)).files['access-token']!.trim() },
  ]
  // A broker that is not there: everything stays in the outbox.
  const gateway = new Gateway(
    here,
    { folder },
    { ...NO_LAN, relays, mqtt: { url: `mqtt://127.0.0.1:${await freePort()}` } },
  )
  await gateway.command('init', '--site', 'bakery')
  const gatewayProgram = started(gateway.spawn('run'))
  await gatewayProgram.line(/FW_GATEWAY_RUNNING/, 30_000)
  await gateway.command('relays', '--add', 'ws://relay.example:24780', '--token', 'a-throw-away-token')
  const agent = new Agent(here, 'pump-7', { folder }, { ...NO_LAN, relays, sources: [counterSource(5)] })
  await agent.command('join', await gateway.enroll('pump-7'))
  await gateway.enroll('pump-8')
  let device = started(agent.spawn('run'))
  const acked = (count: number) =>
    agent.untilStatus<AgentState>(({ spool }) => spool.acked >= count, {
      withinMs: 60_000,
      what: `${count} readings arrived`,
    })
  await acked(10)
  await device.stop()
  device = started(agent.spawn('run'))
  await acked(20)
  await gatewayProgram.kill()
  const { packets } = await relay.status<{ packets: number }>()
  await relay.untilStatus<{ packets: number }>((status) => status.packets >= packets + 4, {
    withinMs: 30_000,
    what: 'packets in mailboxes',
  })
  await relayProgram.kill()
  const { spool } = await agent.status<AgentState>()
  const last = await agent.untilStatus<AgentState>((status) => status.spool.accepted >= spool.accepted + 10, {
    withinMs: 30_000,
    what: 'more in the spool',
  })
  await device.kill()
  mkdirSync(target, { recursive: true })
  const keep = (name: string, value: object): void =>
    writeFileSync(new URL(name, target), `${JSON.stringify(value, null, 1)}\n`)
  const states = {
    agent: await dumpState(agent.stateDir),
    gateway: await dumpState(gateway.stateDir),
    relay: await dumpState(relay.stateDir),
  }
  for (const [name, state] of Object.entries(states)) keep(`${name}.json`, forgetClock(state))
  keep('site.json', { atLeast: last.spool.accepted, agent: 'pump-7', site: 'bakery' })
  keep('frames.json', makeFrames(states.relay))
} finally {
  for (const program of programs) await program.kill()
  rmSync(folder, { recursive: true })
}
