import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { memoryFolder } from '../../support/folder.js'
import { startMosquitto, subscribe, type Subscription } from './mosquitto.js'
import type { Host } from './net.js'
import type { Program } from './process.js'
import { type Agent, Gateway, Relay } from './site.js'

/** UDP, TCP and MQTT ports of the tests' sites: namespaces of their own, so the defaults do. */
export const RELAY_PORT = 24_780
export const BROKER_PORT = 1_883

interface WithTeardown {
  teardown(handler: () => unknown): unknown
}

/** A relay on its host, and what others need to reach it. */
export async function startRelay(
  t: WithTeardown,
  host: Host,
  network: string,
  folder = memoryFolder(t),
  port = RELAY_PORT,
): Promise<{ relay: Relay; program: Program; reach: { url: string; token: string } }> {
  const relay = new Relay(host, { folder })
  const program = relay.spawn('run', '--listen', `0.0.0.0:${port}`)
  await relay.untilStatus<{ ok: boolean }>(({ ok }) => ok, { withinMs: 20_000, what: 'the relay runs' })
  const token = readFileSync(join(relay.stateDir, 'access-token'), 'utf8').trim()
  return { relay, program, reach: { url: `ws://${host.address(network)}:${port}`, token } }
}

/** mosquitto on the gateway's host, a subscriber to everything, and a gateway that is made and not started. */
export async function layFloor(
  t: WithTeardown,
  host: Host,
  config: object,
  folder = memoryFolder(t),
): Promise<{ gateway: Gateway; broker: Program; subscription: Subscription; folder: string }> {
  const broker = await startMosquitto(host, { folder, port: BROKER_PORT })
  const subscription = await subscribe(host, { port: BROKER_PORT, topic: 'fieldwhisper/#' })
  const gateway = new Gateway(
    host,
    { folder },
    { mqtt: { url: `mqtt://127.0.0.1:${BROKER_PORT}` }, ...config },
  )
  await gateway.command('init', '--site', 'test')
  return { gateway, broker, subscription, folder }
}

/** Starts the gateway and waits until it publishes. */
export async function runGateway(gateway: Gateway): Promise<Program> {
  const program = gateway.spawn('run')
  await gateway.untilStatus<{ mqtt?: { broker: { connected: boolean } } | null }>(
    ({ mqtt }) => mqtt?.broker.connected === true,
    {
      withinMs: 20_000,
      what: 'the gateway runs',
    },
  )
  return program
}

/** Joins one agent and leaves it stopped. */
export async function joinAgent(gateway: Gateway, agent: Agent): Promise<void> {
  await agent.command('join', await gateway.enroll(agent.name))
}
