/** A program of the benchmark: it does what its parent asks over the channel of `fork`, and ends when that is gone. */

/** What is asked for, by name; the answer is sent back. */
export type Handlers = Readonly<Record<string, (given: never) => unknown>>

export interface Question {
  readonly id: number
  readonly ask: string
  readonly given: unknown
}

export type Answer = { readonly id: number } & ({ readonly answer: unknown } | { readonly error: string })

export function serve(handlers: Handlers): void {
  process.on('disconnect', () => process.exit(0))
  process.on('message', ({ id, ask, given }: Question) => {
    const handler = handlers[ask] as ((given: unknown) => unknown) | undefined
    const answering = Promise.resolve().then(() => {
      if (handler === undefined) throw new Error(`${ask} is none of ${Object.keys(handlers).join(', ')}`)
      return handler(given)
    })
    const send = (answer: Answer): void => void process.send?.(answer)
    answering.then(
      (answer) => send({ id, answer }),
      (error: unknown) => send({ id, error: error instanceof Error ? error.message : String(error) }),
    )
  })
}
