/** A time to live of readings, by name. */
export interface ExpiryRule {
  /** Name of a reading; `*` stands for any text. */
  readonly name: string
  readonly afterMs: number
}

/** How long a reading is worth being called current: the first rule whose name fits says; undefined: for ever. */
export class Expiry {
  readonly #rules: readonly ExpiryRule[]
  /** By name, since the same few come again and again. */
  readonly #known = new Map<string, number | undefined>()

  constructor(rules: readonly ExpiryRule[]) {
    this.#rules = rules
  }

  afterMs(name: string): number | undefined {
    if (this.#rules.length === 0) return undefined
    if (this.#known.has(name)) return this.#known.get(name)
    const found = this.#rules.find((rule) => fits(rule.name, name))?.afterMs
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.set(name, found)
    return found
  }
}

const MAX_KNOWN = 10_000

/** `*` is any text, everything else itself. Each part is looked for once: no pattern takes long, whatever the name. */
function fits(pattern: string, name: string): boolean {
  const [first, ...rest] = pattern.split('*')
  const last = rest.pop()
  if (last === undefined) return name === first
  if (!name.startsWith(first!)) return false
  let at = first!.length
  for (const part of rest) {
    const found = name.indexOf(part, at)
    if (found < 0) return false
    at = found + part.length
  }
  return name.length - last.length >= at && name.endsWith(last)
}
