/** What is to be ended or removed, in the opposite order of its making. Fits where a helper of the tests wants a test. */
export class Cleanup {
  readonly #handlers: (() => unknown)[] = []
  #over = false

  /** After `run` it is done at once. */
  teardown(handler: () => unknown): void {
    if (this.#over) void Promise.resolve(handler()).catch(() => undefined)
    else this.#handlers.push(handler)
  }

  /** Does all of it, also when something of it fails; then throws the first failure. */
  async run(): Promise<void> {
    this.#over = true
    const failures: unknown[] = []
    for (let handler = this.#handlers.pop(); handler; handler = this.#handlers.pop()) {
      try {
        await handler()
      } catch (error) {
        failures.push(error)
      }
    }
    if (failures.length > 0) throw failures[0]
  }
}
