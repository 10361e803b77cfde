import type { WebSocket } from 'ws'
import type { RelayDepositResult, RelayRequestResult } from './api.js'
import { MAX_OPEN_REQUESTS, STATUS, STOP_MS } from './constants.js'
import type { RelayTiming } from './constants.js'
import { dialRelay } from './dial.js'
import type { RelayFailure } from './dial.js'
import { decodeRelayFrames, encodeFrame } from './frames.js'
import type { ClientFrame, RelayFrame } from './frames.js'
import { RelayOutbox } from './outbox.js'
import { OpenRequests } from './requests.js'
import type { RelayTarget } from './url.js'

export const UNSENT = { status: 'unsent' } as const

export interface ConnectionHandlers {
  /** The relay let us in without knowing the token that we showed. */
  readonly onTokenUnknown: () => void
  /** The relay challenged: from now on frames go out. */
  readonly onChallenge: () => void
  readonly onFrame: (frame: Exclude<RelayFrame, { kind: 'challenge' | 'stored' }>) => void
  /** Every few seconds while connected. */
  readonly onCheck: () => void
  /** The relay sent what no relay sends; the connection is being closed. */
  readonly onMisbehaved: (what: string) => void
  /** Once. Whoever waited for an answer has been told `unsent`. */
  readonly onClosed: (failure: RelayFailure) => void
}

/** One connection to a relay, from dialling to its end: challenge, requests and answers, signs of life. */
export class RelayConnection {
  readonly #handlers: ConnectionHandlers
  readonly #timing: RelayTiming
  readonly #ws: WebSocket
  readonly #fail: (reason: string) => void
  readonly #outbox: RelayOutbox
  readonly #deposits = new OpenRequests<RelayDepositResult>()
  readonly #requests = new OpenRequests<RelayRequestResult>()
  readonly #timers: NodeJS.Timeout[]
  #nonce: Uint8Array | undefined
  #lastRequest = 0
  #heardMs = monoMs()
  #pingedMs = monoMs()
  #closed = false

  constructor(
    target: RelayTarget,
    token: string | undefined,
    timing: RelayTiming,
    handlers: ConnectionHandlers,
  ) {
    this.#handlers = handlers
    this.#timing = timing
    const { ws, fail } = dialRelay(target, token, timing.connectMs, {
      onOpen: (member) => {
        if (member === false && token !== undefined) handlers.onTokenUnknown()
      },
      onMessage: (message) => this.#onMessage(message),
      onHeard: () => (this.#heardMs = monoMs()),
      onClosed: (failure) => this.#onClosed(failure),
    })
    this.#ws = ws
    this.#fail = fail
    this.#outbox = new RelayOutbox(ws)
    const late = `no answer within ${timing.connectMs / 1_000} s`
    this.#timers = [setTimeout(() => this.#nonce ?? fail(late), timing.connectMs)]
  }

  /** The relay's challenge; undefined until it came. */
  get nonce(): Uint8Array | undefined {
    return this.#nonce
  }

  /** Bytes that the operating system has not taken yet. */
  get bufferedBytes(): number {
    return this.#outbox.bufferedBytes
  }

  nextRequest(): number {
    this.#lastRequest = (this.#lastRequest + 1) >>> 0
    return this.#lastRequest
  }

  /** False where the frame cannot be made: a field is out of bounds. */
  send(frame: ClientFrame): boolean {
    try {
      this.#outbox.push(encodeFrame(frame))
      return true
    } catch {
      return false
    }
  }

  deposit(packet: Uint8Array): Promise<RelayDepositResult> {
    if (this.#deposits.size >= MAX_OPEN_REQUESTS) return Promise.resolve(UNSENT)
    const request = this.nextRequest()
    if (this.send({ kind: 'deposit', request, packet })) return this.#deposits.add(request, monoMs())
    return Promise.resolve({ status: 'refused', code: STATUS.malformed, room: { packets: 0, bytes: 0 } })
  }

  ask(frame: (request: number) => ClientFrame): Promise<RelayRequestResult> {
    if (this.#requests.size >= MAX_OPEN_REQUESTS) return Promise.resolve(UNSENT)
    const request = this.nextRequest()
    if (this.send(frame(request))) return this.#requests.add(request, monoMs())
    return Promise.resolve({ status: 'refused', code: STATUS.malformed })
  }

  /** An answer to `ask`; one that nobody waits for any more is passed over. */
  answered(request: number, result: RelayRequestResult): void {
    this.#requests.answer(request, result)
  }

  fail(reason: string): void {
    this.#fail(reason)
  }

  /** Sends what waits, says goodbye, and closes in any case within a second. */
  close(): void {
    this.#outbox.flush()
    this.#ws.close(1000)
    this.#timers.push(setTimeout(() => this.#fail('stopped'), STOP_MS))
  }

  #onMessage(message: Uint8Array): void {
    this.#heardMs = monoMs()
    let frames: RelayFrame[]
    try {
      frames = decodeRelayFrames(message)
    } catch (error) {
      return this.#misbehaved((error as Error).message)
    }
    for (const frame of frames) {
      // An earlier frame of the message may have ended the connection.
      if (this.#closed || this.#ws.readyState !== this.#ws.OPEN) return
      this.#onFrame(frame)
    }
  }

  #onFrame(frame: RelayFrame): void {
    const early = this.#nonce === undefined && frame.kind !== 'closing' && frame.kind !== 'challenge'
    if (early || (this.#nonce !== undefined && frame.kind === 'challenge')) {
      return this.#misbehaved(`a ${frame.kind} frame came at the wrong time`)
    }
    switch (frame.kind) {
      case 'challenge':
        this.#nonce = Uint8Array.from(frame.nonce)
        this.#timers.push(setInterval(() => this.#check(), this.#timing.checkMs))
        // The relay waits for a first sign of us, and there may be nothing to say.
        this.#ws.ping()
        return this.#handlers.onChallenge()
      case 'stored': {
        const { status: code, roomPackets: packets, roomBytes: bytes } = frame
        const status = code === STATUS.done ? 'stored' : 'refused'
        this.#deposits.answer(frame.request, { status, code, room: { packets, bytes } })
        return
      }
      default:
        return this.#handlers.onFrame(frame)
    }
  }

  #check(): void {
    const now = monoMs()
    const { deadMs, pingMs, requestMs } = this.#timing
    if (now - this.#heardMs >= deadMs) return this.#fail(`nothing was heard for ${deadMs / 1_000} s`)
    if (now - this.#pingedMs >= pingMs) {
      this.#pingedMs = now
      this.#ws.ping()
    }
    this.#deposits.giveUp(now - requestMs, UNSENT)
    this.#requests.giveUp(now - requestMs, UNSENT)
    this.#handlers.onCheck()
  }

  #misbehaved(what: string): void {
    this.#handlers.onMisbehaved(what)
    this.#fail(what)
  }

  #onClosed(failure: RelayFailure): void {
    this.#closed = true
    for (const timer of this.#timers) clearTimeout(timer)
    this.#deposits.giveUp(Infinity, UNSENT)
    this.#requests.giveUp(Infinity, UNSENT)
    this.#handlers.onClosed(failure)
  }
}

/** Monotonic milliseconds. */
export function monoMs(): number {
  return performance.now()
}
