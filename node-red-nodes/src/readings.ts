/** One reading as a flow gets it. Only `value` and `retained` are always there: the bare payload of a gateway says no more. */
export interface Reading {
  readonly value: number | string | boolean | null | Buffer
  /** SenML unit. */
  readonly unit?: string
  /** RFC 3339 in UTC. */
  readonly time?: string
  readonly quality?: string
  readonly clock?: string
  /** Names this reading for life, also in a repeat. */
  readonly id?: string
  readonly path?: string
  /** It waited somewhere: not the current value. */
  readonly historical?: boolean
}

/**
 * A payload of any of the forms that a gateway can be told to publish (`mqtt.payload`): its JSON, a SenML pack of one record
 * (RFC 8428), or the bare value. Never throws: what is none of the first two is a bare value.
 */
export function decodeReading(payload: Uint8Array): Reading {
  const text = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString('utf8')
  const first = text[0]
  const parsed = first === '{' || first === '[' ? parse(text) : undefined
  if (Array.isArray(parsed) && parsed.length === 1 && isRecord(parsed[0])) {
    return fromSenml(parsed[0]) ?? { value: text }
  }
  if (isRecord(parsed) && isValue(parsed['value'])) return fromJson(parsed, parsed['value'])
  return { value: bare(text) }
}

type Value = number | string | boolean | null

function fromJson(json: Readonly<Record<string, unknown>>, value: Value): Reading {
  const { encoding, unit, time, quality, clock, id, path, historical } = json
  return {
    value: encoding === 'base64' && typeof value === 'string' ? Buffer.from(value, 'base64') : value,
    ...(typeof unit === 'string' && { unit }),
    ...(typeof time === 'string' && { time }),
    ...(typeof quality === 'string' && { quality }),
    ...(typeof clock === 'string' && { clock }),
    ...(typeof id === 'string' && { id }),
    ...(typeof path === 'string' && { path }),
    ...(typeof historical === 'boolean' && { historical }),
  }
}

function fromSenml(record: Readonly<Record<string, unknown>>): Reading | undefined {
  const { v, vs, vb, vd, u, t } = record
  const value = v ?? vs ?? vb ?? (typeof vd === 'string' ? Buffer.from(vd, 'base64url') : undefined)
  if (value === undefined || !(Buffer.isBuffer(value) || isValue(value))) return undefined
  // RFC 8428, section 4.5.3: below 2^28 a time is relative to now, which a gateway never writes.
  const time = typeof t === 'number' && t >= 2 ** 28 && t <= MAX_SECONDS ? new Date(t * 1_000) : undefined
  return {
    value,
    ...(typeof u === 'string' && { unit: u }),
    ...(time !== undefined && { time: time.toISOString() }),
  }
}

/** The end of the year 9999. */
const MAX_SECONDS = 253_402_300_799

/** Numbers as JSON writes them, so that "007" and "" stay text. */
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/

function bare(text: string): Value {
  if (text === 'true') return true
  if (text === 'false') return false
  return NUMBER.test(text) ? Number(text) : text
}

/** The JSON in a text, or undefined. */
export function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isValue(value: unknown): value is Value {
  return value === null || ['number', 'string', 'boolean'].includes(typeof value)
}
