import { senmlName, SENML_ABSOLUTE_S } from '@fieldwhisper/protocol'
import { encodePayload, type ReadingPayload } from './payload.js'

/** `mqtt.payload` of the configuration: how a reading is written. */
export const PAYLOAD_FORMATS = ['json', 'senml', 'value'] as const
export type PayloadFormat = (typeof PAYLOAD_FORMATS)[number]

/** Whose reading it is. */
interface Origin {
  readonly agent: string
  readonly name: string
}

export interface ReadingFormat {
  /** MQTT 5 content type (a MIME type). */
  readonly contentType: string
  /** The payload itself says that a value was taken long ago. */
  readonly tellsHistory: boolean
  encode(reading: ReadingPayload, origin: Origin): Uint8Array
}

export function readingFormat(format: PayloadFormat): ReadingFormat {
  return FORMATS[format]
}

const FORMATS: Readonly<Record<PayloadFormat, ReadingFormat>> = {
  json: { contentType: 'application/json', tellsHistory: true, encode: encodePayload },
  senml: {
    contentType: 'application/senml+json',
    tellsHistory: true,
    encode: (reading, origin) => Buffer.from(JSON.stringify([senmlRecord(reading, origin)])),
  },
  value: {
    contentType: 'text/plain',
    tellsHistory: false,
    encode: ({ value }) => Buffer.from(bareText(value)),
  },
}

/**
 * A pack of one record (RFC 8428). `id`, `quality`, `clock`, `path`, `historical` and `name` are labels of our own, which readers of
 * SenML skip; all but the first stand only where they say something.
 */
function senmlRecord(reading: ReadingPayload, { agent, name }: Origin): Record<string, unknown> {
  const { unit, time, quality, clock, id, path, historical } = reading
  const seconds = Date.parse(time) / 1_000
  const n = senmlName(name)
  return {
    bn: `${senmlName(agent)}/`,
    n,
    ...(unit !== undefined && unit !== '' && { u: unit }),
    ...(seconds >= SENML_ABSOLUTE_S && { t: seconds }),
    ...valueOf(reading),
    id,
    path,
    ...(historical && { historical }),
    ...(quality !== 'good' && { quality }),
    ...(clock !== 'synchronised' && { clock }),
    ...(n !== name && { name }),
  }
}

/** As short as it reads back; bytes as base64. Never empty by itself: an empty payload removes what is retained. */
function bareText(value: ReadingPayload['value']): string {
  if (value === null) return 'NaN'
  return Object.is(value, -0) ? '-0' : String(value)
}

/** A number that is none has no place in SenML: the record is then without a value, and of bad quality. */
function valueOf({ value, encoding }: ReadingPayload): Record<string, unknown> {
  if (encoding === 'base64') return { vd: Buffer.from(String(value), 'base64').toString('base64url') }
  if (typeof value === 'number') return { v: value }
  if (typeof value === 'boolean') return { vb: value }
  return value === null ? {} : { vs: value }
}
