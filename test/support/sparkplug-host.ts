import { readPayload, type ReadMetric, type ReadPayload } from './protobuf-reader.js'

/** A value as the host was told it. */
export interface HeardValue {
  readonly device: string
  readonly name: string
  readonly value: ReadMetric['value'] | null
  readonly timeMs: number
  readonly historical: boolean
}

interface HostMetric {
  readonly name: string
  readonly datatype: number
  value: ReadMetric['value'] | null
  liveMs: number
}

/** Field of the message that a value of the type must stand in. */
const FIELD_OF_TYPE: Readonly<Record<number, number>> = { 4: 11, 10: 13, 11: 14, 12: 15, 17: 16 }

/**
 * A small Sparkplug B host: it believes what it reads, keeps the picture that the specification says a host has, and notes
 * everything that no host could make sense of.
 */
export class ModelHost {
  readonly problems: string[] = []
  readonly values: HeardValue[] = []
  readonly devices = new Map<string, Map<number, HostMetric>>()
  bdSeq: number | undefined
  #seq: number | undefined

  get online(): boolean {
    return this.#seq !== undefined
  }

  /** The current value of a name, as a screen would show it; undefined if the device is not alive. */
  current(device: string, name: string): ReadMetric['value'] | null | undefined {
    const metrics = this.devices.get(device)
    return metrics && [...metrics.values()].find((metric) => metric.name === name)?.value
  }

  hear(topic: string, bytes: Uint8Array): void {
    const [namespace, , kind, , device, ...more] = topic.split('/')
    if (namespace !== 'spBv1.0') return
    const payload = readPayload(bytes)
    if (more.length > 0) this.#problem(topic, 'has too many levels')
    if ((device === undefined) !== kind?.startsWith('N'))
      this.#problem(topic, 'has no device, or one too many')
    switch (kind) {
      case 'NBIRTH':
        return this.#nodeBirth(payload)
      case 'NDEATH':
        return this.#nodeDeath(payload)
      case 'DBIRTH':
        if (this.#next(topic, payload)) this.#deviceBirth(topic, device!, payload)
        return
      case 'DDATA':
        if (this.#next(topic, payload)) this.#data(topic, device!, payload)
        return
      case 'DDEATH':
        if (this.#next(topic, payload) && !this.devices.delete(device!)) this.#problem(topic, 'was not alive')
        return
      default:
        this.#problem(topic, 'is nothing that an edge node says')
    }
  }

  #nodeBirth({ timestamp, seq, metrics }: ReadPayload): void {
    const bdSeq = metrics.find(({ name }) => name === 'bdSeq')
    const rebirth = metrics.find(({ name }) => name === 'Node Control/Rebirth')
    if (timestamp === undefined) this.#problem('NBIRTH', 'has no time')
    if (seq !== 0) this.#problem('NBIRTH', `has seq ${seq}`)
    if (bdSeq?.datatype !== 4 || bdSeq.field !== 11) this.#problem('NBIRTH', 'has no bdSeq of type Int64')
    if (rebirth?.datatype !== 11 || rebirth.value !== false) this.#problem('NBIRTH', 'has no rebirth metric')
    if (rebirth?.alias !== undefined) this.#problem('NBIRTH', 'has an alias on the rebirth metric')
    this.bdSeq = Number(bdSeq?.value)
    this.#seq = 0
    this.devices.clear()
  }

  /** One that belongs to another birth is late and means nothing. */
  #nodeDeath({ seq, metrics }: ReadPayload): void {
    if (seq !== undefined) this.#problem('NDEATH', 'has a seq')
    if (metrics.length !== 1 || metrics[0]?.name !== 'bdSeq') this.#problem('NDEATH', 'has more than bdSeq')
    if (Number(metrics[0]?.value) !== this.bdSeq) return
    this.#seq = undefined
    this.devices.clear()
  }

  #next(topic: string, { seq, timestamp }: ReadPayload): boolean {
    if (timestamp === undefined) this.#problem(topic, 'has no time')
    if (this.#seq === undefined) {
      this.#problem(topic, 'comes while the node is not born')
      return false
    }
    const expected = (this.#seq + 1) % 256
    if (seq !== expected) this.#problem(topic, `has seq ${seq} instead of ${expected}`)
    this.#seq = expected
    return true
  }

  #deviceBirth(topic: string, device: string, { metrics }: ReadPayload): void {
    const born = new Map<number, HostMetric>()
    const taken = [...this.devices].flatMap(([other, known]) => (other === device ? [] : [...known.keys()]))
    let lastMs = -Infinity
    for (const { name, alias, datatype, timestamp, field, isNull, value } of metrics) {
      if (name === undefined || alias === undefined || datatype === undefined || timestamp === undefined) {
        this.#problem(topic, 'has a metric without name, alias, type or time')
        continue
      }
      if (born.has(alias) || taken.includes(alias)) this.#problem(topic, `gives alias ${alias} twice`)
      if ([...born.values()].some((metric) => metric.name === name)) this.#problem(topic, 'has a name twice')
      if (isNull ? field !== undefined : field !== FIELD_OF_TYPE[datatype]) {
        this.#problem(topic, `has a value in field ${field} for type ${datatype}`)
      }
      if (timestamp < lastMs) this.#problem(topic, 'is not in the order of time')
      lastMs = timestamp
      const liveMs = isNull ? -Infinity : timestamp
      born.set(alias, { name, datatype, value: isNull ? null : value, liveMs })
    }
    this.devices.set(device, born)
  }

  #data(topic: string, device: string, { metrics }: ReadPayload): void {
    const known = this.devices.get(device)
    if (!known) return this.#problem(topic, 'comes before the birth of the device')
    if (metrics.length === 0) this.#problem(topic, 'is empty')
    for (const { name, alias, datatype, timestamp, field, isNull, value, historical } of metrics) {
      const metric = known.get(alias ?? -1)
      if (!metric || timestamp === undefined) {
        this.#problem(topic, `has alias ${alias}, which was not born here, or no time`)
        continue
      }
      if (name !== undefined || datatype !== undefined) this.#problem(topic, 'says name or type again')
      if (isNull ? field !== undefined : field !== FIELD_OF_TYPE[metric.datatype]) {
        this.#problem(topic, `has a value in field ${field} for type ${metric.datatype}`)
      }
      const heard = isNull ? null : value
      this.values.push({
        device,
        name: metric.name,
        value: heard,
        timeMs: timestamp,
        historical: historical === true,
      })
      if (historical) continue
      if (timestamp < metric.liveMs) this.#problem(topic, 'goes back in time')
      metric.liveMs = timestamp
      metric.value = heard
    }
  }

  #problem(topic: string, what: string): void {
    this.problems.push(`${topic} ${what}`)
  }
}
