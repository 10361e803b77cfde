import type { TransformCallback } from 'node:stream'
import { ReadlineParser } from 'serialport'

export interface LineReaderOptions {
  readonly maxBytes: number
  readonly lineEnd: '\n' | '\r'
}

/**
 * The readline parser with a bound. The original keeps bytes until their line ends, for ever if need be; here a line that
 * grows beyond `maxBytes` is dropped up to its end and announced as `overlong`. Emits one string a line, one character a
 * byte (latin1), so that nothing of a damaged character leaks into the next line; the caller decodes.
 */
export class LineReader extends ReadlineParser {
  readonly #maxBytes: number
  readonly #lineEnd: Buffer
  /** Everything up to the next line end is the rest of a line whose front is missing. */
  #skipping = false

  constructor(options: LineReaderOptions) {
    super({ delimiter: options.lineEnd, encoding: 'latin1', readableObjectMode: true })
    this.#maxBytes = options.maxBytes
    this.#lineEnd = Buffer.from(options.lineEnd, 'latin1')
  }

  /** Drops what arrives up to the next line end. */
  skipLine(): void {
    this.#skipping = true
  }

  override _transform(chunk: Buffer, encoding: BufferEncoding, done: TransformCallback): void {
    let rest = chunk
    if (this.#skipping) {
      const end = rest.indexOf(this.#lineEnd)
      if (end < 0) {
        done()
        return
      }
      rest = rest.subarray(end + this.#lineEnd.length)
      this.#skipping = false
    }
    super._transform(rest, encoding, (error) => {
      if (this.buffer.length > this.#maxBytes) {
        this.buffer = Buffer.alloc(0)
        this.#skipping = true
        this.emit('overlong')
      }
      done(error)
    })
  }

  /** A line that the end of the port cut off is no line: `12` may be the front of `120`. */
  override _flush(done: TransformCallback): void {
    this.buffer = Buffer.alloc(0)
    done()
  }
}
