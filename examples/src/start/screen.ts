import { width } from './width.js'

interface Output {
  write(text: string): unknown
  readonly columns?: number
  readonly rows?: number
}

const HIDE_CURSOR = '\x1b[?25l'
const SHOW_CURSOR = '\x1b[?25h'
const ERASE_LINE_END = '\x1b[K'
const ERASE_BELOW = '\x1b[J'
const CLEAR = '\x1b[H\x1b[2J'

/**
 * A picture that is redrawn in place: the cursor goes back to its first line, every line is written over and the rest of it
 * erased, all in one write, so that nothing flickers. What stood above it in the terminal stays.
 */
export class Screen {
  readonly #out: Output
  #rows = 0
  #columns = 0
  #last = ''

  constructor(out: Output) {
    this.#out = out
  }

  get size(): { readonly columns: number; readonly rows: number } {
    return { columns: this.#out.columns ?? 80, rows: this.#out.rows ?? 24 }
  }

  draw(lines: readonly string[]): void {
    const { columns } = this.size
    const resized = this.#rows > 0 && columns !== this.#columns
    const body = lines
      .map((line) => (width(line) > 0 && width(line) % columns === 0 ? line : line + ERASE_LINE_END))
      .join('\r\n')
    if (body === this.#last && !resized) return
    // A terminal that changed its width has folded the old picture anew: nobody knows where its first line went.
    const home = resized ? CLEAR : this.#rows > 0 ? `\r${up(this.#rows - 1)}` : HIDE_CURSOR
    this.#out.write(home + body + ERASE_BELOW)
    this.#last = body
    this.#columns = columns
    this.#rows = lines.reduce((rows, line) => rows + Math.max(1, Math.ceil(width(line) / columns)), 0)
  }

  /** Leaves the last picture where it is and gives the cursor back. Harmless when called twice. */
  end(): void {
    if (this.#rows === 0) return
    this.#rows = 0
    this.#last = ''
    this.#out.write(`${SHOW_CURSOR}\r\n`)
  }
}

function up(rows: number): string {
  return rows > 0 ? `\x1b[${rows}A` : ''
}
