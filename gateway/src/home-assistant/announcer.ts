import type { BridgedReading } from '../bridge/payload.js'
import type { Message } from '../bridge/topics.js'
import { discoveryMessage, discoveryRemoval, type HomeSite, type Sensor } from './discovery.js'

/** New names of one device are told together: those of one batch come within a moment of each other. */
const SETTLE_MS = 1_000
/** Of one device. Home Assistant takes its description in one message. */
const MAX_SENSORS = 400
/** Devices described at once when Home Assistant or the broker comes back; the others follow a second later. */
const MAX_A_STEP = 50

export interface HomeAnnouncerOptions {
  readonly site: HomeSite
  readonly publish: (message: Message) => void
  /** What the operator calls the place of an agent. */
  readonly areaOf: (agent: string) => string | undefined
  /** How long a reading of this name is current, in milliseconds. */
  readonly expireAfterMs: (name: string) => number | undefined
  readonly monoMs: () => number
  /** A device has more names than fit. */
  readonly tooMany: (agent: string, limit: number) => void
}

interface Device {
  name: string
  readonly sensors: Map<string, Sensor>
  /** When to describe it; Infinity: nothing new. */
  dueAt: number
  full: boolean
}

/**
 * Describes to Home Assistant each device whose current values are published: once it has a new name of a reading, and again when Home
 * Assistant or the broker was away.
 */
export class HomeAnnouncer {
  readonly #options: HomeAnnouncerOptions
  /** By id of the agent's key. */
  readonly #devices = new Map<string, Device>()

  constructor(options: HomeAnnouncerOptions) {
    this.#options = options
  }

  /** A current value is on its way. */
  told(
    id: string,
    agent: string,
    { name, unit, value }: Pick<BridgedReading, 'name' | 'unit' | 'value'>,
    topic: string,
  ): void {
    const device = this.#device(id, agent)
    const kind = kindOf(value)
    const known = device.sensors.get(name)
    if (known?.kind === kind && known.unit === unit && known.topic === topic) return
    if (!known && device.sensors.size >= MAX_SENSORS) {
      if (!device.full) this.#options.tooMany(agent, MAX_SENSORS)
      device.full = true
      return
    }
    const expireMs = this.#options.expireAfterMs(name)
    device.sensors.set(name, {
      name,
      kind,
      topic,
      ...(unit !== undefined && { unit }),
      ...(expireMs !== undefined && { expireAfterS: Math.ceil(expireMs / 1_000) }),
    })
    device.dueAt = Math.min(device.dueAt, this.#options.monoMs() + SETTLE_MS)
  }

  /** Home Assistant or the broker has forgotten everything. */
  again(): void {
    for (const device of this.#devices.values()) device.dueAt = 0
  }

  /** Takes a device away, also one that was described before this gateway started. */
  forget(id: string): void {
    this.#devices.delete(id)
    this.#options.publish(discoveryRemoval(this.#options.site, { id }))
  }

  /** To be called every second or so while the broker is there. */
  step(): void {
    const { site, publish, areaOf, monoMs } = this.#options
    const now = monoMs()
    let left = MAX_A_STEP
    for (const [id, device] of this.#devices) {
      if (device.dueAt > now || device.sensors.size === 0) continue
      if (left-- === 0) return
      device.dueAt = Infinity
      const { name } = device
      const area = areaOf(name)
      const sensors = [...device.sensors.values()]
      publish(discoveryMessage(site, { id, name, sensors, ...(area !== undefined && { area }) }))
    }
  }

  #device(id: string, name: string): Device {
    let device = this.#devices.get(id)
    if (!device) this.#devices.set(id, (device = { name, sensors: new Map(), dueAt: Infinity, full: false }))
    if (device.name !== name) {
      // Its values come under other topics now; those of the old name come no more.
      device.name = name
      device.sensors.clear()
    }
    return device
  }
}

function kindOf(value: BridgedReading['value']): Sensor['kind'] {
  return typeof value === 'boolean' ? 'boolean' : typeof value === 'number' ? 'number' : 'text'
}
