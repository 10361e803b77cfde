import type { Folders } from './folders.js'
import { YamlFile } from './yaml-file.js'
import { LOOPBACK, freeBeaconPort, freeTcpPort } from '../programs/ports.js'

/** What the programs of one site need on loopback. */
export interface Ports {
  readonly relay: number
  readonly link: number
  readonly beacon: number
  /** Absent where the gateway was given a broker of its own. */
  readonly broker?: number
}

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

  /** Takes the ports of the last start, or others where those are taken, and says so in a line each. */
  async choosePorts(): Promise<{ readonly ports: Ports; readonly moved: readonly string[] }> {
    const moved: string[] = []
    const choose = async (what: string, wanted: number, free: typeof freeTcpPort): Promise<number> => {
      const port = await free(wanted)
      if (port !== wanted) moved.push(`port ${wanted} is taken by another program: ${what} uses ${port}`)
      return port
    }
    const relay = await choose(
      'the relay',
      this.#portAt(this.#relay, ['listen']) || WANTED.relay,
      freeTcpPort,
    )
    const link = this.#portAt(this.#gateway, ['lan', 'listen']) || WANTED.link
    const beacon = Number(this.#gateway.get(['lan', 'beacon_port'])) || WANTED.beacon
    const ports = {
      relay,
      link: await choose('the LAN link of the gateway', link, freeTcpPort),
      beacon: await choose('the LAN beacon', beacon, freeBeaconPort),
    }
    if (!this.#gateway.has(['mqtt', 'embedded'])) return { ports, moved }
    const broker = Number(this.#gateway.get(['mqtt', 'embedded', 'port'])) || WANTED.broker
    return { ports: { ...ports, broker: await choose('the MQTT broker', broker, freeTcpPort) }, moved }
  }

  /** Writes the files. */
  save(ports: Ports): void {
    this.#relay.set(['listen'], `${LOOPBACK}:${ports.relay}`)
    this.#gateway.set(['lan', 'listen'], `${LOOPBACK}:${ports.link}`)
    if (ports.broker !== undefined) this.#gateway.set(['mqtt', 'embedded', 'port'], ports.broker)
    for (const file of [this.#gateway, this.#agent]) file.set(['lan', 'beacon_port'], ports.beacon)
    for (const file of [this.#relay, this.#gateway, this.#agent]) file.save()
  }

  /** Tells the gateway where the relay is and how to be let in. */
  saveRelay(port: number, token: string): void {
    this.#gateway.set(['relays', 0, 'url'], `ws://${LOOPBACK}:${port}`)
    this.#gateway.set(['relays', 0, 'token'], token)
    this.#gateway.save()
  }

  /** Password of a broker of the user's own, where it stands in the configuration. */
  get externalPassword(): string | undefined {
    const password = this.#gateway.get(['mqtt', 'password'])
    return typeof password === 'string' ? password : undefined
  }

  #portAt(file: YamlFile, path: readonly string[]): number {
    return Number(/:(\d+)$/.exec(String(file.get(path)))?.[1] ?? 0)
  }
}
