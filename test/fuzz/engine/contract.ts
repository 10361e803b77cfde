import assert from 'node:assert/strict'

/** An error class of one of the packages. */
type ErrorClass = abstract new (...args: never[]) => Error & { readonly code: string }

/**
 * What a decoder gives for an input: its value, or undefined where it refused with an error class of ours and an `FW_` code. Any
 * other error goes through and is a finding.
 */
export function valueOrRefusal<T>(classes: readonly ErrorClass[], decode: () => T): T | undefined {
  try {
    return decode()
  } catch (error) {
    if (!classes.some((one) => error instanceof one)) throw error
    const { code, message } = error as Error & { code: string }
    assert.match(code, /^FW_[A-Z0-9_]+$/, 'a refusal has a code')
    assert.ok(message.length > 0 && message.length <= 8_192, 'a refusal has a message of bounded length')
    return undefined
  }
}

export function sameBytes(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) !== 0)
    assert.fail(
      `${what}: ${Buffer.from(actual).toString('hex')} is not ${Buffer.from(expected).toString('hex')}`,
    )
}

/** The same value, where −0 counts as 0: the wire has one zero. */
export function sameValue(actual: unknown, expected: unknown): void {
  assert.deepEqual(plainZeros(actual), plainZeros(expected))
}

function plainZeros(value: unknown): unknown {
  if (value === 0) return 0
  if (Array.isArray(value)) return value.map(plainZeros)
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plainZeros(inner)]))
}

/** Nothing may be held that is larger than this for an input of so many bytes. */
export function bounded(value: unknown, bytes: number, factor: number, fixed = 1_024): void {
  const found = weight(value)
  const limit = factor * bytes + fixed
  assert.ok(found <= limit, `a result of about ${found} bytes from an input of ${bytes}, at most ${limit}`)
}

/** About what a value takes, counted by its parts; a buffer behind a view counts whole, once. */
export function weight(value: unknown): number {
  const seen = new Set<object>()
  const visit = (part: unknown): number => {
    if (typeof part === 'string') return 16 + 2 * part.length
    if (typeof part !== 'object' || part === null) return 8
    if (seen.has(part)) return 8
    seen.add(part)
    if (ArrayBuffer.isView(part)) {
      if (seen.has(part.buffer)) return 64
      seen.add(part.buffer)
      return 64 + part.buffer.byteLength
    }
    let sum = 32
    for (const inner of part instanceof Map || part instanceof Set ? part : Object.values(part))
      sum += visit(inner)
    return sum
  }
  return visit(value)
}

const PROTOTYPES = [Object, Array, Uint8Array, String, Number, Map, Set, Function, RegExp, Error, Promise]

/** Changes when something was put onto a global object or prototype. */
export function globalState(): string {
  const names = (owner: object): string => Reflect.ownKeys(owner).map(String).join()
  return [names(globalThis), ...PROTOTYPES.map((one) => names(one.prototype as object) + names(one))].join(
    '\n',
  )
}
