import protobuf from 'protobufjs/minimal.js'

import { GatewayError } from '../errors.js'
import { MAX_COMMAND_BYTES, MAX_COMMAND_METRICS, MAX_METRIC_NAME_BYTES, type DataType } from './constants.js'

/** A Sparkplug B payload: what this edge node says or hears. Times are Unix milliseconds. */
export interface Payload {
  /** When the message was sent. */
  readonly timestamp?: number
  readonly metrics: readonly Metric[]
  /** 0 to 255. */
  readonly seq?: number
}

export interface Metric {
  readonly name?: string
  readonly alias?: number
  /** When the value was measured. */
  readonly timestamp?: number
  /** One of `DATA_TYPE`, or what a host says. */
  readonly datatype?: number
  readonly historical?: boolean
  readonly properties?: readonly Property[]
  /** Absent where a host sent none, or one of a kind that no reading has (data set, template). */
  readonly value?: MetricValue
}

/** The field of the message that carries the value; the integers as the unsigned ones that the message has. */
export type MetricValue =
  | { readonly kind: 'null' }
  | { readonly kind: 'int'; readonly value: number }
  | { readonly kind: 'long'; readonly value: bigint }
  | { readonly kind: 'float'; readonly value: number }
  | { readonly kind: 'double'; readonly value: number }
  | { readonly kind: 'boolean'; readonly value: boolean }
  | { readonly kind: 'string'; readonly value: string }
  | { readonly kind: 'bytes'; readonly value: Uint8Array }

/** Is written and never read: hosts set none. */
export type Property =
  | { readonly key: string; readonly type: DataType; readonly int: number }
  | { readonly key: string; readonly type: DataType; readonly text: string }

/*
 * The message, from section 6.4 of the specification: field numbers of its parts. protobufjs gives the wire format; its
 * reflection would compile functions from text at run time and decode before anything is bounded.
 */
const PAYLOAD = { timestamp: 1, metrics: 2, seq: 3 } as const
const METRIC = {
  name: 1,
  alias: 2,
  timestamp: 3,
  datatype: 4,
  isHistorical: 5,
  isNull: 7,
  properties: 9,
  int: 10,
  long: 11,
  float: 12,
  double: 13,
  boolean: 14,
  string: 15,
  bytes: 16,
} as const
const PROPERTY_SET = { keys: 1, values: 2 } as const
const PROPERTY_VALUE = { type: 1, int: 3, string: 8 } as const

/** Wire types of protocol buffers. */
const VARINT = 0
const FIXED64 = 1
const BYTES = 2
const FIXED32 = 5

const { Reader, Writer } = protobuf
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** The bytes of a message, the same for the same payload. */
export function encodePayload({ timestamp, metrics, seq }: Payload): Uint8Array {
  const writer = Writer.create()
  if (timestamp !== undefined) tag(writer, PAYLOAD.timestamp, VARINT).uint64(timestamp)
  for (const metric of metrics) {
    tag(writer, PAYLOAD.metrics, BYTES).fork()
    writeMetric(writer, metric)
    writer.ldelim()
  }
  if (seq !== undefined) tag(writer, PAYLOAD.seq, VARINT).uint64(seq)
  return writer.finish()
}

/**
 * Reads a command of a host. Fields that readings have no use for are skipped. Bounded by bytes, metrics and the length of a
 * name, each before anything is allocated for it.
 * Throws GatewayError `FW_SPARKPLUG_PAYLOAD_INVALID`.
 */
export function decodePayload(bytes: Uint8Array): Payload {
  if (bytes.length > MAX_COMMAND_BYTES) {
    throw invalid(`has ${bytes.length} bytes; at most ${MAX_COMMAND_BYTES} are read`)
  }
  try {
    return readPayload(Reader.create(bytes))
  } catch (cause) {
    throw cause instanceof GatewayError ? cause : invalid('is not a Sparkplug B payload', cause)
  }
}

type Writing = protobuf.Writer
type Reading = protobuf.Reader

function tag(writer: Writing, field: number, wireType: number): Writing {
  return writer.uint32((field << 3) | wireType)
}

function writeMetric(writer: Writing, metric: Metric): void {
  const { name, alias, timestamp, datatype, historical, properties, value } = metric
  if (name !== undefined) tag(writer, METRIC.name, BYTES).string(name)
  if (alias !== undefined) tag(writer, METRIC.alias, VARINT).uint64(alias)
  if (timestamp !== undefined) tag(writer, METRIC.timestamp, VARINT).uint64(timestamp)
  if (datatype !== undefined) tag(writer, METRIC.datatype, VARINT).uint32(datatype)
  if (historical !== undefined) tag(writer, METRIC.isHistorical, VARINT).bool(historical)
  if (value?.kind === 'null') tag(writer, METRIC.isNull, VARINT).bool(true)
  if (properties) writeProperties(writer, properties)
  if (value) writeValue(writer, value)
}

/** Keys and values are two lists of one length. */
function writeProperties(writer: Writing, properties: readonly Property[]): void {
  tag(writer, METRIC.properties, BYTES).fork()
  for (const { key } of properties) tag(writer, PROPERTY_SET.keys, BYTES).string(key)
  for (const property of properties) {
    tag(writer, PROPERTY_SET.values, BYTES).fork()
    tag(writer, PROPERTY_VALUE.type, VARINT).uint32(property.type)
    if ('text' in property) tag(writer, PROPERTY_VALUE.string, BYTES).string(property.text)
    else tag(writer, PROPERTY_VALUE.int, VARINT).uint32(property.int)
    writer.ldelim()
  }
  writer.ldelim()
}

function writeValue(writer: Writing, value: MetricValue): void {
  switch (value.kind) {
    case 'null':
      return
    case 'int':
      tag(writer, METRIC.int, VARINT).uint32(value.value)
      return
    case 'long':
      // As text, since protobufjs takes no bigint; it reads all 64 bits of it.
      tag(writer, METRIC.long, VARINT).uint64(value.value.toString())
      return
    case 'float':
      tag(writer, METRIC.float, FIXED32).float(value.value)
      return
    case 'double':
      tag(writer, METRIC.double, FIXED64).double(value.value)
      return
    case 'boolean':
      tag(writer, METRIC.boolean, VARINT).bool(value.value)
      return
    case 'string':
      tag(writer, METRIC.string, BYTES).string(value.value)
      return
    case 'bytes':
      tag(writer, METRIC.bytes, BYTES).bytes(value.value)
  }
}

function readPayload(reader: Reading): Payload {
  const metrics: Metric[] = []
  let timestamp: number | undefined
  let seq: number | undefined
  while (reader.pos < reader.len) {
    const { field, wireType } = readTag(reader)
    if (field === PAYLOAD.metrics && wireType === BYTES) {
      if (metrics.length === MAX_COMMAND_METRICS) {
        throw invalid(`has more than ${MAX_COMMAND_METRICS} metrics`)
      }
      metrics.push(readMetric(reader, endOfPart(reader)))
    } else if (field === PAYLOAD.timestamp && wireType === VARINT) timestamp = readNumber(reader)
    else if (field === PAYLOAD.seq && wireType === VARINT) seq = readNumber(reader)
    else skip(reader, wireType)
  }
  return { metrics, ...(timestamp !== undefined && { timestamp }), ...(seq !== undefined && { seq }) }
}

function readMetric(reader: Reading, end: number): Metric {
  const metric: { -readonly [Key in keyof Metric]: Metric[Key] } = {}
  let isNull = false
  while (reader.pos < end) {
    const { field, wireType } = readTag(reader)
    const value = readValue(reader, field, wireType)
    if (value) metric.value = value
    else if (field === METRIC.name && wireType === BYTES) metric.name = readName(reader)
    else if (field === METRIC.alias && wireType === VARINT) metric.alias = readNumber(reader)
    else if (field === METRIC.timestamp && wireType === VARINT) metric.timestamp = readNumber(reader)
    else if (field === METRIC.datatype && wireType === VARINT) metric.datatype = reader.uint32()
    else if (field === METRIC.isHistorical && wireType === VARINT) metric.historical = reader.bool()
    else if (field === METRIC.isNull && wireType === VARINT) isNull = reader.bool()
    else skip(reader, wireType)
  }
  if (reader.pos !== end) throw invalid('has a metric that is longer than it says')
  if (isNull) metric.value = { kind: 'null' }
  return metric
}

/** Reads nothing and returns undefined for a field that carries no value. */
function readValue(reader: Reading, field: number, wireType: number): MetricValue | undefined {
  switch ((field << 3) | wireType) {
    case (METRIC.int << 3) | VARINT:
      return { kind: 'int', value: reader.uint32() }
    case (METRIC.long << 3) | VARINT:
      return { kind: 'long', value: readLong(reader) }
    case (METRIC.float << 3) | FIXED32:
      return { kind: 'float', value: reader.float() }
    case (METRIC.double << 3) | FIXED64:
      return { kind: 'double', value: reader.double() }
    case (METRIC.boolean << 3) | VARINT:
      return { kind: 'boolean', value: reader.bool() }
    case (METRIC.string << 3) | BYTES:
      return { kind: 'string', value: utf8.decode(reader.bytes()) }
    case (METRIC.bytes << 3) | BYTES:
      return { kind: 'bytes', value: Uint8Array.from(reader.bytes()) }
    default:
      return undefined
  }
}

function readTag(reader: Reading): { field: number; wireType: number } {
  const key = reader.uint32()
  if (key >>> 3 === 0) throw invalid('has a field without a number')
  return { field: key >>> 3, wireType: key & 7 }
}

/** Where the part that begins here ends; a part cannot be longer than what is left. */
function endOfPart(reader: Reading): number {
  const length = reader.uint32()
  if (length > reader.len - reader.pos) throw invalid('is cut off')
  return reader.pos + length
}

function readName(reader: Reading): string {
  const length = endOfPart(reader) - reader.pos
  if (length > MAX_METRIC_NAME_BYTES) {
    throw invalid(`has a name of ${length} bytes; at most ${MAX_METRIC_NAME_BYTES} are read`)
  }
  const from = reader.pos
  reader.skip(length)
  return utf8.decode(reader.buf.subarray(from, from + length))
}

/** Times, aliases and sequence numbers: all far below 2^53. */
function readNumber(reader: Reading): number {
  const value = readLong(reader)
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw invalid('has a number that is out of range')
  return Number(value)
}

function readLong(reader: Reading): bigint {
  const { low, high } = reader.uint64()
  return (BigInt(high >>> 0) << 32n) | BigInt(low >>> 0)
}

/** Groups (wire types 3 and 4) are no part of Sparkplug, and following them would be recursion at a stranger's word. */
function skip(reader: Reading, wireType: number): void {
  switch (wireType) {
    case VARINT:
      reader.skip()
      return
    case FIXED64:
      reader.skip(8)
      return
    case BYTES:
      reader.pos = endOfPart(reader)
      return
    case FIXED32:
      reader.skip(4)
      return
    default:
      throw invalid('has a field of an unknown form')
  }
}

function invalid(why: string, cause?: unknown): GatewayError {
  const text = `A Sparkplug message ${why}.`
  return new GatewayError('FW_SPARKPLUG_PAYLOAD_INVALID', text, cause === undefined ? undefined : { cause })
}
