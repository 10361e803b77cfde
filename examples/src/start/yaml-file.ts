import { existsSync, readFileSync } from 'node:fs'
import { errorText, writeFileDurably } from '@fieldwhisper/host'
import { parseDocument, type Document } from 'yaml'

type Path = readonly (string | number)[]

/** A configuration that is the user's once it is there: keys are set in it one by one, everything else stays as written. */
export class YamlFile {
  readonly #path: string
  readonly #document: Document
  readonly #before: string | undefined

  /** Reads the file, or begins with `template` where there is none. Throws Error when it is not YAML. */
  constructor(path: string, template: string) {
    this.#path = path
    this.#before = existsSync(path) ? readFileSync(path, 'utf8') : undefined
    const document = parseDocument(this.#before ?? template)
    const [fault] = document.errors
    if (fault)
      throw new Error(
        `${path} is not usable YAML: ${errorText(fault)}. Mend it, or remove it to get a new one.`,
      )
    this.#document = document
  }

  get(path: Path): unknown {
    const found: unknown = this.#document.getIn(path)
    return found
  }

  has(path: Path): boolean {
    return this.#document.hasIn(path)
  }

  set(path: Path, value: unknown): void {
    if (this.get(path) !== value) this.#document.setIn(path, value)
  }

  /** Mode 0600: tokens and passwords may stand in it. */
  save(): void {
    const text = this.#document.toString({ lineWidth: 0, flowCollectionPadding: false })
    if (text !== this.#before) writeFileDurably(this.#path, text)
  }
}
