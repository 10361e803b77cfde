import type { WebSocket } from 'ws'
import {
  CLOSING,
  decodeClientFrames,
  encodeFrame,
  MAX_MESSAGE_BYTES,
  packMessages,
} from '@fieldwhisper/mesh/relay-frames'
import type { ClientFrame } from '@fieldwhisper/mesh/relay-frames'
import {
  BURST_S,
  CLOSE_MS,
  HANDSHAKE_MS,
  HIGH_WATER_BYTES,
  MAX_OUTBOUND_BYTES,
  MEMBER_BYTES_PER_S,
  MEMBER_FRAMES_PER_S,
  MIN_BURST_BYTES,
  PROOFS_PER_TURN,
  SILENT_MS,
  STOP_READING_BYTES,
  STRANGER_BYTES_PER_S,
  STRANGER_FRAMES_PER_S,
} from '../constants.js'
import { Conversation } from '../core/conversation.js'
import type { Link, Shared } from '../core/conversation.js'
import { TokenBucket } from '@fieldwhisper/host'

export interface SocketOptions {
  readonly ws: WebSocket
  readonly shared: Shared
  readonly member: boolean
  readonly nonce: Uint8Array
  /** Monotonic milliseconds. */
  readonly nowMs: () => number
  readonly slowMs: number
  /** What all sockets of this relay have to carry. */
  readonly outbound: { bytes: number }
  readonly onClosed: () => void
  /** Something in the relay itself failed while it served this connection. */
  readonly onError: (error: unknown) => void
}

/** Why a socket is not read for the moment. */
type Pause = 'pace' | 'turn' | 'answers'

/**
 * One WebSocket: pace and order of what comes in, coalescing and bounds of what goes out, deadlines.
 *
 *   in:  message -> decode -> pace (frames, bytes) -> inbox -> conversation, a bounded number of proofs a turn
 *   out: frames of one turn -> messages of at most 64 KiB -> socket; above the high water nothing is handed over, above
 *        the next mark the socket is not read until its own answers have left
 */
export class RelaySocket implements Link {
  readonly #options: SocketOptions
  readonly #ws: WebSocket
  readonly #conversation: Conversation
  readonly #frames: TokenBucket
  readonly #bytes: TokenBucket
  readonly #pauses = new Set<Pause>()
  /** Resolves when the socket is closed. */
  readonly ended: Promise<void>
  #gone!: () => void
  #inbox: ClientFrame[] = []
  #outbox: Uint8Array[] = []
  #queuedBytes = 0
  #sentBytes = 0
  #heardMs: number
  #movedMs: number
  #answered = false
  #ended = false
  #closed = false

  constructor(options: SocketOptions) {
    this.#options = options
    this.#ws = options.ws
    this.ended = new Promise((resolve) => (this.#gone = resolve))
    const now = options.nowMs()
    this.#heardMs = now
    this.#movedMs = now
    const [framesPerS, bytesPerS] = options.member
      ? [MEMBER_FRAMES_PER_S, MEMBER_BYTES_PER_S]
      : [STRANGER_FRAMES_PER_S, STRANGER_BYTES_PER_S]
    this.#frames = new TokenBucket({ perSecond: framesPerS, burst: framesPerS * BURST_S }, now)
    this.#bytes = new TokenBucket(
      { perSecond: bytesPerS, burst: Math.max(bytesPerS * BURST_S, MIN_BURST_BYTES) },
      now,
    )
    this.#conversation = new Conversation(options.shared, this, options, now)
    this.#ws.on('message', (data, isBinary) => this.#message(data as Buffer, isBinary))
    this.#ws.on('ping', () => this.#ping())
    this.#ws.on('pong', () => (this.#heardMs = this.#options.nowMs()))
    // A broken or hostile WebSocket frame: ws has closed the socket and 'close' follows.
    this.#ws.on('error', () => undefined)
    this.#ws.on('close', () => this.#onClose())
    this.#conversation.open()
  }

  send(frame: Uint8Array): void {
    if (this.#ended || this.#closed) return
    if (this.#outbox.length === 0) setImmediate(() => this.#flush())
    this.#outbox.push(frame)
    this.#queuedBytes += frame.length
    this.#options.outbound.bytes += frame.length
  }

  ready(): boolean {
    return !this.#ended && !this.#closed && this.#outboundBytes < this.#bound(HIGH_WATER_BYTES, 1)
  }

  end(code: number, text: string): void {
    if (this.#ended || this.#closed) return
    this.send(encodeFrame({ kind: 'closing', code, text }))
    this.#flush()
    this.#ended = true
    this.#inbox = []
    this.#ws.close(code === CLOSING.shutdown ? 1001 : 1008)
    setTimeout(() => this.#ws.terminate(), CLOSE_MS).unref()
  }

  /** Deadlines; to be called every second. */
  watch(now: number): void {
    if (this.#closed || this.#ended) return
    if (!this.#answered && now - this.#heardMs >= HANDSHAKE_MS) {
      this.end(CLOSING.silent, 'The challenge was not answered.')
    } else if (this.#sentBytes > 0 && now - this.#movedMs >= this.#options.slowMs) {
      // Its socket takes nothing, so there is no way to tell it.
      this.#ws.terminate()
    } else if (now - this.#heardMs >= SILENT_MS && this.#pauses.size === 0) {
      this.end(CLOSING.silent, 'Nothing was heard.')
    }
  }

  #message(data: Buffer, isBinary: boolean): void {
    if (this.#ended) return
    const now = this.#options.nowMs()
    this.#heardMs = now
    let frames: ClientFrame[]
    try {
      if (!isBinary) throw new TypeError('a text message')
      frames = decodeClientFrames(data)
    } catch {
      this.end(CLOSING.malformed, 'A message could not be read.')
      return
    }
    this.#answered = true
    this.#charge(frames.length, data.length, now)
    for (const frame of frames) this.#inbox.push(frame)
    this.#work()
  }

  #ping(): void {
    const now = this.#options.nowMs()
    this.#heardMs = now
    this.#answered = true
    this.#charge(1, 0, now)
  }

  #charge(frames: number, bytes: number, now: number): void {
    const waitMs = Math.max(this.#frames.charge(now, frames), this.#bytes.charge(now, bytes))
    if (waitMs === 0 || this.#pauses.has('pace')) return
    this.#pause('pace')
    setTimeout(() => this.#resume('pace'), waitMs).unref()
  }

  #work(): void {
    if (this.#pauses.has('turn')) return
    let proofs = 0
    let done = 0
    const now = this.#options.nowMs()
    try {
      for (const frame of this.#inbox) {
        if (this.#outboundBytes >= this.#bound(STOP_READING_BYTES, MAX_MESSAGE_BYTES)) {
          this.#pause('answers')
          break
        }
        if (proofs >= PROOFS_PER_TURN) {
          this.#pause('turn')
          setImmediate(() => this.#resume('turn'))
          break
        }
        done++
        if (frame.kind === 'prove') proofs++
        this.#conversation.receive(frame, now)
      }
    } catch (error) {
      this.#options.onError(error)
      this.end(CLOSING.shutdown, 'The relay cannot serve this connection.')
      return
    }
    this.#inbox = done < this.#inbox.length ? this.#inbox.slice(done) : []
  }

  #pause(why: Pause): void {
    this.#pauses.add(why)
    this.#ws.pause()
  }

  #resume(why: Pause): void {
    if (this.#closed || !this.#pauses.delete(why)) return
    if (why !== 'pace') this.#work()
    if (this.#pauses.size === 0) {
      this.#heardMs = this.#options.nowMs()
      this.#ws.resume()
    }
  }

  #flush(): void {
    if (this.#closed || this.#outbox.length === 0) return
    const messages = packMessages(this.#outbox)
    this.#outbox = []
    this.#queuedBytes = 0
    if (this.#sentBytes === 0) this.#movedMs = this.#options.nowMs()
    for (const message of messages) {
      this.#sentBytes += message.length
      this.#ws.send(message, { binary: true, compress: false }, () => this.#sent(message.length))
    }
  }

  get #outboundBytes(): number {
    return this.#queuedBytes + this.#sentBytes
  }

  /** While all sockets together have too much to carry, each gets only a little. */
  #bound(normal: number, scarce: number): number {
    return this.#options.outbound.bytes < MAX_OUTBOUND_BYTES ? normal : scarce
  }

  #sent(bytes: number): void {
    if (this.#closed) return
    this.#sentBytes -= bytes
    this.#options.outbound.bytes -= bytes
    this.#movedMs = this.#options.nowMs()
    if (this.#pauses.has('answers') && this.ready()) this.#resume('answers')
    if (this.ready()) this.#conversation.drained()
  }

  #onClose(): void {
    if (this.#closed) return
    this.#closed = true
    this.#inbox = []
    this.#outbox = []
    this.#options.outbound.bytes -= this.#outboundBytes
    this.#conversation.closed()
    this.#options.onClosed()
    this.#gone()
  }
}
