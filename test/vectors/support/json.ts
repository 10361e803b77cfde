/** Vector files are JSON; byte strings are `{ "$hex": "…" }`, fields without a value are left out. */

export function toJson(value: unknown): string {
  return `${JSON.stringify(wrap(value), null, 1)}\n`
}

export function fromJson(text: string): unknown {
  return JSON.parse(text, (_, value: unknown) =>
    isWrapped(value) ? new Uint8Array(Buffer.from(value.$hex, 'hex')) : value,
  )
}

function wrap(value: unknown): unknown {
  if (value instanceof Uint8Array) return { $hex: Buffer.from(value).toString('hex') }
  if (Array.isArray(value)) return value.map(wrap)
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, wrap(entry)]))
  }
  return value
}

function isWrapped(value: unknown): value is { readonly $hex: string } {
  return typeof value === 'object' && value !== null && '$hex' in value
}
