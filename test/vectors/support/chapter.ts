/**
 * One file of golden vectors: inputs, and two functions that make the outputs from them. The product may leave out what it
 * does not show; the reference gives all of it.
 */
export interface Chapter {
  /** Name of the file in golden/. */
  readonly name: string
  /** Sections of docs/protocol.md. */
  readonly sections: string
  readonly cases: readonly Case[]
  product(input: never): object
  reference(input: never): object
}

export interface Case {
  readonly title: string
  readonly input: object
}

/** Ties the type of a chapter's inputs together and then forgets it. */
export function chapter<Input extends object>(parts: {
  readonly name: string
  readonly sections: string
  readonly cases: readonly { readonly title: string; readonly input: Input }[]
  readonly product: (input: Input) => object
  readonly reference: (input: Input) => object
}): Chapter {
  return parts
}
