import mqtt, { type MqttClient } from 'mqtt'
import type { MqttAccess, Path, Value } from './model.js'

/** Different sensors that are shown; more would not be read by anybody. */
const MAX_SENSORS = 500
const RECONNECT_MS = 1_000

export interface Delivered {
  readonly value: Value
  readonly unit?: string
  readonly path: Path
  readonly madeWallMs: number
}

/** What MQTT has: a subscriber like any other, with the generated password. */
export class DeliveredReadings {
  readonly byName = new Map<string, Delivered>()
  lastPath: Path | undefined
  readonly #agent: string
  #client: MqttClient | undefined
  #key = ''

  /** Readings of one agent. */
  constructor(agent: string) {
    this.#agent = agent
  }

  /** Connects, or connects anew where the access changed; reconnects by itself. */
  use(access: MqttAccess): void {
    const { host, port, user, password, topic } = access
    const key = JSON.stringify([host, port, user, password, topic])
    if (key === this.#key) return
    this.#key = key
    this.#client?.end(true)
    const client = mqtt.connect({
      host,
      port,
      username: user,
      password,
      protocolVersion: 4,
      reconnectPeriod: RECONNECT_MS,
    })
    this.#client = client
    client.on('connect', () => client.subscribe(topic, { qos: 1 }, () => undefined))
    client.on('message', (at, payload) => this.#received(at, payload))
    // What is wrong with the broker is said by the gateway.
    client.on('error', () => undefined)
  }

  async stop(): Promise<void> {
    await this.#client?.endAsync(true).catch(() => undefined)
  }

  #received(topic: string, payload: Buffer): void {
    const reading = readMessage(topic, payload)
    if (!reading || reading.agent !== this.#agent) return
    const { name, delivered } = reading
    const before = this.byName.get(name)
    if (before ? before.madeWallMs > delivered.madeWallMs : this.byName.size >= MAX_SENSORS) return
    this.byName.set(name, delivered)
    this.lastPath = delivered.path
  }
}

/** A reading as the gateway publishes it, or undefined for anything else. */
export function readMessage(
  topic: string,
  payload: Uint8Array,
): { agent: string; name: string; delivered: Delivered } | undefined {
  try {
    const [agent, name] = topic.split('/').slice(-2).map(decodeURIComponent)
    const content: unknown = JSON.parse(Buffer.from(payload).toString('utf8'))
    if (agent === undefined || name === undefined || typeof content !== 'object' || content === null)
      return undefined
    const { value, unit, path, time } = content as Record<string, unknown>
    const madeWallMs = Date.parse(String(time))
    if ((path !== 'lan' && path !== 'relay') || !isValue(value) || Number.isNaN(madeWallMs)) return undefined
    return { agent, name, delivered: { value, path, madeWallMs, ...(typeof unit === 'string' && { unit }) } }
  } catch {
    return undefined
  }
}

function isValue(value: unknown): value is Value {
  return value === null || ['number', 'string', 'boolean'].includes(typeof value)
}
