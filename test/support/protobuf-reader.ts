/**
 * Sparkplug B payloads, read slowly and without the library that the gateway uses: protocol buffers are (number << 3 | wire
 * type), then a varint (0), eight bytes (1), a length and bytes (2), or four bytes (5).
 */

export interface ReadMetric {
  readonly name?: string
  readonly alias?: number
  readonly timestamp?: number
  readonly datatype?: number
  readonly historical?: boolean
  readonly isNull?: boolean
  readonly properties: Readonly<Record<string, { type: number; value: number | string }>>
  /** Field that carries the value, 10 to 19. */
  readonly field?: number
  readonly value?: number | bigint | boolean | string | Uint8Array
}

export interface ReadPayload {
  readonly timestamp?: number
  readonly seq?: number
  readonly metrics: readonly ReadMetric[]
}

type Field = readonly [number: number, value: bigint | Uint8Array]

export function readPayload(bytes: Uint8Array): ReadPayload {
  const fields = fieldsOf(bytes)
  return {
    ...named('timestamp', whole(fields, 1)),
    ...named('seq', whole(fields, 3)),
    metrics: all(fields, 2).map((value) => readMetric(value as Uint8Array)),
  }
}

function readMetric(bytes: Uint8Array): ReadMetric {
  const fields = fieldsOf(bytes)
  const [field, raw] = fields.find(([number]) => number >= 10 && number <= 19) ?? []
  const properties = all(fields, 9)[0]
  return {
    ...named('name', text(fields, 1)),
    ...named('alias', whole(fields, 2)),
    ...named('timestamp', whole(fields, 3)),
    ...named('datatype', whole(fields, 4)),
    ...named('historical', flag(fields, 5)),
    ...named('isNull', flag(fields, 7)),
    properties: properties ? readProperties(properties as Uint8Array) : {},
    ...(field !== undefined && { field, value: valueOf(field, raw!)! }),
  }
}

function readProperties(bytes: Uint8Array): ReadMetric['properties'] {
  const fields = fieldsOf(bytes)
  const keys = all(fields, 1).map((key) => utf8(key as Uint8Array))
  const values = all(fields, 2).map((value) => fieldsOf(value as Uint8Array))
  if (keys.length !== values.length) throw new Error(`${keys.length} keys, ${values.length} values`)
  return Object.fromEntries(
    keys.map((key, i) => {
      const value = text(values[i]!, 8) ?? whole(values[i]!, 3)
      return [key, { type: whole(values[i]!, 1)!, value: value! }]
    }),
  )
}

function valueOf(field: number, raw: bigint | Uint8Array): ReadMetric['value'] {
  if (typeof raw === 'bigint') return field === 14 ? raw !== 0n : field === 11 ? raw : Number(raw)
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength)
  if (field === 12) return view.getFloat32(0, true)
  if (field === 13) return view.getFloat64(0, true)
  return field === 15 ? utf8(raw) : raw
}

function fieldsOf(bytes: Uint8Array): Field[] {
  const fields: Field[] = []
  let at = 0
  const varint = (): bigint => {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      if (at >= bytes.length || shift > 63n) throw new Error(`No number ends at ${at}`)
      const byte = bytes[at++]!
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asUintN(64, value)
    }
  }
  const take = (length: number): Uint8Array => {
    if (at + length > bytes.length) throw new Error(`${length} bytes do not begin at ${at}`)
    at += length
    return Uint8Array.from(bytes.subarray(at - length, at))
  }
  while (at < bytes.length) {
    const key = Number(varint())
    const wireType = key & 7
    if (wireType === 0) fields.push([key >>> 3, varint()])
    else if (wireType === 1) fields.push([key >>> 3, take(8)])
    else if (wireType === 2) fields.push([key >>> 3, take(Number(varint()))])
    else if (wireType === 5) fields.push([key >>> 3, take(4)])
    else throw new Error(`Wire type ${wireType}`)
  }
  return fields
}

function all(fields: readonly Field[], number: number): (bigint | Uint8Array)[] {
  return fields.filter(([found]) => found === number).map(([, value]) => value)
}

function whole(fields: readonly Field[], number: number): number | undefined {
  const value = all(fields, number)[0]
  return value === undefined ? undefined : Number(value)
}

function flag(fields: readonly Field[], number: number): boolean | undefined {
  const value = whole(fields, number)
  return value === undefined ? undefined : value !== 0
}

function text(fields: readonly Field[], number: number): string | undefined {
  const value = all(fields, number)[0]
  return value === undefined ? undefined : utf8(value as Uint8Array)
}

function utf8(bytes: Uint8Array): string {
  return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
}

function named<Key extends string, Value>(
  key: Key,
  value: Value | undefined,
): { readonly [K in Key]?: Value } {
  return value === undefined ? {} : ({ [key]: value } as { [K in Key]: Value })
}
