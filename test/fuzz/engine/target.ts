/**
 * One decoder that a stranger or a damaged file reaches, with its contract. `run` feeds it one input and throws on anything that
 * the contract forbids; an error that the decoder may throw is caught in `run` (see contract.ts).
 */
export interface Target {
  readonly name: string
  /** What is promised, in one sentence; stands in the table of docs/fuzzing.md. */
  readonly contract: string
  /** Longer inputs are not made; what comes in from outside is cut off there or earlier. */
  readonly maxBytes: number
  /** Proper inputs to start from. */
  readonly seeds: () => readonly Uint8Array[]
  readonly dictionary?: readonly Uint8Array[]
  /** The input is text in UTF-8. */
  readonly text?: boolean
  /** Inputs of the bounded run in the tests; fewer where one costs more. */
  readonly testInputs: number
  /** Most CPU milliseconds for one input; default 50. */
  readonly maxMs?: number
  readonly run: (input: Uint8Array) => void | Promise<void>
}
