import type { Socket } from 'node:net'
import {
  MAX_BUFFERED_BYTES,
  QUESTION_BURST,
  QUESTIONS_PER_SECOND,
  WRITE_SLICE_BYTES,
  type LinkTiming,
} from './constants.js'
import { MeshError } from '../errors.js'
import { LinkFrameParser, pingFrame, pongFrame, type LinkFrame, type FramePieces } from './frames.js'

/** Why a link ended: a code of docs/errors.md, or one of the ordinary ends. */
export type LinkEnd =
  | 'FW_LAN_FRAME_EMPTY'
  | 'FW_LAN_FRAME_TOO_LONG'
  | 'FW_LAN_FRAME_MALFORMED'
  | 'FW_LAN_FRAME_LATE'
  | 'FW_LAN_FIRST_FRAME_LATE'
  | 'FW_LAN_LINK_SILENT'
  | 'FW_LAN_LINK_STALLED'
  /** The other end closed it, or its machine reset it. */
  | 'ended'
  /** This end gave it up: its slot went to another address, or the program stops. */
  | 'given up'
  /** A stranger's place went to the next one. */
  | 'evicted'

export interface LinkHandlers {
  /** The other end has spoken: the first frame of a known type is here. */
  opened(): void
  frame(frame: LinkFrame): void
  /** Once, after which nothing follows. */
  closed(end: LinkEnd): void
}

/**
 * One TCP connection that carries frames. Time is brought by `tick`; all deadlines are judged there.
 *
 * Is the other end alive? Whoever received something and had nothing to say for 3 s says PONG, so that a one-way stream
 * proves itself even through a full send queue. Whoever sent something (not a PONG) and received nothing for 10 s calls
 * the other end dead. Whoever received nothing for 20 s says PING. While reading is paused, PONGs go out by themselves.
 */
export class Link {
  readonly #socket: Socket
  readonly #timing: LinkTiming
  readonly #now: () => number
  readonly #handlers: LinkHandlers
  readonly #parser = new LinkFrameParser()
  #queue: Uint8Array[] = []
  #queuedBytes = 0
  #writingBytes = 0
  #flushing: NodeJS.Immediate | undefined
  #opened = false
  #ended = false
  #paused = false
  #pongDue = false
  #questionTokens = QUESTION_BURST
  #questionsAt: number
  #connectedAt: number
  #lastReceived: number
  #lastSent: number
  /** Since when an answer is missing, a frame is incomplete, no waiting byte has left. */
  #unansweredSince: number | undefined
  #frameSince: number | undefined
  #stalledSince: number | undefined
  /** Something was received that the other end does not know to have arrived. */
  #owesSign = false

  constructor(socket: Socket, timing: LinkTiming, now: () => number, handlers: LinkHandlers) {
    this.#socket = socket
    this.#timing = timing
    this.#now = now
    this.#handlers = handlers
    const at = now()
    this.#connectedAt = this.#lastReceived = this.#lastSent = this.#questionsAt = at
    socket.on('data', (chunk) => this.#received(chunk))
    socket.on('close', () => this.close('ended'))
    // The close event follows; what went wrong below TCP does not matter to anybody above.
    socket.on('error', () => undefined)
  }

  get isOpen(): boolean {
    return this.#opened && !this.#ended
  }

  get bufferedBytes(): number {
    return this.#queuedBytes + this.#writingBytes
  }

  /** Queues one frame; it leaves with all others of this turn of the event loop. False: too much waits, nothing was queued. */
  send(pieces: FramePieces): boolean {
    let bytes = 0
    for (const piece of pieces) bytes += piece.length
    if (this.#ended || this.bufferedBytes + bytes > MAX_BUFFERED_BYTES) return false
    this.#queue.push(...pieces)
    this.#queuedBytes += bytes
    this.#lastSent = this.#now()
    this.#owesSign = false
    if (pieces !== pongFrame()) this.#unansweredSince ??= this.#lastSent
    this.#flushing ??= setImmediate(() => {
      this.#flushing = undefined
      this.#flush()
    })
    return true
  }

  ping(): void {
    this.send(pingFrame())
  }

  /** Stops or resumes reading: TCP then holds the sender back, and the sender is told that this end lives. */
  setPaused(paused: boolean): void {
    if (this.#paused === paused || this.#ended) return
    this.#paused = paused
    if (paused) {
      this.#socket.pause()
    } else {
      this.#lastReceived = this.#now()
      this.#unansweredSince = undefined
      if (this.#frameSince !== undefined) this.#frameSince = this.#lastReceived
      this.#socket.resume()
    }
  }

  /** `lateMs`: how much later than planned this tick comes, which is nobody else's fault. */
  tick(lateMs: number): void {
    if (this.#ended) return
    const now = this.#now()
    const timing = this.#timing
    if (lateMs > 0) this.#forgive(lateMs)
    if (passed(this.#stalledSince, timing.drainMs, now)) return this.close('FW_LAN_LINK_STALLED')
    if (this.#paused) {
      if (passed(this.#lastSent, timing.lifeSignMs, now)) this.send(pongFrame())
      return
    }
    if (!this.#opened && passed(this.#connectedAt, timing.firstFrameMs, now))
      return this.close('FW_LAN_FIRST_FRAME_LATE')
    if (passed(this.#frameSince, timing.frameMs, now)) return this.close('FW_LAN_FRAME_LATE')
    if (passed(this.#unansweredSince, timing.answerMs, now)) return this.close('FW_LAN_LINK_SILENT')
    if (this.#opened && this.#owesSign && passed(this.#lastSent, timing.lifeSignMs, now))
      this.send(pongFrame())
    if (passed(this.#lastReceived, timing.idleMs, now) && this.#unansweredSince === undefined) this.ping()
  }

  /** Ends the link; what waits is lost. */
  close(end: LinkEnd): void {
    if (this.#ended) return
    this.#finish()
    this.#socket.destroy()
    this.#handlers.closed(end)
  }

  /** Ends the link after what waits has left, or after `deadlineMs`. Resolves when its socket is closed. */
  async closeSoftly(deadlineMs: number): Promise<void> {
    const socket = this.#socket
    if (this.#ended && socket.closed) return
    await new Promise<void>((resolve) => {
      const deadline = setTimeout(() => socket.destroy(), deadlineMs)
      socket.once('close', () => {
        clearTimeout(deadline)
        resolve()
      })
      if (this.#ended) return
      // What comes in is no longer wanted, and must not keep the end of the stream from being seen.
      socket.removeAllListeners('data').resume()
      for (const piece of this.#queue) socket.write(piece)
      this.#finish()
      socket.destroySoon()
      this.#handlers.closed('given up')
    })
  }

  #finish(): void {
    this.#ended = true
    if (this.#flushing !== undefined) clearImmediate(this.#flushing)
    this.#queue = []
    this.#queuedBytes = 0
  }

  #received(chunk: Uint8Array): void {
    if (this.#ended) return
    const now = this.#now()
    this.#lastReceived = now
    this.#unansweredSince = undefined
    let frames = 0
    try {
      this.#parser.push(chunk, (frame) => {
        frames++
        this.#take(frame)
        return !this.#ended
      })
    } catch (error) {
      if (!(error instanceof MeshError)) throw error
      return this.close(error.code as LinkEnd)
    }
    if (this.#ended) return
    if (this.#parser.midFrame) {
      this.#owesSign = true
      if (frames > 0 || this.#frameSince === undefined) this.#frameSince = now
    } else {
      this.#frameSince = undefined
    }
    // One answer for however many pings one read brought.
    if (this.#pongDue) {
      this.#pongDue = false
      this.send(pongFrame())
    }
  }

  #take(frame: LinkFrame): void {
    if (frame.type !== 'pong') this.#owesSign = true
    if (frame.type === 'unknown') return
    if (!this.#opened) {
      this.#opened = true
      this.#handlers.opened()
      if (this.#ended) return
    }
    if (frame.type === 'ping') this.#pongDue = true
    else if (frame.type !== 'pong' && (frame.type !== 'question' || this.#mayAsk()))
      this.#handlers.frame(frame)
  }

  #mayAsk(): boolean {
    const now = this.#now()
    const earned = ((now - this.#questionsAt) / 1_000) * QUESTIONS_PER_SECOND
    this.#questionTokens = Math.min(QUESTION_BURST, this.#questionTokens + earned)
    this.#questionsAt = now
    if (this.#questionTokens < 1) return false
    this.#questionTokens--
    return true
  }

  /** Hands at most 64 KiB to the socket, in one system call; the next when those have left. */
  #flush(): void {
    if (this.#ended || this.#writingBytes > 0 || this.#queue.length === 0) return
    let count = 0
    let bytes = 0
    while (count < this.#queue.length && bytes < WRITE_SLICE_BYTES) bytes += this.#queue[count++]!.length
    const slice = this.#queue.splice(0, count)
    this.#queuedBytes -= bytes
    this.#writingBytes = bytes
    this.#stalledSince = this.#now()
    const last = slice.pop()!
    this.#socket.cork()
    for (const piece of slice) this.#socket.write(piece)
    this.#socket.write(last, () => {
      this.#writingBytes = 0
      this.#stalledSince = undefined
      this.#flush()
    })
    this.#socket.uncork()
  }

  #forgive(ms: number): void {
    this.#connectedAt += ms
    if (this.#frameSince !== undefined) this.#frameSince += ms
    if (this.#unansweredSince !== undefined) this.#unansweredSince += ms
    if (this.#stalledSince !== undefined) this.#stalledSince += ms
  }
}

function passed(since: number | undefined, ms: number, now: number): boolean {
  return since !== undefined && now - since >= ms
}
