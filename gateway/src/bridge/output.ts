import type { Message } from './topics.js'

/** What an output tells the one who publishes through it. */
export interface OutputEvents {
  /** Messages are taken from now on. */
  up(): void
  /** No more; every publish that was not acknowledged has been or will be rejected. */
  down(): void
}

export interface OutputStatus {
  readonly kind: 'embedded' | 'external'
  /** `mqtt://host:port`, without user and password. */
  readonly address: string
  readonly connected: boolean
  /** Connections, or starts of listening, since the program began. */
  readonly connects: number
  /** What kept or keeps it from being connected, in words, never with the password. */
  readonly lastError?: string
}

/** A broker as the outbox sees it: a pipe that says of every message whether it arrived. Never a store. */
export interface Output {
  readonly connected: boolean
  /** Begins and goes on trying for ever; never rejects. */
  start(events: OutputEvents): Promise<void>
  /** Publishes `farewell` if connected, then ends everything it started. */
  stop(farewell: Message): Promise<void>
  /**
   * Resolves when the broker has acknowledged the message (QoS 1), rejects when that can no longer be known. Messages reach
   * the broker in the order of the calls.
   */
  publish(message: Message): Promise<void>
  /** The broker stopped answering: drop the connection and make another. */
  reconnect(): void
  /** Where the broker lives in this process: sets what new subscribers find without telling those that are there. */
  restore?(message: Message): Promise<void>
  status(): OutputStatus
}

/** Waits for the promise, at most `ms`; never rejects. True if it was fulfilled in time. */
export async function settleWithin(ms: number, promise: Promise<unknown>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<boolean>((resolve) => (timer = setTimeout(() => resolve(false), ms)))
  const settled = promise.then(
    () => true,
    () => false,
  )
  const result = await Promise.race([settled, late])
  clearTimeout(timer)
  return result
}
