/** Fieldwhisper: agent -> LAN and relay at once -> gateway with its own broker -> subscriber, four processes, all on disk. */
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { askControl } from '@fieldwhisper/host'
import { until } from '../support/until.js'
import { here, type Place } from '../system/support/process.js'
import { Agent, Gateway, Relay } from '../system/support/site.js'
import type { Cleanup } from './cleanup.js'
import { measure, type Load, type Measured, type Path, type Timing } from './measure.js'
import type { Connection } from './meters.js'
import type { Subscription } from './programs/subscriber.js'
import { Worker } from './worker.js'
import { BATCH_INTERVAL_MS, BATCH_READINGS, RATE_PER_S, SERIES, SIMULATED } from './workload.js'

const AGENT = 'press'
const START_WITHIN_MS = 30_000
/** Away from the port of a site that runs on this machine. */
const BEACON_PORT = 24_998

/** Sources of the agent at saturation, as many as may wait for the spool at once. Each offers the most that can be configured. */
const SATURATION_SOURCES = 3
const SATURATION_SOURCE_PER_S = 20_000
/**
 * Queues this small fill up within seconds, and then the sources wait for the last reader: what goes in is what comes out.
 * With the usual ones the agent would fill the gateway's disk faster than a broker takes readings.
 */
const QUEUE_BYTES = 1_048_576
const OUTBOX = { max_bytes: `${QUEUE_BYTES}B`, keep_sent: '0s' }
const SATURATION_SPOOL = { max_bytes: `${QUEUE_BYTES}B`, on_full: 'block' }
const QUEUES_FULL_WITHIN_MS = 12_000

export interface SiteOptions {
  /** Made anew; a short path: there are sockets in it. */
  readonly folder: string
  readonly loads: readonly Load[]
  readonly timing: Timing
  /** Folder for V8 processor profiles of agent, gateway and relay. */
  readonly profiles?: string
}

interface RelayState {
  readonly listen: string
  readonly ok: boolean
}

interface GatewayState {
  readonly lan: { readonly port: number } | null
  readonly relays: readonly { readonly connected: boolean }[]
  readonly mqtt: { readonly broker: { readonly address: string; readonly connected: boolean } } | null
  readonly packets: { readonly opened: number; readonly duplicate: number } | null
}

interface AgentState {
  readonly spool: { readonly accepted: number; readonly acked: number; readonly bytes: number }
}

export async function measureSite(
  cleanup: Cleanup,
  { folder, loads, timing, profiles }: SiteOptions,
): Promise<ReadonlyMap<Load, Measured>> {
  mkdirSync(folder)
  const relay = new Relay(placeOf('relay', profiles), { folder })
  const relayProgram = relay.spawn('run', '--listen', '127.0.0.1:0')
  cleanup.teardown(() => relayProgram.stop())
  const { listen } = await stateOf<RelayState>(relay.stateDir, 'the relay', ({ ok }) => ok)
  const token = readFileSync(join(relay.stateDir, 'access-token'), 'utf8').trim()

  const lan = { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: BEACON_PORT }
  const gateway = new Gateway(
    placeOf('gateway', profiles),
    { folder },
    { lan, relays: [{ url: `ws://${listen}`, token }], outbox: OUTBOX },
  )
  await gateway.command('init', '--site', 'bench')
  const gatewayProgram = gateway.spawn('run')
  cleanup.teardown(() => gatewayProgram.stop())
  const state = await stateOf<GatewayState>(gateway.stateDir, 'the gateway', isReady)

  const subscriber = Worker.start('subscriber')
  cleanup.teardown(() => subscriber.stop())
  const subscription: Subscription = {
    url: state.mqtt!.broker.address,
    user: 'fieldwhisper',
    password: readFileSync(join(gateway.stateDir, 'mqtt-password'), 'utf8').trim(),
    topic: `fieldwhisper/bench/${AGENT}/#`,
  }
  await subscriber.ask('subscribe', subscription)

  const ways = { lan: { ...lan, peers: [`127.0.0.1:${state.lan!.port}`] } }
  const agent = new Agent(placeOf('agent', profiles), AGENT, { folder }, { ...ways, ...configOf(loads[0]!) })
  await agent.command('join', await gateway.enroll(AGENT))

  const results = new Map<Load, Measured>()
  for (const load of loads) {
    agent.configure({ ...ways, ...configOf(load) })
    const program = agent.spawn('run')
    cleanup.teardown(() => program.stop())
    const processes = {
      sender: program.pid,
      broker: gatewayProgram.pid,
      relay: relayProgram.pid,
      subscriber: subscriber.pid,
    }
    const relayPort = Number(listen.slice(listen.lastIndexOf(':') + 1))
    const pathOf = ({ pid, remotePort }: Connection): Path | undefined => {
      if (pid === program.pid) return remotePort === relayPort ? 'relay up' : 'direct'
      return pid === gatewayProgram.pid && remotePort === relayPort ? 'relay down' : undefined
    }
    const counters = async (): Promise<Record<string, number>> => {
      const { spool } = await stateOf<AgentState>(agent.stateDir, 'the agent')
      const { packets } = await stateOf<GatewayState>(gateway.stateDir, 'the gateway')
      return { accepted: spool.accepted, acked: spool.acked, ...packets }
    }
    const subject = { subscriber, processes, pathOf, counters }
    const full = load === 'saturation' && { ready: () => queuesFull(agent.stateDir) }
    results.set(load, await measure({ ...subject, ...full }, load, timing))
    await program.stop()
  }
  return results
}

/** What a program says of itself, once it satisfies `accept`. */
function stateOf<T>(stateDir: string, what: string, accept: (state: T) => boolean = () => true): Promise<T> {
  return until(
    async () => {
      const reply = await askControl(stateDir, 'status')
      const state = reply && 'ok' in reply ? (reply.ok as T | null) : null
      return state !== null && accept(state) ? { state } : undefined
    },
    { withinMs: START_WITHIN_MS, what },
  ).then(({ state }) => state)
}

function isReady({ lan, mqtt, relays }: GatewayState): boolean {
  return Boolean(lan?.port) && mqtt?.broker.connected === true && relays.every(({ connected }) => connected)
}

/** On a machine where they do not fill in time, something before them is the slowest part, which is as good. */
async function queuesFull(agentDir: string): Promise<void> {
  const full = ({ spool }: AgentState): boolean => spool.bytes > 0.9 * QUEUE_BYTES
  const wait = { withinMs: QUEUES_FULL_WITHIN_MS, everyMs: 100, what: 'full queues' }
  await until(async () => full(await stateOf<AgentState>(agentDir, 'the agent')), wait).catch(() => undefined)
}

function configOf(load: Load): object {
  const source = { type: 'simulate', readings: SIMULATED }
  if (load === 'rate') {
    return {
      batch: { interval: `${BATCH_INTERVAL_MS}ms` },
      sources: [{ ...source, rate: RATE_PER_S / SERIES.length }],
    }
  }
  const rate = SATURATION_SOURCE_PER_S / SERIES.length
  const sources = Array.from({ length: SATURATION_SOURCES }, (_, index) => ({
    ...source,
    rate,
    name: `line-${index}`,
    prefix: `line-${index}/`,
  }))
  return { batch: { interval: '1s', max_readings: BATCH_READINGS }, spool: SATURATION_SPOOL, sources }
}

/** This machine; with `profiles`, every `run` writes a profile into the folder of that name when it ends. */
function placeOf(name: string, profiles: string | undefined): Place {
  if (profiles === undefined) return here
  const folder = join(profiles, name)
  mkdirSync(folder, { recursive: true })
  return {
    run: (command, args, options) => here.run(command, args, options),
    spawn: (command, args, options) =>
      here.spawn(command, ['--cpu-prof', '--cpu-prof-dir', folder, ...args], options),
  }
}
