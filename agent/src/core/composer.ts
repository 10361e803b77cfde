import {
  hex,
  type ClockReport,
  type DataMessage,
  type SealedBatch,
  type StreamAck,
  type StreamState,
} from '@fieldwhisper/protocol'
import { OTHER_STREAMS, STREAMS_IN_FLIGHT } from './constants.js'
import type { BatchPort } from './ports.js'

export interface DataFacts {
  readonly batch?: SealedBatch
  readonly ready: boolean
  readonly oldestSession?: Uint8Array
  readonly downThrough: number
  readonly clock: ClockReport | undefined
}

/** Puts a DATA together: the stream of its batch, and others in turn. */
export class Composer {
  readonly #batches: BatchPort
  /** The stream named last among the others. */
  #turn = ''
  /** Streams that were said to be closed, and the stamp of the first DATA that said so. */
  readonly #saidClosed = new Map<string, number>()

  constructor(batches: BatchPort) {
    this.#batches = batches
  }

  data({ batch, ready, oldestSession, downThrough, clock }: DataFacts, now: number): DataMessage {
    const streams = this.#streams(batch && hex(batch.stream))
    for (const { stream, closed } of streams) {
      const id = hex(stream)
      if (closed && !this.#saidClosed.has(id)) this.#saidClosed.set(id, now)
    }
    return {
      kind: 'data',
      ...(batch && { batch }),
      streams,
      ready,
      ...(oldestSession && { oldestSession }),
      downThrough,
      stampMs: now,
      ...(clock && { clock }),
    }
  }

  /** A closed stream of which everything is settled, and of which the gateway was not told. */
  get hasUnsaidEnd(): boolean {
    for (const state of this.#window()) {
      if (state.closed && state.floor >= state.end && !this.#saidClosed.has(hex(state.stream))) return true
    }
    return false
  }

  /** Streams whose end the gateway has heard of are forgotten. */
  acknowledged(streams: readonly StreamAck[], echoStampMs: number | undefined): void {
    for (const { stream, through } of streams) {
      const id = hex(stream)
      const said = this.#saidClosed.get(id)
      const state = said === undefined ? undefined : this.#batches.stream(id)
      if (said === undefined || !state || through < state.end || (echoStampMs ?? -Infinity) < said) continue
      this.#saidClosed.delete(id)
      this.#batches.forget(id)
    }
  }

  #streams(first: string | undefined): StreamState[] {
    const window = this.#window()
    const own = first === undefined ? undefined : this.#batches.stream(first)
    const others = window.filter(({ stream }) => hex(stream) !== first)
    const next = others.findIndex(({ stream }) => hex(stream) > this.#turn)
    const from = next < 0 ? 0 : next
    const named = [...others.slice(from), ...others.slice(0, from)].slice(0, OTHER_STREAMS)
    const last = named.at(-1)
    if (last) this.#turn = hex(last.stream)
    return own ? [own, ...named] : named
  }

  /** The oldest streams and the newest: of a long line of dead processes only so many are open at the gateway at a time. */
  #window(): StreamState[] {
    return this.#batches.streams(STREAMS_IN_FLIGHT)
  }
}
