import type { Level } from '@fieldwhisper/host'
import type { EdgeReading, ReadingValue } from './values.js'

/** Time of an event: for intervals, and for what the messages say. */
export interface Now {
  /** Milliseconds of a clock that never jumps. */
  readonly monoMs: number
  /** Unix milliseconds. */
  readonly wallMs: number
}

/** What happens to the edge node. An agent is known by its name, a batch by its position in the outbox, which only grows. */
export type EdgeEvent =
  /** The client is about to connect. */
  | { readonly kind: 'dial' }
  /** The broker said yes; what is published from now on goes over this connection, in order. */
  | { readonly kind: 'connected' }
  /** The connection is gone, whoever ended it, or was not made. */
  | { readonly kind: 'disconnected' }
  | {
      readonly kind: 'message'
      readonly topic: string
      readonly payload: Uint8Array
      /** The broker kept it: nobody sent it now. */
      readonly retained: boolean
    }
  /** The outbox holds batches up to here. What is there before a birth waited, and is told as historical. */
  | { readonly kind: 'committed'; readonly position: number }
  /** Current values of an agent, for its next birth. Publishes nothing. */
  | { readonly kind: 'current'; readonly agent: string; readonly readings: readonly EdgeReading[] }
  /** The next batch of the outbox. Taken only while `ready`, and to be read again after a broken connection. */
  | {
      readonly kind: 'batch'
      readonly position: number
      readonly agent: string
      readonly historical: boolean
      readonly readings: readonly EdgeReading[]
    }
  /** What stands there is nothing for a host. Only while `ready`, like a batch. */
  | { readonly kind: 'skip'; readonly position: number }
  /** The outbox has nothing more at the moment. */
  | { readonly kind: 'idle' }
  /** The agent was heard. */
  | { readonly kind: 'agentHere'; readonly agent: string }
  /** The agent is silent for too long, or was revoked and will not come back under this identity. */
  | { readonly kind: 'agentGone'; readonly agent: string; readonly revoked: boolean }
  /** The broker acknowledged the publish with that fence. */
  | { readonly kind: 'fenced'; readonly fence: number }
  /** The time of a `wake` is over. */
  | { readonly kind: 'wake' }
  /** The gateway stops. */
  | { readonly kind: 'stop' }

/** What is to be done, in this order. */
export type EdgeEffect =
  /** Make `bdSeq` durable, then connect, with a clean session and this will. */
  | { readonly kind: 'connect'; readonly bdSeq: number; readonly will: EdgeMessage }
  | { readonly kind: 'subscribe'; readonly topics: readonly string[]; readonly qos: 1 }
  | Publish
  /** The broker has all batches up to here: the lane's mark moves. */
  | { readonly kind: 'through'; readonly position: number }
  /** A host wants a value written. */
  | EdgeCommand
  /** Say DISCONNECT once everything before it is on its way. */
  | { readonly kind: 'disconnect' }
  /** Come back with the event `wake` after this time. */
  | { readonly kind: 'wake'; readonly inMs: number }
  | Report

export interface EdgeMessage {
  readonly topic: string
  readonly payload: Uint8Array
  readonly qos: 0 | 1
  readonly retain: boolean
}

export interface Publish extends EdgeMessage {
  readonly kind: 'publish'
  /** To be given back by the event `fenced` once the broker has acknowledged this message. */
  readonly fence?: number
}

export interface EdgeCommand {
  readonly kind: 'command'
  readonly agent: string
  /** Name of the reading. */
  readonly metric: string
  readonly value: ReadingValue
}

/** For the log. */
export interface Report {
  readonly kind: 'report'
  readonly level: Level
  readonly code: string
  readonly message: string
  readonly fields?: Readonly<Record<string, string | number>>
}
