import { MAX_METRICS, MAX_METRICS_PER_DEVICE, type DataType } from './constants.js'
import { DeviceIds } from './ids.js'
import type { EdgeReading } from './values.js'

/** One name of a device. */
export interface DeviceMetric {
  readonly name: string
  /** Unique in the whole edge node, and never given to another name. */
  readonly alias: number
  type: DataType
  unit: string | undefined
  /** The DBIRTH of this session has it as it is now. */
  declared: boolean
  /** Time of the newest value that the host was told in this session as the current one. */
  toldMs: number
  /** The newest reading, which a birth tells; absent where only the name is known. */
  current?: EdgeReading
}

/** One agent. */
export interface Device {
  readonly agent: string
  readonly id: string
  readonly metrics: Map<string, DeviceMetric>
  /** The host takes it for alive: its DBIRTH was sent in this session and no DDEATH after it. */
  born: boolean
  /** The agent lives: something live came of it since it was last said to be gone. */
  alive: boolean
}

/** All devices and their names. What is kept is bounded; a revoked agent is forgotten. */
export class Devices {
  readonly #devices = new Map<string, Device>()
  readonly #ids = new DeviceIds()
  readonly #byAlias = new Map<number, { device: Device; metric: DeviceMetric }>()
  #nextAlias = 1

  all(): Iterable<Device> {
    return this.#devices.values()
  }

  find(agent: string): Device | undefined {
    return this.#devices.get(agent)
  }

  findById(id: string): Device | undefined {
    const agent = this.#ids.nameOf(id)
    return agent === undefined ? undefined : this.#devices.get(agent)
  }

  /** A new device is not alive yet. Throws GatewayError `FW_TOPIC_NAME_INVALID`. */
  make(agent: string): Device {
    const known = this.#devices.get(agent)
    if (known) return known
    const device = { agent, id: this.#ids.idOf(agent), metrics: new Map(), born: false, alive: false }
    this.#devices.set(agent, device)
    return device
  }

  forget(agent: string): void {
    const device = this.#devices.get(agent)
    if (!device) return
    for (const { alias } of device.metrics.values()) this.#byAlias.delete(alias)
    this.#devices.delete(agent)
    this.#ids.forget(agent)
  }

  /**
   * The metric of that name, new or changed to what is asked for: one whose type or unit changed must be declared again.
   * Undefined if there is no room for another name.
   */
  metric(device: Device, name: string, type: DataType, unit: string | undefined): DeviceMetric | undefined {
    const known = device.metrics.get(name)
    if (known) {
      if (known.type === type && known.unit === unit) return known
      known.type = type
      known.unit = unit
      known.declared = false
      return known
    }
    if (device.metrics.size >= MAX_METRICS_PER_DEVICE || this.#byAlias.size >= MAX_METRICS) return undefined
    const metric: DeviceMetric = {
      name,
      alias: this.#nextAlias,
      type,
      unit,
      declared: false,
      toldMs: -Infinity,
    }
    this.#nextAlias += 1
    device.metrics.set(name, metric)
    this.#byAlias.set(metric.alias, { device, metric })
    return metric
  }

  /** The metric that a command means, by alias or by name. */
  commanded(device: Device, alias: number | undefined, name: string | undefined): DeviceMetric | undefined {
    if (alias === undefined) return name === undefined ? undefined : device.metrics.get(name)
    const found = this.#byAlias.get(alias)
    return found?.device === device ? found.metric : undefined
  }

  /** A birth begins: the host is to forget what it was told. */
  unbornAll(): void {
    for (const device of this.#devices.values()) {
      device.born = false
      for (const metric of device.metrics.values()) {
        metric.declared = false
        metric.toldMs = -Infinity
      }
    }
  }
}

/** The host has the device's DBIRTH. */
export function declare(device: Device): void {
  device.born = true
  for (const metric of device.metrics.values()) {
    metric.declared = true
    metric.toldMs = Math.max(metric.toldMs, metric.current?.timeMs ?? -Infinity)
  }
}

/** Takes the reading as current unless a newer one is known. */
export function refresh(metric: DeviceMetric, reading: EdgeReading, wallMs: number): void {
  if (!isOlder(reading, metric.current?.timeMs ?? -Infinity, wallMs)) metric.current = reading
}

/** A time in the future came from a wrong clock: nothing is older than that, or all that follows would be. */
export function isOlder({ timeMs }: EdgeReading, thanMs: number, wallMs: number): boolean {
  return timeMs < thanMs && thanMs <= wallMs
}
