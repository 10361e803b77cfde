import type { WebSocket } from 'ws'
import { packMessages } from './frames.js'

/** Frames of one event-loop turn leave together, in as few messages as hold them. */
export class RelayOutbox {
  readonly #ws: WebSocket
  #frames: Uint8Array[] = []
  #bytes = 0

  constructor(ws: WebSocket) {
    this.#ws = ws
  }

  /** Bytes that the operating system has not taken yet. */
  get bufferedBytes(): number {
    return this.#bytes + this.#ws.bufferedAmount
  }

  push(frame: Uint8Array): void {
    if (this.#frames.length === 0) setImmediate(() => this.flush())
    this.#frames.push(frame)
    this.#bytes += frame.length
  }

  flush(): void {
    const frames = this.#frames
    this.#frames = []
    this.#bytes = 0
    if (this.#ws.readyState !== this.#ws.OPEN) return
    for (const message of packMessages(frames)) this.#ws.send(message, { binary: true, compress: false })
  }
}
