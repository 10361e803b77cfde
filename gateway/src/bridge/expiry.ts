/** A time to live of readings, by name. */
export interface ExpiryRule {
  /** Name of a reading; `*` stands for any text. */
  readonly name: string
  readonly afterMs: number
}

/** How long a reading is worth being called current: the first rule whose name fits says; undefined: for ever. */
export class Expiry {
  readonly #rules: readonly { readonly name: RegExp; readonly afterMs: number }[]
  /** By name, since the same few come again and again. */
  readonly #known = new Map<string, number | undefined>()

  constructor(rules: readonly ExpiryRule[]) {
    this.#rules = rules.map(({ name, afterMs }) => ({ name: globOf(name), afterMs }))
  }

  afterMs(name: string): number | undefined {
    if (this.#rules.length === 0) return undefined
    if (this.#known.has(name)) return this.#known.get(name)
    const found = this.#rules.find((rule) => rule.name.test(name))?.afterMs
    if (this.#known.size >= MAX_KNOWN) this.#known.clear()
    this.#known.set(name, found)
    return found
  }
}

const MAX_KNOWN = 10_000

/** `*` is any text, everything else itself. Runs in the length of the name for each star, whatever the name. */
function globOf(pattern: string): RegExp {
  const parts = pattern.split('*').map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&'))
  return new RegExp(`^${parts.join('.*')}$`, 'su')
}
