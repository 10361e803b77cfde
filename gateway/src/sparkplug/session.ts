import { SEQUENCE_MODULUS } from './constants.js'
import { declare, isOlder, refresh, type Device, type DeviceMetric, type Devices } from './devices.js'
import type { EdgeEffect, EdgeEvent, Now, Publish } from './events.js'
import type { Fences } from './fences.js'
import type { SparkplugTopics } from './ids.js'
import { deviceBirth, deviceData, deviceDeath, nodeBirth, portions, type Datum } from './messages.js'
import { commonType, dataTypeOf, type EdgeReading } from './values.js'

type Batch = Extract<EdgeEvent, { kind: 'batch' }>

export interface SessionParts {
  readonly topics: SparkplugTopics
  readonly devices: Devices
  readonly fences: Fences
  readonly fenceTopic: string
}

/**
 * What a host is told while the node is born, in the order of the wire:
 *
 * 1. NBIRTH with `seq` 0, then a DBIRTH for every agent that lives.
 * 2. DDATA for each batch, by alias. Before it a DBIRTH where the host lacks the device, or one of its names, types or units.
 * 3. After each window of DDATA, and when there is no more: a DDEATH for every device that was born for its history only,
 *    then the fence.
 *
 * `seq` counts through all of it but the fence.
 */
export class Session {
  readonly bdSeq: number
  readonly #parts: SessionParts
  /** Batches up to here waited for the birth. */
  readonly #waitedThrough: number
  #seq = 0
  #bornAtMs = -Infinity

  constructor(parts: SessionParts, bdSeq: number, waitedThrough: number) {
    this.#parts = parts
    this.bdSeq = bdSeq
    this.#waitedThrough = waitedThrough
  }

  /** Monotonic time of the last birth. */
  get bornAtMs(): number {
    return this.#bornAtMs
  }

  /** The whole birth, the first and each one that a host asks for. */
  birth(now: Now): EdgeEffect[] {
    const { topics, devices } = this.#parts
    this.#seq = 0
    this.#bornAtMs = now.monoMs
    devices.unbornAll()
    const node = publish(topics.node('NBIRTH'), nodeBirth(this.bdSeq, now.wallMs))
    const living = [...devices.all()].filter(({ alive, metrics }) => alive && metrics.size > 0)
    return [node, ...living.map((device) => this.#deviceBirth(device, now))]
  }

  batch(batch: Batch, now: Now): EdgeEffect[] {
    const { devices, fences } = this.#parts
    const device = devices.make(batch.agent)
    const waited = batch.historical || batch.position <= this.#waitedThrough
    if (!waited) device.alive = true
    const { metrics, refused } = this.#declared(device, batch.readings)
    const effects: EdgeEffect[] = refused > 0 ? [tooManyNames(device, refused)] : []
    if (metrics.size > 0 && this.#isUnknown(device, metrics)) effects.push(this.#deviceBirth(device, now))
    const data = dataOf(batch.readings, metrics, waited, now.wallMs)
    let messages = 0
    for (const portion of portions(data)) {
      effects.push(publish(this.#topic('DDATA', device), deviceData(portion, this.#nextSeq(), now.wallMs)))
      messages += 1
    }
    fences.count(batch.position, messages)
    return fences.windowFull ? [...effects, ...this.fence(now)] : effects
  }

  /** Nothing more for now, or a window is full. */
  fence(now: Now): EdgeEffect[] {
    const { devices, fences, fenceTopic } = this.#parts
    const ghosts = [...devices.all()].filter(({ born, alive }) => born && !alive)
    const deaths = ghosts.map((device) => this.death(device, now))
    const fence = fences.next()
    if (fence === undefined) return deaths
    const payload = Buffer.from(JSON.stringify({ fence }))
    return [...deaths, { kind: 'publish', topic: fenceTopic, payload, qos: 1, retain: false, fence }]
  }

  /** The agent was heard; a device that the host lacks is born with what is known of it. */
  here(device: Device, now: Now): EdgeEffect[] {
    return device.born || device.metrics.size === 0 ? [] : [this.#deviceBirth(device, now)]
  }

  death(device: Device, now: Now): Publish {
    device.born = false
    return publish(this.#topic('DDEATH', device), deviceDeath(this.#nextSeq(), now.wallMs))
  }

  /** The metrics of these readings, each with one type and unit. */
  #declared(
    device: Device,
    readings: readonly EdgeReading[],
  ): { metrics: Map<string, DeviceMetric>; refused: number } {
    const forms = new Map<string, Pick<DeviceMetric, 'type' | 'unit'>>()
    for (const { name, unit, value } of readings) {
      forms.set(name, { type: commonType(forms.get(name)?.type, dataTypeOf(value)), unit })
    }
    const metrics = new Map<string, DeviceMetric>()
    for (const [name, { type, unit }] of forms) {
      const metric = this.#parts.devices.metric(device, name, type, unit)
      if (metric) metrics.set(name, metric)
    }
    return { metrics, refused: readings.filter(({ name }) => !metrics.has(name)).length }
  }

  #isUnknown(device: Device, metrics: ReadonlyMap<string, DeviceMetric>): boolean {
    return !device.born || [...metrics.values()].some(({ declared }) => !declared)
  }

  #deviceBirth(device: Device, now: Now): Publish {
    const payload = deviceBirth(device, this.#nextSeq(), now.wallMs)
    declare(device)
    return publish(this.#topic('DBIRTH', device), payload)
  }

  #topic(kind: 'DBIRTH' | 'DDATA' | 'DDEATH', { id }: Device): string {
    return this.#parts.topics.device(kind, id)
  }

  /** NBIRTH has 0. */
  #nextSeq(): number {
    this.#seq = (this.#seq + 1) % SEQUENCE_MODULUS
    return this.#seq
  }
}

/** Oldest first. A value that is older than what the host was told as current is history, whatever it was meant as. */
function dataOf(
  readings: readonly EdgeReading[],
  metrics: ReadonlyMap<string, DeviceMetric>,
  waited: boolean,
  wallMs: number,
): Datum[] {
  return [...readings]
    .sort((one, other) => one.timeMs - other.timeMs)
    .flatMap((reading): Datum[] => {
      const metric = metrics.get(reading.name)
      if (!metric) return []
      refresh(metric, reading, wallMs)
      const historical = waited || isOlder(reading, metric.toldMs, wallMs)
      if (!historical) metric.toldMs = reading.timeMs
      return [{ metric, reading, historical }]
    })
}

function publish(topic: string, payload: Uint8Array): Publish {
  return { kind: 'publish', topic, payload, qos: 0, retain: false }
}

function tooManyNames({ agent, metrics }: Device, refused: number): EdgeEffect {
  return {
    kind: 'report',
    level: 'warn',
    code: 'FW_SPARKPLUG_NAMES_LIMIT',
    message:
      'There is no room for more Sparkplug metrics; readings of new names are not told to Sparkplug hosts.',
    fields: { agent, held: metrics.size, refused },
  }
}
