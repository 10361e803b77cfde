import { encodePayload, type Metric, type Payload, type Property } from './codec.js'
import {
  BDSEQ_METRIC,
  DATA_TYPE,
  MAX_BIRTH_TEXT_BYTES,
  MAX_DATA_METRICS,
  MAX_DATA_TEXT_BYTES,
  QUALITY_PROPERTY,
  QUALITY_STALE,
  REBIRTH_METRIC,
  UNIT_PROPERTY,
} from './constants.js'
import type { Device, DeviceMetric } from './devices.js'
import { metricValue, qualityCode, stamp, textBytes, type EdgeReading } from './values.js'

/** A reading on its way, with the metric that it is of. */
export interface Datum {
  readonly metric: DeviceMetric
  readonly reading: EdgeReading
  /** Not the current value. */
  readonly historical: boolean
}

/** The death that the broker says in the node's place: nothing but the number of the birth that it ends. */
export function nodeDeath(bdSeq: number): Uint8Array {
  return encodePayload({ metrics: [bdSeqMetric(bdSeq)] })
}

/** The node has no data of its own. Its two metrics have no alias: nothing is ever said of them by alias. */
export function nodeBirth(bdSeq: number, wallMs: number): Uint8Array {
  const timestamp = stamp(wallMs)
  const rebirth: Metric = {
    name: REBIRTH_METRIC,
    timestamp,
    datatype: DATA_TYPE.Boolean,
    value: { kind: 'boolean', value: false },
  }
  return encodePayload({ timestamp, seq: 0, metrics: [{ ...bdSeqMetric(bdSeq), timestamp }, rebirth] })
}

function bdSeqMetric(bdSeq: number): Metric {
  return { name: BDSEQ_METRIC, datatype: DATA_TYPE.Int64, value: { kind: 'long', value: BigInt(bdSeq) } }
}

/** Every name of the device with its current value, oldest first; null where none is known. */
export function deviceBirth(device: Device, seq: number, wallMs: number): Uint8Array {
  const timestamp = stamp(wallMs)
  let room = MAX_BIRTH_TEXT_BYTES
  const metrics = [...device.metrics.values()].map((metric): Metric => {
    const { current } = metric
    const size = current ? textBytes(current.value) : 0
    const tells = current !== undefined && size <= room
    if (tells) room -= size
    const quality = tells ? qualityCode(current) : QUALITY_STALE
    return {
      name: metric.name,
      alias: metric.alias,
      timestamp: current ? stamp(current.timeMs) : timestamp,
      datatype: metric.type,
      properties: [qualityProperty(quality), ...unitProperty(metric.unit)],
      value: tells ? metricValue(current.value, metric.type) : { kind: 'null' },
    }
  })
  return encodePayload({ timestamp, seq, metrics: metrics.sort(byTime) })
}

/** What a host does with it is to call everything of the device stale. */
export function deviceDeath(seq: number, wallMs: number): Uint8Array {
  return encodePayload({ timestamp: stamp(wallMs), seq, metrics: [] })
}

/** One DDATA: by alias only, each value with its quality. */
export function deviceData(data: readonly Datum[], seq: number, wallMs: number): Uint8Array {
  const metrics = data.map(({ metric, reading, historical }): Metric => ({
    alias: metric.alias,
    timestamp: stamp(reading.timeMs),
    ...(historical && { historical }),
    properties: [qualityProperty(qualityCode(reading))],
    value: metricValue(reading.value, metric.type),
  }))
  const payload: Payload = { timestamp: stamp(wallMs), seq, metrics }
  return encodePayload(payload)
}

/** Cuts what is to be sent into messages that a host can take. */
export function* portions(data: readonly Datum[]): Generator<readonly Datum[]> {
  let from = 0
  let bytes = 0
  for (const [index, { reading }] of data.entries()) {
    const size = textBytes(reading.value)
    if (index > from && (index - from === MAX_DATA_METRICS || bytes + size > MAX_DATA_TEXT_BYTES)) {
      yield data.slice(from, index)
      from = index
      bytes = 0
    }
    bytes += size
  }
  if (from < data.length) yield data.slice(from)
}

function qualityProperty(code: number): Property {
  return { key: QUALITY_PROPERTY, type: DATA_TYPE.Int32, int: code }
}

function unitProperty(unit: string | undefined): readonly Property[] {
  return unit === undefined ? [] : [{ key: UNIT_PROPERTY, type: DATA_TYPE.String, text: unit }]
}

function byTime(one: Metric, other: Metric): number {
  return (one.timestamp ?? 0) - (other.timestamp ?? 0)
}
