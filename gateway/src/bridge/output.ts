import { GatewayError } from '../errors.js'
import type { Message, MessageProperties } from './topics.js'

/** What an output tells the one who publishes through it. */
export interface OutputEvents {
  /** Messages are taken from now on. */
  up(): void
  /** No more; every publish that was not acknowledged has been or will be rejected. */
  down(): void
}

/**
 * Hears one message. `retain`: it was or is retained at the broker; MQTT 3.1.1 says so only of what lay there before the
 * subscription. Must not throw.
 */
export type MessageHandler = (
  topic: string,
  payload: Uint8Array,
  retain: boolean,
  properties: MessageProperties,
) => void

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
   * Resolves when the broker has acknowledged the message (QoS 1), rejects when that can no longer be known, or with an error
   * for which `isRefusal` holds. Messages reach the broker in the order of the calls.
   */
  publish(message: Message): Promise<void>
  /** Hears what comes under a topic filter (QoS 1), on this and every later connection. What the gateway publishes itself too. */
  subscribe(filter: string, handler: MessageHandler): void
  /** The broker stopped answering: drop the connection and make another. */
  reconnect(): void
  /** Where the broker lives in this process: sets what new subscribers find without telling those that are there. */
  restore?(message: Message): Promise<void>
  status(): OutputStatus
}

/** The broker refuses this message for good: the same again would be refused again, and others may be taken. */
export function isRefusal(error: unknown): error is GatewayError {
  return error instanceof GatewayError && REFUSALS.has(error.code)
}

const REFUSALS: ReadonlySet<string> = new Set([
  'FW_MQTT_TOPIC_FORBIDDEN',
  'FW_MQTT_TOPIC_INVALID',
  'FW_MQTT_PAYLOAD_INVALID',
  'FW_MQTT_PACKET_TOO_LARGE',
])

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
