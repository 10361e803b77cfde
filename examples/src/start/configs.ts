import type { Folders } from './folders.js'
import { YamlFile } from './yaml-file.js'
import { LOOPBACK, freeBeaconPort, freeTcpPort } from '../programs/ports.js'

const WANTED = { relay: 24_780, link: 24_708, beacon: 24_707, broker: 1_883 }
const NOTE = '`npm start` made this file and keeps what you change in it. It only moves ports that are taken.'
/** `interfaces` names none that exists, so that with `loopback` that one alone is used, whatever the system calls it. */
const LAN = `lan:
  # Everything stays on this machine: beacons go out on the loopback interface alone.
  interfaces: [none]
  loopback: true`

const RELAY = `# ${NOTE}
listen: ${LOOPBACK}:0
`

const GATEWAY = `# ${NOTE}
${LAN}
  beacon_port: 0
  listen: ${LOOPBACK}:0
relays:
  - url: ws://${LOOPBACK}:0
    token: ""
mqtt:
  embedded:
    host: ${LOOPBACK}
    port: 0
`

const AGENT = `# ${NOTE}
# Other sources, such as a serial port: see examples/agent.yaml.
sources:
  - type: system
    interval: 2s
${LAN}
  beacon_port: 0
  listen: ${LOOPBACK}:0
`

/** The three configurations of a site. */
export class Configs {
  readonly #relay: YamlFile
  readonly #gateway: YamlFile
  readonly #agent: YamlFile

  /** Reads what is there. Throws Error for a file that is not YAML. */
  constructor(folders: Folders) {
    this.#relay = new YamlFile(folders.relayConfig, RELAY)
    this.#gateway = new YamlFile(folders.gatewayConfig, GATEWAY)
    this.#agent = new YamlFile(folders.agentConfig, AGENT)
  }

  /** Where the relay listens: the port of the last start, or another where that is taken. */
  async placeRelay(): Promise<PlacedPorts> {
    const placed = new Placing()
    const port = await placed.choose('relay', portOf(this.#relay, ['listen']) || WANTED.relay, freeTcpPort)
    this.#relay.set(['listen'], `${LOOPBACK}:${port}`)
    this.#relay.save()
    return placed
  }

  /** The same for gateway and agent, and the relay they are told. To be called just before the gateway is started. */
  async placeGateway(relayPort: number, relayToken: string): Promise<PlacedPorts> {
    const placed = new Placing()
    const gateway = this.#gateway
    const link = portOf(gateway, ['lan', 'listen']) || WANTED.link
    gateway.set(['lan', 'listen'], `${LOOPBACK}:${await placed.choose('LAN link', link, freeTcpPort)}`)
    const wanted = Number(gateway.get(['lan', 'beacon_port'])) || WANTED.beacon
    const beacon = await placed.choose('LAN beacon', wanted, freeBeaconPort)
    for (const file of [gateway, this.#agent]) file.set(['lan', 'beacon_port'], beacon)
    // A broker of the user's own has no port here.
    if (gateway.has(['mqtt', 'embedded'])) {
      const port = Number(gateway.get(['mqtt', 'embedded', 'port'])) || WANTED.broker
      gateway.set(['mqtt', 'embedded', 'port'], await placed.choose('MQTT broker', port, freeTcpPort))
    }
    gateway.set(['relays', 0, 'url'], `ws://${LOOPBACK}:${relayPort}`)
    gateway.set(['relays', 0, 'token'], relayToken)
    for (const file of [gateway, this.#agent]) file.save()
    return placed
  }

  /** Password of a broker of the user's own, where it stands in the configuration. */
  get externalPassword(): string | undefined {
    const password = this.#gateway.get(['mqtt', 'password'])
    return typeof password === 'string' ? password : undefined
  }
}

export interface PlacedPorts {
  readonly ports: readonly { readonly what: string; readonly port: number }[]
  /** A line for each that had to move. */
  readonly moved: readonly string[]
}

class Placing implements PlacedPorts {
  readonly ports: { what: string; port: number }[] = []
  readonly moved: string[] = []

  async choose(what: string, wanted: number, free: typeof freeTcpPort): Promise<number> {
    const port = await free(wanted)
    this.ports.push({ what, port })
    if (port !== wanted)
      this.moved.push(`port ${wanted} is taken by another program: the ${what} uses ${port}`)
    return port
  }
}

function portOf(file: YamlFile, path: readonly string[]): number {
  return Number(/:(\d+)$/.exec(String(file.get(path)))?.[1] ?? 0)
}
