import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { createRelayClient, type RelayClient } from '@fieldwhisper/mesh'
import { connectAsync, type MqttClient } from 'mqtt'
import { temporaryFolder } from '../../support/folder.js'
import { ScriptedAgent } from '../../support/scripted-agent.js'
import { until } from '../../support/until.js'
import { here, type Program } from './process.js'
import { ScriptedLink } from './scripted-link.js'
import { Gateway, Relay } from './site.js'

interface WithTeardown {
  teardown(handler: () => unknown): unknown
}

interface GatewayState {
  readonly lan: { readonly port: number } | null
  readonly relays: readonly { readonly connected: boolean }[]
  readonly packets: Readonly<Record<string, number>>
  readonly sessions: number
  readonly mqtt: { readonly broker: { readonly address: string } }
  readonly events: readonly { readonly code: string }[]
}

/** A relay and a gateway as real processes on loopback, and the test in the place of the agents, byte by byte. */
export class WireSite {
  readonly gateway: Gateway
  readonly #t: WithTeardown
  readonly #relayUrl: string
  readonly #token: string
  readonly #program: Program
  readonly published: { readonly id: string; readonly value: unknown; readonly path: string }[] = []
  readonly #mqtt: MqttClient

  private constructor(
    t: WithTeardown,
    gateway: Gateway,
    program: Program,
    relay: { url: string; token: string },
    mqtt: MqttClient,
    name: string,
  ) {
    this.#t = t
    this.gateway = gateway
    this.#program = program
    this.#relayUrl = relay.url
    this.#token = relay.token
    this.#mqtt = mqtt
    mqtt.on('message', (topic, payload, { retain }) => {
      // An empty message removes what was retained, as for a revoked agent.
      if (!retain && payload.length > 0 && topic.endsWith(`/${name}`))
        this.published.push(JSON.parse(payload.toString()) as WireSite['published'][0])
    })
  }

  /** `more`: further keys of the gateway's configuration. */
  static async start(t: WithTeardown, { name = 'value', more = {} } = {}): Promise<WireSite> {
    const folder = temporaryFolder(t)
    const relay = new Relay(here, { folder })
    const relayProgram = relay.spawn('run', '--listen', '127.0.0.1:0')
    t.teardown(() => relayProgram.stop())
    const { listen } = await relay.untilStatus<{ listen: string; ok: boolean }>(({ ok }) => ok, {
      withinMs: 20_000,
      what: 'the relay runs',
    })
    const reach = {
      url: `ws://${listen}`,
      token: readFileSync(join(relay.stateDir, 'access-token'), 'utf8').trim(),
    }
    const gateway = new Gateway(
      here,
      { folder },
      {
        lan: { interfaces: ['lo'], loopback: true, listen: '127.0.0.1:0', beacon_port: 24_999 },
        relays: [reach],
        ...more,
      },
    )
    await gateway.command('init', '--site', 'test')
    const program = gateway.spawn('run')
    t.teardown(() => program.stop())
    const ready = ({ lan, relays }: GatewayState): boolean =>
      Boolean(lan?.port) && relays.every(({ connected }) => connected)
    const { mqtt } = await gateway.untilStatus<GatewayState>((status) => status !== null && ready(status), {
      withinMs: 20_000,
      what: 'the gateway runs',
    })
    const password = readFileSync(join(gateway.stateDir, 'mqtt-password'), 'utf8').trim()
    const client = await connectAsync(mqtt.broker.address, {
      username: 'fieldwhisper',
      password,
      reconnectPeriod: 0,
    })
    t.teardown(() => client.endAsync(true))
    await client.subscribeAsync('fieldwhisper/#', { qos: 1 })
    return new WireSite(t, gateway, program, reach, client, name)
  }

  get program(): Program {
    return this.#program
  }

  status(): Promise<GatewayState> {
    return this.gateway.status<GatewayState>()
  }

  async link(): Promise<ScriptedLink> {
    const { lan } = await this.status()
    const link = await ScriptedLink.open(lan!.port)
    this.#t.teardown(() => link.close())
    return link
  }

  async agent(name: string, seed: number): Promise<ScriptedAgent> {
    return new ScriptedAgent(await this.gateway.enroll(name), seed)
  }

  /** A client of the relay, connected. What its subscriptions bring is collected in `packets`. */
  async relay(): Promise<{ client: RelayClient; packets: Uint8Array[] }> {
    const packets: Uint8Array[] = []
    const client = createRelayClient({
      url: this.#relayUrl,
      token: this.#token,
      reporter: { event: () => undefined },
      onPacket: (packet) => packets.push(new Uint8Array(packet)),
    })
    client.start()
    this.#t.teardown(() => client.stop())
    await until(() => client.connected, { withinMs: 10_000, what: 'the relay' })
    return { client, packets }
  }

  /** Waits until so many readings have been published, and returns their values in the order they came. */
  async values(count: number): Promise<unknown[]> {
    await until(() => this.published.length >= count, {
      withinMs: 20_000,
      what: `${count} published readings`,
    })
    return this.published.map(({ value }) => value)
  }

  close(): Promise<void> {
    return this.#mqtt.endAsync()
  }
}
