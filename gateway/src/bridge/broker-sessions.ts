import type { Reporter } from '@fieldwhisper/host'
import { MAX_SESSIONS, MAX_SESSION_BYTES, MAX_SESSION_MESSAGES } from './constants.js'

/** The part of aedes' memory persistence that is bounded here. aedes declares no type for it. */
export interface SessionPersistence {
  outgoingEnqueueCombi(subscriptions: readonly { readonly clientId: string }[], packet: Queued): Promise<void>
  outgoingClearMessageId(client: { readonly id: string }, packet: unknown): Promise<Queued | undefined>
  storeRetained(packet: object): Promise<void>
}

interface Queued {
  readonly topic?: string
  readonly payload?: Uint8Array | string
}

/**
 * Persistent sessions (clean = false): what waits for a client that is away, or has not acknowledged, lies in memory. aedes
 * sets no bound to it; beyond these a message is not queued for that one client, which is counted and told.
 */
export class BrokerSessions {
  readonly #reporter: Reporter
  readonly #held = new Map<string, number>()
  readonly #ended = new Set<string>()
  #bytes = 0
  #dropped = 0

  constructor(reporter: Reporter) {
    this.#reporter = reporter
  }

  get dropped(): number {
    return this.#dropped
  }

  /** Whether a client may have a persistent session; counts it. */
  admit(clientId: string): boolean {
    if (!this.#held.has(clientId) && this.#held.size >= MAX_SESSIONS) return false
    this.#ended.delete(clientId)
    this.#held.set(clientId, this.#held.get(clientId) ?? 0)
    return true
  }

  /** The client asked for a clean start; aedes takes out what waited, one by one. */
  end(clientId: string): void {
    if (!this.#held.has(clientId)) return
    this.#ended.add(clientId)
    this.#forgetIfEmpty(clientId)
  }

  /** Puts the bounds around a broker's persistence. */
  bound(persistence: SessionPersistence): void {
    const enqueue = persistence.outgoingEnqueueCombi.bind(persistence)
    const clear = persistence.outgoingClearMessageId.bind(persistence)
    persistence.outgoingEnqueueCombi = (subscriptions, packet) => {
      return enqueue(
        subscriptions.filter(({ clientId }) => this.#take(clientId, packet)),
        packet,
      )
    }
    persistence.outgoingClearMessageId = async (client, packet) => {
      const cleared = await clear(client, packet)
      if (cleared) this.#give(client.id, cleared)
      return cleared
    }
  }

  #take(clientId: string, packet: Queued): boolean {
    const messages = this.#held.get(clientId) ?? 0
    const bytes = sizeOf(packet)
    if (messages >= MAX_SESSION_MESSAGES || this.#bytes + bytes > MAX_SESSION_BYTES) {
      this.#dropped += 1
      this.#reporter.event(
        'warn',
        'FW_BROKER_SESSION_FULL',
        'An MQTT client with a persistent session does not fetch its messages; new ones are not kept for it.',
        { client: clientId, waiting: messages },
      )
      return false
    }
    this.#held.set(clientId, messages + 1)
    this.#bytes += bytes
    return true
  }

  #give(clientId: string, packet: Queued): void {
    this.#held.set(clientId, Math.max(0, (this.#held.get(clientId) ?? 0) - 1))
    this.#bytes = Math.max(0, this.#bytes - sizeOf(packet))
    this.#forgetIfEmpty(clientId)
  }

  #forgetIfEmpty(clientId: string): void {
    if (!this.#ended.has(clientId) || this.#held.get(clientId) !== 0) return
    this.#ended.delete(clientId)
    this.#held.delete(clientId)
  }
}

function sizeOf({ topic, payload }: Queued): number {
  return 200 + (topic?.length ?? 0) + (payload?.length ?? 0)
}
