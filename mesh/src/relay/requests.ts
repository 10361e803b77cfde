interface Open<T> {
  readonly atMs: number
  readonly resolve: (answer: T) => void
}

/** Requests of one connection that wait for their answer, in the order in which they were made. */
export class OpenRequests<T> {
  readonly #open = new Map<number, Open<T>>()

  get size(): number {
    return this.#open.size
  }

  add(request: number, nowMs: number): Promise<T> {
    return new Promise((resolve) => this.#open.set(request, { atMs: nowMs, resolve }))
  }

  /** False where nobody asked. */
  answer(request: number, answer: T): boolean {
    const open = this.#open.get(request)
    this.#open.delete(request)
    open?.resolve(answer)
    return open !== undefined
  }

  /** Answers in the relay's place what was asked at `untilMs` or before. */
  giveUp(untilMs: number, answer: T): void {
    for (const [request, { atMs, resolve }] of this.#open) {
      if (atMs > untilMs) return
      this.#open.delete(request)
      resolve(answer)
    }
  }
}
